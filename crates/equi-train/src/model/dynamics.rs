//! The networks that tell where particles will be, and what they cost.
//!
//! Operations are those of the linear maps as they are computed: the first layer of a message is multiplied node by node, not
//! edge by edge, and the update of the features that nobody reads, after the last layer of an EGNN, is not computed.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, Param};
use equi_core::check::points::NamedPointLayer;
use equi_layers::graph::{
    Egnn, EgnnConfig, LinearMotion, Points, RadialField, RadialFieldConfig, RawGnn, RawGnnConfig,
};

use crate::cost::linear_flops;
use crate::data::nbody::MotionBatch;
use crate::fit::Dynamics;

use super::stages::{POSITIONS, Stages, VELOCITIES, scalars};

impl Dynamics for Egnn {
    fn forward(&self, batch: &MotionBatch) -> Tensor<2> {
        self.positions(&batch.graph, batch.points.clone(), Some(batch.edges.clone()))
    }

    fn node_layers<'a>(&'a self, batch: &'a MotionBatch) -> Vec<NamedPointLayer<'a>> {
        let carried = vec![scalars(self.config().hidden), POSITIONS, VELOCITIES];
        let points = |x: &[Tensor<2>]| Points::new(x[0].clone(), x[1].clone()).with_velocities(x[2].clone());
        let mut stages = Stages::of_motions(batch).then("embedding", carried.clone(), |_, _, x| {
            vec![self.embedding.forward(x[0].clone()), x[1].clone(), x[2].clone()]
        });
        let last = self.layers.len() - 1;
        for (place, layer) in self.layers.iter().enumerate() {
            let name = format!("layer {}", place + 1);
            stages = if place == last {
                stages
                    .then(name, vec![POSITIONS], move |graph, edges, x| vec![layer.positions(graph, &points(x), edges)])
            } else {
                stages.then(name, carried.clone(), move |graph, edges, x| {
                    let Points { features, positions, .. } = layer.forward(graph, points(x), edges);
                    vec![features, positions, x[2].clone()]
                })
            };
        }
        stages.finish()
    }
}

impl Dynamics for RadialField {
    fn forward(&self, batch: &MotionBatch) -> Tensor<2> {
        self.positions(&batch.graph, batch.points.clone(), Some(batch.edges.clone()))
    }

    fn node_layers<'a>(&'a self, batch: &'a MotionBatch) -> Vec<NamedPointLayer<'a>> {
        let mut stages = Stages::of_motions(batch);
        for (place, layer) in self.layers.iter().enumerate() {
            // The speeds come first in what the first layer is given.
            let first = usize::from(place == 0);
            stages =
                stages.then(format!("layer {}", place + 1), vec![POSITIONS, VELOCITIES], move |graph, edges, x| {
                    let (positions, velocities) = (x[first].clone(), x[first + 1].clone());
                    vec![layer.forward(graph, positions, velocities.clone(), edges), velocities]
                });
        }
        stages.finish()
    }
}

impl Dynamics for RawGnn {
    fn forward(&self, batch: &MotionBatch) -> Tensor<2> {
        self.positions(&batch.graph, batch.points.clone(), Some(batch.edges.clone()))
    }

    /// The hidden features are said to be scalars: nothing else could be read off them in any frame.
    fn node_layers<'a>(&'a self, batch: &'a MotionBatch) -> Vec<NamedPointLayer<'a>> {
        let carried = vec![scalars(self.embedding.weight.dims()[1]), POSITIONS];
        let mut stages = Stages::of_motions(batch).then("embedding", carried.clone(), |_, _, x| {
            let points = Points::new(x[0].clone(), x[1].clone()).with_velocities(x[2].clone());
            vec![self.embed(points), x[1].clone()]
        });
        for (place, layer) in self.layers.iter().enumerate() {
            stages = stages.then(format!("layer {}", place + 1), carried.clone(), move |graph, edges, x| {
                vec![layer.forward(graph, x[0].clone(), edges), x[1].clone()]
            });
        }
        let stages = stages.then("shift", vec![POSITIONS], |_, _, x| vec![x[1].clone() + self.decode(x[0].clone())]);
        stages.finish()
    }
}

impl Dynamics for LinearMotion {
    fn forward(&self, batch: &MotionBatch) -> Tensor<2> {
        self.positions(batch.points.clone())
    }
}

/// What the last weights of a network are multiplied by, so that particles start where they are; an EGNN has it of its own.
const GAIN: f64 = 1e-3;

/// The same module, all weights times [`GAIN`].
pub(super) fn faint<M: Module>(module: M) -> M {
    struct Gain;
    impl ModuleMapper for Gain {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|weight| weight * GAIN)
        }
    }
    module.map(&mut Gain)
}

/// Operations of the positions of an [`Egnn`] for a graph of `nodes` and `edges`; of its features where it has those of an output.
pub fn egnn_flops(config: &EgnnConfig, nodes: usize, edges: usize) -> u64 {
    let EgnnConfig { hidden, layers, .. } = *config;
    let square = linear_flops(hidden, hidden);
    let scalar = square + linear_flops(hidden, 1);
    let on = |condition: bool, flops: u64| if condition { flops } else { 0 };
    let of_edge = linear_flops(1 + config.edge_features, hidden)
        + square
        + on(config.attention, linear_flops(hidden, 1))
        + on(config.update_positions, scalar);
    let of_node = 2 * square + on(config.velocity, scalar);
    let update = 3 * square + linear_flops(config.node_attributes, hidden);
    let (nodes, edges, layers) = (nodes as u64, edges as u64, layers as u64);
    let (updates, readout) = match config.out_features {
        Some(out) => (layers, linear_flops(hidden, out)),
        None => (layers - 1, 0),
    };
    nodes * (linear_flops(config.in_features, hidden) + readout)
        + layers * (edges * of_edge + nodes * of_node)
        + updates * nodes * update
}

