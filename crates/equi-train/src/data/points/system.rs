//! Samples as networks take them: graphs of points, in units in which their numbers are of size 1.

use std::fmt;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use equi_core::action::space::PointField;
use equi_core::check::points::PointFeature;
use equi_core::group::{Isometry, Permutation};
use equi_layers::graph::{EdgeList, Graph, Points};

use super::{PointSample, PointTarget};
use crate::data::spatial::{Answer, Sample, Spatial, reordered, standard_pose, turned};

/// Which points of a sample hear of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Neighbourhood {
    /// All of all.
    #[default]
    All,
    /// Those at most so far away, in units of the data.
    Within(f64),
    /// Every point of so many others, the nearest.
    Nearest(usize),
}

/// A sample with its edges.
///
/// Edges are part of the sample: they are found once, where it lies in the data, and go along wherever it is moved.
#[derive(Clone, Debug)]
pub struct PointSystem {
    /// Where the points are.
    pub positions: Vec<[f64; 3]>,
    /// A vector for every point, if there is one.
    pub velocities: Option<Vec<[f64; 3]>>,
    /// Numbers of every point that nothing changes which moves the sample: one for each species, 0 or 1, and the features.
    pub features: Vec<Vec<f64>>,
    /// Who hears of whom.
    pub edges: Arc<EdgeList>,
    /// What is to be predicted.
    pub target: PointTarget,
}

/// In which units a network is given samples, and answers: those in which the numbers of its training samples are of size 1.
///
/// ```text
/// x -> x / length,   v -> v / speed,   f -> (f - mean) / deviation,   y -> (y - mean) / deviation
/// ```
///
/// with one number for all coordinates, so that isometries stay isometries, and without a mean for vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// The root mean square length of the edges.
    length: f64,
    /// The root mean square velocity.
    speed: f64,
    /// Mean and deviation of every feature; 0 and 1 for those that say which species a point is.
    features: Vec<(f64, f64)>,
    /// Mean and deviation of the target; for vectors 0, and the root mean square of their coordinates.
    target: (f64, f64),
}

/// Samples as a network takes them.
#[derive(Clone, Debug)]
pub struct PointBatch {
    /// The edges.
    pub graph: Graph,
    /// Features, `[points, PointBatch::inputs]`, with positions and perhaps velocities, `[points, 3]`.
    pub points: Points,
    /// What is to be predicted, in its units: `[samples, 1]`, or vectors, `[points, 3]`.
    pub targets: Tensor<2>,
}

impl Neighbourhood {
    /// The edges among points.
    ///
    /// # Errors
    ///
    /// When an index of 32 bits cannot number them, or the neighbourhood is impossible.
    pub fn edges(&self, positions: &[[f64; 3]]) -> Result<EdgeList, equi_layers::LayerError> {
        match *self {
            Self::All => EdgeList::complete(positions.len()),
            Self::Within(radius) => EdgeList::radius(positions, radius),
            Self::Nearest(count) => EdgeList::nearest(positions, count),
        }
    }
}

impl fmt::Display for Neighbourhood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all pairs"),
            Self::Within(radius) => write!(f, "pairs within {radius}"),
            Self::Nearest(count) => write!(f, "the nearest {count}"),
        }
    }
}

impl PointSystem {
    /// A sample whose species are among `species`, with `origin` for the origin.
    ///
    /// # Errors
    ///
    /// As [`Neighbourhood::edges`].
    pub fn new(
        sample: &PointSample,
        origin: [f64; 3],
        species: &[String],
        neighbourhood: Neighbourhood,
    ) -> Result<Self, equi_layers::LayerError> {
        let features = (0..sample.points()).map(|at| {
            let own = sample.species.get(at);
            let kinds = species.iter().map(|kind| f64::from(u8::from(Some(kind) == own)));
            kinds.chain(sample.features.get(at).into_iter().flatten().copied()).collect()
        });
        Ok(Self {
            positions: sample.positions.iter().map(|x| std::array::from_fn(|k| x[k] - origin[k])).collect(),
            velocities: sample.velocities.clone(),
            features: features.collect(),
            edges: Arc::new(neighbourhood.edges(&sample.positions)?),
            target: sample.target.clone(),
        })
    }

    /// The lengths of its edges.
    pub fn lengths(&self) -> impl Iterator<Item = f64> {
        let ends = self.edges.receivers().iter().zip(self.edges.senders());
        ends.map(|(&i, &j)| distance(&self.positions[i], &self.positions[j]))
    }
}

fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

impl Spatial for PointSystem {
    fn moved(&self, g: &Isometry) -> Self {
        Self {
            positions: self.positions.moved(g),
            velocities: self.velocities.as_ref().map(|velocities| turned(velocities, g)),
            features: self.features.clone(),
            edges: self.edges.clone(),
            target: self.target.moved(g),
        }
    }

    fn permuted(&self, g: &Permutation) -> Self {
        let ends = |nodes: &[usize]| nodes.iter().map(|&node| g.image(node)).collect();
        let edges = EdgeList::new(self.points(), ends(self.edges.receivers()), ends(self.edges.senders()));
        Self {
            positions: self.positions.permuted(g),
            velocities: self.velocities.as_ref().map(|velocities| reordered(velocities, g)),
            features: reordered(&self.features, g),
            edges: Arc::new(edges.expect("the ends of edges in another order")),
            target: self.target.permuted(g),
        }
    }
}

impl Sample for PointSystem {
    type Answer = PointTarget;

    fn answer(&self) -> &PointTarget {
        &self.target
    }

    fn positions(&self) -> &[[f64; 3]] {
        &self.positions
    }

    fn velocities(&self) -> Option<&[[f64; 3]]> {
        self.velocities.as_deref()
    }

    fn with_points(&self, positions: Vec<[f64; 3]>, velocities: Option<Vec<[f64; 3]>>) -> Self {
        Self { positions, velocities, ..self.clone() }
    }

    fn standard_pose(&self) -> Isometry {
        standard_pose(&self.positions, self.velocities.as_deref().unwrap_or(&[]))
    }
}

impl Spatial for PointTarget {
    fn moved(&self, g: &Isometry) -> Self {
        match self {
            Self::Scalar(number) => Self::Scalar(*number),
            Self::Vectors(vectors) => Self::Vectors(turned(vectors, g)),
        }
    }

    fn permuted(&self, g: &Permutation) -> Self {
        match self {
            Self::Scalar(number) => Self::Scalar(*number),
            Self::Vectors(vectors) => Self::Vectors(reordered(vectors, g)),
        }
    }
}

impl Answer for PointTarget {
    fn numbers(&self) -> &[f64] {
        self.numbers()
    }

    fn numbers_mut(&mut self) -> &mut [f64] {
        match self {
            Self::Scalar(number) => std::slice::from_mut(number),
            Self::Vectors(vectors) => vectors.as_flattened_mut(),
        }
    }

    fn feature(&self) -> PointFeature {
        match self {
            Self::Scalar(_) => PointFeature::per_graph(PointField::Scalar, 1),
            Self::Vectors(_) => PointFeature::per_node(PointField::Vector, 1),
        }
    }
}

impl Units {
    /// The units in which `systems`, whose first `species` features say which species a point is, are of size 1. What does not vary is left as large as it is.
    pub fn of(systems: &[PointSystem], species: usize) -> Self {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
            sum / count.max(1) as f64
        };
        let size = |squared: f64| if squared > 0.0 { squared.sqrt() } else { 1.0 };
        let speeds = systems.iter().flat_map(|system| system.velocities.iter().flatten());
        let rows = || systems.iter().flat_map(|system| &system.features);
        let width = rows().next().map_or(0, Vec::len);
        let feature = |k: usize| {
            if k < species {
                return (0.0, 1.0);
            }
            let average = mean(&mut rows().map(|row| row[k]));
            (average, size(mean(&mut rows().map(|row| (row[k] - average).powi(2)))))
        };
        let targets = || systems.iter().flat_map(|system| system.target.numbers().iter().copied());
        let is_scalar = systems.first().is_none_or(|system| system.target.is_scalar());
        let average = if is_scalar { mean(&mut targets()) } else { 0.0 };
        Self {
            length: size(mean(&mut systems.iter().flat_map(PointSystem::lengths).map(|length| length.powi(2)))),
            speed: size(mean(&mut speeds.map(|v| v.iter().map(|v| v * v).sum::<f64>()))),
            features: (0..width).map(feature).collect(),
            target: (average, size(mean(&mut targets().map(|y| (y - average).powi(2))))),
        }
    }

    /// The deviation of the target, which an error of 1 stands for.
    pub fn deviation(&self) -> f64 {
        self.target.1
    }

    /// The answers to `systems` that a network gives as numbers, one for a sample or three for a point, in units of the data.
    ///
    /// # Panics
    ///
    /// If there are not as many numbers as that.
    pub fn answers(&self, systems: &[PointSystem], numbers: &[f64]) -> Vec<PointTarget> {
        let (mean, deviation) = self.target;
        let mut rest = numbers;
        let answer = |system: &PointSystem| {
            let mut answer = system.target.clone();
            let own = answer.numbers_mut();
            let (here, after) = rest.split_at(own.len());
            own.iter_mut().zip(here).for_each(|(own, y)| *own = mean + deviation * y);
            rest = after;
            answer
        };
        let answers = systems.iter().map(answer).collect();
        assert!(rest.is_empty(), "{} numbers answer no question", rest.len());
        answers
    }
}

