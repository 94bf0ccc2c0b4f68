//! What a handful of seeds says about a mean.
//!
//! ```text
//! mean +- t(0.975, n - 1) * s / sqrt(n),        s the sample standard deviation with n - 1
//! ```
//!
//! The interval assumes that the seeds are independent and roughly normal. With two seeds `t` is 12.7: the interval
//! is honest, and so wide that it rarely settles anything.

use super::results::{ArmSummary, Cell, SizeSummary};

/// The arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The larger of two, where NaN is larger than everything: a broken value must not hide.
pub fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// The 95 % confidence interval of the mean, by Student's t distribution; `None` with fewer than two values.
pub fn ci95(values: &[f64]) -> Option<[f64; 2]> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let centre = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    let half = student_t(n - 1) * (squares / (n - 1) as f64 / n as f64).sqrt();
    Some([centre - half, centre + half])
}

/// [`ci95`] of a metric, cut to what it can be: errors are not negative, and a percentage, whose name ends in `%`, is at most
/// 100.
pub fn interval(metric: &str, values: &[f64]) -> Option<[f64; 2]> {
    let [low, high] = ci95(values)?;
    Some([low.max(0.0), if metric.ends_with('%') { high.min(100.0) } else { high }])
}

/// One entry per arm, in their order, and training-set size, ascending, over the cells that have a metric.
pub fn summarise(arms: &[ArmSummary], cells: &[Cell]) -> Vec<SizeSummary> {
    let metric = cells.iter().find_map(|cell| cell.metric.as_ref()).map_or("", |metric| metric.name.as_str());
    let mut summary = Vec::new();
    for arm in arms {
        let own = || cells.iter().filter(|cell| cell.arm == arm.name);
        let mut sizes: Vec<usize> = own().map(|cell| cell.train_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for train_size in sizes {
            let values: Vec<f64> = own().filter(|cell| cell.train_size == train_size).filter_map(Cell::value).collect();
            summary.push(SizeSummary {
                arm: arm.name.clone(),
                train_size,
                mean: mean(&values),
                ci95: interval(metric, &values),
            });
        }
    }
    summary
}

/// The 97.5 % quantile of Student's t distribution: exact values up to 30 degrees of freedom, then the expansion in
/// `1 / freedom` of Abramowitz and Stegun 26.7.5, good to a relative 1e-7 there.
///
/// # Panics
///
/// With no degree of freedom.
fn student_t(freedom: usize) -> f64 {
    const EXACT: [f64; 30] = [
        12.7062047362,
        4.3026527297,
        3.1824463053,
        2.7764451052,
        2.5705818356,
        2.4469118511,
        2.3646242516,
        2.3060041352,
        2.2621571628,
        2.2281388520,
        2.2009851601,
        2.1788128297,
        2.1603686565,
        2.1447866879,
        2.1314495456,
        2.1199052992,
        2.1098155778,
        2.1009220402,
        2.0930240544,
        2.0859634473,
        2.0796138447,
        2.0738730679,
        2.0686576104,
        2.0638985616,
        2.0595385528,
        2.0555294386,
        2.0518305165,
        2.0484071418,
        2.0452296421,
        2.0422724563,
    ];
    assert!(freedom > 0, "Student's t distribution needs at least one degree of freedom");
    if let Some(&exact) = EXACT.get(freedom - 1) {
        return exact;
    }
    let (z, n) = (1.959_963_984_540_054_f64, freedom as f64);
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
        (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z) / 92_160.0,
    ];
    z + terms.iter().rev().fold(0.0, |sum, term| (sum + term) / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `x = sqrt(n) tan a` the density is proportional to `cos(a)^(n - 1)`; Simpson's rule does the rest.
    #[test]
    fn quantiles_leave_five_percent_outside() {
        let integral = |freedom: usize, to: f64| {
            let steps = 20_000;
            let f = |i: usize| (to * i as f64 / steps as f64).cos().max(0.0).powi(freedom as i32 - 1);
            let inner: f64 = (1..steps).map(|i| f(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
            (f(0) + inner + f(steps)) * to / (3 * steps) as f64
        };
        for freedom in (1..=60).chain([100, 300]) {
            let inside = integral(freedom, (student_t(freedom) / (freedom as f64).sqrt()).atan());
            let whole = integral(freedom, std::f64::consts::FRAC_PI_2);
            assert!((inside / whole - 0.95).abs() < 1e-8, "{freedom}: {}", inside / whole);
        }
    }

    #[test]
    fn known_interval() {
        // n = 4, mean 5, s = 2.581989: half width 3.182446 * 2.581989 / 2 = 4.108521.
        let [low, high] = ci95(&[2.0, 4.0, 6.0, 8.0]).unwrap();
        assert!((low - 0.891479).abs() < 1e-5 && (high - 9.108521).abs() < 1e-5, "{low} {high}");
        assert_eq!(mean(&[2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn a_broken_value_is_the_largest() {
        for values in [[f64::NAN, 1.0, 2.0], [1.0, f64::NAN, 2.0], [1.0, 2.0, f64::NAN]] {
            assert!(values.into_iter().reduce(largest).unwrap().is_nan());
        }
        assert_eq!([1.0, 3.0, 2.0].into_iter().reduce(largest), Some(3.0));
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert_eq!((mean(&[]), ci95(&[]), ci95(&[3.0])), (None, None, None));
        assert_eq!(ci95(&[3.0, 3.0]), Some([3.0, 3.0]));
    }

    #[test]
    fn metrics_are_cut_to_what_they_can_be() {
        assert_eq!(interval("test error %", &[5.0, 90.0]), Some([0.0, 100.0]));
        let [_, high] = ci95(&[5.0, 90.0]).unwrap();
        assert_eq!(interval("test MSE", &[5.0, 90.0]), Some([0.0, high]));
        assert_eq!(interval("test MSE", &[5.0, 5.1]), ci95(&[5.0, 5.1]));
    }
}
