//! NEON, which every aarch64 processor has.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, vaddq_f32, vaddq_u8, vaddvq_f32, vaddvq_s32, vaddw_high_u8, vaddw_u8, vandq_s8, vandq_u8,
    vcombine_u8, vcreate_u8, vdup_n_u8, vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, vdupq_n_u16, vfmaq_f32, vget_low_s8,
    vget_low_s16, vget_low_u8, vld1q_f32, vld1q_s8, vld1q_s16, vld1q_u8, vmlal_high_s16, vmlal_s16, vmovl_high_s8,
    vmovl_s8, vmull_high_s8, vmull_s8, vpadalq_s16, vpaddlq_s8, vqtbl1q_u8, vreinterpretq_s8_u8, vshrq_n_u8, vst1q_u16,
    vsubq_f32, vtstq_u8,
};

use super::{BLOCK, N_POINTS, Points, PreparedQuery, Relation, ScanBlock, ScanScale, points, scalar};

/// Floats in a register.
const LANES: usize = 4;
/// Codes in a register.
const CODES: usize = 16;

/// Inner product.
#[target_feature(enable = "neon")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 2 * LANES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 2 * LANES }>();
    let mut sums = [vdupq_n_f32(0.0); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        sums[0] = vfmaq_f32(sums[0], load_f32(x, 0), load_f32(y, 0));
        sums[1] = vfmaq_f32(sums[1], load_f32(x, LANES), load_f32(y, LANES));
    }
    vaddvq_f32(vaddq_f32(sums[0], sums[1])) + scalar::dot_f32(a_tail, b_tail)
}

/// Squared Euclidean distance.
#[target_feature(enable = "neon")]
pub(super) fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 2 * LANES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 2 * LANES }>();
    let mut sums = [vdupq_n_f32(0.0); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let low = vsubq_f32(load_f32(x, 0), load_f32(y, 0));
        let high = vsubq_f32(load_f32(x, LANES), load_f32(y, LANES));
        sums[0] = vfmaq_f32(sums[0], low, low);
        sums[1] = vfmaq_f32(sums[1], high, high);
    }
    vaddvq_f32(vaddq_f32(sums[0], sums[1])) + scalar::l2_f32(a_tail, b_tail)
}

/// Inner product of codes. Products of codes fit 16 bits, pairs of them are added into 32.
#[target_feature(enable = "neon")]
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_blocks, a_tail) = a.as_chunks::<CODES>();
    let (b_blocks, b_tail) = b.as_chunks::<CODES>();
    let mut sum = vdupq_n_s32(0);
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let (x, y) = (load_i8(x), load_i8(y));
        sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        sum = vpadalq_s16(sum, vmull_high_s8(x, y));
    }
    vaddvq_s32(sum) + scalar::dot_i8(a_tail, b_tail)
}

/// Inner product of a finer code with a code.
#[target_feature(enable = "neon")]
pub(super) fn dot_i16_i8(a: &[i16], b: &[i8]) -> i32 {
    let (a_blocks, a_tail) = a.as_chunks::<CODES>();
    let (b_blocks, b_tail) = b.as_chunks::<CODES>();
    let mut sum = vdupq_n_s32(0);
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let y = load_i8(y);
        // SAFETY: the block has two halves of eight words.
        let (low, high) = unsafe { (vld1q_s16(x.as_ptr()), vld1q_s16(x.as_ptr().add(8))) };
        for (x, y) in [(low, vmovl_s8(vget_low_s8(y))), (high, vmovl_high_s8(y))] {
            sum = vmlal_high_s16(vmlal_s16(sum, vget_low_s16(x), vget_low_s16(y)), x, y);
        }
    }
    vaddvq_s32(sum) + scalar::dot_i16_i8(a_tail, b_tail)
}

/// For each row of bits the sum of the values whose bits are set.
#[target_feature(enable = "neon")]
pub(super) fn sums_where(values: &[i8], rows: &[&[u8]], sums: &mut [i32; BLOCK]) {
    for (sum, bits) in sums.iter_mut().zip(rows) {
        *sum = sum_where(values, bits);
    }
}

