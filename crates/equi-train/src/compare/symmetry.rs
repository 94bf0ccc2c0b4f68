//! The data symmetry score: is the orientation of the data uniform? A two-sample test by a classifier (Lopez-Paz and Oquab,
//! *Revisiting Classifier Two-Sample Tests*, ICLR 2017).
//!
//! ```text
//! samples x_1, ..., x_n with fair coins b_i;      z_i = g_i . x_i where b_i = 1, g_i random, and x_i where b_i = 0
//! ```
//!
//! On half of the samples a classifier learns to tell `b_i` from `z_i`; on the other half it is tried. It is a logistic regression on
//! features of `z` and on a layer of random ReLUs of these, since what is turned lies around what is upright, not beside it. If the distribution
//! of `x` is that of `g . x`, nothing can tell, and the number of right answers is binomial with probability 1/2, whatever the
//! classifier: the test is exact. What the features of `z` do not show, it cannot find: it looks at directions up to order 4.
//!
//! Features are such that turning a sample resamples nothing: else the classifier would see the blur, and not the orientation.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_distr::StandardNormal;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};

use super::results::DataSymmetry;
use crate::seed::{Purpose, stream};

/// Most samples that are looked at.
pub const MOST: usize = 4000;
/// Fewest samples to try the classifier on.
const FEWEST: usize = 20;
/// The penalty of a weight, in samples: features have variance 1.
const RIDGE: f64 = 1.0;
/// Newton steps of the regression, at most.
const NEWTON: usize = 10;
/// Random ReLUs.
const HIDDEN: usize = 64;

/// The score of `count` samples whose features, moved by a random element or as they are, `features` gives for a place and the
/// choice; none if they are too few. The first half trains the classifier.
pub fn score(moves: &str, count: usize, features: impl Fn(usize, bool) -> Vec<f64>) -> Option<DataSymmetry> {
    let count = count.min(MOST);
    let train = count / 2;
    if count - train < FEWEST {
        return None;
    }
    let mut coins = stream(0, Purpose::Symmetry, u64::MAX);
    let labels: Vec<bool> = (0..count).map(|_| coins.random()).collect();
    let rows: Vec<Vec<f64>> = labels.iter().enumerate().map(|(place, &moved)| features(place, moved)).collect();
    let classifier = Regression::fit(&rows[..train], &labels[..train]);
    let right = |(row, &label): (&Vec<f64>, &bool)| classifier.says(row) == label;
    let correct = rows[train..].iter().zip(&labels[train..]).filter(|&pair| right(pair)).count();
    Some(of(moves, correct, count - train))
}

/// The exact interval and test for `correct` right answers of `samples`.
fn of(moves: &str, correct: usize, samples: usize) -> DataSymmetry {
    let (right, wrong) = (correct as f64, (samples - correct) as f64);
    let beta = |a: f64, b: f64| Beta::new(a, b).expect("both are positive");
    let low = if correct == 0 { 0.0 } else { beta(right, wrong + 1.0).inverse_cdf(0.025) };
    let high = if correct == samples { 1.0 } else { beta(right + 1.0, wrong).inverse_cdf(0.975) };
    let guesses = Binomial::new(0.5, samples as u64).expect("one half is a probability");
    let p_value = if correct == 0 { 1.0 } else { guesses.sf(correct as u64 - 1) };
    let accuracy = right / samples as f64;
    DataSymmetry { moves: moves.to_string(), samples, correct, accuracy, ci95: [low, high], p_value }
}

/// Logistic regression on standardised features, random ReLUs of them, and a constant.
struct Regression {
    /// Mean and standard deviation of every feature.
    scale: Vec<(f64, f64)>,
    /// `[HIDDEN, features + 1]`: weights and biases of the ReLUs.
    hidden: DMatrix<f64>,
    weights: DVector<f64>,
}

