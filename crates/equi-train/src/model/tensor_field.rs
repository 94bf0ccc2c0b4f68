//! Where particles will be, by a tensor field network:
//!
//! ```text
//! x_i' = x_i + f(|v|, q, v, x_i - x_j)_i
//! ```
//!
//! with speeds and charges `q` as features `0e`, velocities `v` as `1o`. An edge of this network has no features but its length and direction,
//! so charges are attributes too: what a node has heard is multiplied by its own charge in every layer but the first, which makes products
//! of charges. `f` gives every particle a vector, `1o`.
//!
//! Isometries and permutations commute with it.
//!
//! Thomas et al.: Tensor field networks, 2018; on these particles Satorras et al., ICML 2021.

use burn::Tensor;
use burn::module::Module;
use equi_core::check::points::{NamedPointLayer, PointFeature};
use equi_core::o3::{Irrep, Irreps, MulIrrep};
use equi_layers::graph::Graph;
use equi_layers::o3::{
    IrrepsLinear, PointConvolution, SelfConnection, TensorFieldLayer, TensorFieldNetwork, TensorFieldNetworkConfig,
    TensorProduct,
};

use crate::cost::linear_flops;
use crate::data::nbody::MotionBatch;
use crate::fit::Dynamics;

use super::dynamics::faint;
use super::stages::{POSITIONS, Stages, blocks, scalars};

/// `x + f(...)` with a [`TensorFieldNetwork`] `f`; see the [module documentation](self).
#[derive(Module, Debug)]
pub struct TensorFieldMotion {
    /// From a speed, a charge and a velocity to a shift of the position.
    pub network: TensorFieldNetwork,
}

impl TensorFieldMotion {
    /// A network for these particles, `hidden` in between, that hears from `neighbours` within `cutoff`.
    pub fn config(hidden: Irreps, cutoff: f64, neighbours: f64) -> TensorFieldNetworkConfig {
        let [scalars, vector] = [MulIrrep::new(2, Irrep::even(0)), MulIrrep::new(1, Irrep::odd(1))];
        TensorFieldNetworkConfig::new(Irreps::new([scalars, vector]), hidden, vector.into(), cutoff, neighbours)
            .with_node_attributes(scalars.into())
    }

    /// With a network whose last layer is scaled so that particles start where they are.
    pub fn new(mut network: TensorFieldNetwork) -> Self {
        network.readout.receive = faint(network.readout.receive);
        network.readout.self_connection = faint(network.readout.self_connection);
        Self { network }
    }
}

impl Dynamics for TensorFieldMotion {
    fn forward(&self, batch: &MotionBatch) -> Tensor<2> {
        let (points, charges) = (batch.points.clone(), batch.charges.clone());
        let velocities = points.velocities.expect("motions have velocities");
        let attributes = Tensor::cat(vec![charges.ones_like(), charges.clone()], 1);
        let features = Tensor::cat(vec![points.features, charges, velocities], 1);
        points.positions.clone() + self.network.forward(&batch.graph, features, points.positions, Some(attributes))
    }

    fn node_layers<'a>(&'a self, batch: &'a MotionBatch) -> Vec<NamedPointLayer<'a>> {
        // Positions, charges, and features block by block; in the beginning speeds, positions, velocities, charges.
        let positions = |place: usize, x: &[Tensor<2>]| x[if place == 0 { 1 } else { 0 }].clone();
        let convolved = move |place: usize, convolution: &PointConvolution, graph: &Graph, x: &[Tensor<2>]| {
            let (charges, features) = match (place, x) {
                (0, [speeds, _, velocities, charges]) => {
                    (charges.clone(), vec![speeds.clone(), charges.clone(), velocities.clone()])
                }
                (_, [_, charges, features @ ..]) => (charges.clone(), features.to_vec()),
                _ => unreachable!("a layer is given what it says"),
            };
            let attributes = Tensor::cat(vec![charges.ones_like(), charges.clone()], 1);
            let edges = self.network.edges(graph, positions(place, x));
            (charges, convolution.forward(graph, Tensor::cat(features, 1), Some(attributes), &edges))
        };
        let carried = |irreps: &Irreps| [vec![POSITIONS, scalars(1)], PointFeature::of_irreps(irreps)].concat();
        let mut stages = Stages::of_motions(batch);
        for (place, TensorFieldLayer { convolution, gate }) in self.network.layers.iter().enumerate() {
            stages =
                stages.then(format!("convolution {}", place + 1), carried(gate.irreps_in()), move |graph, _, x| {
                    let (charges, features) = convolved(place, convolution, graph, x);
                    [vec![positions(place, x), charges], blocks(&features, gate.irreps_in())].concat()
                });
            stages = stages.then(format!("gate {}", place + 1), carried(gate.irreps_out()), move |_, _, x| {
                let features = gate.forward(Tensor::cat(x[2..].to_vec(), 1));
                [x[..2].to_vec(), blocks(&features, gate.irreps_out())].concat()
            });
        }
        let last = self.network.layers.len();
        let stages = stages.then(format!("convolution {}", last + 1), vec![POSITIONS], move |graph, _, x| {
            let (_, shift) = convolved(last, &self.network.readout, graph, x);
            vec![positions(last, x) + shift]
        });
        stages.finish()
    }
}

