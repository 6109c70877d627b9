//! AVX2 with FMA.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _CMP_GT_OQ, _CMP_LT_OQ, _mm_add_epi32, _mm_add_ps, _mm_add_ss, _mm_cvtsi128_si32,
    _mm_cvtss_f32, _mm_loadl_epi64, _mm_loadu_si128, _mm_movehl_ps, _mm_shuffle_epi32, _mm_shuffle_ps, _mm256_add_epi8,
    _mm256_add_epi16, _mm256_add_epi32, _mm256_add_ps, _mm256_and_si256, _mm256_andnot_ps, _mm256_blendv_ps,
    _mm256_castps256_ps128, _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cmpeq_epi8, _mm256_cmpgt_epi64,
    _mm256_cvtepi8_epi16, _mm256_cvtepi8_epi32, _mm256_cvtepi16_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu16_epi32,
    _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_fmsub_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_mul_ps, _mm256_permute_ps,
    _mm256_permute2f128_ps, _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setr_epi64x, _mm256_setr_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_sub_epi16, _mm256_sub_epi64,
    _mm256_sub_ps, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16, _mm256_xor_si256,
};

use super::{BLOCK, N_POINTS, Points, PreparedQuery, Relation, ScanBlock, ScanScale, points, scalar};

/// Keys that are counted rather than searched: so short a stretch needs no branch that depends on them.
const COUNTED_KEYS: usize = 64;
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

/// Inner product of a finer code with a code.
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "the loads need no alignment, their types only say so")]
pub(super) fn dot_i16_i8(a: &[i16], b: &[i8]) -> i32 {
    let (a_blocks, a_tail) = a.as_chunks::<{ 2 * CODES }>();
    let (b_blocks, b_tail) = b.as_chunks::<{ 2 * CODES }>();
    let mut sums = [_mm256_setzero_si256(); 2];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the block has two halves of sixteen words; the load needs no alignment.
            let x = unsafe { _mm256_loadu_si256(x.as_ptr().add(CODES * i).cast::<__m256i>()) };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, load_i8(y, CODES * i)));
        }
    }
    reduce_i32(_mm256_add_epi32(sums[0], sums[1])) + scalar::dot_i16_i8(a_tail, b_tail)
}

/// For each row of bits the sum of the values whose bits are set.
#[target_feature(enable = "avx2")]
pub(super) fn sums_where(values: &[i8], rows: &[&[u8]], sums: &mut [i32; BLOCK]) {
    for (sum, bits) in sums.iter_mut().zip(rows) {
        *sum = sum_where(values, bits);
    }
}

/// Sum of the values whose bits are set.
#[target_feature(enable = "avx2")]
#[inline]
#[allow(clippy::cast_ptr_alignment, reason = "the loads need no alignment, their types only say so")]
fn sum_where(values: &[i8], bits: &[u8]) -> i32 {
    // Byte i of a register takes byte i / 8 of the bits, and of that bit i % 8.
    let spread = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let (one, one_word) = (_mm256_set1_epi8(1), _mm256_set1_epi16(1));
    let mut sum = _mm256_setzero_si256();
    for (values, bits) in values.as_chunks::<32>().0.iter().zip(bits.as_chunks::<4>().0) {
        // SAFETY: the block has 32 bytes; the load needs no alignment.
        let values = unsafe { _mm256_loadu_si256(values.as_ptr().cast::<__m256i>()) };
        let bits = _mm256_shuffle_epi8(_mm256_set1_epi32(i32::from_le_bytes(*bits)), spread);
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        let pairs = _mm256_maddubs_epi16(one, _mm256_and_si256(values, is_set));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, one_word));
    }
    reduce_i32(sum)
}

