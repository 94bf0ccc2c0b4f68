//! The two workloads that EGNN is measured on: charged particles, and molecules of the size of QM9's.

#![allow(dead_code)] // The criterion bench and the peer of PyTorch each use a part of it.

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Distribution, Tensor};
use equi::core::ops::Adam;
use equi::layers::graph::{EdgeList, Egnn, EgnnConfig, Graph, Points};
use equi::layers::import::Qm9Egnn;

/// 100 complete graphs of 5 particles.
pub const NBODY: (usize, usize) = (100, 5);
/// 96 complete graphs of 18 atoms.
pub const QM9: (usize, usize) = (96, 18);

/// The network of the charged-particle experiment: |v| of a particle; the product of charges and the squared distance of an edge.
pub fn nbody_config() -> EgnnConfig {
    EgnnConfig::new(1, 64).with_edge_features(2).with_velocity()
}

/// The network of the QM9 experiment: 5 elements times 3 powers of the charge; 7 layers with attention.
pub fn qm9_config() -> EgnnConfig {
    EgnnConfig::new(15, 128).with_layers(7).with_attention(true).invariant()
}

/// What a network is shown, and what it should say.
#[derive(Clone)]
pub struct Batch {
    pub graph: Graph,
    pub points: Points,
    pub edges: Option<Tensor<2>>,
    pub target: Tensor<2>,
}

impl Batch {
    fn random(graphs: usize, nodes: usize, features: usize, device: &Device) -> Self {
        let normal = |rows, columns| Tensor::random([rows, columns], Distribution::Normal(0.0, 1.0), device);
        let edges = EdgeList::complete(nodes).expect("a small graph");
        Self {
            graph: Graph::batch(vec![&edges; graphs], device).expect("few edges"),
            points: Points::new(normal(graphs * nodes, features), normal(graphs * nodes, 3)),
            edges: None,
            target: normal(graphs, 1),
        }
    }

    pub fn nbody(device: &Device) -> Self {
        let (graphs, nodes) = NBODY;
        let batch = Self::random(graphs, nodes, 1, device);
        let normal = |rows, columns| Tensor::random([rows, columns], Distribution::Normal(0.0, 0.3), device);
        Self {
            points: batch.points.with_velocities(normal(graphs * nodes, 3)),
            edges: Some(normal(batch.graph.edges(), 2)),
            target: normal(graphs * nodes, 3),
            ..batch
        }
    }

    pub fn qm9(device: &Device) -> Self {
        Self::random(QM9.0, QM9.1, 15, device)
    }
}

/// A network that is measured.
pub trait Network: Module {
    /// Positions `[nodes, 3]`, or one number for every graph, `[graphs, 1]`.
    fn predict(&self, batch: &Batch) -> Tensor<2>;

    /// Mean squared error.
    fn loss(&self, batch: &Batch) -> Tensor<1> {
        (self.predict(batch) - batch.target.clone()).powi_scalar(2).mean()
    }
}

impl Network for Egnn {
    fn predict(&self, batch: &Batch) -> Tensor<2> {
        self.positions(&batch.graph, batch.points.clone(), batch.edges.clone())
    }
}

impl Network for Qm9Egnn {
    fn predict(&self, batch: &Batch) -> Tensor<2> {
        let Points { features, positions, .. } = batch.points.clone();
        self.forward(&batch.graph, features, positions, batch.edges.clone())
    }
}

/// A network for molecules with random weights.
pub fn qm9(device: &Device) -> Qm9Egnn {
    let config = qm9_config();
    let linear = |output| LinearConfig::new(config.hidden, output).init(device);
    Qm9Egnn {
        node_input: linear(config.hidden),
        node_output: linear(config.hidden),
        graph_input: linear(config.hidden),
        graph_output: linear(1),
        egnn: config.init(device).expect("a valid configuration"),
    }
    .materialize()
}

/// A network in training: forward, mean squared error, backward, a step of Adam.
pub struct Training<N> {
    network: Option<N>,
    optimizer: ModuleOptimizer,
    rate: f64,
}

impl<N: Network> Training<N> {
    /// Adam with PyTorch's defaults.
    pub fn new(network: N, rate: f64) -> Self {
        Self { network: Some(network), optimizer: Adam::new().init(), rate }
    }

    /// The loss before the step.
    pub fn step(&mut self, batch: &Batch) -> Tensor<1> {
        let network = self.network.take().expect("put back below");
        let loss = network.loss(batch);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(self.rate, network, gradients));
        loss
    }
}
