//! How an error falls with the number of samples.
//!
//! ```text
//! error ~ a n^-b            least squares of log(error): a straight line in the logarithms
//! error ~ a n^-b + c        least squares of relative errors, a > 0, c >= 0
//! ```
//!
//! The second law levels off at a floor. Three numbers want more sizes than two do: from [`SIZES_FOR_A_FLOOR`] on both are fitted,
//! side by side, so that no interval hides a choice between them.

/// Distinct sizes that a power law is fitted to: two would leave nothing to see whether it fits.
const SIZES: usize = 3;
/// Distinct sizes that a law with a floor is fitted to.
pub const SIZES_FOR_A_FLOOR: usize = 5;
/// The exponents that a law with a floor may have. Beyond, it is a constant or a step, and says nothing.
const EXPONENTS: [f64; 2] = [0.02, 4.0];
/// Exponents that are tried before the best is refined.
const GRID: usize = 50;

/// `error = factor * n^-exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    /// The error of one sample.
    pub factor: f64,
    /// How fast it falls.
    pub exponent: f64,
}

/// `error = factor * n^-exponent + floor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloorLaw {
    /// The error of one sample above the floor.
    pub factor: f64,
    /// How fast it falls.
    pub exponent: f64,
    /// The error that remains.
    pub floor: f64,
}

/// The power law through points `(n, error)`; `None` with fewer than three sizes, or where an error is not positive.
pub fn power_law(points: &[(f64, f64)]) -> Option<PowerLaw> {
    let logs = logarithms(points, SIZES)?;
    let count = logs.len() as f64;
    let (x, y) = logs.iter().fold((0.0, 0.0), |(x, y), log| (x + log.0 / count, y + log.1 / count));
    let (along, squares) =
        logs.iter().fold((0.0, 0.0), |(a, s), log| (a + (log.0 - x) * (log.1 - y), s + (log.0 - x).powi(2)));
    let slope = along / squares;
    Some(PowerLaw { factor: (y - slope * x).exp(), exponent: -slope })
}

/// The power law with a floor through points `(n, error)`; `None` with fewer than five sizes, where an error is not positive, or
/// where the best exponent is at the end of what is sensible, such as for errors that do not fall.
pub fn floor_law(points: &[(f64, f64)]) -> Option<FloorLaw> {
    let logs = logarithms(points, SIZES_FOR_A_FLOOR)?;
    // Relative to the geometric mean at a size: relative to each error by itself, low errors would weigh more.
    let level = |n: f64| {
        let here: Vec<f64> = logs.iter().filter(|log| log.0 == n).map(|log| log.1).collect();
        (here.iter().sum::<f64>() / here.len() as f64).exp()
    };
    let weighed: Vec<[f64; 3]> = logs.iter().map(|&(n, error)| [n, error.exp() / level(n), 1.0 / level(n)]).collect();
    let misfit = |exponent: f64| linear(&weighed, exponent).1;

    let [least, most] = EXPONENTS.map(f64::ln);
    let at = |place: f64| (least + (most - least) * place / GRID as f64).exp();
    let best = (0..=GRID).min_by(|&i, &j| misfit(at(i as f64)).total_cmp(&misfit(at(j as f64))))?;
    if best == 0 || best == GRID {
        return None;
    }
    // Golden sections between the neighbours.
    let (mut low, mut high) = (best as f64 - 1.0, best as f64 + 1.0);
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    while high - low > 1e-6 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if misfit(at(left)) <= misfit(at(right)) { high = right } else { low = left }
    }
    let exponent = at((low + high) / 2.0);
    let ([factor, floor], _) = linear(&weighed, exponent);
    (factor > 0.0).then_some(FloorLaw { factor, exponent, floor })
}

/// Logarithms of sizes and errors, if there are as many sizes as asked for and all have logarithms.
fn logarithms(points: &[(f64, f64)], sizes: usize) -> Option<Vec<(f64, f64)>> {
    let mut distinct: Vec<f64> = points.iter().map(|point| point.0).collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let sound = points.iter().all(|&(n, error)| n > 0.0 && error > 0.0 && error.is_finite());
    (sound && distinct.len() >= sizes).then(|| points.iter().map(|&(n, error)| (n.ln(), error.ln())).collect())
}

/// The factor and the floor, neither negative, that fit best with this exponent, and the sum of squares that is left. Rows are
/// the logarithm of a size, an error, and the weight of the floor there.
fn linear(rows: &[[f64; 3]], exponent: f64) -> ([f64; 2], f64) {
    let [mut pp, mut pq, mut qq, mut pe, mut qe, mut ee] = [0.0; 6];
    for &[n, error, weight] in rows {
        let power = (-exponent * n).exp() * weight;
        pp += power * power;
        pq += power * weight;
        qq += weight * weight;
        pe += power * error;
        qe += weight * error;
        ee += error * error;
    }
    let determinant = pp * qq - pq * pq;
    let (factor, floor) = ((pe * qq - qe * pq) / determinant, (qe * pp - pe * pq) / determinant);
    let pair = if floor < 0.0 || !floor.is_finite() {
        [(pe / pp).max(0.0), 0.0]
    } else if factor < 0.0 {
        [0.0, qe / qq]
    } else {
        [factor, floor]
    };
    let [a, c] = pair;
    (pair, ee - 2.0 * (a * pe + c * qe) + a * a * pp + 2.0 * a * c * pq + c * c * qq)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [f64; 6] = [100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0];

    fn points(law: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        SIZES.iter().map(|&n| (n, law(n))).collect()
    }

    #[test]
    fn exact_laws_are_recovered() {
        let PowerLaw { factor, exponent } = power_law(&points(|n| 3.0 * n.powf(-0.4))).unwrap();
        assert!((factor - 3.0).abs() < 1e-12 && (exponent - 0.4).abs() < 1e-12, "{factor} {exponent}");
        let FloorLaw { factor, exponent, floor } = floor_law(&points(|n| 3.0 * n.powf(-0.6) + 0.02)).unwrap();
        // The misfit is a parabola in the exponent: its minimum is known to the root of its rounding.
        assert!((factor - 3.0).abs() < 1e-4 && (exponent - 0.6).abs() < 1e-5 && (floor - 0.02).abs() < 1e-5);
        // Nothing levels off, so the floor is nothing.
        let FloorLaw { exponent, floor, .. } = floor_law(&points(|n| 3.0 * n.powf(-0.4))).unwrap();
        assert!((exponent - 0.4).abs() < 1e-4 && floor < 1e-4, "{exponent} {floor}");
    }

    #[test]
    fn too_few_sizes_and_errors_without_logarithm_have_no_law() {
        let all = points(|n| n.powf(-0.5));
        assert!(power_law(&all[..3]).is_some() && power_law(&all[..2]).is_none());
        assert!(power_law(&[all[0], all[0], all[1], all[1]]).is_none(), "two sizes, twice");
        assert!(floor_law(&all[..5]).is_some() && floor_law(&all[..4]).is_none());
        for broken in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut points = all.clone();
            points[2].1 = broken;
            assert!(power_law(&points).is_none() && floor_law(&points).is_none());
        }
    }

    #[test]
    fn what_does_not_fall_has_an_exponent_of_zero_and_no_floor() {
        let flat = points(|_| 0.085);
        assert!(power_law(&flat).unwrap().exponent.abs() < 1e-12);
        assert_eq!(floor_law(&points(|n| 0.1 + 1e-6 * n)), None);
    }
}
