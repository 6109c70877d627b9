//! The reference: plain loops that every other path is tested against.

use super::{BLOCK, Relation, ScanBlock, ScanScale, table_offset};

/// Inner product.
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Squared Euclidean distance.
pub(super) fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Inner product of codes.
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// Inner product of a finer code with a code.
pub(super) fn dot_i16_i8(a: &[i16], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}

/// Estimated distances of a block of codes.
pub(super) fn scan(table: &[u8], block: ScanBlock<'_>, scale: &ScanScale, limit: f32, found: &mut [f32; BLOCK]) -> u32 {
    let mut sums = [0_u16; BLOCK];
    for (pair, bytes) in block.codes.as_chunks::<BLOCK>().0.iter().enumerate() {
        let low = &table[table_offset(2 * pair)..][..16];
        let high = &table[table_offset(2 * pair + 1)..][..16];
        for (sum, &byte) in sums.iter_mut().zip(bytes) {
            *sum += u16::from(low[usize::from(byte & 15)]) + u16::from(high[usize::from(byte >> 4)]);
        }
    }
    rate(&sums, block, scale, limit, found)
}

/// Turns the sums of a scan into distances.
pub(super) fn rate(
    sums: &[u16; BLOCK],
    block: ScanBlock<'_>,
    scale: &ScanScale,
    limit: f32,
    found: &mut [f32; BLOCK],
) -> u32 {
    let mut passing = 0;
    for j in 0..BLOCK {
        let sum = scale.unit * f32::from(sums[j]) + scale.start;
        found[j] = scale.base + scale.offset_unit * f32::from(block.offsets[j]) + f32::from(block.slopes[j]) * sum;
        passing |= u32::from(found[j] < limit) << j;
    }
    passing
}

/// Relates a code to a centre.
pub(super) fn relate(vector: (&[i8], f32), centre: (&[i8], f32), signs: &mut [u8]) -> Relation {
    let mut relation = Relation::default();
    signs.fill(0);
    for (i, (&x, &c)) in vector.0.iter().zip(centre.0).enumerate() {
        let c = f32::from(c) * centre.1;
        let r = f32::from(x) * vector.1 - c;
        let positive = r > 0.0;
        signs[i / 8] |= u8::from(positive) << (i % 8);
        relation.squared += r * r;
        relation.absolute += r.abs();
        relation.signs_centre += if positive { c } else { -c };
        relation.offset_centre += r * c;
    }
    relation
}

/// How many keys are below a key.
pub(super) fn n_below(keys: &[u64], key: u64) -> usize {
    keys.iter().map(|&other| usize::from(other < key)).sum()
}
