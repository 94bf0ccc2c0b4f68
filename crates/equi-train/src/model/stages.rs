//! What the layers of a network on points are, for those who check them one by one.
//!
//! A network says it by writing its forward pass once more, cut where a layer ends, with the types of what points carry there. What it is told of edges,
//! such as products of charges and squared distances at the start, no motion changes: it belongs to the edges, which go with their points.

use burn::Tensor;
use burn::tensor::{DType, Device};
use equi_core::action::space::PointField;
use equi_core::check::points::{NamedPointLayer, PointFeature, PointFn};
use equi_core::group::Permutation;
use equi_core::o3::Irreps;
use equi_layers::graph::Graph;

use crate::data::nbody::MotionBatch;
use crate::data::points::PointBatch;

/// Positions, as a layer carries or gives them.
pub const POSITIONS: PointFeature = PointFeature::per_node(PointField::Position, 1);
/// A vector of every point.
pub const VECTORS: PointFeature = PointFeature::per_node(PointField::Vector, 1);
/// Velocities.
pub const VELOCITIES: PointFeature = VECTORS;
/// A number of every graph that is meant not to change when it is moved.
pub const NUMBER: PointFeature = PointFeature::per_graph(PointField::Scalar, 1);

/// Numbers of every point that are meant not to change when it is moved.
pub const fn scalars(channels: usize) -> PointFeature {
    PointFeature::per_node(PointField::Scalar, channels)
}

/// Features `[points, irreps.dim()]` block by block, as [`PointFeature::of_irreps`] lists them.
pub fn blocks(features: &Tensor<2>, irreps: &Irreps) -> Vec<Tensor<2>> {
    let columns = irreps.slices().into_iter().filter(|columns| !columns.is_empty());
    columns.map(|columns| features.clone().narrow(1, columns.start, columns.len())).collect()
}

/// The layers of a network so far.
pub struct Stages<'a> {
    graph: &'a Graph,
    /// Features of the edges, if they have any.
    edges: Option<&'a Tensor<2>>,
    sizes: Vec<usize>,
    options: (Device, DType),
    layers: Vec<NamedPointLayer<'a>>,
    /// What points carry after the last of them.
    carried: Vec<PointFeature>,
}

impl<'a> Stages<'a> {
    /// None yet: particles carry [`MotionBatch::features`], and edges have features.
    pub fn of_motions(batch: &'a MotionBatch) -> Self {
        Self::new(&batch.graph, Some(&batch.edges), MotionBatch::FEATURES.to_vec(), &batch.points.positions)
    }

    /// None yet: points carry [`PointBatch::features`], and edges have none.
    pub fn of_points(batch: &'a PointBatch) -> Self {
        Self::new(&batch.graph, None, batch.fields(), &batch.points.positions)
    }

    fn new(graph: &'a Graph, edges: Option<&'a Tensor<2>>, carried: Vec<PointFeature>, positions: &Tensor<2>) -> Self {
        let sizes = (0..graph.graphs()).map(|one| graph.members().rows_of(one).len()).collect();
        let options = (positions.device(), positions.dtype());
        Self { graph, edges, sizes, options, layers: Vec::new(), carried }
    }

    /// And a layer that takes what is carried, and gives `outputs`. It is given the graph, the features of its edges, if they have any, and what points
    /// carry: all of these in the same order of the points, which is not always that of the batch.
    pub fn then(
        mut self,
        name: impl Into<String>,
        outputs: Vec<PointFeature>,
        layer: impl Fn(&Graph, Option<&Tensor<2>>, &[Tensor<2>]) -> Vec<Tensor<2>> + 'a,
    ) -> Self {
        let (graph, edges) = (self.graph, self.edges);
        let ordered = move |carried: &[Tensor<2>], order: &Permutation| {
            if *order == Permutation::identity(order.nodes()) {
                return layer(graph, edges, carried);
            }
            let graph = graph.permuted(order);
            let edges = edges.map(|edges| graph.arrange(edges.clone()));
            layer(&graph, edges.as_ref(), carried)
        };
        let (device, dtype) = &self.options;
        let map = PointFn::new(&self.sizes, &self.carried, &outputs, device, *dtype, ordered);
        self.layers.push((name.into(), Box::new(map)));
        self.carried = outputs;
        self
    }

    /// All of them.
    pub fn finish(self) -> Vec<NamedPointLayer<'a>> {
        self.layers
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::nbody::NBody;
    use crate::fit::Dynamics;
    use crate::model::se3_transformer::SE3TransformerMotion;
    use crate::model::tensor_field::TensorFieldMotion;
    use equi_core::check::points::{Motion, PointLayerReport, PointLayerReports, Trials, layers};
    use equi_layers::graph::{EgnnConfig, Points, RadialFieldConfig, RawGnnConfig};
    use equi_layers::se3_transformer::SE3TransformerConfig;

    fn batch(dtype: DType) -> MotionBatch {
        let (motions, device) = (NBody::new(0).test(3).unwrap(), Device::flex());
        let graph = MotionBatch::graph(3, 5, &device);
        let MotionBatch { points, charges, edges, targets, .. } = MotionBatch::new(&motions, &graph, &device);
        let Points { features, positions, velocities, .. } = points;
        MotionBatch {
            points: Points::new(features.cast(dtype), positions.cast(dtype))
                .with_velocities(velocities.unwrap().cast(dtype)),
            charges: charges.cast(dtype),
            edges: edges.cast(dtype),
            targets: targets.cast(dtype),
            graph,
        }
    }

