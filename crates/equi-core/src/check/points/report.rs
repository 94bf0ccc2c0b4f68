//! Errors per motion.

use burn::tensor::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::fmt;

use super::super::measure::{largest, norm, ratio, values, worst};
use super::map::{Motion, PointFeature, PointMap, Rows, normal};
use crate::action::space::{Isometries, PointField, act_each, permute};
use crate::group::{Isometry, Permutation};
use crate::ops::Segments;

/// Which elements are tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trials {
    /// How many random elements of every motion.
    pub elements: usize,
    /// Which ones.
    pub seed: u64,
    /// How far translations go: the standard deviation of a coordinate, in units of the spread of the points.
    pub distance: f64,
}

impl Default for Trials {
    /// Four elements of every motion; translations by about three times the size of the cloud of points.
    fn default() -> Self {
        Self { elements: 4, seed: 0, distance: 3.0 }
    }
}

/// The error of one element: the largest among all outputs, or among the gradients of all inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct MotionError {
    /// What kind of element it is.
    pub motion: Motion,
    /// The element that moved the first graph, in words; other graphs have others of the kind.
    pub element: String,
    /// `|f(g . x) - g . f(x)| / |f(x)|` in the L2 norm; positions relative to the spread of the points. See [`outputs`].
    pub relative_l2: f64,
    /// The largest absolute difference, relative to the largest absolute value of `f(x)`; positions as above.
    pub relative_max: f64,
    /// The output or input with the largest error, from 0.
    pub worst: usize,
}

/// The equivariance of one map of points on one input.
#[derive(Clone, Debug, PartialEq)]
pub struct PointReport {
    /// All elements tried, motion after motion.
    pub errors: Vec<MotionError>,
    /// What was compared.
    pub features: Vec<PointFeature>,
    /// The root mean square distance of the points from their centroid; 1 without positions among the inputs.
    pub spread: f64,
    /// The root mean square of the lengths of the translations tried, in units of the spread.
    pub distance: f64,
}

impl PointReport {
    /// The largest relative L2 error; a value that is not a number counts as infinite.
    pub fn error(&self) -> f64 {
        worst(self.errors.iter().map(|error| error.relative_l2))
    }

    /// The largest relative L2 error among the elements of one motion; `None` if none was tried.
    pub fn error_of(&self, motion: Motion) -> Option<f64> {
        let mut errors =
            self.errors.iter().filter(|error| error.motion == motion).map(|error| error.relative_l2).peekable();
        errors.peek()?;
        Some(worst(errors))
    }

    /// Asserts that all elements keep the tolerance.
    ///
    /// # Panics
    /// If they do not, with the whole report; and if no element was tried.
    pub fn assert_within(&self, what: &str, tolerance: f64) {
        assert!(
            !self.errors.is_empty(),
            "{what}: the map claims no motion, or no element was tried, so nothing can be asserted"
        );
        let error = self.error();
        assert!(error <= tolerance, "{what}: equivariance error {error:.3e} exceeds {tolerance:.3e}\n{self}");
    }
}

impl fmt::Display for PointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44}{:>14}{:>14}  largest in", "element", "relative L2", "relative max")?;
        for error in &self.errors {
            let (element, feature) = (&error.element, &self.features[error.worst]);
            write!(f, "{element:<44}{:>14.3e}{:>14.3e}", error.relative_l2, error.relative_max)?;
            writeln!(f, "  {}: {feature}", error.worst)?;
        }
        if self.distance > 0.0 {
            writeln!(
                f,
                "translations go {:.3e} times the spread of the points, {:.3e}; rounding of differences of positions grows as much",
                self.distance, self.spread
            )?;
        }
        Ok(())
    }
}

/// Compares `f(g . x)` with `g . f(x)` for random elements of the motions that the map claims.
///
/// The error of an output is relative to its norm `|f(x)|`; that of positions to `sqrt(sum_i |y_i - c|^2 + s^2)`, with the
/// centroid `c` and the spread `s` of the positions among the inputs, since the distance from the origin means nothing.
///
/// # Panics
/// If inputs or outputs have other shapes than the map says.
pub fn outputs(map: &impl PointMap, inputs: &[Tensor<2>], trials: &Trials) -> PointReport {
    let moves = Moves::new(map, inputs, trials);
    let output = moves.forward(map, inputs, &moves.unmoved());
    moves.report(moves.outputs.clone(), &output, |element| {
        let moved = moves.act(element, inputs, &moves.inputs);
        (moves.forward(map, &moved, &element.order), moves.act(element, &output, &moves.outputs))
    })
}

