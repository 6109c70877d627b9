//! Inner loops with one signature and several instruction sets, chosen once an index. They know numbers, not metrics.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::str::FromStr;

use crate::error::{Error, Result};

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

/// The kernels of one level. Slices of a pair have the same length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernels {
    dot_f32: fn(&[f32], &[f32]) -> f32,
    l2_f32: fn(&[f32], &[f32]) -> f32,
    dot_i8: fn(&[i8], &[i8]) -> i32,
}

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
        Self { dot_f32: scalar::dot_f32, l2_f32: scalar::l2_f32, dot_i8: scalar::dot_i8 }
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
    fn a_missing_level_is_an_error() {
        for level in SimdLevel::ALL {
            assert_eq!(Kernels::new(level).is_ok(), level.is_supported());
            assert_eq!(level.name().parse::<SimdLevel>().unwrap(), level);
        }
    }
}
