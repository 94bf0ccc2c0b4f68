use burn::tensor::{Device, Tensor, TensorData};
use equi_core::action::space::PointField;
use equi_core::check::points::PointFeature;
use equi_core::group::{Isometry, Permutation};
use equi_layers::graph::{EdgeList, Graph, Points};
use rand::Rng;
use rayon::prelude::*;

use super::{ChargedParticles, Particles};
use crate::data::DataError;
use crate::seed::{Purpose, stream};

/// Integration steps between two frames.
const STEPS_PER_FRAME: usize = 100;
/// The frame a network is shown, and the one it is asked for, counted from 0: states after 3,100 and 4,100 steps.
const FRAMES: [usize; 2] = [30, 40];

/// The task `nbody_small` of the paper: the state of a system, and its positions 1,000 steps later.
///
/// The parts are simulated from a seed of their own each: test and validation sets are the same for every run, and the first
/// `n` training simulations of a run are the same whatever `n` is.
#[derive(Clone, Debug, PartialEq)]
pub struct NBody {
    /// The law.
    pub system: ChargedParticles,
    /// Seed of the task.
    pub seed: u64,
}

/// A system at one moment, and where its particles are later.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// What a network is shown.
    pub start: Particles,
    /// Later positions, `[particles, 3]`.
    pub end: Vec<[f64; 3]>,
}

/// Motions as a network takes them: every system is a complete graph.
#[derive(Clone, Debug)]
pub struct MotionBatch {
    /// Edges between all particles of a system.
    pub graph: Graph,
    /// Speeds as features, `[particles, 1]`, with positions and velocities, `[particles, 3]`.
    pub points: Points,
    /// Charges, `[particles, 1]`.
    pub charges: Tensor<2>,
    /// Products of the charges and squared distances, `[edges, 2]`.
    pub edges: Tensor<2>,
    /// Later positions, `[particles, 3]`.
    pub targets: Tensor<2>,
}

impl NBody {
    /// The task of the paper: five particles.
    pub fn new(seed: u64) -> Self {
        Self { system: ChargedParticles::new(5), seed }
    }

    /// The first `count` motions of the test set.
    ///
    /// # Errors
    ///
    /// [`DataError::Simulation`] for a system that cannot be simulated.
    pub fn test(&self, count: usize) -> Result<Vec<Motion>, DataError> {
        self.part(0, count)
    }

    /// The first `count` motions of the validation set.
    ///
    /// # Errors
    ///
    /// As [`test`](Self::test).
    pub fn validation(&self, count: usize) -> Result<Vec<Motion>, DataError> {
        self.part(1, count)
    }

    /// The first `count` training motions of run `run`.
    ///
    /// # Errors
    ///
    /// As [`test`](Self::test).
    pub fn training(&self, run: u64, count: usize) -> Result<Vec<Motion>, DataError> {
        self.part(2 + run, count)
    }

    fn part(&self, part: u64, count: usize) -> Result<Vec<Motion>, DataError> {
        let seed = stream(self.seed, Purpose::Parts, part).next_u64();
        (0..count)
            .into_par_iter()
            .map(|index| {
                let [shown, asked] = FRAMES;
                let start = self.system.draw(seed, index)?;
                let start = self.system.run(&start, (shown + 1) * STEPS_PER_FRAME)?;
                let end = self.system.run(&start, (asked - shown) * STEPS_PER_FRAME)?;
                Ok(Motion { start, end: end.positions })
            })
            .collect()
    }
}

impl Motion {
    /// The same motion elsewhere in space: `x -> R x + t`, `v -> R v`.
    pub fn moved(&self, g: &Isometry) -> Self {
        let rows = g.matrix();
        let turn = |v: &[f64; 3]| rows.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
        let place = |points: &[[f64; 3]]| points.iter().map(|&x| g.act(x)).collect();
        let Particles { charges, positions, velocities } = &self.start;
        let velocities = velocities.iter().map(turn).collect();
        Self {
            start: Particles { charges: charges.clone(), positions: place(positions), velocities },
            end: place(&self.end),
        }
    }

