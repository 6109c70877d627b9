//! AVX-512 with VNNI.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_epi8, _mm512_loadu_ps,
    _mm512_maskz_loadu_epi8, _mm512_maskz_loadu_ps, _mm512_reduce_add_epi32, _mm512_reduce_add_ps, _mm512_set1_epi8,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_sub_epi32, _mm512_sub_ps, _mm512_xor_si512,
};

/// Floats in a register.
const LANES: usize = 16;
/// Codes in a register.
const CODES: usize = 64;

/// Inner product.
#[target_feature(enable = "avx512f")]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 4 * LANES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 4 * LANES }>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_fmadd_ps(load_f32(&x[i * LANES..]), load_f32(&y[i * LANES..]), *sum);
        }
    }
    for (x, y) in a_tail.chunks(LANES).zip(b_tail.chunks(LANES)) {
        sums[0] = _mm512_fmadd_ps(load_f32(x), load_f32(y), sums[0]);
    }
    reduce_f32(sums)
}

/// Squared Euclidean distance.
#[target_feature(enable = "avx512f")]
pub(super) fn l2_f32(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 4 * LANES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 4 * LANES }>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let difference = _mm512_sub_ps(load_f32(&x[i * LANES..]), load_f32(&y[i * LANES..]));
            *sum = _mm512_fmadd_ps(difference, difference, *sum);
        }
    }
    for (x, y) in a_tail.chunks(LANES).zip(b_tail.chunks(LANES)) {
        let difference = _mm512_sub_ps(load_f32(x), load_f32(y));
        sums[0] = _mm512_fmadd_ps(difference, difference, sums[0]);
    }
    reduce_f32(sums)
}

/// Inner product of codes.
///
/// `vpdpbusd` multiplies unsigned by signed bytes, so `a` is shifted by 128 and `128 * sum(b)` is taken off again:
/// `a . b = (a + 128) . b - 128 . b`. Sums wrap, and wrap back.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    let shift = _mm512_set1_epi8(i8::MIN);
    let (a_blocks, a_tail) = a.as_chunks::<CODES>();
    let (b_blocks, b_tail) = b.as_chunks::<CODES>();
    let mut shifted = _mm512_setzero_si512();
    let mut excess = _mm512_setzero_si512();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let (x, y) = (load_i8(x), load_i8(y));
        shifted = _mm512_dpbusd_epi32(shifted, _mm512_xor_si512(x, shift), y);
        excess = _mm512_dpbusd_epi32(excess, shift, y);
    }
    if !a_tail.is_empty() {
        let (x, y) = (load_i8_tail(a_tail), load_i8_tail(b_tail));
        shifted = _mm512_dpbusd_epi32(shifted, _mm512_xor_si512(x, shift), y);
        excess = _mm512_dpbusd_epi32(excess, shift, y);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(shifted, excess))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f32(part: &[f32]) -> __m512 {
    if part.len() >= LANES {
        // SAFETY: there are at least sixteen floats; the load needs no alignment.
        unsafe { _mm512_loadu_ps(part.as_ptr()) }
    } else {
        let mask = (1_u16 << part.len()) - 1;
        // SAFETY: the mask keeps the load to the floats of `part`.
        unsafe { _mm512_maskz_loadu_ps(mask, part.as_ptr()) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_i8(block: &[i8; CODES]) -> __m512i {
    // SAFETY: the block is 64 bytes; the load needs no alignment.
    unsafe { _mm512_loadu_epi8(block.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_i8_tail(tail: &[i8]) -> __m512i {
    debug_assert!(tail.len() < CODES);
    let mask = (1_u64 << (tail.len() % CODES)) - 1;
    // SAFETY: the mask keeps the load to the bytes of `tail`, which is shorter than a block.
    unsafe { _mm512_maskz_loadu_epi8(mask, tail.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn reduce_f32(sums: [__m512; 4]) -> f32 {
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
}