impl Regression {
    /// The weights of the largest penalised likelihood, by Newton's method from zero.
    fn fit(rows: &[Vec<f64>], labels: &[bool]) -> Self {
        let count = rows.len() as f64;
        let scale: Vec<(f64, f64)> = (0..rows.first().map_or(0, Vec::len))
            .map(|k| {
                let mean = rows.iter().map(|row| row[k]).sum::<f64>() / count;
                let variance = rows.iter().map(|row| (row[k] - mean).powi(2)).sum::<f64>() / count;
                (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
            })
            .collect();
        let mut rng = stream(0, Purpose::Symmetry, u64::MAX - 1);
        let (inputs, outputs) = (scale.len() + 1, scale.len() + HIDDEN + 1);
        let size = 1.0 / (inputs as f64).sqrt();
        let hidden = DMatrix::from_fn(HIDDEN, inputs, |_, _| size * rng.sample::<f64, _>(StandardNormal));
        let mut model = Self { scale, hidden, weights: DVector::zeros(outputs) };
        let design: Vec<DVector<f64>> = rows.iter().map(|row| model.design(row)).collect();
        for _ in 0..NEWTON {
            let mut gradient = &model.weights * -RIDGE;
            let mut curvature = DMatrix::identity(outputs, outputs) * RIDGE;
            for (x, &label) in design.iter().zip(labels) {
                let p = 1.0 / (1.0 + (-x.dot(&model.weights)).exp());
                gradient.axpy(f64::from(u8::from(label)) - p, x, 1.0);
                curvature.syger(p * (1.0 - p), x, x, 1.0);
            }
            let step = curvature.cholesky().map(|factors| factors.solve(&gradient));
            let Some(step) = step.filter(|step| step.iter().all(|entry| entry.is_finite())) else { break };
            model.weights += &step;
            if step.amax() < 1e-6 {
                break;
            }
        }
        model
    }

    /// What the weights act on.
    fn design(&self, row: &[f64]) -> DVector<f64> {
        let scaled = row.iter().zip(&self.scale).map(|(value, (mean, deviation))| (value - mean) / deviation);
        let inputs = DVector::from_iterator(self.scale.len() + 1, scaled.chain([1.0]));
        let hidden = (&self.hidden * &inputs).map(|value| value.max(0.0));
        DVector::from_iterator(inputs.len() + HIDDEN, inputs.iter().chain(hidden.iter()).copied())
    }

    fn says(&self, row: &[f64]) -> bool {
        self.design(row).dot(&self.weights) > 0.0
    }
}

/// The directions in images and motions that the classifier looks at.
pub mod features {
    use std::f64::consts::TAU;

    use equi_core::group::Isometry;
    use rand::RngExt;

    use crate::data::Images;
    use crate::data::nbody::Motion;
    use crate::data::points::PointSystem;
    use crate::data::spatial::Spatial;
    use crate::seed::{Purpose, stream};

    /// Radii of the rings, in halves of the side.
    const RINGS: [f64; 3] = [0.25, 0.45, 0.65];
    /// Width of a ring, in pixels: wide enough that the grid has no say in orders up to 4.
    const WIDTH: f64 = 1.5;
    /// Orders of the harmonics.
    const ORDERS: [i32; 4] = [1, 2, 3, 4];
    /// Features of points that are looked at, at most.
    const FEATURES: usize = 6;

    /// The circular harmonics of an image on rings, `sum_p image(p) w(|p|) exp(-i m phi(p))`, turned by a random angle if `moved`:
    /// a turn by `theta` multiplies them by `exp(-i m theta)`, and touches no pixel.
    pub fn image(pixels: &[f32], width: usize, place: usize, moved: bool) -> Vec<f64> {
        let angle: f64 = stream(0, Purpose::Symmetry, place as u64).random();
        let angle = if moved { TAU * angle } else { 0.0 };
        let height = pixels.len() / width;
        let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
        let mut found = vec![0.0; 2 * RINGS.len() * ORDERS.len()];
        for (at, &ink) in pixels.iter().enumerate().filter(|(_, ink)| **ink != 0.0) {
            let (x, y) = ((at % width) as f64 - middle[0], middle[1] - (at / width) as f64);
            let (radius, phi) = (x.hypot(y), y.atan2(x) + angle);
            for (ring, part) in RINGS.iter().zip(found.chunks_mut(2 * ORDERS.len())) {
                let distance = (radius - ring * middle[0]) / WIDTH;
                let weight = f64::from(ink) * (-distance * distance / 2.0).exp();
                for (order, pair) in ORDERS.iter().zip(part.chunks_mut(2)) {
                    let (sin, cos) = (f64::from(*order) * phi).sin_cos();
                    pair[0] += weight * cos;
                    pair[1] -= weight * sin;
                }
            }
        }
        found
    }

    /// Those of all channels of the image at `place`, one after the other, turned by the same angle.
    pub fn planes(images: &Images, place: usize, moved: bool) -> Vec<f64> {
        images.planes(place).flat_map(|plane| image(plane, images.width(), place, moved)).collect()
    }

