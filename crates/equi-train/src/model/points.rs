//! Networks that say something of samples of points: a number, or a vector for every point.
//!
//! ```text
//! number:   y = sum_i r(h_i) / n      of the features h after the last layer, n the number of points of an average sample
//! vectors:  y_i                       the shifts of an EGNN, or three features of the plain network
//! ```
//!
//! The sum is that of contributions of the points, so what grows with a sample can be told.

use burn::Tensor;
use burn::module::Module;
use equi_core::check::points::NamedPointLayer;
use equi_core::ops::segment_sum;
use equi_layers::graph::{Egnn, Points, RawGnn};

use super::stages::{NUMBER, POSITIONS, Stages, VECTORS, VELOCITIES, scalars};
use crate::data::points::PointBatch;
use crate::fit::PointModel;

/// An [`Egnn`] with a number or with vectors for its answer.
#[derive(Module, Debug)]
pub struct PointEgnn {
    network: Egnn,
    /// Points of an average sample, where the answer is a number.
    average: Option<f64>,
}

/// A [`RawGnn`] with a number or with vectors for its answer.
#[derive(Module, Debug)]
pub struct PointGnn {
    network: RawGnn,
    average: Option<f64>,
}

impl PointEgnn {
    /// Around a network with one feature in its output, of which the sum over a sample is divided by `average`; without it, of the shifts of the network.
    pub fn new(network: Egnn, average: Option<f64>) -> Self {
        Self { network, average }
    }
}

impl PointGnn {
    /// Around a network with one feature in its output, of which the sum over a sample is divided by `average`; without it, one with three.
    pub fn new(network: RawGnn, average: Option<f64>) -> Self {
        Self { network, average }
    }
}

impl PointModel for PointEgnn {
    fn forward(&self, batch: &PointBatch) -> Tensor<2> {
        match self.average {
            Some(average) => {
                let (features, _) = self.network.forward(&batch.graph, batch.points.clone(), None);
                segment_sum(features, batch.graph.members()) / average
            }
            None => self.network.shifts(&batch.graph, batch.points.clone(), None),
        }
    }

    /// Points carry hidden features, positions and velocities, and for vectors how far they have come.
    fn node_layers<'a>(&'a self, batch: &'a PointBatch) -> Vec<NamedPointLayer<'a>> {
        let Egnn { embedding, layers, readout, .. } = &self.network;
        let moving = batch.points.velocities.is_some();
        let hidden = [scalars(self.network.config().hidden), POSITIONS];
        let carried: Vec<_> = hidden.into_iter().chain(moving.then_some(VELOCITIES)).collect();
        let width = carried.len();
        let points = move |x: &[Tensor<2>]| Points {
            features: x[0].clone(),
            positions: x[1].clone(),
            velocities: moving.then(|| x[2].clone()),
            attributes: None,
        };
        let mut stages = Stages::of_points(batch).then("embedding", carried.clone(), |_, _, x| {
            [vec![embedding.forward(x[0].clone())], x[1..].to_vec()].concat()
        });
        for (place, layer) in layers.iter().enumerate() {
            let last = place + 1 == layers.len();
            let outputs = match (self.average, last) {
                (Some(_), _) => carried.clone(),
                (None, false) => [carried.clone(), vec![VECTORS]].concat(),
                (None, true) => vec![VECTORS],
            };
            let vectors = self.average.is_none();
            stages = stages.then(format!("layer {}", place + 1), outputs, move |graph, edges, x| {
                let (after, shift) = layer.forward_shift(graph, points(x), edges);
                let so_far = x.get(width).cloned().into_iter().chain(shift).reduce(|sum, shift| sum + shift);
                let so_far = vectors.then(|| so_far.unwrap_or_else(|| x[1].zeros_like()));
                let carried = if vectors && last { Vec::new() } else { vec![after.features, after.positions] };
                let velocities = after.velocities.filter(|_| !carried.is_empty());
                carried.into_iter().chain(velocities).chain(so_far).collect()
            });
        }
        if let Some(average) = self.average {
            stages = stages.then("readout", vec![NUMBER], move |graph, _, x| {
                let features = readout.as_ref().map_or_else(|| x[0].clone(), |readout| readout.forward(x[0].clone()));
                vec![segment_sum(features, graph.members()) / average]
            });
        }
        stages.finish()
    }
}

impl PointModel for PointGnn {
    fn forward(&self, batch: &PointBatch) -> Tensor<2> {
        let features = self.network.forward(&batch.graph, batch.points.clone(), None);
        match self.average {
            Some(average) => segment_sum(features, batch.graph.members()) / average,
            None => features,
        }
    }

