//! What is predicted for points and for the same points elsewhere in space.

use equi_core::group::{Isometry, Permutation};

use crate::compare::stats::largest;
use crate::data::spatial::{Answer, Sample, Spatial};
use crate::seed::{Purpose, stream};

/// Random transformations that are tried.
const TRANSFORMATIONS: u64 = 8;
/// Standard deviation of the coordinates of the translations: about the size of a system of charged particles.
const TRANSLATION: f64 = 2.0;

/// `|f(g.x) - g.f(x)| / |f(x)|`, the largest over random rotations and reflections, translations, and permutations of the
/// points, all at once; the norm of `f(x)` is taken about the mean of its rows, so that it does not depend on the origin, or about
/// zero where all rows are the same.
///
/// `predict` gives the answers for all samples. Every sample is moved by transformations of its own. NaN is larger than
/// everything: a broken network must not pass. None without samples.
pub fn exact_error<S: Sample>(predict: impl Fn(&[S]) -> Vec<S::Answer>, samples: &[S]) -> Option<f64> {
    exact_error_within(TRANSLATION, predict, samples)
}

/// The same, where coordinates of the translations have the standard deviation `translation`.
pub fn exact_error_within<S: Sample>(
    translation: f64,
    predict: impl Fn(&[S]) -> Vec<S::Answer>,
    samples: &[S],
) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    let still = predict(samples);
    let error = |index: u64| {
        let mut rng = stream(0, Purpose::Probe, index);
        let transformations: Vec<(Isometry, Permutation)> = samples
            .iter()
            .map(|sample| {
                let g = Isometry::random_translation(translation, &mut rng) * Isometry::random_orthogonal(&mut rng);
                (g, Permutation::random(sample.points(), &mut rng))
            })
            .collect();
        let moved: Vec<S> = samples
            .iter()
            .zip(&transformations)
            .map(|(sample, (g, permutation))| sample.moved(g).permuted(permutation))
            .collect();
        let mut sum = 0.0;
        for ((found, still), (g, permutation)) in predict(&moved).iter().zip(&still).zip(&transformations) {
            let expected = still.moved(g).permuted(permutation);
            sum += expected.numbers().iter().zip(found.numbers()).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        }
        sum.sqrt()
    };
    let norm = spread(&still);
    (0..TRANSFORMATIONS).map(error).reduce(largest).map(|error| error / norm.max(f64::MIN_POSITIVE))
}

/// The norm of all rows about their mean, or about zero where there is no other.
fn spread(answers: &[impl Answer]) -> f64 {
    let width = answers.first().map_or(1, Answer::width);
    let column = |k: usize| answers.iter().flat_map(move |answer| answer.numbers().iter().skip(k).step_by(width));
    let about = |mean: &dyn Fn(usize) -> f64| {
        (0..width).map(|k| column(k).map(|x| (x - mean(k)).powi(2)).sum::<f64>()).sum::<f64>().sqrt()
    };
    let means: Vec<f64> = (0..width).map(|k| column(k).sum::<f64>() / column(k).count() as f64).collect();
    let spread = about(&|k| means[k]);
    if spread == 0.0 { about(&|_| 0.0) } else { spread }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::nbody::{Motion, NBody};

    fn straight_on(motions: &[Motion]) -> Vec<Vec<[f64; 3]>> {
        let add = |(x, v): (&[f64; 3], &[f64; 3])| std::array::from_fn(|k| x[k] + 0.8 * v[k]);
        motions
            .iter()
            .map(|motion| motion.start.positions.iter().zip(&motion.start.velocities).map(add).collect())
            .collect()
    }

    #[test]
    fn straight_lines_are_equivariant() {
        let motions = NBody::new(0).test(4).unwrap();
        assert!(exact_error(straight_on, &motions).unwrap() < 1e-14);
        assert_eq!(exact_error(straight_on, &[]), None);
    }

    #[test]
    fn each_broken_symmetry_shows() {
        let motions = NBody::new(0).test(4).unwrap();
        let broken = |change: fn(usize, [f64; 3]) -> [f64; 3]| {
            let predict = |motions: &[Motion]| {
                let change = |x: Vec<[f64; 3]>| x.into_iter().enumerate().map(|(i, x)| change(i, x)).collect();
                straight_on(motions).into_iter().map(change).collect()
            };
            exact_error(predict, &motions).unwrap()
        };
        assert!(broken(|_, x| x) < 1e-14);
        // Neither rotations, nor translations, nor permutations.
        assert!(broken(|_, [x, y, z]| [x + 0.1, y, z]) > 1e-2);
        assert!(broken(|_, x| x.map(|x| 1.01 * x)) > 1e-3);
        assert!(broken(|i, x| if i == 0 { x.map(|x| x + 0.1) } else { x }) > 1e-2);
        assert!(broken(|_, _| [f64::NAN; 3]).is_nan());
    }
}