impl PointBatch {
    /// Numbers of a point that a network is given besides its position and velocity: the features, and its speed; 1 if that is nothing.
    pub fn inputs(features: usize, velocities: bool) -> usize {
        (features + usize::from(velocities)).max(1)
    }

    /// Uploads `systems` in `units`.
    ///
    /// # Panics
    ///
    /// If their edges are more than an index of 32 bits can number.
    pub fn new<'a>(
        systems: impl IntoIterator<Item = &'a PointSystem, IntoIter: Clone>,
        units: &Units,
        device: &Device,
    ) -> Self {
        let systems = systems.into_iter();
        let graph = Graph::batch(systems.clone().map(|system| &*system.edges), device);
        let graph = graph.expect("a batch fits into 32 bits");
        let [mut features, mut positions, mut velocities, mut targets] = [(); 4].map(|()| Vec::new());
        let (mean, deviation) = units.target;
        let (mut scalar, mut inputs) = (true, 1);
        for system in systems {
            let widths = system.features.first().map_or(0, Vec::len);
            inputs = Self::inputs(widths, system.velocities.is_some());
            for (at, (x, row)) in system.positions.iter().zip(&system.features).enumerate() {
                positions.extend(x.map(|x| (x / units.length) as f32));
                features.extend(row.iter().zip(&units.features).map(|(f, (mean, size))| ((f - mean) / size) as f32));
                match &system.velocities {
                    Some(all) => {
                        let v = all[at].map(|v| v / units.speed);
                        velocities.extend(v.map(|v| v as f32));
                        features.push(v.iter().map(|v| v * v).sum::<f64>().sqrt() as f32);
                    }
                    None if row.is_empty() => features.push(1.0),
                    None => {}
                }
            }
            targets.extend(system.target.numbers().iter().map(|y| ((y - mean) / deviation) as f32));
            scalar = system.target.is_scalar();
        }
        let upload = |values: Vec<f32>, width: usize| {
            let rows = values.len() / width;
            Tensor::from_data(TensorData::new(values, [rows, width]), device)
        };
        let moving = !velocities.is_empty();
        let points = Points::new(upload(features, inputs), upload(positions, 3));
        let points = if moving { points.with_velocities(upload(velocities, 3)) } else { points };
        Self { graph, points, targets: upload(targets, if scalar { 1 } else { 3 }) }
    }

    /// How what [`features`](Self::features) gives transforms: numbers of every point, positions, and velocities if there are any.
    pub fn fields(&self) -> Vec<PointFeature> {
        let per_point = |field, channels| PointFeature::per_node(field, channels);
        let [_, inputs] = self.points.features.dims();
        let moving = self.points.velocities.as_ref().map(|_| per_point(PointField::Vector, 1));
        let still = [per_point(PointField::Scalar, inputs), per_point(PointField::Position, 1)];
        still.into_iter().chain(moving).collect()
    }

    /// What points carry: numbers `[points, PointBatch::inputs]`, positions and perhaps velocities `[points, 3]`.
    pub fn features(&self) -> Vec<Tensor<2>> {
        let Points { features, positions, velocities, .. } = self.points.clone();
        [features, positions].into_iter().chain(velocities).collect()
    }

    /// The same where operations are recorded.
    pub fn autodiff(self) -> Self {
        let Points { features, positions, velocities, attributes } = self.points;
        let points = Points {
            features: features.autodiff(),
            positions: positions.autodiff(),
            velocities: velocities.map(Tensor::autodiff),
            attributes: attributes.map(Tensor::autodiff),
        };
        Self { graph: self.graph, points, targets: self.targets.autodiff() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, stream};

    fn system(seed: u64, points: usize) -> PointSystem {
        use rand::RngExt;
        let mut rng = stream(seed, Purpose::Probe, 0);
        let mut vectors =
            || (0..points).map(|_| std::array::from_fn(|_| 10.0 + rng.random::<f64>())).collect::<Vec<[f64; 3]>>();
        let sample = PointSample {
            positions: vectors(),
            velocities: Some(vectors()),
            species: (0..points).map(|i| ["A", "B"][i % 2].to_string()).collect(),
            features: (0..points).map(|i| vec![100.0 + (i * i) as f64]).collect(),
            target: PointTarget::Vectors(vectors()),
        };
        PointSystem::new(&sample, [10.0; 3], &["A".to_string(), "B".to_string()], Neighbourhood::Nearest(2)).unwrap()
    }

    #[test]
    fn edges_go_along_with_their_points() {
        let still = system(1, 6);
        let mut rng = stream(0, Purpose::Probe, 1);
        let g = Isometry::random_translation(5.0, &mut rng) * Isometry::random_orthogonal(&mut rng);
        let order = Permutation::random(6, &mut rng);
        let moved = still.moved(&g).permuted(&order);
        // Rounding in f64 of coordinates of size 10.
        let same = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(still.lengths().zip(moved.lengths()).all(|(a, b)| same(a, b)));
        for at in 0..6 {
            assert_eq!(moved.features[order.image(at)], still.features[at]);
            assert!((0..3).all(|k| same(moved.positions[order.image(at)][k], g.act(still.positions[at])[k])));
        }
        let back = moved.permuted(&order.inverse()).moved(&g.inverse());
        let (PointTarget::Vectors(a), PointTarget::Vectors(b)) = (&back.target, &still.target) else { unreachable!() };
        for (a, b) in [(a, b), (back.velocities.as_ref().unwrap(), still.velocities.as_ref().unwrap())] {
            assert!(a.as_flattened().iter().zip(b.as_flattened()).all(|(a, b)| same(*a, *b)));
        }
        assert_eq!(still.target.moved(&Isometry::translation([1.0, 2.0, 3.0]).unwrap()), still.target);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn what_networks_are_given_is_of_size_one() {
        let systems = [system(1, 6), system(2, 4)];
        let units = Units::of(&systems, 2);
        let batch = PointBatch::new(&systems, &units, &Device::flex());
        let host = |tensor: Tensor<2>| tensor.into_data().iter::<f64>().collect::<Vec<f64>>();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let squares = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
        assert_eq!(batch.points.features.dims(), [10, 4]);
        assert_eq!([batch.graph.nodes(), batch.graph.edges(), batch.graph.graphs()], [10, 20, 2]);
        let columns: Vec<Vec<f64>> = (0..4).map(|k| host(batch.points.features.clone().narrow(1, k, 1))).collect();
        assert_eq!(columns[0], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        // Numbers of size 1 in f32, from differences of numbers of size 100.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(near(mean(&columns[2]), 0.0) && near(squares(&columns[2]), 1.0) && near(squares(&columns[3]), 1.0));
        let lengths = host(batch.graph.displacements(batch.points.positions).powi_scalar(2).sum_dim(1));
        assert!(near(mean(&lengths), 1.0));
        let targets = host(batch.targets);
        assert!(near(squares(&targets), 1.0) && mean(&targets) > 0.9);
        let answers = units.answers(&systems, &targets);
        for (answer, system) in answers.iter().zip(&systems) {
            // Targets are of size 10.
            assert!(answer.numbers().iter().zip(system.target.numbers()).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }

    #[test]
    fn numbers_have_a_mean_and_what_is_constant_stays() {
        let sample = |y: f64| PointSample {
            positions: vec![[1.0; 3]],
            velocities: None,
            species: Vec::new(),
            features: Vec::new(),
            target: PointTarget::Scalar(y),
        };
        let systems = [1.0, 5.0].map(|y| PointSystem::new(&sample(y), [1.0; 3], &[], Neighbourhood::All).unwrap());
        let units = Units::of(&systems, 0);
        assert_eq!((units.target, units.length, systems[0].positions[0]), ((3.0, 2.0), 1.0, [0.0; 3]));
        assert_eq!(units.answers(&systems, &[-1.0, 1.0]), [PointTarget::Scalar(1.0), PointTarget::Scalar(5.0)]);
        assert_eq!(Units::of(&systems[..1], 0).deviation(), 1.0);
        assert_eq!([PointBatch::inputs(0, false), PointBatch::inputs(0, true), PointBatch::inputs(3, true)], [1, 1, 4]);
    }
}
