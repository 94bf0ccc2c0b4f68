//! An SE(3)-Transformer without neighbours, without nodes, with points in one place or with logits that exponentials cannot hold gives finite numbers,
//! with finite gradients.

#[path = "common/devices.rs"]
mod devices;
#[path = "common/se3_transformer.rs"]
mod se3_transformer;

use burn::module::Param;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use devices::{Setting, settings};
use equi_layers::graph::{EdgeList, Graph};
use equi_layers::se3_transformer::{DenseInputs, Fibre, SE3Inputs, SE3Transformer, SE3TransformerConfig};
use se3_transformer::{float, host, largest_difference, weight_gradients};

#[test]
fn nothing_to_attend_to_gives_zero() {
    let (device, dtype) = (Device::flex(), DType::F64);
    let config =
        SE3TransformerConfig::new(4).with_heads(2).with_dim_head(4).with_radial_hidden(8).with_output_degrees(2);
    let config = config.with_attend_self(false).with_feed_forward(false).with_num_degrees(2).with_seed(Some(1));
    let graph = Graph::new(&EdgeList::new(2, vec![], vec![]).unwrap(), &device).unwrap();
    let features = float(&[1.0, -2.0, 0.5, 3.0, 0.1, 0.2, 0.3, 0.4], [2, 4], &device, dtype);
    let run = |network: &SE3Transformer| {
        let inputs = SE3Inputs::new(features.clone(), Tensor::zeros([2, 3], (&device, dtype)));
        host(network.forward(&graph, inputs).into_irreps())
    };
    let mut network = config.init((&device, dtype)).unwrap();
    let attended = run(&network);
    network.blocks.clear();
    assert_eq!(attended, run(&network));
    assert!(attended.iter().any(|&value| value != 0.0));
}

#[test]
fn vectors_from_scalars_without_edges_have_a_gradient_of_zero() {
    for Setting { name, device, dtype, .. } in settings() {
        let device = device.autodiff();
        let config = SE3TransformerConfig::new(4).with_heads(2).with_dim_head(4).with_radial_hidden(8);
        let config = config.with_num_degrees(1).with_output_fibre(Some(Fibre::new([(1, 2)]))).with_seed(Some(1));
        let network = config.init((&device, dtype)).unwrap();
        let graph = Graph::new(&EdgeList::new(2, vec![], vec![]).unwrap(), &device).unwrap();
        let inputs =
            SE3Inputs::new(Tensor::<2>::ones([2, 4], (&device, dtype)), Tensor::zeros([2, 3], (&device, dtype)));
        let output = network.forward(&graph, inputs).degree(1).unwrap();
        assert!(host(output.clone()).iter().all(|&value| value == 0.0), "{name}");
        let gradients = weight_gradients(&network, &output.sum().backward());
        assert!(gradients.iter().flatten().all(|&value| value == 0.0), "{name}");
    }
}

#[test]
fn no_neighbours_no_nodes_and_points_in_one_place_are_finite_with_their_gradients() {
    for setting in settings() {
        // One of the options is enough where every shape compiles kernels.
        let count = if setting.name.starts_with("wgpu") { 1 } else { 5 };
        finite(&setting.device.autodiff(), setting.dtype, count);
    }
}

fn finite(device: &Device, dtype: DType, count: usize) {
    let configs = [
        SE3TransformerConfig::new(4).with_num_degrees(3).with_output_degrees(2),
        SE3TransformerConfig::new(4).with_use_egnn(true),
        SE3TransformerConfig::new(4).with_attend_self(false).with_valid_radius(0.1),
        SE3TransformerConfig::new(4).with_attend_self(false).with_use_null_kv(true).with_rotary_rel_dist(true),
        SE3TransformerConfig::new(4).with_norm_gated_scale(true).with_fourier_encode_dist(true),
    ];
    for config in configs.into_iter().take(count) {
        let config = config
            .with_heads(2)
            .with_dim_head(4)
            .with_radial_hidden(8)
            .with_differentiable_coors(true)
            .with_seed(Some(1));
        let network = config.init((device, dtype)).unwrap();
        for (positions, mask) in [
            // All in one place, two in one place, far apart, all masked.
            ([[1.0, 2.0, 3.0]; 4], [true; 4]),
            ([[0.0; 3], [0.0; 3], [1.0, 0.0, 0.0], [0.0, 0.2, 0.0]], [true; 4]),
            ([[0.0; 3], [1e4, 0.0, 0.0], [0.0, 1e4, 0.0], [0.0, 0.0, 1e4]], [true, true, false, true]),
            ([[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [false; 4]),
            ([[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [false, true, false, false]),
        ] {
            for scale in [1.0, 0.0] {
                let positions: Vec<f64> = positions.concat();
                let positions = float(&positions, [1, 4, 3], device, dtype).require_grad();
                let values: Vec<f64> = (0..16).map(|i| scale * (i as f64 - 7.0)).collect();
                let features = float(&values, [1, 4, 4], device, dtype).require_grad();
                let mask = Tensor::<2, Bool>::from_data(TensorData::new(mask.to_vec(), [1, 4]), device);
                let inputs = DenseInputs::new(features.clone(), positions.clone()).with_mask(mask);
                let output = network.forward_dense(inputs).unwrap();
                let values = host(output.scalars());
                let fine = values.iter().all(|value| value.is_finite());
                assert!(fine, "features times {scale} at {:?}, {config:?}: {values:?}", host(positions));
                let loss = output.scalars().powi_scalar(2).sum() + output.pooled().into_scalars().sum();
                let gradients = loss.backward();
                let of_inputs = [positions.grad(&gradients).map(host), features.grad(&gradients).map(host)];
                let of_weights = weight_gradients(&network, &gradients);
                let names = ["positions", "features"].map(String::from).into_iter();
                let names = names.chain((0..of_weights.len()).map(|place| format!("parameter {place}")));
                let all = of_inputs.into_iter().map(Option::unwrap_or_default).chain(of_weights);
                for (name, gradient) in names.zip(all) {
                    let fine = gradient.iter().all(|value| value.is_finite());
                    assert!(fine, "{name}, features times {scale} at {:?}, {config:?}: {gradient:?}", host(positions));
                }
            }
        }
    }
}

/// A node alone attends to itself with weight one, however small the logit: once all of `exp` underflowed.
#[test]
fn a_node_alone_hears_itself_whatever_its_logit() {
    let device = Device::flex();
    let config = SE3TransformerConfig::new(4).with_heads(2).with_dim_head(4).with_depth(1).with_seed(Some(3));
    let outputs = [1.0, -100.0, 1000.0].map(|factor| {
        let mut network = config.init((&device, DType::F32)).unwrap();
        for weight in &mut network.blocks[0].attention.attention.own_keys.as_mut().unwrap().weights {
            *weight = Param::from_tensor(weight.val() * factor);
        }
        let features = float(&[1.0, -2.0, 0.5, 3.0], [1, 1, 4], &device, DType::F32);
        let positions = Tensor::<3>::zeros([1, 1, 3], &device);
        host(network.forward_dense(DenseInputs::new(features, positions)).unwrap().scalars())
    });
    for other in &outputs[1..] {
        assert!(largest_difference(&outputs[0], other) < 1e-6, "{outputs:?}");
    }
}
