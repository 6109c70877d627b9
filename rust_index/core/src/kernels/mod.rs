//! Inner loops with one signature and several instruction sets, chosen once an index. They know numbers, not metrics.

mod points;
mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::str::FromStr;

use crate::error::{Error, Result};

pub(crate) use points::{N_POINTS, Points};

/// Bytes in a cache line.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// An instruction set that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdLevel {
    /// Plain loops.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW and VNNI.
    Avx512,
    /// NEON.
    Neon,
}

impl SimdLevel {
    /// All levels, best last.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon];

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// The best level of this processor.
    pub fn detect() -> Self {
        Self::ALL.into_iter().rev().find(|level| level.is_supported()).unwrap_or(Self::Scalar)
    }

    /// Whether this processor has the level.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns, reason = "which levels remain depends on the architecture")]
            _ => false,
        }
    }
}

impl FromStr for SimdLevel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| Error::UnknownName { what: "simd", received: name.to_owned() })
    }
}

/// Codes that [`Kernels::scan`] looks at in one call.
pub(crate) const BLOCK: usize = 32;
/// Components that one lookup of a scan stands for.
pub(crate) const GROUP: usize = 4;
/// Codes and lookup tables are padded to a multiple of this many components.
pub(crate) const SCAN_DIM: usize = 64;
/// Largest entry of a lookup table: four of them are added in a byte.
pub(crate) const MAX_ENTRY: usize = 63;

/// The codes of [`BLOCK`] vectors, with what turns the sum of a scan into a distance.
///
/// Byte `p * BLOCK + j` of `codes` holds the codes of groups `2 p` (in the low half) and `2 p + 1` of vector `j`: the number of
/// a point, or the signs of four components, the first in the lowest bit; a set bit is positive. Source: Andre, Kermarrec and Le Scouarnec, "Cache locality is not enough: high-performance
/// nearest neighbor search with product quantization fast scan" (2015).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanBlock<'a> {
    /// `BLOCK / 2` bytes for each group.
    pub(crate) codes: &'a [u8],
    /// Factor of the sum, for each vector.
    pub(crate) slopes: &'a [i16; BLOCK],
    /// What is added, for each vector.
    pub(crate) offsets: &'a [i16; BLOCK],
}

/// What turns the sum of a scan into a distance: `base + offset_unit * offsets[j] + slopes[j] * (unit * sum + start)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanScale {
    pub(crate) base: f32,
    pub(crate) offset_unit: f32,
    pub(crate) unit: f32,
    pub(crate) start: f32,
}

/// What a vector `x` is to a centre `c`, with `r = x - c` and `s` what the code of `r` stands for: its signs, or points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Relation {
    /// `r . r`
    pub(crate) squared: f32,
    /// `s . r`
    pub(crate) code_offset: f32,
    /// `s . c`
    pub(crate) code_centre: f32,
    /// `r . c`
    pub(crate) offset_centre: f32,
}

/// What the forms of a query stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PreparedQuery {
    /// What a step of the words is worth.
    pub(crate) word_unit: f32,
    /// A sum of entries `s` stands for the inner product `table_unit * s + table_start` of the query with signs.
    pub(crate) table_unit: f32,
    pub(crate) table_start: f32,
    /// Squared norm.
    pub(crate) squared: f32,
}

/// The kernels of one level. Slices of a pair have the same length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernels {
    dot_f32: fn(&[f32], &[f32]) -> f32,
    l2_f32: fn(&[f32], &[f32]) -> f32,
    dot_i8: fn(&[i8], &[i8]) -> i32,
    dot_i16_i8: fn(&[i16], &[i8]) -> i32,
    scan: ScanKernel,
    relate: RelateKernel,
    insert: fn(&mut [u64], u64) -> usize,
    dot_i16_i4: fn(&[i16], &[u8]) -> i32,
    sums_where: fn(&[i8], &[&[u8]], &mut [i32; BLOCK]),
    hadamard: fn(&mut [f32]),
    prepare: fn(&[f32], &mut [i16], &mut [u8]) -> PreparedQuery,
    encode: fn(&[f32], Points<'_>, &mut [u8]) -> f32,
    tabulate: TabulateKernel,
}