    /// The layers of a network, after a look at whether they are the network.
    fn reports<M: Dynamics>(model: &M, dtype: DType) -> PointLayerReports {
        let batch = batch(dtype);
        let network = model.node_layers(&batch);
        let unmoved = Permutation::identity(batch.graph.nodes());
        let end = network.iter().fold(batch.features(), |carried, (_, layer)| layer.forward(&carried, &unmoved));
        assert_eq!(end.len(), network.last().unwrap().1.outputs().len());
        let positions = end.into_iter().find(|x| x.dims()[1] == 3).expect("a network ends with positions");
        let difference = (positions - model.forward(&batch)).abs().max().into_scalar::<f64>();
        // Positions of some units, and sums in another order at most.
        assert!(difference < if dtype == DType::F64 { 1e-13 } else { 1e-4 }, "{difference}");
        layers(&network, &batch.features(), &Trials::default())
    }

    fn assert_equivariant<M: Dynamics>(model: &M, dtype: DType, names: &[&str]) {
        let PointLayerReports(reports) = reports(model, dtype);
        assert!(reports.iter().map(|layer| layer.name.as_str()).eq(names.iter().copied()), "{reports:?}");
        // Rounding of coordinates of some units, and of what is far from the origin, through up to six layers.
        let tolerance = if dtype == DType::F64 { 1e-11 } else { 1e-3 };
        for PointLayerReport { name, own, accumulated } in reports {
            own.assert_within(&name, tolerance);
            accumulated.assert_within(&name, tolerance);
        }
    }

    #[test]
    fn every_layer_of_the_equivariant_networks_commutes() {
        for dtype in [DType::F64, DType::F32] {
            let options = (&Device::flex(), dtype);
            let egnn = EgnnConfig::new(1, 8).with_velocity().with_edge_features(2).with_layers(3).with_seed(1);
            let names = ["embedding", "layer 1", "layer 2", "layer 3"];
            assert_equivariant(&egnn.init(options).unwrap(), dtype, &names);
            let field = RadialFieldConfig::new(8).with_edge_features(2).with_layers(2).with_seed(1);
            assert_equivariant(&field.init(options).unwrap(), dtype, &["layer 1", "layer 2"]);
            // Shifts as large as the positions, which a network that is trained does not begin with.
            let config = TensorFieldMotion::config("4x0e+3x1o+2x2e".parse().unwrap(), 10.0, 4.0).with_seed(1);
            let network = TensorFieldMotion { network: config.init(options).unwrap() };
            let names = ["convolution 1", "gate 1", "convolution 2", "gate 2", "convolution 3"];
            assert_equivariant(&network, dtype, &names);
            let config = SE3TransformerConfig::new(4)
                .with_input_fibre(Some(SE3TransformerMotion::fibre_in()))
                .with_output_fibre(Some(SE3TransformerMotion::fibre_out()))
                .with_num_degrees(3)
                .with_heads(2)
                .with_dim_head(2)
                .with_edge_dim(1)
                .with_depth(1)
                .with_radial_hidden(8)
                .with_reflections(true)
                .with_seed(Some(1));
            let network = SE3TransformerMotion { network: config.init(options).unwrap() };
            let names = ["input convolution", "attention 1", "feed-forward 1", "output convolution"];
            assert_equivariant(&network, dtype, &names);
        }
    }

    #[test]
    fn a_network_on_coordinates_breaks_where_it_reads_and_where_it_writes_them() {
        let model = RawGnnConfig::new(1, 8).with_edge_features(2).with_layers(2).with_seed(1);
        let reports = reports(&model.init((&Device::flex(), DType::F64)).unwrap(), DType::F64);
        let [embedding, first, second, shift] = &reports.0[..] else { panic!("four layers: {reports}") };
        for motion in [Motion::Rotation, Motion::Reflection, Motion::Translation] {
            assert!(embedding.own.error_of(motion).unwrap() > 1e-2, "{reports}");
        }
        for layer in [first, second] {
            assert!(layer.own.error() < 1e-13 && layer.accumulated.error() > 1e-2, "{reports}");
        }
        assert!(shift.own.error_of(Motion::Rotation).unwrap() > 1e-3, "{reports}");
        assert!(shift.own.error_of(Motion::Translation).unwrap() < 1e-13, "a shift is one wherever: {reports}");
        for layer in &reports.0 {
            assert!(layer.accumulated.error_of(Motion::Permutation).unwrap() < 1e-13, "{reports}");
        }
    }

    #[test]
    fn a_broken_layer_among_good_ones_is_found() {
        let device = Device::flex();
        let config = EgnnConfig::new(1, 8).with_velocity().with_edge_features(2).with_seed(1);
        let (egnn, batch) = (config.init((&device, DType::F64)).unwrap(), batch(DType::F64));
        let mut network = egnn.node_layers(&batch);
        let (name, layer) = network.remove(2);
        let (inputs, outputs, graphs) = (layer.inputs(), layer.outputs(), layer.graphs());
        let wind = Tensor::<2>::from_data([[0.1, 0.0, 0.0]], (&device, DType::F64));
        let broken = PointFn::new(&graphs, &inputs, &outputs, &device, DType::F64, move |x, order| {
            let mut after = layer.forward(x, order);
            after[1] = after[1].clone() + wind.clone();
            after
        });
        network.insert(2, (name, Box::new(broken)));
        let reports = layers(&network, &batch.features(), &Trials::default());
        for (place, layer) in reports.0.iter().enumerate() {
            let (own, so_far) = (layer.own.error_of(Motion::Rotation).unwrap(), layer.accumulated.error());
            assert!(if place == 2 { own > 1e-3 } else { own < 1e-11 }, "{reports}");
            assert!(if place >= 2 { so_far > 1e-3 } else { so_far < 1e-11 }, "{reports}");
            assert!(layer.own.error_of(Motion::Translation).unwrap() < 1e-11, "it blows alike everywhere: {reports}");
        }
    }
}