/// Estimated distances of a block of codes.
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::cast_ptr_alignment, reason = "the loads need no alignment, their types only say so")]
pub(super) fn scan(table: &[u8], block: ScanBlock<'_>, scale: &ScanScale, limit: f32, found: &mut [f32; BLOCK]) -> u32 {
    let nibble = _mm256_set1_epi8(15);
    // Words that hold the sums of the even bytes, and 256 times those of the odd ones; and those of the odd ones alone.
    let (mut both, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (codes, table) in block.codes.as_chunks::<64>().0.iter().zip(table.as_chunks::<128>().0) {
        let mut sum = _mm256_setzero_si256();
        for half in 0..2 {
            // SAFETY: both halves of the 64 bytes are 32 bytes; the load needs no alignment.
            let code = unsafe { _mm256_loadu_si256(codes.as_ptr().add(32 * half).cast::<__m256i>()) };
            // SAFETY: the table has 32 bytes for each half of each nibble; the loads need no alignment.
            let (low, high) = unsafe {
                let at = table.as_ptr().add(32 * half);
                (_mm256_loadu_si256(at.cast::<__m256i>()), _mm256_loadu_si256(at.add(64).cast::<__m256i>()))
            };
            let of_low = _mm256_shuffle_epi8(low, _mm256_and_si256(code, nibble));
            let of_high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(code), nibble));
            sum = _mm256_add_epi8(sum, _mm256_add_epi8(of_low, of_high));
        }
        both = _mm256_add_epi16(both, sum);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(sum));
    }
    let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
    let (low, high) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
    let sums = [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)];
    let mut passing = 0;
    for (part, found) in found.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let words = sums[part / 2];
        let words = if part % 2 == 0 { _mm256_castsi256_si128(words) } else { _mm256_extracti128_si256::<1>(words) };
        let sum = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(words));
        let sum = _mm256_fmadd_ps(sum, _mm256_set1_ps(scale.unit), _mm256_set1_ps(scale.start));
        let offset = _mm256_fmadd_ps(
            load_i16(&block.offsets[LANES * part..]),
            _mm256_set1_ps(scale.offset_unit),
            _mm256_set1_ps(scale.base),
        );
        let distance = _mm256_fmadd_ps(load_i16(&block.slopes[LANES * part..]), sum, offset);
        // SAFETY: `found` is eight floats; the store needs no alignment.
        unsafe { _mm256_storeu_ps(found.as_mut_ptr(), distance) };
        let below = _mm256_cmp_ps::<_CMP_LT_OQ>(distance, _mm256_set1_ps(limit));
        passing |= (_mm256_movemask_ps(below) as u32) << (LANES * part);
    }
    passing
}

/// Fast Walsh-Hadamard transform, not scaled. Steps within a register add to each lane's partner the lane itself, or take
/// it off: exact, as a product with one is.
#[target_feature(enable = "avx2,fma")]
pub(super) fn hadamard(vector: &mut [f32]) {
    let signs = [
        _mm256_setr_ps(1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0),
        _mm256_setr_ps(1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0),
        _mm256_setr_ps(1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0),
    ];
    for chunk in vector.as_chunks_mut::<LANES>().0 {
        // SAFETY: the chunk is eight floats; the load needs no alignment.
        let mut x = unsafe { _mm256_loadu_ps(chunk.as_ptr()) };
        x = _mm256_fmadd_ps(x, signs[0], _mm256_permute_ps::<0b10_11_00_01>(x));
        x = _mm256_fmadd_ps(x, signs[1], _mm256_permute_ps::<0b01_00_11_10>(x));
        x = _mm256_fmadd_ps(x, signs[2], _mm256_permute2f128_ps::<1>(x, x));
        // SAFETY: the chunk is eight floats; the store needs no alignment.
        unsafe { _mm256_storeu_ps(chunk.as_mut_ptr(), x) };
    }
    scalar::hadamard_beyond::<LANES>(vector);
}

/// Brings a query into the forms that codes are compared with.
#[target_feature(enable = "avx2")]
pub(super) fn prepare(vector: &[f32], words: &mut [i16], table: &mut [u8]) -> PreparedQuery {
    scalar::prepare(vector, words, table)
}

/// Inner product of the halves of a finer code with half bytes, less eight each; the compiler's own vector code is as good
/// here.
#[target_feature(enable = "avx2")]
pub(super) fn dot_i16_i4(a: &[i16], packed: &[u8]) -> i32 {
    scalar::dot_i16_i4(a, packed)
}