/// Sum of the values whose bits are set.
#[target_feature(enable = "neon")]
#[inline]
fn sum_where(values: &[i8], bits: &[u8]) -> i32 {
    let bit = vcreate_u8(0x8040_2010_0804_0201);
    let bit = vcombine_u8(bit, bit);
    let mut sum = vdupq_n_s32(0);
    for (values, bits) in values.as_chunks::<16>().0.iter().zip(bits.as_chunks::<2>().0) {
        let is_set = vtstq_u8(vcombine_u8(vdup_n_u8(bits[0]), vdup_n_u8(bits[1])), bit);
        let values = vandq_s8(load_i8(values), vreinterpretq_s8_u8(is_set));
        sum = vpadalq_s16(sum, vpaddlq_s8(values));
    }
    vaddvq_s32(sum)
}

/// Estimated distances of a block of codes.
#[target_feature(enable = "neon")]
pub(super) fn scan(table: &[u8], block: ScanBlock<'_>, scale: &ScanScale, limit: f32, found: &mut [f32; BLOCK]) -> u32 {
    let nibble = vdupq_n_u8(15);
    let mut sums = [vdupq_n_u16(0); 4];
    for (codes, table) in block.codes.as_chunks::<64>().0.iter().zip(table.as_chunks::<128>().0) {
        for half in 0..2 {
            let mut sum = vdupq_n_u8(0);
            for pair in 0..2 {
                // SAFETY: the block has two pairs of two halves of sixteen bytes, the table two tables for each pair.
                let (code, low, high) = unsafe {
                    let at = table.as_ptr().add(32 * pair);
                    (vld1q_u8(codes.as_ptr().add(32 * pair + 16 * half)), vld1q_u8(at), vld1q_u8(at.add(64)))
                };
                sum = vaddq_u8(sum, vqtbl1q_u8(low, vandq_u8(code, nibble)));
                sum = vaddq_u8(sum, vqtbl1q_u8(high, vshrq_n_u8::<4>(code)));
            }
            sums[2 * half] = vaddw_u8(sums[2 * half], vget_low_u8(sum));
            sums[2 * half + 1] = vaddw_high_u8(sums[2 * half + 1], sum);
        }
    }
    let mut words = [0_u16; BLOCK];
    for (sum, words) in sums.into_iter().zip(words.as_chunks_mut::<8>().0) {
        // SAFETY: `words` is eight words.
        unsafe { vst1q_u16(words.as_mut_ptr(), sum) };
    }
    scalar::rate(&words, block, scale, limit, found)
}

/// Fast Walsh-Hadamard transform, not scaled.
#[target_feature(enable = "neon")]
pub(super) fn hadamard(vector: &mut [f32]) {
    scalar::hadamard(vector);
}

/// Brings a query into the forms that codes are compared with.
#[target_feature(enable = "neon")]
pub(super) fn prepare(vector: &[f32], words: &mut [i16], table: &mut [u8]) -> PreparedQuery {
    scalar::prepare(vector, words, table)
}

/// Inner product of the halves of a finer code with half bytes, less eight each; the compiler's own vector code is as good
/// here.
#[target_feature(enable = "neon")]
pub(super) fn dot_i16_i4(a: &[i16], packed: &[u8]) -> i32 {
    scalar::dot_i16_i4(a, packed)
}

/// Puts a key in its place among sorted keys, the last of which is lost.
#[target_feature(enable = "neon")]
pub(super) fn insert(sorted: &mut [u64], key: u64) -> usize {
    scalar::insert(sorted, key)
}

/// Relates a code to a centre; the compiler's own vector code is as good here.
#[target_feature(enable = "neon")]
pub(super) fn relate(vector: (&[i8], f32), centre: (&[i8], f32), signs: &mut [u8]) -> Relation {
    scalar::relate(vector, centre, signs)
}

#[inline]
#[target_feature(enable = "neon")]
fn load_f32(block: &[f32; 2 * LANES], at: usize) -> float32x4_t {
    let part = &block[at..at + LANES];
    // SAFETY: `part` is four floats, checked by the slice above.
    unsafe { vld1q_f32(part.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_i8(block: &[i8; CODES]) -> int8x16_t {
    // SAFETY: the block is sixteen bytes.
    unsafe { vld1q_s8(block.as_ptr()) }
}

/// Writes the code of a vector by the nearest points.
#[target_feature(enable = "neon")]
pub(super) fn encode(vector: &[f32], points: Points<'_>, code: &mut [u8]) -> f32 {
    points::encode(vector, points, code)
}

/// Fills the table of a query for codes by points.
#[target_feature(enable = "neon")]
pub(super) fn tabulate(
    vector: &[f32],
    points: Points<'_>,
    products: &mut [[f32; N_POINTS]],
    table: &mut [u8],
) -> (f32, f32) {
    points::tabulate(vector, points, products, table)
}
