//! AVX2 with FMA.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_add_epi32, _mm_add_ps, _mm_add_ss, _mm_cvtsi128_si32, _mm_cvtss_f32, _mm_loadu_si128,
    _mm_movehl_ps, _mm_shuffle_epi32, _mm_shuffle_ps, _mm256_add_epi32, _mm256_add_ps, _mm256_castps256_ps128,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_madd_epi16, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sub_ps,
};

use super::scalar;

/// Floats in a register.
const LANES: usize = 8;
/// Codes in a step: 16 bytes widened to 16 words.
const CODES: usize = 16;

/// Inner product.
#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 2 * LANES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 2 * LANES }>();
    let mut sums = [_mm256_setzero_ps(); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        sums[0] = _mm256_fmadd_ps(load_f32(x, 0), load_f32(y, 0), sums[0]);
        sums[1] = _mm256_fmadd_ps(load_f32(x, LANES), load_f32(y, LANES), sums[1]);
    }
    reduce_f32(_mm256_add_ps(sums[0], sums[1])) + scalar::dot_f32(a_tail, b_tail)
}

/// Squared Euclidean distance.
#[target_feature(enable = "avx2,fma")]
pub(super) fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 2 * LANES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 2 * LANES }>();
    let mut sums = [_mm256_setzero_ps(); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let low = _mm256_sub_ps(load_f32(x, 0), load_f32(y, 0));
        let high = _mm256_sub_ps(load_f32(x, LANES), load_f32(y, LANES));
        sums[0] = _mm256_fmadd_ps(low, low, sums[0]);
        sums[1] = _mm256_fmadd_ps(high, high, sums[1]);
    }
    reduce_f32(_mm256_add_ps(sums[0], sums[1])) + scalar::l2_f32(a_tail, b_tail)
}

/// Inner product of codes. Words of 16 bits cannot overflow: `vpmaddwd` adds two products below 2^14 into 32 bits.
#[target_feature(enable = "avx2")]
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 2 * CODES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 2 * CODES }>();
    let mut sums = [_mm256_setzero_si256(); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(load_i8(x, 0), load_i8(y, 0)));
        sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(load_i8(x, CODES), load_i8(y, CODES)));
    }
    reduce_i32(_mm256_add_epi32(sums[0], sums[1])) + scalar::dot_i8(a_tail, b_tail)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_f32(block: &[f32; 2 * LANES], at: usize) -> __m256 {
    let part = &block[at..at + LANES];
    // SAFETY: `part` is eight floats, checked by the slice above; the load needs no alignment.
    unsafe { _mm256_loadu_ps(part.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "the load needs no alignment, its type only says so")]
fn load_i8(block: &[i8; 2 * CODES], at: usize) -> __m256i {
    let part = &block[at..at + CODES];
    // SAFETY: `part` is sixteen bytes, checked by the slice above; the load needs no alignment.
    let bytes = unsafe { _mm_loadu_si128(part.as_ptr().cast::<__m128i>()) };
    _mm256_cvtepi8_epi16(bytes)
}

#[inline]
#[target_feature(enable = "avx2")]
fn reduce_f32(sum: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn reduce_i32(sum: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}