/// Compares the gradient with respect to the inputs of `<f(x), v>` at `(g . x, g . v)` with `g .` that at `(x, v)`, for random
/// elements of the motions that the map claims.
///
/// Gradients with respect to positions are vectors. As the other representations are orthogonal, the two agree for an
/// equivariant map. Inputs that the map does not use have gradient zero. Runs with autodiff, in training mode.
///
/// # Panics
/// As [`outputs`], or if no output depends on an input.
pub fn gradients(map: &impl PointMap, inputs: &[Tensor<2>], trials: &Trials) -> PointReport {
    let moves = Moves::new(map, inputs, trials);
    let inputs: Vec<_> =
        inputs.iter().map(|x| if x.is_autodiff() { x.clone() } else { x.clone().autodiff() }).collect();
    let (given, taken) = (differences(&moves.inputs), differences(&moves.outputs));
    let (device, dtype) = place(&inputs);
    let cotangents = normal(&moves.outputs, &moves.graphs, &device.without_autodiff(), dtype, trials.seed ^ 1);
    let gradient = |inputs: &[Tensor<2>], cotangents: &[Tensor<2>], order: &Permutation| -> Vec<Tensor<2>> {
        let leaves: Vec<_> = inputs.iter().map(|x| x.clone().detach().require_grad()).collect();
        let outputs = moves.forward(map, &leaves, order);
        let products = outputs.into_iter().zip(cotangents).map(|(y, v)| (y * v.clone()).sum());
        let loss = products.reduce(|sum, product| sum + product).filter(Tensor::is_tracked);
        let backward = loss.map(|loss| loss.backward());
        let gradients: Vec<_> = leaves.iter().map(|x| backward.as_ref().and_then(|all| x.grad(all))).collect();
        assert!(gradients.iter().any(Option::is_some), "no output of the map depends on an input");
        let zeros = |x: &Tensor<2>| x.clone().without_autodiff().zeros_like();
        gradients.into_iter().zip(&leaves).map(|(gradient, x)| gradient.unwrap_or_else(|| zeros(x))).collect()
    };
    let plain = gradient(&inputs, &cotangents, &moves.unmoved());
    moves.report(given.clone(), &plain, |element| {
        let inputs = moves.act(element, &inputs, &moves.inputs);
        let cotangents = moves.act(element, &cotangents, &taken);
        (gradient(&inputs, &cotangents, &element.order), moves.act(element, &plain, &given))
    })
}

fn differences(features: &[PointFeature]) -> Vec<PointFeature> {
    features.iter().map(|feature| PointFeature { field: feature.field.difference(), ..*feature }).collect()
}

/// An element: an isometry for every graph, then a permutation of its nodes.
pub(super) struct Move {
    pub motion: Motion,
    pub isometries: Vec<Isometry>,
    pub order: Permutation,
}

/// What a map takes and gives, and how it is moved.
pub(super) struct Moves {
    pub inputs: Vec<PointFeature>,
    pub outputs: Vec<PointFeature>,
    pub graphs: Vec<usize>,
    members: Segments,
    elements: Vec<Move>,
    centroid: [f64; 3],
    /// Zero for coincident points and for none.
    spread: f64,
}

impl Moves {
    pub fn new(map: &impl PointMap, inputs: &[Tensor<2>], trials: &Trials) -> Self {
        let (graphs, (device, _)) = (map.graphs(), place(inputs));
        let members = graphs.iter().enumerate().flat_map(|(graph, &nodes)| vec![graph; nodes]).collect();
        let members =
            Segments::new(members, graphs.len(), &device.without_autodiff()).expect("graphs number their own nodes");
        let (inputs_of, outputs_of) = (map.inputs(), map.outputs());
        check("input", inputs, &inputs_of, &graphs);
        let (centroid, spread) = cloud(inputs, &inputs_of);
        let mut moves =
            Self { inputs: inputs_of, outputs: outputs_of, graphs, members, elements: Vec::new(), centroid, spread };
        let mut rng = ChaCha8Rng::seed_from_u64(trials.seed);
        for motion in map.claims() {
            let draw = |_| moves.draw(motion, trials.distance, &mut rng);
            let drawn: Vec<_> = (0..trials.elements).map(draw).collect();
            moves.elements.extend(drawn);
        }
        moves
    }

    fn draw(&self, motion: Motion, distance: f64, rng: &mut ChaCha8Rng) -> Move {
        let mut isometry = || match motion {
            Motion::Rotation => Isometry::random_rotation(rng),
            Motion::Reflection => Isometry::random_rotation(rng) * Isometry::INVERSION,
            Motion::Translation => Isometry::random_translation(distance * self.unit(), rng),
            Motion::Permutation => Isometry::IDENTITY,
        };
        let isometries = self.graphs.iter().map(|_| isometry()).collect();
        let unmoved = self.unmoved();
        let order = match motion {
            // Of two nodes, every second permutation moves nothing.
            Motion::Permutation => (0..64)
                .map(|_| Permutation::random_within(&self.graphs, rng))
                .find(|order| *order != unmoved)
                .unwrap_or(unmoved),
            _ => unmoved,
        };
        Move { motion, isometries, order }
    }

    /// The spread, or 1 if the points have none.
    fn unit(&self) -> f64 {
        if self.spread > 0.0 && self.spread.is_finite() { self.spread } else { 1.0 }
    }

