//! The metrics, and the only place that knows the sign and the range of a distance. Smaller is closer, always.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::kernels::Kernels;

/// A vector whose squared norm is this close to one is stored as it came, so that stored vectors survive a round trip.
const UNIT_NORM_TOLERANCE: f64 = 1e-6;

/// How far apart two vectors are.
///
/// | metric | distance | range |
/// | --- | --- | --- |
/// | cosine | `1 - cos(a, b)` | 0 to 2 |
/// | dot | `-(a . b)` | all finite f32 |
/// | l2 | squared Euclidean distance | 0 to `f32::MAX` |
///
/// Distances are never NaN nor infinite: what overflows f32 is computed again in f64 and saturates at `f32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// `1 - cos(a, b)`. Vectors are stored with unit norm.
    Cosine,
    /// Negated inner product.
    Dot,
    /// Squared Euclidean distance.
    L2,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::Dot, Self::L2];

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::L2 => "l2",
        }
    }

    /// Exact distance of two prepared vectors (see [`Metric::prepare`]).
    pub(crate) fn distance(self, kernels: &Kernels, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Cosine => (1.0 - kernels.dot_f32(a, b)).clamp(0.0, 2.0),
            Self::Dot => {
                let dot = kernels.dot_f32(a, b);
                if dot.is_finite() { -dot } else { saturate(-dot_f64(a, b)) }
            }
            Self::L2 => {
                let squared = kernels.l2_f32(a, b);
                if squared.is_finite() { squared } else { saturate(l2_f64(a, b)) }
            }
        }
    }

    /// Distance from an estimated inner product, for metrics that are a function of it alone.
    pub(crate) fn of_inner_product(self, inner_product: f32) -> f32 {
        match self {
            Self::Cosine => 1.0 - inner_product,
            Self::Dot | Self::L2 => -inner_product,
        }
    }

    /// Whether the distance is a function of the inner product of the stored vectors.
    pub(crate) fn is_inner_product(self) -> bool {
        self != Self::L2
    }

    /// Checks a vector and brings it into the form that is stored and compared: unit norm for cosine, unchanged otherwise.
    ///
    /// `position` is reported in errors.
    pub(crate) fn prepare(self, vector: &mut [f32], position: usize) -> Result<()> {
        if !vector.iter().all(|x| x.is_finite()) {
            return Err(Error::NonFiniteVector { position });
        }
        if self != Self::Cosine {
            return Ok(());
        }
        // f64 holds the square of every finite f32, subnormals included.
        let squared: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if squared == 0.0 {
            return Err(Error::ZeroVector { position });
        }
        if (squared - 1.0).abs() > UNIT_NORM_TOLERANCE {
            let inverse = 1.0 / squared.sqrt();
            for x in vector {
                *x = (f64::from(*x) * inverse) as f32;
            }
        }
        Ok(())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name() == name)
            .ok_or_else(|| Error::UnknownName { what: "metric", received: name.to_owned() })
    }
}

fn saturate(distance: f64) -> f32 {
    distance.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

fn l2_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
        }
        assert!(matches!("hamming".parse::<Metric>(), Err(Error::UnknownName { what: "metric", .. })));
    }

    #[test]
    fn extreme_magnitudes_have_finite_distances() {
        let kernels = Kernels::detect();
        let vectors = [
            vec![f32::MAX, f32::MAX, -f32::MAX],
            vec![1e30, -1e30, 1e30],
            vec![f32::MIN_POSITIVE / 4.0, 0.0, f32::MIN_POSITIVE / 8.0],
            vec![1e-45, 1e-45, -1e-45],
        ];
        for metric in Metric::ALL {
            for a in &vectors {
                for b in &vectors {
                    let (mut a, mut b) = (a.clone(), b.clone());
                    metric.prepare(&mut a, 0).unwrap();
                    metric.prepare(&mut b, 0).unwrap();
                    let distance = metric.distance(&kernels, &a, &b);
                    assert!(distance.is_finite(), "{metric:?} {a:?} {b:?}");
                    if metric == Metric::Cosine {
                        let norm = dot_f64(&a, &a);
                        assert!((norm - 1.0).abs() < 1e-6, "{a:?} {norm}");
                    }
                }
            }
        }
    }

    #[test]
    fn bad_vectors_are_refused() {
        assert!(matches!(Metric::Dot.prepare(&mut [1.0, f32::NAN], 7), Err(Error::NonFiniteVector { position: 7 })));
        assert!(matches!(Metric::Cosine.prepare(&mut [0.0, -0.0], 3), Err(Error::ZeroVector { position: 3 })));
        assert!(Metric::L2.prepare(&mut [0.0, 0.0], 0).is_ok());
    }

    #[test]
    fn preparing_twice_changes_nothing() {
        let mut once = vec![0.3, -7.0, 2.5];
        Metric::Cosine.prepare(&mut once, 0).unwrap();
        let mut twice = once.clone();
        Metric::Cosine.prepare(&mut twice, 0).unwrap();
        assert_eq!(once, twice);
    }
}