    /// Moments of positions about their centre, of velocities and of charges, up to the second, turned and mirrored at random if
    /// `moved`.
    pub fn motion(motion: &Motion, place: usize, moved: bool) -> Vec<f64> {
        let motion = if moved { motion.moved(&random(place)) } else { motion.clone() };
        let charges: Vec<&[f64]> = motion.start.charges.iter().map(std::slice::from_ref).collect();
        moments(&motion.start.positions, &motion.start.velocities, &charges)
    }

    /// The same for points with features, of which the first [`FEATURES`] count, in the place of charges.
    pub fn system(system: &PointSystem, place: usize, moved: bool) -> Vec<f64> {
        let system = if moved { system.moved(&random(place)) } else { system.clone() };
        let features: Vec<&[f64]> = system.features.iter().map(|row| &row[..row.len().min(FEATURES)]).collect();
        moments(&system.positions, system.velocities.as_deref().unwrap_or(&[]), &features)
    }

    fn random(place: usize) -> Isometry {
        Isometry::random_orthogonal(&mut stream(0, Purpose::Symmetry, place as u64))
    }

    /// Moments of positions `x`, velocities `v`, which may be none, and invariant numbers `q` of the points.
    fn moments(x: &[[f64; 3]], v: &[[f64; 3]], q: &[&[f64]]) -> Vec<f64> {
        let count = x.len().max(1) as f64;
        let centre: [f64; 3] = std::array::from_fn(|k| x.iter().map(|x| x[k]).sum::<f64>() / count);
        let centred: Vec<[f64; 3]> = x.iter().map(|x| std::array::from_fn(|k| x[k] - centre[k])).collect();
        let mut found = Vec::new();
        for k in 0..3 {
            found.push(v.iter().map(|v| v[k]).sum());
            for channel in 0..q.first().map_or(0, |row| row.len()) {
                found.push(q.iter().zip(&centred).map(|(q, x)| q[channel] * x[k]).sum());
            }
            found.push(centred.iter().map(|x| x[k].powi(3)).sum());
            for l in 0..3 {
                found.push(centred.iter().zip(v).map(|(x, v)| x[k] * v[l]).sum());
                if k <= l {
                    found.push(centred.iter().map(|x| x[k] * x[l]).sum());
                    found.push(v.iter().map(|v| v[k] * v[l]).sum());
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;
    use crate::data::mnist::tests::REAL;
    use crate::data::nbody::NBody;
    use crate::data::rotated::{Pose, RotatedMnist, Side};
    use equi_core::group::Isometry;
    use equi_core::resample::{resample_host, rotation_inverse};

    fn digits(seed: u64, pose: Pose) -> DataSymmetry {
        let images = RotatedMnist::new(REAL.clone(), seed, Side::Odd).training(0, 0..2000, pose).unwrap();
        score("rotations", 2000, |place, moved| features::image(images.image(place), 29, place, moved)).unwrap()
    }

    #[test]
    fn upright_digits_are_not_symmetric_and_turned_ones_are() {
        let upright = digits(0, Pose::Turned(0.0));
        assert!(upright.accuracy > 0.75 && upright.p_value < 1e-50 && upright.ci95[0] > 0.7, "{upright:?}");
        // Exact tests of three independent draws: a p below a thousandth in one of them is one chance in 300.
        for seed in [1, 2, 3] {
            let turned = digits(seed, Pose::Random);
            assert!(turned.p_value > 1e-3 && turned.ci95[0] < 0.5 + 1e-2, "{turned:?}");
        }
    }

    #[test]
    fn the_features_of_a_turned_image_are_those_of_its_pixels_turned() {
        let image = RotatedMnist::new(REAL.clone(), 0, Side::Odd).test(0..1, Pose::Turned(0.0)).unwrap();
        let place = 5;
        let angle: f64 = stream(0, Purpose::Symmetry, place as u64).random();
        let turned = resample_host(image.image(0), 29, 29, rotation_inverse(std::f64::consts::TAU * angle));
        let phases = features::image(image.image(0), 29, place, true);
        let pixels = features::image(&turned, 29, place, false);
        let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        let difference: Vec<f64> = phases.iter().zip(&pixels).map(|(a, b)| a - b).collect();
        // What bilinear resampling loses of a pen's stroke.
        assert!(norm(&difference) < 0.1 * norm(&phases), "{} {}", norm(&difference), norm(&phases));
    }

    /// Noise whose red grows and whose green and blue fall along a direction, by as much as leaves the luminance what it is.
    fn tinted(count: usize, directed: impl Fn(usize) -> f64) -> DataSymmetry {
        const TINT: [f64; 3] = [0.65, -0.17, -0.23];
        let mut pixels = Vec::new();
        for place in 0..count {
            let mut rng = stream(5, Purpose::Probe, place as u64);
            let (sin, cos) = directed(place).sin_cos();
            let noise: Vec<f64> = (0..29 * 29).map(|_| rng.random()).collect();
            for tint in TINT {
                pixels.extend(noise.iter().enumerate().map(|(at, noise)| {
                    let along = cos * ((at % 29) as f64 - 14.0) + sin * (14.0 - (at / 29) as f64);
                    (noise + tint * along / 14.0) as f32
                }));
            }
        }
        let images = Images::with_channels(pixels, vec![0; count], 3, 29, 29).unwrap();
        score("rotations", count, |place, moved| features::planes(&images, place, moved)).unwrap()
    }

    #[test]
    fn a_direction_that_only_colour_shows_is_found_and_channels_turn_together() {
        let upright = tinted(400, |_| 0.5);
        assert!(upright.accuracy > 0.7 && upright.p_value < 1e-6, "{upright:?}");
        // Red and green of a turned image are as opposite as they were.
        let turned =
            tinted(400, |place| 2.0 * std::f64::consts::PI * stream(6, Purpose::Poses, place as u64).random::<f64>());
        assert!(turned.p_value > 1e-3, "{turned:?}");
    }

    #[test]
    fn simulated_systems_are_symmetric_and_flattened_ones_are_not() {
        let motions = NBody::new(0).training(0, 600).unwrap();
        let of = |motions: &[crate::data::nbody::Motion]| {
            score("rotations", motions.len(), |place, moved| features::motion(&motions[place], place, moved)).unwrap()
        };
        let found = of(&motions);
        assert!(found.p_value > 1e-3, "{found:?}");
        let mut flat = motions.clone();
        for motion in &mut flat {
            motion.start.velocities.iter_mut().for_each(|v| v[2] *= 0.3);
        }
        let found = of(&flat);
        assert!(found.p_value < 1e-6 && found.accuracy > 0.6, "{found:?}");
        // Turning them all hides nothing.
        let turned: Vec<_> =
            flat.iter().map(|motion| motion.moved(&Isometry::rotation([1.0, 2.0, 3.0], 0.8).unwrap())).collect();
        assert!(of(&turned).p_value < 1e-6);
    }

    /// Under symmetry p-values are those of fair guesses, whatever the features.
    #[test]
    fn a_symmetric_distribution_is_found_out_as_often_as_chance_has_it() {
        use rayon::prelude::*;
        let rejected = (0..400u64)
            .into_par_iter()
            .filter(|&set| {
                let features = |place: usize, _: bool| {
                    let mut rng = stream(set, Purpose::Probe, place as u64);
                    (0..3).map(|_| rng.sample::<f64, _>(StandardNormal)).collect()
                };
                score("nothing", 200, features).unwrap().p_value < 0.05
            })
            .count();
        // P(X >= 59 of 100) = 0.044 is the largest level below 0.05: 17.7 of 400 +- 4.1, four of them.
        assert!((1..=34).contains(&rejected), "{rejected}");
    }

    #[test]
    fn intervals_and_p_values_are_exact() {
        // Clopper and Pearson for 8 of 10, and 2^-10 (45 + 10 + 1).
        let found = of("rotations", 8, 10);
        assert!((found.ci95[0] - 0.443_905).abs() < 1e-5 && (found.ci95[1] - 0.974_789).abs() < 1e-5, "{found:?}");
        assert!((found.p_value - 56.0 / 1024.0).abs() < 1e-12);
        assert_eq!((of("", 0, 10).ci95[0], of("", 0, 10).p_value, of("", 10, 10).ci95[1]), (0.0, 1.0, 1.0));
    }

    #[test]
    fn too_few_samples_have_no_score_and_features_without_spread_no_weight() {
        let constant = |_: usize, _: bool| vec![1.0, 2.0];
        assert_eq!(score("rotations", 2 * FEWEST - 2, constant), None);
        assert!(score("rotations", 2 * FEWEST, constant).unwrap().p_value > 1e-3);
    }
}
