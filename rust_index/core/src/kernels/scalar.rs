//! The reference: plain loops that every other path is tested against.

use super::{BLOCK, GROUP, MAX_ENTRY, PreparedQuery, Relation, ScanBlock, ScanScale, table_offset};

/// Components that the generic loops take together.
const LANES: usize = 16;
/// Adding 2^23 to a float below it leaves its nearest integer in the low bits, ties to even; 2^22 more keeps a sign.
const ROUND: f32 = 8_388_608.0;
const ROUND_SIGNED: f32 = 12_582_912.0;

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
        relation.code_offset += r.abs();
        relation.code_centre += if positive { c } else { -c };
        relation.offset_centre += r * c;
    }
    relation
}

/// Puts a key in its place among sorted keys, the last of which is lost.
pub(super) fn insert(sorted: &mut [u64], key: u64) -> usize {
    let n_kept = sorted.len().saturating_sub(1);
    let at = sorted[..n_kept].partition_point(|&other| other < key);
    sorted.copy_within(at..n_kept, at + 1);
    sorted[at] = key;
    at
}

/// For each row of bits the sum of the values whose bits are set.
pub(super) fn sums_where(values: &[i8], rows: &[&[u8]], sums: &mut [i32; BLOCK]) {
    for (sum, bits) in sums.iter_mut().zip(rows) {
        *sum = sum_where(values, bits);
    }
}

/// Sum of the values whose bits are set.
fn sum_where(values: &[i8], bits: &[u8]) -> i32 {
    let of_byte = |(values, &byte): (&[i8; 8], &u8)| {
        values.iter().enumerate().map(|(i, &x)| i32::from(x) * i32::from(byte >> i & 1)).sum::<i32>()
    };
    values.as_chunks().0.iter().zip(bits).map(of_byte).sum()
}

/// Inner product of the halves of a finer code with half bytes, less eight each: the low ones, then the high ones.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
pub(super) fn dot_i16_i4(a: &[i16], packed: &[u8]) -> i32 {
    let (low, high) = a.split_at(packed.len());
    let terms = low.iter().zip(high).zip(packed);
    terms.map(|((&x, &y), &b)| i32::from(x) * (i32::from(b & 15) - 8) + i32::from(y) * (i32::from(b >> 4) - 8)).sum()
}

/// Fast Walsh-Hadamard transform, not scaled. `O(n log n)`.
pub(super) fn hadamard(vector: &mut [f32]) {
    for chunk in vector.as_chunks_mut::<LANES>().0 {
        for half in [1, 2, 4, 8] {
            let old = *chunk;
            for (i, x) in chunk.iter_mut().enumerate() {
                *x = if i & half == 0 { old[i] + old[i + half] } else { old[i - half] - old[i] };
            }
        }
    }
    hadamard_beyond::<LANES>(vector);
}

/// The steps of the transform that join runs of `N` components and more.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
pub(super) fn hadamard_beyond<const N: usize>(vector: &mut [f32]) {
    let mut half = N;
    while half < vector.len() {
        for chunk in vector.chunks_exact_mut(2 * half) {
            let (low, high) = chunk.split_at_mut(half);
            for (x, y) in low.as_chunks_mut::<N>().0.iter_mut().zip(high.as_chunks_mut::<N>().0) {
                for (x, y) in x.iter_mut().zip(y) {
                    (*x, *y) = (*x + *y, *x - *y);
                }
            }
        }
        half *= 2;
    }
}

/// Brings a query into the forms that codes are compared with.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
pub(super) fn prepare(vector: &[f32], words: &mut [i16], table: &mut [u8]) -> PreparedQuery {
    // Lanes are summed apart, so that the compiler may take them together.
    let (mut largest, mut squared, mut total, mut widest) =
        ([0.0_f32; LANES], [0.0; LANES], [0.0; LANES], [0.0_f32; GROUP]);
    for chunk in vector.as_chunks::<LANES>().0 {
        let sizes = chunk.map(f32::abs);
        for i in 0..LANES {
            largest[i] = if sizes[i] > largest[i] { sizes[i] } else { largest[i] };
            squared[i] += sizes[i] * sizes[i];
            total[i] += sizes[i];
        }
        for (widest, group) in widest.iter_mut().zip(sizes.as_chunks::<GROUP>().0) {
            let reach = (group[0] + group[1]) + (group[2] + group[3]);
            *widest = if reach > *widest { reach } else { *widest };
        }
    }
    let greatest = |values: &[f32]| values.iter().fold(0.0_f32, |greatest, &x| greatest.max(x));
    let (largest, widest, total) = (greatest(&largest), greatest(&widest), total.iter().sum::<f32>());
    let inverse_of = |size: f32, limit: f32| if size < f32::MIN_POSITIVE { 0.0 } else { limit / size };

    // So bounded, the sum of all products with codes fits 32 bits.
    let limit = (i32::MAX as f32 / (128.0 * vector.len() as f32)).min(f32::from(i16::MAX)).floor();
    let inverse = inverse_of(largest, limit);
    for (word, x) in words.iter_mut().zip(vector) {
        *word = (x * inverse + ROUND_SIGNED).to_bits() as i16;
    }

    // The entries of all groups together must fit 16 bits.
    let n_groups = vector.len() / GROUP;
    let largest_entry = MAX_ENTRY.min(usize::from(u16::MAX) / n_groups) as f32;
    let inverse = inverse_of(2.0 * widest, largest_entry);
    for (number, group) in vector.as_chunks::<GROUP>().0.iter().enumerate() {
        let [a, b, c, d] = group.map(|x| x * inverse);
        let reach = (a.abs() + b.abs()) + (c.abs() + d.abs());
        let low = [reach - a - b, reach + a - b, reach - a + b, reach + a + b];
        let high = [-c - d, c - d, d - c, c + d];
        let entries: [u8; LANES] =
            std::array::from_fn(|pattern| ((low[pattern % 4] + high[pattern / 4]) + ROUND).to_bits() as u8);
        let at = table_offset(number);
        table[at..at + LANES].copy_from_slice(&entries);
        table[at + LANES..at + 2 * LANES].copy_from_slice(&entries);
    }
    PreparedQuery {
        word_unit: largest / limit,
        table_unit: 2.0 * widest / largest_entry,
        table_start: -total,
        squared: squared.iter().sum(),
    }
}
