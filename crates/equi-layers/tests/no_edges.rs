//! Batches without any edge: nodes are what they would be beside graphs that have some.

#![cfg(feature = "flex")]

#[path = "common/devices.rs"]
mod devices;
#[path = "common/irreps.rs"]
mod rows;

use burn::tensor::Tensor;
use devices::settings;
use equi_layers::graph::{Aggregation, EdgeList, EgnnConfig, Graph, Normalization, Points};
use equi_layers::o3::TensorFieldNetworkConfig;
use rows::{assert_close, host, irreps, noise};

#[test]
fn egnn_without_edges() {
    for setting in settings() {
        let device = setting.device.clone().autodiff();
        let lone = EdgeList::new(3, vec![], vec![]).unwrap();
        let all = EdgeList::complete(4).unwrap();
        let [alone, beside] =
            [vec![&lone], vec![&lone, &all]].map(|graphs| Graph::batch(graphs, &device).expect("a batch"));
        assert_eq!(alone.edges(), 0);
        let plain = EgnnConfig::new(2, 5).with_seed(1);
        for config in [
            plain.clone(),
            plain.clone().with_velocity().with_edge_features(2).with_node_attributes(1).with_attention(true),
            plain.clone().with_normalization(Normalization::Shifted).with_tanh(true).with_residual(false),
            plain.clone().with_message_aggregation(Aggregation::Mean).with_out_features(3),
            plain.invariant(),
        ] {
            let egnn = config.init((&device, setting.dtype)).unwrap();
            let noise = |rows, columns, seed| noise(rows, columns, seed, &device, setting.dtype);
            let (h, x, v, c) = (noise(7, 2, 2), noise(7, 3, 3), noise(7, 3, 4), noise(7, 1, 5));
            let run = |graph: &Graph| {
                let rows = |tensor: &Tensor<2>| tensor.clone().narrow(0, 0, graph.nodes()).detach().require_grad();
                let (h, x) = (rows(&h), rows(&x));
                let mut points = Points::new(h.clone(), x.clone());
                if config.velocity {
                    points = points.with_velocities(rows(&v));
                }
                if config.node_attributes > 0 {
                    points = points.with_attributes(rows(&c));
                }
                // Narrowing to no row at all is what this is about.
                let edges = (config.edge_features > 0).then(|| match graph.edges() {
                    0 => Tensor::zeros([0, 2], (&device, setting.dtype)),
                    edges => noise(edges, 2, 6),
                });
                let (features, positions) = egnn.forward(graph, points, edges);
                let (features, positions) = (features.narrow(0, 0, 3), positions.narrow(0, 0, 3));
                let loss = features.clone().powi_scalar(2).sum() + positions.clone().powi_scalar(2).sum();
                let gradients = loss.backward();
                let gradient = |input: &Tensor<2>| host(&input.grad(&gradients).expect("a gradient").narrow(0, 0, 3));
                [host(&features), host(&positions), gradient(&h), gradient(&x)]
            };
            for (place, (alone, beside)) in run(&alone).iter().zip(run(&beside)).enumerate() {
                assert!(alone.iter().any(|value| *value != 0.0));
                assert_close(&format!("{}: {place} of {config:?}", setting.name), &beside, alone, setting.tolerance);
            }
        }
    }
}

#[test]
fn tensor_field_networks_without_edges() {
    for setting in settings() {
        let device = &setting.device;
        let config =
            TensorFieldNetworkConfig::new(irreps("1x0e+1x1o"), irreps("4x0e+4x1o"), irreps("1x0e+1x1o"), 2.0, 3.0);
        let network = config.with_seed(1).init((device, setting.dtype)).unwrap();
        let lone = EdgeList::new(3, vec![], vec![]).unwrap();
        let all = EdgeList::complete(4).unwrap();
        let (features, positions) = (noise(7, 4, 2, device, setting.dtype), noise(7, 3, 3, device, setting.dtype));
        let run = |graphs: Vec<&EdgeList>| {
            let graph = Graph::batch(graphs, device).unwrap();
            let rows = |tensor: &Tensor<2>| tensor.clone().narrow(0, 0, graph.nodes());
            host(&network.forward(&graph, rows(&features), rows(&positions), None).narrow(0, 0, 3))
        };
        let alone = run(vec![&lone]);
        assert!(alone.iter().any(|value| *value != 0.0), "a node hears itself");
        assert_close(setting.name, &run(vec![&lone, &all]), &alone, setting.tolerance);
    }
}
