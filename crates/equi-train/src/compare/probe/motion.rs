//! The positions predicted for motions and for the same motions elsewhere in space.

use equi_core::group::{Isometry, Permutation};

use crate::compare::stats::largest;
use crate::data::nbody::Motion;
use crate::seed::{Purpose, stream};

/// Random transformations that are tried.
const TRANSFORMATIONS: u64 = 8;
/// Standard deviation of the coordinates of the translations: about the size of a system.
const TRANSLATION: f64 = 2.0;

/// `|f(g.x) - g.f(x)| / |f(x)|`, the largest over random rotations and reflections, translations, and permutations of the
/// particles, all at once; the norm of `f(x)` is taken about the mean of its positions, so that it does not depend on the origin.
///
/// `predict` gives the later positions of every motion. Every motion is moved by transformations of its own. NaN is larger than
/// everything: a broken network must not pass. None without motions.
pub fn exact_error(predict: impl Fn(&[Motion]) -> Vec<Vec<[f64; 3]>>, motions: &[Motion]) -> Option<f64> {
    if motions.is_empty() {
        return None;
    }
    let still = predict(motions);
    let error = |index: u64| {
        let mut rng = stream(0, Purpose::Probe, index);
        let transformations: Vec<(Isometry, Permutation)> = motions
            .iter()
            .map(|motion| {
                let g = Isometry::random_translation(TRANSLATION, &mut rng) * Isometry::random_orthogonal(&mut rng);
                (g, Permutation::random(motion.end.len(), &mut rng))
            })
            .collect();
        let moved: Vec<Motion> = motions
            .iter()
            .zip(&transformations)
            .map(|(motion, (g, permutation))| motion.moved(g).permuted(permutation))
            .collect();
        let mut sum = 0.0;
        for ((found, still), (g, permutation)) in predict(&moved).iter().zip(&still).zip(&transformations) {
            for (particle, &x) in still.iter().enumerate() {
                let (expected, found) = (g.act(x), found[permutation.image(particle)]);
                sum += expected.iter().zip(found).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            }
        }
        sum.sqrt()
    };
    let norm = spread(&still.concat());
    (0..TRANSFORMATIONS).map(error).reduce(largest).map(|error| error / norm.max(f64::MIN_POSITIVE))
}

/// The norm of all positions about their mean.
fn spread(points: &[[f64; 3]]) -> f64 {
    let mean: [f64; 3] = std::array::from_fn(|k| points.iter().map(|x| x[k]).sum::<f64>() / points.len() as f64);
    points.iter().map(|x| (0..3).map(|k| (x[k] - mean[k]).powi(2)).sum::<f64>()).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::nbody::NBody;

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
