//! AVX-512 with VNNI.

use std::arch::x86_64::{
    __m128i, __m256i, __m512, __m512i, _CMP_GT_OQ, _CMP_LT_OQ, _mm_loadu_si128, _mm256_add_epi16, _mm256_loadu_si256,
    _mm256_permute2x128_si256, _mm256_slli_epi16, _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
    _mm512_abs_ps, _mm512_add_epi8, _mm512_add_epi16, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512,
    _mm512_castsi512_si256, _mm512_cmp_ps_mask, _mm512_cmplt_epu64_mask, _mm512_cvtepi8_epi16, _mm512_cvtepi8_epi32,
    _mm512_cvtepi16_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi16, _mm512_cvtepu16_epi32, _mm512_dpbusd_epi32,
    _mm512_dpwssd_epi32, _mm512_extracti64x4_epi64, _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_loadu_epi8,
    _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_mask_storeu_epi64, _mm512_mask_sub_ps, _mm512_maskz_loadu_epi8,
    _mm512_maskz_loadu_epi64, _mm512_maskz_loadu_ps, _mm512_max_epu64, _mm512_min_epu64, _mm512_mul_ps,
    _mm512_permute_ps, _mm512_reduce_add_epi32, _mm512_reduce_add_ps, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_set1_epi64, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_f32x4, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_sub_epi16, _mm512_sub_epi32, _mm512_sub_ps,
    _mm512_xor_si512,
};

use super::{BLOCK, N_POINTS, Points, PreparedQuery, Relation, ScanBlock, ScanScale, points, scalar};

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

/// Inner product of a finer code with a code.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[allow(clippy::cast_ptr_alignment, reason = "the loads need no alignment, their types only say so")]
pub(super) fn dot_i16_i8(a: &[i16], b: &[i8]) -> i32 {
    let (a_blocks, a_tail) = a.as_chunks::<64>();
    let (b_blocks, b_tail) = b.as_chunks::<64>();
    let mut sums = [_mm512_setzero_si512(); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the block has two halves of 32 words; the load needs no alignment.
            let x = unsafe { _mm512_loadu_epi8(x.as_ptr().add(32 * i).cast()) };
            // SAFETY: the block has two halves of 32 bytes; the load needs no alignment.
            let y = unsafe { _mm256_loadu_si256(y.as_ptr().add(32 * i).cast::<__m256i>()) };
            *sum = _mm512_dpwssd_epi32(*sum, x, _mm512_cvtepi8_epi16(y));
        }
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) + scalar::dot_i16_i8(a_tail, b_tail)
}

/// For each row of bits the sum of the values whose bits are set.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn sums_where(values: &[i8], rows: &[&[u8]], sums: &mut [i32; BLOCK]) {
    for (sum, bits) in sums.iter_mut().zip(rows) {
        *sum = sum_where(values, bits);
    }
}

/// Sum of the values whose bits are set.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn sum_where(values: &[i8], bits: &[u8]) -> i32 {
    let one = _mm512_set1_epi8(1);
    let mut sum = _mm512_setzero_si512();
    for (values, bits) in values.as_chunks::<CODES>().0.iter().zip(bits.as_chunks::<8>().0) {
        // SAFETY: the block has 64 bytes; the load needs no alignment.
        let values = unsafe { _mm512_maskz_loadu_epi8(u64::from_le_bytes(*bits), values.as_ptr()) };
        sum = _mm512_dpbusd_epi32(sum, one, values);
    }
    _mm512_reduce_add_epi32(sum)
}