type ScanKernel = fn(&[u8], ScanBlock<'_>, &ScanScale, f32, &mut [f32; BLOCK]) -> u32;
type TabulateKernel = fn(&[f32], Points<'_>, &mut [[f32; N_POINTS]], &mut [u8]) -> (f32, f32);
type RelateKernel = fn((&[i8], f32), (&[i8], f32), &mut [u8]) -> Relation;

/// A table whose functions call the kernels of a module that needs a target feature.
macro_rules! dispatch {
    ($module:ident) => {{
        Kernels {
            // SAFETY: `Kernels::new` makes this table only after it has checked that the processor has the level.
            dot_f32: |a, b| unsafe { $module::dot_f32(a, b) },
            // SAFETY: as above.
            l2_f32: |a, b| unsafe { $module::l2_f32(a, b) },
            // SAFETY: as above.
            dot_i8: |a, b| unsafe { $module::dot_i8(a, b) },
            // SAFETY: as above.
            dot_i16_i8: |a, b| unsafe { $module::dot_i16_i8(a, b) },
            // SAFETY: as above.
            scan: |table, block, scale, limit, found| unsafe { $module::scan(table, block, scale, limit, found) },
            // SAFETY: as above.
            relate: |vector, centre, signs| unsafe { $module::relate(vector, centre, signs) },
            // SAFETY: as above.
            insert: |keys, key| unsafe { $module::insert(keys, key) },
            // SAFETY: as above.
            dot_i16_i4: |a, packed| unsafe { $module::dot_i16_i4(a, packed) },
            // SAFETY: as above.
            sums_where: |values, rows, sums| unsafe { $module::sums_where(values, rows, sums) },
            // SAFETY: as above.
            hadamard: |vector| unsafe { $module::hadamard(vector) },
            // SAFETY: as above.
            prepare: |vector, words, table| unsafe { $module::prepare(vector, words, table) },
            // SAFETY: as above.
            encode: |vector, points, code| unsafe { $module::encode(vector, points, code) },
            // SAFETY: as above.
            tabulate: |vector, points, products, table| unsafe { $module::tabulate(vector, points, products, table) },
        }
    }};
}

impl Kernels {
    /// The kernels of the best level of this processor.
    pub(crate) fn detect() -> Self {
        Self::new(SimdLevel::detect()).unwrap_or(Self::scalar())
    }

    /// The kernels of a level.
    ///
    /// # Errors
    /// [`Error::UnsupportedSimd`] when the processor lacks it.
    pub(crate) fn new(level: SimdLevel) -> Result<Self> {
        if !level.is_supported() {
            return Err(Error::UnsupportedSimd { level: level.name() });
        }
        Ok(match level {
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2 => dispatch!(avx2),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512 => dispatch!(avx512),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon => dispatch!(neon),
            _ => Self::scalar(),
        })
    }

    fn scalar() -> Self {
        Self {
            dot_f32: scalar::dot_f32,
            l2_f32: scalar::l2_f32,
            dot_i8: scalar::dot_i8,
            dot_i16_i8: scalar::dot_i16_i8,
            scan: scalar::scan,
            relate: scalar::relate,
            insert: scalar::insert,
            dot_i16_i4: scalar::dot_i16_i4,
            sums_where: scalar::sums_where,
            hadamard: scalar::hadamard,
            prepare: scalar::prepare,
            encode: points::encode,
            tabulate: points::tabulate,
        }
    }

    /// Inner product.
    #[inline]
    pub(crate) fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        debug_assert_eq!(a.len(), b.len());
        (self.dot_f32)(a, b)
    }

    /// Squared Euclidean distance.
    #[inline]
    pub(crate) fn l2_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        debug_assert_eq!(a.len(), b.len());
        (self.l2_f32)(a, b)
    }

    /// Inner product of codes, exact below 2^17 components.
    #[inline]
    pub(crate) fn dot_i8(&self, a: &[i8], b: &[i8]) -> i32 {
        debug_assert_eq!(a.len(), b.len());
        (self.dot_i8)(a, b)
    }

    /// Inner product of a finer code with a code. The caller keeps the sum within 32 bits by bounding `a`.
    #[inline]
    pub(crate) fn dot_i16_i8(&self, a: &[i16], b: &[i8]) -> i32 {
        debug_assert_eq!(a.len(), b.len());
        (self.dot_i16_i8)(a, b)
    }

    /// For each of up to [`BLOCK`] rows of bits the sum of the values whose bits are set, the first in the lowest bit of the
    /// first byte.
    ///
    /// # Panics
    /// When a row has not a byte for each eight values, or the values are no multiple of [`SCAN_DIM`].
    #[inline]
    pub(crate) fn sums_where(&self, values: &[i8], rows: &[&[u8]], sums: &mut [i32; BLOCK]) {
        assert!(values.len().is_multiple_of(SCAN_DIM) && rows.iter().all(|bits| bits.len() * 8 == values.len()));
        (self.sums_where)(values, rows, sums);
    }

    /// Estimated distances of a block of codes; bit `j` of the result is set when `found[j]` is below `limit`.
    ///
    /// `table` holds 16 entries, none above [`MAX_ENTRY`], for each [`GROUP`] of components, in the order of
    /// [`table_offset`], each table twice in a row. Their sum over all groups must fit 16 bits.
    ///
    /// # Panics
    /// When the table is not as long as the block's dimension wants, or that is no multiple of [`SCAN_DIM`].
    #[inline]
    pub(crate) fn scan(
        &self,
        table: &[u8],
        block: ScanBlock<'_>,
        scale: &ScanScale,
        limit: f32,
        found: &mut [f32; BLOCK],
    ) -> u32 {
        assert!(
            table.len() == 2 * block.codes.len() && block.codes.len().is_multiple_of(SCAN_DIM / 8 * BLOCK),
            "a scan of {} bytes with a table of {}",
            block.codes.len(),
            table.len()
        );
        (self.scan)(table, block, scale, limit, found)
    }

    /// Inner product of a finer code with packed half bytes, less eight each: the low ones with the first half of `a`, the
    /// high ones with the second.
    #[inline]
    pub(crate) fn dot_i16_i4(&self, a: &[i16], packed: &[u8]) -> i32 {
        debug_assert_eq!(a.len(), 2 * packed.len());
        (self.dot_i16_i4)(a, packed)
    }

    /// Fast Walsh-Hadamard transform, not scaled, of a power of two of components, 64 or more. `O(n log n)`.
    #[inline]
    pub(crate) fn hadamard(&self, vector: &mut [f32]) {
        debug_assert!(vector.len().is_power_of_two() && vector.len() >= SCAN_DIM);
        (self.hadamard)(vector);
    }

    /// Brings a query into words, for [`Kernels::dot_i16_i8`] with codes, and a table, for [`Kernels::scan`].
    ///
    /// # Panics
    /// When the lengths do not go together.
    #[inline]
    pub(crate) fn prepare(&self, vector: &[f32], words: &mut [i16], table: &mut [u8]) -> PreparedQuery {
        assert!(vector.len().is_multiple_of(SCAN_DIM) && words.len() == vector.len());
        assert!(table.len() == vector.len() / GROUP * 32);
        (self.prepare)(vector, words, table)
    }

    /// Writes the code of a vector by the nearest points, two groups a byte, and returns the inner product of the vector with
    /// what the code stands for. `O(16 dim)`.
    ///
    /// # Panics
    /// When the points are for another number of groups.
    #[inline]
    pub(crate) fn encode(&self, vector: &[f32], points: Points<'_>, code: &mut [u8]) -> f32 {
        assert!(points.are_for(2 * code.len()));
        (self.encode)(vector, points, code)
    }

    /// Fills the table of a query for [`Kernels::scan`] with codes by points, a group for each element of `products`, which is
    /// written to. A sum of entries `s` stands for the inner product `unit * s + start`, which are returned. `O(16 dim)`.
    ///
    /// # Panics
    /// When the lengths do not go together.
    #[inline]
    pub(crate) fn tabulate(
        &self,
        vector: &[f32],
        points: Points<'_>,
        products: &mut [[f32; N_POINTS]],
        table: &mut [u8],
    ) -> (f32, f32) {
        assert!(points.are_for(products.len()) && table.len() == 2 * N_POINTS * products.len());
        (self.tabulate)(vector, points, products, table)
    }

    /// Puts a key in its place among sorted keys, of which those that are greater move up by one and the last one is lost.
    /// Returns the place; where all are below the key but the last, that is the last.
    #[inline]
    pub(crate) fn insert(&self, sorted: &mut [u64], key: u64) -> usize {
        (self.insert)(sorted, key)
    }

    /// Relates a code to a centre (both with their scales) and writes the signs of their difference, a bit a component.
    ///
    /// # Panics
    /// When the lengths differ or are no multiple of [`SCAN_DIM`].
    #[inline]
    pub(crate) fn relate(&self, vector: (&[i8], f32), centre: (&[i8], f32), signs: &mut [u8]) -> Relation {
        assert!(vector.0.len() == centre.0.len() && vector.0.len() == 8 * signs.len());
        assert!(vector.0.len().is_multiple_of(SCAN_DIM));
        (self.relate)(vector, centre, signs)
    }
}

