//! Many comparisons at once.
//!
//! The p-value of a mean is that of Student's t test: how likely so large a `|t|` is, `t = m / (s / sqrt(n))`, if the expectation is 0. Of many pairs some are
//! below 0.05 by chance; Holm's adjustment (*A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of Statistics 1979) of `m`
//! sorted p-values,
//!
//! ```text
//! p~(k) = max over j <= k of min(1, (m - j + 1) p(j))
//! ```
//!
//! is below 0.05 for any pair without a difference in at most one study of twenty, however the pairs depend on one another.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::interval::standard_error;
use super::mean;

/// The two-sided p-value of the mean of `values` being 0; `None` with fewer than two.
pub fn p_value(values: &[f64]) -> Option<f64> {
    let (centre, error) = (mean(values)?, standard_error(values)?);
    if error == 0.0 {
        return Some(if centre == 0.0 { 1.0 } else { 0.0 });
    }
    let freedom = (values.len() - 1) as f64;
    let student = StudentsT::new(0.0, 1.0, freedom).expect("there is a degree of freedom");
    Some((2.0 * student.cdf(-(centre / error).abs())).min(1.0))
}

/// Holm's adjustment of p-values that belong together, in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (place, at) in order.into_iter().enumerate() {
        largest = largest.max(((p_values.len() - place) as f64 * p_values[at]).min(1.0));
        adjusted[at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::super::coverage;
    use super::*;
    use rand::RngExt;
    use rand_distr::StandardNormal;

    #[test]
    fn known_values() {
        // t = 2.5 with 4 degrees of freedom, and t = 1 with one: arctan gives the latter.
        let five = [1.0, 2.0, 3.0, 4.0, 5.0].map(|x| x - 3.0 + 2.5 * (2.5_f64 / 5.0).sqrt());
        assert!((p_value(&five).unwrap() - 0.066_767).abs() < 1e-5, "{:?}", p_value(&five));
        assert!((p_value(&[0.0, 2.0]).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!((p_value(&[1.0]), p_value(&[1.0, 1.0]), p_value(&[0.0, 0.0])), (None, Some(0.0), Some(1.0)));
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(holm(&[]).is_empty() && holm(&[0.9, 0.8]) == [1.0, 1.0]);
    }

    /// Seven arms without a difference, five seeds that vary together: in how many studies is any pair called different?
    #[test]
    fn one_study_of_twenty_at_most_finds_a_difference_that_is_not_there() {
        let sets = 4000;
        let wrong = |adjust: bool| {
            coverage::of(sets, |rng| {
                let arms: Vec<Vec<f64>> =
                    (0..7).map(|_| (0..5).map(|_| rng.sample::<f64, _>(StandardNormal)).collect()).collect();
                let mut p_values = Vec::new();
                for (place, first) in arms.iter().enumerate() {
                    for second in &arms[place + 1..] {
                        let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
                        p_values.push(p_value(&differences).unwrap());
                    }
                }
                let p_values = if adjust { holm(&p_values) } else { p_values };
                p_values.iter().any(|&p| p < 0.05)
            })
        };
        let (adjusted, naive) = (wrong(true), wrong(false));
        assert!(adjusted < 0.05 + 3.0 * (0.05_f64 * 0.95 / sets as f64).sqrt(), "{adjusted}");
        assert!(naive > 0.3, "without the adjustment it is common: {naive}");
    }
}