/// Estimated distances of a block of codes.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn scan(table: &[u8], block: ScanBlock<'_>, scale: &ScanScale, limit: f32, found: &mut [f32; BLOCK]) -> u32 {
    let nibble = _mm512_set1_epi8(15);
    // Words that hold the sums of the even bytes, and 256 times those of the odd ones; and those of the odd ones alone.
    let (mut both, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (codes, table) in block.codes.as_chunks::<128>().0.iter().zip(table.as_chunks::<256>().0) {
        let mut sum = _mm512_setzero_si512();
        for half in 0..2 {
            // SAFETY: both halves of the 128 bytes are 64 bytes; the load needs no alignment.
            let code = unsafe { _mm512_loadu_epi8(codes.as_ptr().add(64 * half).cast()) };
            // SAFETY: the table has 128 bytes for each half; the loads need no alignment.
            let (low, high) = unsafe {
                let at = table.as_ptr().add(128 * half);
                (_mm512_loadu_epi8(at.cast()), _mm512_loadu_epi8(at.add(64).cast()))
            };
            let of_low = _mm512_shuffle_epi8(low, _mm512_and_si512(code, nibble));
            let of_high = _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16::<4>(code), nibble));
            sum = _mm512_add_epi8(sum, _mm512_add_epi8(of_low, of_high));
        }
        both = _mm512_add_epi16(both, sum);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(sum));
    }
    let fold = |x| _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
    let (both, odd) = (fold(both), fold(odd));
    let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
    let (low, high) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
    let sums = [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)];
    let mut passing = 0;
    for (half, sums) in sums.into_iter().enumerate() {
        let sum = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(sums));
        let sum = _mm512_fmadd_ps(sum, _mm512_set1_ps(scale.unit), _mm512_set1_ps(scale.start));
        let offset = _mm512_fmadd_ps(
            load_i16(&block.offsets[16 * half..]),
            _mm512_set1_ps(scale.offset_unit),
            _mm512_set1_ps(scale.base),
        );
        let distance = _mm512_fmadd_ps(load_i16(&block.slopes[16 * half..]), sum, offset);
        let to = &mut found[16 * half..16 * half + 16];
        // SAFETY: `to` is sixteen floats; the store needs no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), distance) };
        passing |= u32::from(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(distance, _mm512_set1_ps(limit))) << (16 * half);
    }
    passing
}

/// Fast Walsh-Hadamard transform, not scaled. Steps within a register add to each lane's partner the lane itself, or take
/// it off: exact, as a product with one is.
#[target_feature(enable = "avx512f")]
pub(super) fn hadamard(vector: &mut [f32]) {
    let signs = |half: u16| {
        let is_low: u16 = (0..16).filter(|lane| lane & half == 0).fold(0, |mask, lane| mask | 1 << lane);
        _mm512_mask_blend_ps(is_low, _mm512_set1_ps(-1.0), _mm512_set1_ps(1.0))
    };
    let signs = [signs(1), signs(2), signs(4), signs(8)];
    for chunk in vector.as_chunks_mut::<LANES>().0 {
        // SAFETY: the chunk is sixteen floats; the load needs no alignment.
        let mut x = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        x = _mm512_fmadd_ps(x, signs[0], _mm512_permute_ps::<0b10_11_00_01>(x));
        x = _mm512_fmadd_ps(x, signs[1], _mm512_permute_ps::<0b01_00_11_10>(x));
        x = _mm512_fmadd_ps(x, signs[2], _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x));
        x = _mm512_fmadd_ps(x, signs[3], _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x));
        // SAFETY: the chunk is sixteen floats; the store needs no alignment.
        unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), x) };
    }
    scalar::hadamard_beyond::<LANES>(vector);
}

/// Brings a query into the forms that codes are compared with.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn prepare(vector: &[f32], words: &mut [i16], table: &mut [u8]) -> PreparedQuery {
    scalar::prepare(vector, words, table)
}

/// Inner product of the halves of a finer code with half bytes, less eight each.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[allow(clippy::cast_ptr_alignment, reason = "the loads need no alignment, their types only say so")]
pub(super) fn dot_i16_i4(a: &[i16], packed: &[u8]) -> i32 {
    let (low, high) = a.split_at(packed.len());
    let ((low, low_tail), (high, high_tail)) = (low.as_chunks::<32>(), high.as_chunks::<32>());
    let (packed, packed_tail) = packed.as_chunks::<32>();
    let (nibble, eight) = (_mm512_set1_epi16(15), _mm512_set1_epi16(8));
    let mut sums = [_mm512_setzero_si512(); 2];
    for ((x, y), bytes) in low.iter().zip(high).zip(packed) {
        // SAFETY: `bytes` is 32 bytes, `x` and `y` are 32 words each; the loads need no alignment.
        let (bytes, x, y) = unsafe {
            let bytes = _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>());
            (bytes, _mm512_loadu_epi8(x.as_ptr().cast()), _mm512_loadu_epi8(y.as_ptr().cast()))
        };
        let bytes = _mm512_cvtepu8_epi16(bytes);
        let of_low = _mm512_sub_epi16(_mm512_and_si512(bytes, nibble), eight);
        let of_high = _mm512_sub_epi16(_mm512_srli_epi16::<4>(bytes), eight);
        sums[0] = _mm512_dpwssd_epi32(sums[0], x, of_low);
        sums[1] = _mm512_dpwssd_epi32(sums[1], y, of_high);
    }
    let tail = scalar::dot_i16_i4(&[low_tail, high_tail].concat(), packed_tail);
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) + tail
}