/// Puts a key in its place among sorted keys, the last of which is lost.
#[target_feature(enable = "avx2")]
pub(super) fn insert(sorted: &mut [u64], key: u64) -> usize {
    let (mut start, mut end) = (0, sorted.len().saturating_sub(1));
    let n_kept = end;
    while end - start > COUNTED_KEYS {
        let middle = start + (end - start) / 2;
        if sorted[middle] < key {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    let at = start + n_below(&sorted[start..end], key);
    sorted.copy_within(at..n_kept, at + 1);
    sorted[at] = key;
    at
}

/// How many keys are below a key.
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "the load needs no alignment, its type only says so")]
fn n_below(keys: &[u64], key: u64) -> usize {
    // Comparisons are of signed numbers: without their highest bit both sides are.
    let (blocks, tail) = keys.as_chunks::<4>();
    let sign = _mm256_set1_epi64x(i64::MIN);
    let wanted = _mm256_xor_si256(_mm256_set1_epi64x(key.cast_signed()), sign);
    let mut sums = _mm256_setzero_si256();
    for block in blocks {
        // SAFETY: the block is four keys; the load needs no alignment.
        let block = unsafe { _mm256_loadu_si256(block.as_ptr().cast::<__m256i>()) };
        sums = _mm256_sub_epi64(sums, _mm256_cmpgt_epi64(wanted, _mm256_xor_si256(block, sign)));
    }
    // Each sum fits 32 bits, and so does what `reduce_i32` makes of the halves of all four.
    reduce_i32(sums) as usize + tail.iter().filter(|&&other| other < key).count()
}

/// Relates a code to a centre.
#[target_feature(enable = "avx2,fma")]
pub(super) fn relate(vector: (&[i8], f32), centre: (&[i8], f32), signs: &mut [u8]) -> Relation {
    let (vector_scale, centre_scale) = (_mm256_set1_ps(vector.1), _mm256_set1_ps(centre.1));
    let (zero, sign) = (_mm256_setzero_ps(), _mm256_set1_ps(-0.0));
    let (mut squared, mut absolute, mut signs_centre, mut offset_centre) = (zero, zero, zero, zero);
    let vectors = vector.0.as_chunks::<LANES>().0.iter();
    for ((x, c), signs) in vectors.zip(centre.0.as_chunks::<LANES>().0).zip(signs) {
        let c = _mm256_mul_ps(load_8_i8(c), centre_scale);
        let r = _mm256_fmsub_ps(load_8_i8(x), vector_scale, c);
        let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(r, zero);
        *signs = _mm256_movemask_ps(positive) as u8;
        squared = _mm256_fmadd_ps(r, r, squared);
        absolute = _mm256_add_ps(absolute, _mm256_andnot_ps(sign, r));
        signs_centre = _mm256_add_ps(signs_centre, _mm256_blendv_ps(_mm256_sub_ps(zero, c), c, positive));
        offset_centre = _mm256_fmadd_ps(r, c, offset_centre);
    }
    Relation {
        squared: reduce_f32(squared),
        code_offset: reduce_f32(absolute),
        code_centre: reduce_f32(signs_centre),
        offset_centre: reduce_f32(offset_centre),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "the load needs no alignment, its type only says so")]
fn load_8_i8(block: &[i8; LANES]) -> __m256 {
    // SAFETY: the block is eight bytes; the load needs no alignment.
    let bytes = unsafe { _mm_loadl_epi64(block.as_ptr().cast::<__m128i>()) };
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "the load needs no alignment, its type only says so")]
fn load_i16(words: &[i16]) -> __m256 {
    let words = &words[..LANES];
    // SAFETY: there are eight words, checked by the slice above; the load needs no alignment.
    let words = unsafe { _mm_loadu_si128(words.as_ptr().cast::<__m128i>()) };
    _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(words))
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

/// Writes the code of a vector by the nearest points.
#[target_feature(enable = "avx2,fma")]
pub(super) fn encode(vector: &[f32], points: Points<'_>, code: &mut [u8]) -> f32 {
    points::encode(vector, points, code)
}

/// Fills the table of a query for codes by points.
#[target_feature(enable = "avx2,fma")]
pub(super) fn tabulate(
    vector: &[f32],
    points: Points<'_>,
    products: &mut [[f32; N_POINTS]],
    table: &mut [u8],
) -> (f32, f32) {
    points::tabulate(vector, points, products, table)
}