    /// The hidden features are said to be scalars: nothing else could be read off them in any frame.
    fn node_layers<'a>(&'a self, batch: &'a PointBatch) -> Vec<NamedPointLayer<'a>> {
        let Self { network, average } = self;
        let carried = vec![scalars(network.embedding.weight.dims()[1]), POSITIONS];
        let mut stages = Stages::of_points(batch).then("embedding", carried.clone(), |_, _, x| {
            let points = Points::new(x[0].clone(), x[1].clone());
            let velocities = x.get(2).cloned();
            vec![network.embed(Points { velocities, ..points }), x[1].clone()]
        });
        for (place, layer) in network.layers.iter().enumerate() {
            stages = stages.then(format!("layer {}", place + 1), carried.clone(), move |graph, edges, x| {
                vec![layer.forward(graph, x[0].clone(), edges), x[1].clone()]
            });
        }
        let outputs = vec![if average.is_some() { NUMBER } else { VECTORS }];
        let stages = stages.then("readout", outputs, |graph, _, x| {
            let features = network.decode(x[0].clone());
            vec![match average {
                Some(average) => segment_sum(features, graph.members()) / *average,
                None => features,
            }]
        });
        stages.finish()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::points::{Neighbourhood, PointSample, PointSystem, PointTarget, Units};
    use crate::seed::{Purpose, stream};
    use burn::tensor::{DType, Device};
    use equi_core::check::points::{Motion, PointLayerReport, PointLayerReports, Trials, layers};
    use equi_core::group::Permutation;
    use equi_layers::graph::{EgnnConfig, RawGnnConfig};
    use rand::RngExt;

    /// Three samples of 4, 5 and 6 points with a feature each, in f64.
    fn batch(velocities: bool, vectors: bool) -> PointBatch {
        let sample = |number: usize| {
            let mut random = stream(0, Purpose::Probe, number as u64);
            let points = 4 + number;
            let mut drawn = || -> Vec<[f64; 3]> { (0..points).map(|_| random.random()).collect() };
            PointSample {
                positions: drawn(),
                velocities: velocities.then(&mut drawn),
                species: Vec::new(),
                features: (0..points).map(|at| vec![(at * at) as f64]).collect(),
                target: if vectors { PointTarget::Vectors(drawn()) } else { PointTarget::Scalar(number as f64) },
            }
        };
        let system = |number| PointSystem::new(&sample(number), [0.0; 3], &[], Neighbourhood::Nearest(3)).unwrap();
        let systems: Vec<PointSystem> = (0..3).map(system).collect();
        let PointBatch { graph, points, targets } = PointBatch::new(&systems, &Units::of(&systems, 0), &Device::flex());
        let Points { features, positions, velocities, .. } = points;
        let cast = |x: Tensor<2>| x.cast(DType::F64);
        let points = Points {
            features: cast(features),
            positions: cast(positions),
            velocities: velocities.map(cast),
            attributes: None,
        };
        PointBatch { graph, points, targets: cast(targets) }
    }

    /// The layers of a network, after a look at whether they are the network.
    fn reports<M: PointModel>(model: &M, batch: &PointBatch) -> PointLayerReports {
        let network = model.node_layers(batch);
        let unmoved = Permutation::identity(batch.graph.nodes());
        let end = network.iter().fold(batch.features(), |carried, (_, layer)| layer.forward(&carried, &unmoved));
        let [end] = &end[..] else { panic!("a network ends with its answer") };
        let answer = model.forward(batch);
        let size = answer.clone().abs().max().into_scalar::<f64>();
        // Sums in another order at most.
        assert!((end.clone() - answer).abs().max().into_scalar::<f64>() < 1e-12 * size);
        layers(&network, &batch.features(), &Trials::default())
    }

    #[test]
    fn every_layer_of_the_equivariant_networks_commutes() {
        let options = (&Device::flex(), DType::F64);
        for (velocities, vectors) in [(false, false), (false, true), (true, false), (true, true)] {
            let batch = batch(velocities, vectors);
            let [_, inputs] = batch.points.features.dims();
            let config = EgnnConfig::new(inputs, 8).with_layers(2).with_seed(1);
            let config = if velocities { config.with_velocity() } else { config };
            let config = if vectors { config } else { config.with_out_features(1) };
            let config = if velocities || vectors { config } else { config.invariant() };
            let model = PointEgnn::new(config.init(options).unwrap(), (!vectors).then_some(5.0));
            let PointLayerReports(reports) = reports(&model, &batch);
            let names: Vec<&str> = reports.iter().map(|layer| layer.name.as_str()).collect();
            let expected = ["embedding", "layer 1", "layer 2", "readout"];
            assert_eq!(names, expected[..if vectors { 3 } else { 4 }]);
            for PointLayerReport { name, own, accumulated } in reports {
                // Rounding in f64 of shifts of a thousandth.
                own.assert_within(&name, 1e-10);
                accumulated.assert_within(&name, 1e-10);
            }
        }
    }

    #[test]
    fn a_network_on_coordinates_breaks_where_it_reads_them_and_where_it_gives_vectors() {
        for (velocities, vectors) in [(false, false), (true, true)] {
            let batch = batch(velocities, vectors);
            let [_, inputs] = batch.points.features.dims();
            let config = RawGnnConfig::new(inputs, 8).with_layers(1).with_seed(1);
            let config = config.with_out_features(if vectors { 3 } else { 1 });
            let config = if velocities { config } else { config.without_velocities() };
            let options = (&Device::flex(), DType::F64);
            let model = PointGnn::new(config.init(options).unwrap(), (!vectors).then_some(5.0));
            let reports = reports(&model, &batch);
            let [embedding, layer, readout] = &reports.0[..] else { panic!("three layers: {reports}") };
            for motion in [Motion::Rotation, Motion::Reflection, Motion::Translation] {
                assert!(embedding.own.error_of(motion).unwrap() > 1e-2, "{reports}");
                assert!(readout.accumulated.error_of(motion).unwrap() > 1e-3, "{reports}");
            }
            assert!(layer.own.error() < 1e-12, "{reports}");
            // A number read off scalars is one, three of them are no vector.
            assert_eq!(readout.own.error_of(Motion::Rotation).unwrap() > 1e-2, vectors, "{reports}");
            assert!(readout.accumulated.error_of(Motion::Permutation).unwrap() < 1e-12, "{reports}");
        }
    }
}