/// Operations of a [`RadialField`] for a graph of `nodes` and `edges`.
pub fn radial_field_flops(config: &RadialFieldConfig, nodes: usize, edges: usize) -> u64 {
    let RadialFieldConfig { hidden, layers, edge_features, .. } = *config;
    let scalar = |inputs| linear_flops(inputs, hidden) + linear_flops(hidden, 1);
    layers as u64 * (edges as u64 * scalar(1 + edge_features) + nodes as u64 * scalar(1))
}

/// Operations of a [`RawGnn`] for a graph of `nodes` and `edges`.
pub fn raw_gnn_flops(config: &RawGnnConfig, nodes: usize, edges: usize) -> u64 {
    let RawGnnConfig { hidden, layers, .. } = *config;
    let square = linear_flops(hidden, hidden);
    let of_edge = linear_flops(config.edge_features, hidden) + square;
    let ends = linear_flops(config.inputs(), hidden) + square + linear_flops(hidden, config.outputs());
    let (nodes, edges, layers) = (nodes as u64, edges as u64, layers as u64);
    nodes * ends + layers * (edges * of_edge + nodes * 5 * square)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::cost::parameters;
    use crate::data::nbody::NBody;
    use crate::fit::positions;
    use crate::model::se3_transformer::SE3TransformerMotion;
    use crate::model::tensor_field::TensorFieldMotion;
    use burn::tensor::Device;
    use equi_layers::se3_transformer::SE3TransformerConfig;

    /// Multiply-adds of every matrix once, as parameters, tell what a graph with one node and one edge costs.
    #[test]
    fn one_node_and_one_edge_use_every_weight_once() {
        let device = Device::flex();
        let (hidden, layers) = (8, 3);
        let gnn = RawGnnConfig::new(1, hidden).with_edge_features(2).with_layers(layers);
        // Biases: the embedding, four a layer, two at the end; each adds and multiplies nothing here.
        let biases = hidden + layers * 4 * hidden + hidden + 3;
        let weights = parameters(&gnn.init(&device).unwrap()) - biases;
        assert_eq!(raw_gnn_flops(&gnn, 1, 1), 2 * weights as u64);

        let egnn = EgnnConfig::new(1, hidden).with_velocity().with_edge_features(2).with_layers(layers);
        let biases = hidden + layers * (6 * hidden + 2) - layers;
        let built = egnn.init(&device).unwrap();
        // The last update is not computed.
        let skipped = 3 * hidden * hidden;
        assert_eq!(egnn_flops(&egnn, 1, 1), 2 * (parameters(&built) - biases - skipped) as u64);

        // An invariant network reads features off: the last update counts, and one number a node.
        let invariant = EgnnConfig::new(1, hidden).invariant().with_out_features(1).with_layers(layers);
        let biases = hidden + layers * 4 * hidden + 1;
        let weights = parameters(&invariant.init(&device).unwrap()) - biases;
        assert_eq!(egnn_flops(&invariant, 1, 1), 2 * weights as u64);
        let gnn = RawGnnConfig::new(1, hidden).without_velocities().with_out_features(2).with_layers(layers);
        let biases = hidden + layers * 4 * hidden + hidden + 2;
        let weights = parameters(&gnn.init(&device).unwrap()) - biases;
        assert_eq!(raw_gnn_flops(&gnn, 1, 1), 2 * weights as u64);

        let field = RadialFieldConfig::new(hidden).with_edge_features(2).with_layers(layers);
        assert_eq!(radial_field_flops(&field, 1, 1), 2 * (layers * (3 * hidden + hidden + hidden + hidden)) as u64);
    }

    #[test]
    fn particles_start_where_they_are() {
        fn largest_shift<M: Dynamics>(model: &M) -> f64 {
            let motions = NBody::new(0).test(5).unwrap();
            let found = positions(model, &motions, &Device::flex()).concat();
            let start: Vec<[f64; 3]> = motions.into_iter().flat_map(|motion| motion.start.positions).collect();
            let shifts = found.as_flattened().iter().zip(start.as_flattened()).map(|(a, b)| (a - b).abs());
            shifts.fold(0.0, f64::max)
        }
        let device = Device::flex();
        let transformer = SE3TransformerConfig::new(8)
            .with_input_fibre(Some(SE3TransformerMotion::fibre_in()))
            .with_output_fibre(Some(SE3TransformerMotion::fibre_out()))
            .with_edge_dim(1)
            .with_seed(Some(0));
        let field = TensorFieldMotion::config("8x0e+8x1o".parse().unwrap(), 10.0, 4.0).with_seed(0);
        // Features of size 1 or so, times the gain.
        let transformer = SE3TransformerMotion::new(transformer.init(&device).unwrap());
        assert!((1e-6..0.05).contains(&largest_shift(&transformer)));
        let field = TensorFieldMotion::new(field.init(&device).unwrap());
        assert!((1e-6..0.05).contains(&largest_shift(&field)));
    }

    #[test]
    fn the_network_of_the_paper_has_its_number_of_parameters() {
        let egnn = EgnnConfig::new(1, 64).with_velocity().with_edge_features(2);
        assert_eq!(parameters(&egnn.init(&Device::flex()).unwrap()), 134_020);
    }
}
