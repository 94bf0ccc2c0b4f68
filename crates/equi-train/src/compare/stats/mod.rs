//! What a handful of seeds says about a mean, a difference and a learning curve.
//!
//! * [`confidence`] is the interval of a mean over seeds.
//! * [`differences`] compares arms seed by seed: arms of a seed share samples, order and test set.
//! * [`holm`] adjusts p-values of many differences for one another.
//! * [`curves`] fits how errors fall with the number of samples.

mod curve;
mod interval;
mod multiple;
mod summary;

pub use curve::{FloorLaw, PowerLaw, floor_law, power_law};
pub use interval::{BOOTSTRAP_FROM, Interval, Method, confidence, interval};
pub use multiple::{holm, p_value};
pub use summary::{curves, differences, paired, summarise};

/// The arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The larger of two, where NaN is larger than everything: a broken value must not hide.
pub fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_value_is_the_largest() {
        for values in [[f64::NAN, 1.0, 2.0], [1.0, f64::NAN, 2.0], [1.0, 2.0, f64::NAN]] {
            assert!(values.into_iter().reduce(largest).unwrap().is_nan());
        }
        assert_eq!([1.0, 3.0, 2.0].into_iter().reduce(largest), Some(3.0));
    }
}

/// Coverage of intervals over simulated data sets, for the tests.
#[cfg(test)]
mod coverage {
    use crate::seed::{Purpose, stream};
    use rand_chacha::ChaCha8Rng;
    use rayon::prelude::*;

    /// The share of `sets` data sets, each drawn from its own stream, whose interval holds the truth.
    pub fn of(sets: u64, covers: impl Fn(&mut ChaCha8Rng) -> bool + Sync) -> f64 {
        let hits = (0..sets).into_par_iter().filter(|&set| covers(&mut stream(set, Purpose::Probe, 1 << 40))).count();
        hits as f64 / sets as f64
    }

    /// Whether a share is within four standard errors of `expected`: a sound test fails once in 16,000 such checks, and streams are
    /// fixed.
    pub fn within_sampling_error(share: f64, expected: f64, sets: u64) -> bool {
        (share - expected).abs() < 4.0 * (expected * (1.0 - expected) / sets as f64).sqrt()
    }
}