    pub fn unmoved(&self) -> Permutation {
        Permutation::identity(self.graphs.iter().sum())
    }

    pub fn forward(&self, map: &impl PointMap, inputs: &[Tensor<2>], order: &Permutation) -> Vec<Tensor<2>> {
        let outputs = map.forward(inputs, order);
        check("output", &outputs, &self.outputs, &self.graphs);
        outputs
    }

    pub fn act(&self, element: &Move, tensors: &[Tensor<2>], features: &[PointFeature]) -> Vec<Tensor<2>> {
        let act = |(x, feature): (&Tensor<2>, &PointFeature)| {
            let isometries = Isometries::new(&element.isometries, (&x.device(), x.dtype()));
            match feature.rows {
                Rows::Nodes => {
                    permute(&element.order, act_each(&isometries.spread(&self.members), x.clone(), feature.field))
                }
                Rows::Graphs => act_each(&isometries, x.clone(), feature.field),
            }
        };
        tensors.iter().zip(features).map(act).collect()
    }

    fn report(
        &self,
        features: Vec<PointFeature>,
        plain: &[Tensor<2>],
        pair: impl Fn(&Move) -> (Vec<Tensor<2>>, Vec<Tensor<2>>),
    ) -> PointReport {
        let scales: Vec<_> = plain.iter().zip(&features).map(|(x, feature)| self.scale(x, feature.field)).collect();
        let measure = |element: &Move| {
            let (actual, expected) = pair(element);
            let errors = actual.into_iter().zip(expected).zip(&scales).map(|((actual, expected), (whole, entry))| {
                let difference: Vec<f64> = values(actual).iter().zip(values(expected)).map(|(a, e)| a - e).collect();
                (ratio(norm(&difference), *whole), ratio(largest(&difference), *entry))
            });
            let size = |error: f64| worst([error].into_iter());
            let (place, (relative_l2, relative_max)) = errors
                .enumerate()
                .max_by(|(_, a), (_, b)| size(a.0).total_cmp(&size(b.0)))
                .expect("a map has inputs and outputs");
            let element_name = match element.motion {
                Motion::Permutation => element.order.to_string(),
                _ => element.isometries.first().map_or_else(|| element.motion.to_string(), Isometry::to_string),
            };
            MotionError { motion: element.motion, element: element_name, relative_l2, relative_max, worst: place }
        };
        let squares = self.elements.iter().filter(|element| element.motion == Motion::Translation);
        let squares: Vec<f64> =
            squares.flat_map(|element| &element.isometries).map(|g| g.offset().iter().map(|t| t * t).sum()).collect();
        let distance = (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt() / self.unit();
        PointReport { errors: self.elements.iter().map(measure).collect(), features, spread: self.unit(), distance }
    }

    /// What errors are relative to, in the L2 norm and in the largest entry.
    pub fn scale(&self, x: &Tensor<2>, field: PointField) -> (f64, f64) {
        let mut values = values(x.clone());
        if field != PointField::Position {
            return (norm(&values), largest(&values));
        }
        for point in values.chunks_mut(3) {
            point.iter_mut().zip(self.centroid).for_each(|(coordinate, centre)| *coordinate -= centre);
        }
        let points = (values.len() / 3) as f64;
        (norm(&values).hypot(points.sqrt() * self.spread), largest(&values).max(self.spread))
    }
}

/// Where the inputs are, and in which precision.
fn place(inputs: &[Tensor<2>]) -> (Device, DType) {
    let first = inputs.first().expect("a map of points has an input");
    (first.device(), first.dtype())
}

fn check(what: &str, tensors: &[Tensor<2>], features: &[PointFeature], graphs: &[usize]) {
    let (given, expected) = (tensors.len(), features.len());
    assert_eq!(given, expected, "the map says it has {expected} {what}s; there are {given}");
    for (place, (x, feature)) in tensors.iter().zip(features).enumerate() {
        let (given, expected) = (x.dims(), feature.shape(graphs));
        assert_eq!(
            given, expected,
            "{what} {place}, {feature}, must be {expected:?} for graphs of {graphs:?} nodes, not {given:?}"
        );
    }
}

/// The centroid of all positions, and the root mean square distance from it; the origin and zero without positions.
fn cloud(tensors: &[Tensor<2>], features: &[PointFeature]) -> ([f64; 3], f64) {
    let positions = tensors.iter().zip(features).filter(|(_, feature)| feature.field == PointField::Position);
    let coordinates: Vec<f64> = positions.flat_map(|(x, _)| values(x.clone())).collect();
    let count = (coordinates.len() / 3).max(1) as f64;
    let centroid = std::array::from_fn(|axis| coordinates.iter().skip(axis).step_by(3).sum::<f64>() / count);
    let squares = coordinates.chunks(3).flat_map(|p| p.iter().zip(centroid).map(|(x, c)| (x - c) * (x - c)));
    (centroid, (squares.sum::<f64>() / count).sqrt())
}