/// Operations of a [`TensorFieldNetwork`] for a graph of `nodes` and `edges`.
///
/// Those of a convolution are, with `d` components of a copy of an irrep:
///
/// ```text
/// node    copies in * copies out * d       both linear maps, and that or a product for what it hears from itself
/// edge    the radial network               layer by layer
/// edge    a path of the product            d1 d2 d to turn the coefficients by the harmonic, where both have more than one component;
///                                          d1 d, or d with a scalar harmonic, for every copy, and its weight
/// ```
///
/// The harmonics and the functions of the distance are not counted.
pub fn tensor_field_flops(network: &TensorFieldNetwork, nodes: usize, edges: usize) -> u64 {
    let convolutions = network.layers.iter().map(|layer| &layer.convolution).chain([&network.readout]);
    convolutions.map(|convolution| convolution_flops(convolution, nodes as u64, edges as u64)).sum()
}

fn convolution_flops(convolution: &PointConvolution, nodes: u64, edges: u64) -> u64 {
    let itself = match &convolution.self_connection {
        Some(SelfConnection::Linear(linear)) => irreps_linear_flops(linear),
        Some(SelfConnection::Product(product)) => mixing_flops(product),
        None => 0,
    };
    let of_node = irreps_linear_flops(&convolution.send) + irreps_linear_flops(&convolution.receive) + itself;
    let radial = convolution.radial.layers.iter().map(|layer| 2 * layer.lazy_shape().num_elements() as u64);
    nodes * of_node + edges * (radial.sum::<u64>() + message_flops(&convolution.product))
}

/// Every copy to every copy of the same irrep, component by component.
fn irreps_linear_flops(linear: &IrrepsLinear) -> u64 {
    let pairs =
        linear.irreps_in().blocks().iter().flat_map(|a| linear.irreps_out().blocks().iter().map(move |b| (a, b)));
    let equal = pairs.filter(|(a, b)| a.irrep == b.irrep);
    equal.map(|(a, b)| a.irrep.dim() as u64 * linear_flops(a.mul, b.mul)).sum()
}

/// A product with scalars whose copies are all mixed: the products of copies, and the mixing.
fn mixing_flops(product: &TensorProduct) -> u64 {
    let of_path = |[a, b, out]: [MulIrrep; 3]| {
        let products = a.mul * b.mul;
        out.irrep.dim() as u64 * (products as u64 + linear_flops(products, out.mul))
    };
    product.paths().iter().map(|path| of_path(path.blocks)).sum()
}

/// A product with harmonics, copy by copy, with a weight for every copy.
fn message_flops(product: &TensorProduct) -> u64 {
    let of_path = |[a, b, out]: [MulIrrep; 3]| {
        let [d1, d2, d] = [a, b, out].map(|block| block.irrep.dim());
        let turned = if d1 > 1 && d2 > 1 { linear_flops(d1 * d2, d) } else { 0 };
        let of_copy = if d2 == 1 { d as u64 } else { linear_flops(d1, d) };
        // A weight goes where fewer components are.
        let weighed = if d2 == 1 { 1 } else { d1.min(d) as u64 };
        turned + a.mul as u64 * (of_copy + weighed)
    };
    product.paths().iter().map(|path| of_path(path.blocks)).sum()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::cost::parameters;
    use burn::tensor::Device;

    fn network(irreps: [&str; 3], attributes: &str, lmax: usize) -> TensorFieldNetwork {
        let [from, hidden, to] = irreps.map(|irreps| irreps.parse::<Irreps>().unwrap());
        let config = TensorFieldNetworkConfig::new(from, hidden, to, 5.0, 4.0).with_lmax(lmax).with_radial(3, [7]);
        config.with_node_attributes(attributes.parse().unwrap()).init(&Device::flex()).unwrap()
    }

    /// With degree 0 only, all that is not a weight used once is written out.
    #[test]
    fn one_node_and_one_edge_use_every_weight_once() {
        let scalars = network(["2x0e", "6x0e", "1x0e"], "", 0);
        // Every copy that is sent is multiplied by a harmonic and its weight.
        let sent = 2 * (2 + 6 + 6);
        assert_eq!(tensor_field_flops(&scalars, 1, 1), (2 * parameters(&scalars) + sent) as u64);
        let attributes = network(["2x0e", "6x0e", "1x0e"], "2x0e", 0);
        let multiplied = 2 * (2 + 6 + 6);
        assert_eq!(tensor_field_flops(&attributes, 1, 1), (2 * parameters(&attributes) + sent + multiplied) as u64);
    }

    #[test]
    fn products_of_vectors_are_counted_by_component() {
        // One convolution, by 0e, 1o and 2e: to 1o lead 1o x 0e and 1o x 2e, with a weight each.
        let mut network = network(["1o", "1o", "1o"], "", 2);
        network.layers.clear();
        let (nodes, edges) = (5, 20);
        // One linear map there, one from both products, and the self-connection, all of three components.
        let of_node = 2 * (3 + 2 * 3 + 3);
        let radial = 2 * (3 * 7 + 7 * 2);
        let by_scalar = 3 + 1;
        let by_degree_two = 2 * (3 * 5 * 3) + 2 * (3 * 3) + 3;
        let expected = nodes * of_node + edges * (radial + by_scalar + by_degree_two);
        assert_eq!(tensor_field_flops(&network, nodes, edges), expected as u64);
    }
}