    /// The same motion with its particles in another order: particle `i` is now particle `g.image(i)`.
    ///
    /// # Panics
    ///
    /// If the permutation is one of more particles than there are.
    pub fn permuted(&self, g: &Permutation) -> Self {
        let origins = g.inverse();
        let origins = origins.images();
        let pick = |vectors: &[[f64; 3]]| origins.iter().map(|&i| vectors[i]).collect();
        let Particles { charges, positions, velocities } = &self.start;
        let charges = origins.iter().map(|&i| charges[i]).collect();
        Self {
            start: Particles { charges, positions: pick(positions), velocities: pick(velocities) },
            end: pick(&self.end),
        }
    }
}

impl MotionBatch {
    /// The graph of a batch of `count` systems of `particles` particles each. It depends on nothing else, so one does for all
    /// batches of a size.
    ///
    /// # Panics
    ///
    /// If the particles or their pairs are more than an index of 32 bits can number.
    pub fn graph(count: usize, particles: usize, device: &Device) -> Graph {
        let complete = EdgeList::complete(particles).expect("the pairs of a system fit into 32 bits");
        Graph::batch(std::iter::repeat_n(&complete, count), device).expect("a batch fits into 32 bits")
    }

    /// Uploads `motions`, whose graph is `graph`.
    ///
    /// # Panics
    ///
    /// If the motions have not as many particles as the graph has nodes.
    pub fn new<'a>(motions: impl IntoIterator<Item = &'a Motion>, graph: &Graph, device: &Device) -> Self {
        let (nodes, edges) = (graph.nodes(), graph.edges());
        let [mut positions, mut velocities, mut targets] = [(); 3].map(|()| Vec::with_capacity(3 * nodes));
        let [mut charges, mut speeds] = [(); 2].map(|()| Vec::with_capacity(nodes));
        let mut pairs = Vec::with_capacity(2 * edges);
        for Motion { start, end } in motions {
            let Particles { charges: q, positions: x, velocities: v } = start;
            charges.extend(q.iter().map(|&q| q as f32));
            positions.extend(x.as_flattened().iter().map(|&x| x as f32));
            velocities.extend(v.as_flattened().iter().map(|&v| v as f32));
            targets.extend(end.as_flattened().iter().map(|&x| x as f32));
            speeds.extend(v.iter().map(|v| v.iter().map(|v| v * v).sum::<f64>().sqrt() as f32));
            for i in 0..x.len() {
                for j in (0..x.len()).filter(|&j| j != i) {
                    let square: f64 = (0..3).map(|k| (x[i][k] - x[j][k]).powi(2)).sum();
                    pairs.extend([(q[i] * q[j]) as f32, square as f32]);
                }
            }
        }
        let upload = |values: Vec<f32>, shape: [usize; 2]| Tensor::from_data(TensorData::new(values, shape), device);
        Self {
            points: Points::new(upload(speeds, [nodes, 1]), upload(positions, [nodes, 3]))
                .with_velocities(upload(velocities, [nodes, 3])),
            charges: upload(charges, [nodes, 1]),
            edges: upload(pairs, [edges, 2]),
            targets: upload(targets, [nodes, 3]),
            graph: graph.clone(),
        }
    }

    /// How what [`features`](Self::features) gives transforms: speeds, positions, velocities and charges.
    pub const FEATURES: [PointFeature; 4] = [
        PointFeature::per_node(PointField::Scalar, 1),
        PointFeature::per_node(PointField::Position, 1),
        PointFeature::per_node(PointField::Vector, 1),
        PointFeature::per_node(PointField::Scalar, 1),
    ];

    /// What particles carry: speeds `[particles, 1]`, positions and velocities `[particles, 3]`, charges `[particles, 1]`.
    pub fn features(&self) -> Vec<Tensor<2>> {
        let Points { features, positions, velocities, .. } = self.points.clone();
        vec![features, positions, velocities.expect("motions have velocities"), self.charges.clone()]
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
        let [charges, edges, targets] = [self.charges, self.edges, self.targets].map(Tensor::autodiff);
        Self { points, charges, edges, targets, graph: self.graph }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_training_sets_are_parts_of_large_ones_and_of_no_other_set() {
        let task = NBody::new(4);
        let many = task.training(1, 6).unwrap();
        assert_eq!(task.training(1, 3).unwrap(), many[..3]);
        let others = [task.training(0, 6), task.training(2, 6), task.validation(6), task.test(6)];
        for other in others.into_iter().chain([NBody::new(5).training(1, 6)]) {
            assert!(other.unwrap().iter().all(|motion| !many.contains(motion)));
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let threads = |count| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
            pool.install(|| NBody::new(0).training(0, 20).unwrap())
        };
        assert_eq!(threads(1), threads(3));
    }

    #[test]
    fn a_motion_is_two_frames_of_a_trajectory() {
        let task = NBody::new(9);
        let seed = stream(9, Purpose::Parts, 0).next_u64();
        let frames = task.system.trajectory(&task.system.draw(seed, 2).unwrap(), 41, 100).unwrap();
        let motion = &task.test(3).unwrap()[2];
        assert_eq!((&motion.start, &motion.end), (&frames[30], &frames[40].positions));
    }

    #[cfg(feature = "flex")]
    #[test]
    fn edges_are_in_the_order_of_the_graph() {
        let device = Device::flex();
        let motions = NBody::new(0).test(3).unwrap();
        let graph = MotionBatch::graph(3, 5, &device);
        let batch = MotionBatch::new(&motions, &graph, &device);
        let charges: Vec<f64> = motions.iter().flat_map(|motion| motion.start.charges.clone()).collect();
        let charges =
            Tensor::<2>::from_data(TensorData::new(charges, [15, 1]).convert_dtype(burn::tensor::DType::F32), &device);
        let pair = |tensor: Tensor<2>, ends| equi_core::ops::gather(tensor, ends);
        assert!((charges.clone() - batch.charges).abs().max().into_scalar::<f32>() == 0.0);
        let products = pair(charges.clone(), graph.receivers()) * pair(charges, graph.senders());
        let squares = graph.displacements(batch.points.positions.clone()).powi_scalar(2).sum_dim(1);
        let expected = Tensor::cat(vec![products, squares], 1);
        let scale = expected.clone().abs().max().into_scalar::<f32>();
        // One is rounded before, the other after subtracting.
        assert!((expected - batch.edges).abs().max().into_scalar::<f32>() < 1e-5 * scale);
        let speeds = batch.points.velocities.unwrap().powi_scalar(2).sum_dim(1).sqrt();
        assert!((speeds - batch.points.features).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn moving_and_reordering_are_undone() {
        let motion = NBody::new(0).test(1).unwrap().remove(0);
        let g = Isometry::random_orthogonal(&mut stream(0, Purpose::Probe, 0))
            * Isometry::translation([1.0, -2.0, 3.0]).unwrap();
        let order = Permutation::new(vec![4, 2, 0, 1, 3]).unwrap();
        assert_eq!(motion.permuted(&order).end[4], motion.end[0]);
        let back = motion.moved(&g).permuted(&order).permuted(&order.inverse()).moved(&g.inverse());
        assert_eq!(back.start.charges, motion.start.charges);
        for (a, b) in [
            (&back.start.positions, &motion.start.positions),
            (&back.start.velocities, &motion.start.velocities),
            (&back.end, &motion.end),
        ] {
            // Rounding in f64 of coordinates of some units.
            assert!(a.as_flattened().iter().zip(b.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-13));
        }
    }
}
