//! NEON, which every aarch64 processor has.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, vaddq_f32, vaddvq_f32, vaddvq_s32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32, vget_low_s8,
    vld1q_f32, vld1q_s8, vmull_high_s8, vmull_s8, vpadalq_s16, vsubq_f32,
};

use super::scalar;

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