/// Puts a key in its place among sorted keys, the last of which is lost.
///
/// What comes to be at a place is the greater of what was before it and the lesser of what was there and the key: so keys
/// move without their place being known. From the end, eight at a time, until some are below the key.
#[target_feature(enable = "avx512f")]
pub(super) fn insert(sorted: &mut [u64], key: u64) -> usize {
    let Some(last) = sorted.last_mut() else { return 0 };
    *last = u64::MAX;
    let wanted = _mm512_set1_epi64(key.cast_signed());
    let mut end = sorted.len();
    loop {
        let start = end.saturating_sub(8);
        // The first key has none before it.
        let lanes = u8::MAX >> (8 - (end - start));
        let with_before = if start == 0 { lanes & !1 } else { lanes };
        let at = sorted.as_mut_ptr().wrapping_add(start).cast::<i64>();
        // SAFETY: the lanes are keys `start..end`; those of `before` are one less, without the one before the first.
        let (here, before) =
            unsafe { (_mm512_maskz_loadu_epi64(lanes, at), _mm512_maskz_loadu_epi64(with_before, at.wrapping_sub(1))) };
        let moved = _mm512_max_epu64(before, _mm512_min_epu64(here, wanted));
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_epi64(at, lanes, moved) };
        let n_below = (_mm512_cmplt_epu64_mask(here, wanted) & lanes).count_ones() as usize;
        if n_below > 0 || start == 0 {
            return start + n_below;
        }
        end = start;
    }
}

/// Relates a code to a centre.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn relate(vector: (&[i8], f32), centre: (&[i8], f32), signs: &mut [u8]) -> Relation {
    let (vector_scale, centre_scale) = (_mm512_set1_ps(vector.1), _mm512_set1_ps(centre.1));
    let zero = _mm512_setzero_ps();
    let (mut squared, mut absolute, mut signs_centre, mut offset_centre) = (zero, zero, zero, zero);
    let vectors = vector.0.as_chunks::<LANES>().0.iter();
    for ((x, c), signs) in vectors.zip(centre.0.as_chunks::<LANES>().0).zip(signs.as_chunks_mut::<2>().0) {
        let c = _mm512_mul_ps(load_16_i8(c), centre_scale);
        let r = _mm512_fmsub_ps(load_16_i8(x), vector_scale, c);
        let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(r, zero);
        *signs = positive.to_le_bytes();
        squared = _mm512_fmadd_ps(r, r, squared);
        absolute = _mm512_add_ps(absolute, _mm512_abs_ps(r));
        signs_centre = _mm512_add_ps(signs_centre, _mm512_mask_sub_ps(c, !positive, zero, c));
        offset_centre = _mm512_fmadd_ps(r, c, offset_centre);
    }
    Relation {
        squared: _mm512_reduce_add_ps(squared),
        code_offset: _mm512_reduce_add_ps(absolute),
        code_centre: _mm512_reduce_add_ps(signs_centre),
        offset_centre: _mm512_reduce_add_ps(offset_centre),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[allow(clippy::cast_ptr_alignment, reason = "the load needs no alignment, its type only says so")]
fn load_16_i8(block: &[i8; LANES]) -> __m512 {
    // SAFETY: the block is sixteen bytes; the load needs no alignment.
    let bytes = unsafe { _mm_loadu_si128(block.as_ptr().cast::<__m128i>()) };
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
}

#[inline]
#[target_feature(enable = "avx512f")]
#[allow(clippy::cast_ptr_alignment, reason = "the load needs no alignment, its type only says so")]
fn load_i16(words: &[i16]) -> __m512 {
    let words = &words[..LANES];
    // SAFETY: there are sixteen words, checked by the slice above; the load needs no alignment.
    let words = unsafe { _mm256_loadu_si256(words.as_ptr().cast::<__m256i>()) };
    _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(words))
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

/// Writes the code of a vector by the nearest points.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn encode(vector: &[f32], points: Points<'_>, code: &mut [u8]) -> f32 {
    points::encode(vector, points, code)
}

/// Fills the table of a query for codes by points.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn tabulate(
    vector: &[f32],
    points: Points<'_>,
    products: &mut [[f32; N_POINTS]],
    table: &mut [u8],
) -> (f32, f32) {
    points::tabulate(vector, points, products, table)
}