/// Where the two copies of the 16 entries of a group of components begin in a table: the even groups of 16 components
/// come first, then the odd ones, so that a register of 64 bytes meets the low and the high halves of 64 code bytes.
#[inline]
pub(crate) fn table_offset(group: usize) -> usize {
    let (quad, within) = (group / 4, group % 4);
    (quad * 4 + (within % 2) * 2 + within / 2) * 32
}

/// Asks the processor to fetch a slice; does nothing where there is no such instruction.
#[inline]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        let bytes = size_of_val(slice);
        let start = slice.as_ptr().cast::<i8>();
        for offset in (0..bytes).step_by(CACHE_LINE) {
            // SAFETY: the address is inside the slice, and a prefetch never faults.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(start.add(offset));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 20] = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 384, 768, 1025];

    /// A small deterministic generator, so that the kernels are tested on the same numbers everywhere.
    fn numbers(seed: u64, n: usize) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        })
        .take(n)
    }

    fn levels() -> impl Iterator<Item = Kernels> {
        SimdLevel::ALL.into_iter().filter_map(|level| Kernels::new(level).ok())
    }

    #[test]
    fn every_level_agrees_with_scalar_on_floats() {
        let reference = Kernels::scalar();
        for n in LENGTHS {
            let a: Vec<f32> = numbers(n as u64, n).map(|x| (x % 2001) as f32 / 1000.0 - 1.0).collect();
            let b: Vec<f32> = numbers(n as u64 + 77, n).map(|x| (x % 2001) as f32 / 1000.0 - 1.0).collect();
            for kernels in levels() {
                let tolerance = 1e-5 * n as f32;
                assert!((kernels.dot_f32(&a, &b) - reference.dot_f32(&a, &b)).abs() <= tolerance, "{kernels:?} {n}");
                assert!((kernels.l2_f32(&a, &b) - reference.l2_f32(&a, &b)).abs() <= tolerance, "{kernels:?} {n}");
            }
        }
    }

    #[test]
    fn every_level_equals_scalar_on_codes() {
        let reference = Kernels::scalar();
        for n in LENGTHS {
            let a: Vec<i8> = numbers(n as u64, n).map(|x| (x % 255) as i8).collect();
            let b: Vec<i8> = numbers(n as u64 + 5, n).map(|x| (x % 255) as i8).collect();
            for kernels in levels() {
                for (a, b) in [(&a, &b), (&a, &a), (&vec![127; n], &vec![-127; n]), (&vec![-128; n], &vec![-128; n])] {
                    assert_eq!(kernels.dot_i8(a, b), reference.dot_i8(a, b), "{kernels:?} {n}");
                }
            }
        }
    }

    #[test]
    fn codes_of_the_largest_dimension_do_not_overflow() {
        let a = vec![127_i8; 65_536];
        let b = vec![-127_i8; 65_536];
        for kernels in levels() {
            assert_eq!(kernels.dot_i8(&a, &b), -127 * 127 * 65_536, "{kernels:?}");
        }
    }

    #[test]
    fn every_level_equals_scalar_on_finer_codes() {
        for n in LENGTHS {
            let a: Vec<i16> = numbers(n as u64, n).map(|x| (x % 4001) as i16 - 2000).collect();
            let b: Vec<i8> = numbers(n as u64 + 5, n).map(|x| (x % 255) as i8).collect();
            for kernels in levels() {
                for a in [&a, &vec![i16::MIN / 128; n], &vec![i16::MAX / 128; n]] {
                    assert_eq!(kernels.dot_i16_i8(a, &b), scalar::dot_i16_i8(a, &b), "{kernels:?} {n}");
                }
            }
        }
    }

    #[test]
    fn sums_of_bits_agree_on_every_level() {
        for n in [0, 64, 128, 384, 1024] {
            let values: Vec<i8> = numbers(n as u64, n).map(|x| x as i8).collect();
            let bits: Vec<u8> = numbers(n as u64 + 1, n / 8).map(|x| x as u8).collect();
            for bits in [bits, vec![0; n / 8], vec![255; n / 8]] {
                let is_set = |i: usize| bits[i / 8] >> (i % 8) & 1 == 1;
                let expected: i32 = (0..n).filter(|&i| is_set(i)).map(|i| i32::from(values[i])).sum();
                for kernels in levels() {
                    let mut sums = [7; BLOCK];
                    kernels.sums_where(&values, &[&bits, &vec![0; n / 8], &bits], &mut sums);
                    assert_eq!(sums[..4], [expected, 0, expected, 7], "{kernels:?} {n}");
                }
            }
        }
    }

    #[test]
    fn every_level_scans_as_scalar_does() {
        for dim in [64, 128, 192, 384, 1024, 4096] {
            let codes: Vec<u8> = numbers(dim as u64, dim / 8 * BLOCK).map(|x| x as u8).collect();
            let mut factors = numbers(3, 2 * BLOCK).map(|x| (x % 65_535) as i16);
            let slopes: [i16; BLOCK] = std::array::from_fn(|_| factors.next().unwrap());
            let offsets: [i16; BLOCK] = std::array::from_fn(|_| factors.next().unwrap());
            let mut table = vec![0; dim / GROUP * 32];
            let mut entries = numbers(9, dim / GROUP * 16).map(|x| (x % (MAX_ENTRY as u64 + 1)) as u8);
            for group in 0..dim / GROUP {
                let at = table_offset(group);
                for i in 0..16 {
                    let entry = entries.next().unwrap();
                    table[at + i] = entry;
                    table[at + 16 + i] = entry;
                }
            }
            let block = ScanBlock { codes: &codes, slopes: &slopes, offsets: &offsets };
            let scale = ScanScale { base: 0.5, offset_unit: 1e-5, unit: 1e-7, start: -3e-5 };
            let mut expected = [0.0; BLOCK];
            scalar::scan(&table, block, &scale, 0.0, &mut expected);
            let limit = expected[7];
            let mask = scalar::scan(&table, block, &scale, limit, &mut expected);
            assert_eq!(mask.count_ones() as usize, expected.iter().filter(|&&x| x < limit).count());
            for kernels in levels() {
                let mut found = [0.0; BLOCK];
                let passing = kernels.scan(&table, block, &scale, limit, &mut found);
                for j in 0..BLOCK {
                    assert!(
                        (found[j] - expected[j]).abs() < 1e-4,
                        "{kernels:?} {dim} {j} {} {}",
                        found[j],
                        expected[j]
                    );
                    assert_eq!(passing >> j & 1 == 1, found[j] < limit);
                }
            }
        }
    }

    /// What a step of the words of a query is worth.
    fn word_unit(vector: &[f32]) -> f32 {
        let (mut words, mut table) = (vec![0; vector.len()], vec![0; vector.len() / GROUP * 32]);
        Kernels::scalar().prepare(vector, &mut words, &mut table).word_unit
    }

    #[test]
    fn every_level_prepares_as_scalar_does() {
        for dim in [64, 128, 384, 1024, 4096] {
            let vector: Vec<f32> = numbers(dim as u64, dim).map(|x| (x % 2001) as f32 / 1000.0 - 1.0).collect();
            for scale in [1.0, 0.0, 1e-30, 1e15] {
                let vector: Vec<f32> = vector.iter().map(|x| x * scale).collect();
                let forms = |kernels: &Kernels| {
                    let (mut words, mut table) = (vec![0; dim], vec![0; dim / GROUP * 32]);
                    let prepared = kernels.prepare(&vector, &mut words, &mut table);
                    let mut transformed = vector[..1 << dim.ilog2()].to_vec();
                    kernels.hadamard(&mut transformed);
                    (words, table, format!("{prepared:?}"), transformed)
                };
                let expected = forms(&Kernels::scalar());
                let unit = word_unit(&vector);
                assert!(expected.0.iter().zip(&vector).all(|(&word, x)| (f32::from(word) * unit - x).abs() <= unit));
                assert!(expected.1.iter().all(|&entry| usize::from(entry) <= MAX_ENTRY));
                for kernels in levels() {
                    assert!(forms(&kernels) == expected, "{kernels:?} {dim} {scale}");
                }
            }
        }
    }

    #[test]
    fn every_level_multiplies_half_bytes() {
        for n in LENGTHS {
            let a: Vec<i16> = numbers(n as u64, 2 * n).map(|x| (x % 4001) as i16 - 2000).collect();
            let packed: Vec<u8> = numbers(3, n).map(|x| x as u8).collect();
            for kernels in levels() {
                assert_eq!(kernels.dot_i16_i4(&a, &packed), scalar::dot_i16_i4(&a, &packed), "{kernels:?} {n}");
            }
        }
    }

    #[test]
    fn every_level_inserts_keys() {
        for n in [1, 2, 7, 8, 9, 10, 15, 16, 17, 63, 64, 65, 200, 1000] {
            let mut keys: Vec<u64> = numbers(n as u64, n).map(|x| x << 40 | x).collect();
            keys.sort_unstable();
            for kernels in levels() {
                for key in keys.iter().flat_map(|&key| [key.wrapping_sub(1), key, key + 1]).chain([0, u64::MAX]) {
                    let at = keys[..n - 1].partition_point(|&x| x < key);
                    let mut expected = keys.clone();
                    expected.insert(at, key);
                    expected.truncate(n);
                    if at == n - 1 {
                        expected[at] = key;
                    }
                    let mut found = keys.clone();
                    assert_eq!(kernels.insert(&mut found, key), at, "{kernels:?} {n} {key}");
                    assert_eq!(found, expected, "{kernels:?} {n} {key}");
                }
            }
        }
    }

    #[test]
    fn every_level_relates_as_scalar_does() {
        for dim in [64, 192, 384, 1024] {
            let x: Vec<i8> = numbers(1, dim).map(|x| (x % 255) as i8).collect();
            let c: Vec<i8> = numbers(2, dim).map(|x| (x % 255) as i8).collect();
            for (x, c) in [(&x, &c), (&x, &x)] {
                let mut expected_signs = vec![0; dim / 8];
                let expected = scalar::relate((x, 0.01), (c, 0.008), &mut expected_signs);
                for kernels in levels() {
                    let mut signs = vec![0; dim / 8];
                    let found = kernels.relate((x, 0.01), (c, 0.008), &mut signs);
                    assert_eq!(signs, expected_signs, "{kernels:?} {dim}");
                    for (found, expected) in [
                        (found.squared, expected.squared),
                        (found.code_offset, expected.code_offset),
                        (found.code_centre, expected.code_centre),
                        (found.offset_centre, expected.offset_centre),
                    ] {
                        assert!((found - expected).abs() < 1e-3 * dim as f32, "{kernels:?} {dim} {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_missing_level_is_an_error() {
        for level in SimdLevel::ALL {
            assert_eq!(Kernels::new(level).is_ok(), level.is_supported());
            assert_eq!(level.name().parse::<SimdLevel>().unwrap(), level);
        }
    }
}
