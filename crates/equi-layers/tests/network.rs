//! A whole network of escnn with its saved weights: the feature map after every layer, and the logits.
//!
//! convolution, batch norm, ELU, antialiased pooling, convolution, group pooling, spatial mean, linear; state dicts saved in
//! training and in evaluation mode.

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use burn::module::{Param, RunningState};
use burn::nn::LinearConfig;
use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::FieldType;
use equi_core::group::C8;
use equi_layers::planar::{
    GroupPooling, InnerBatchNormConfig, Nonlinearity, Pointwise, PointwiseAvgPoolAntialiasedConfig, R2ConvConfig,
};
use golden::Tensors;

/// escnn ran in f32; ours runs in f64 from the same f32 numbers. escnn's own bases are rounded to f32.
const TOLERANCE: f64 = 3e-6;

fn tensor<const D: usize>(tensors: &Tensors, key: &str) -> Tensor<D> {
    let array = tensors.tensor(key);
    Tensor::from_data(TensorData::new(array.values, array.shape), (&Device::flex(), DType::F64))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

#[test]
fn the_saved_network_gives_the_same_features_and_logits() {
    for file in ["escnn/network_eval_state.safetensors", "escnn/network_train_state.safetensors"] {
        let (state, io) = (Tensors::open(file), Tensors::open("escnn/network_io.safetensors"));
        let options = (&Device::flex(), DType::F64);
        let check = |name: &str, actual: Vec<f64>| {
            let error = io.tensor(&format!("network/{name}")).relative_error(&actual);
            assert!(error < TOLERANCE, "{file} {name}: relative error {error:e}");
        };
        let param = |key: &str| Param::from_tensor(tensor::<1>(&state, key));
        let image = FieldType::trivial(C8, 1);
        let [hidden, wide] = [2, 3].map(|fields| FieldType::regular(C8, fields).unwrap());

        let config = R2ConvConfig::new(&image, &hidden, 5).with_padding(2).with_bias(false);
        let mut conv1 = config.init(options).unwrap();
        conv1.weights = param("conv1.weights");
        let mut bn1 = InnerBatchNormConfig::new(&hidden).init(options).unwrap();
        bn1.gamma = Some(param("bn1.batch_norm_[8].weight"));
        bn1.beta = Some(param("bn1.batch_norm_[8].bias"));
        bn1.running_mean = RunningState::new(tensor(&state, "bn1.batch_norm_[8].running_mean"));
        bn1.running_var = RunningState::new(tensor(&state, "bn1.batch_norm_[8].running_var"));
        let elu = Pointwise::new(&hidden, Nonlinearity::Elu(1.0)).unwrap();
        let pool = PointwiseAvgPoolAntialiasedConfig::new(&hidden, 0.66, 2).init(options).unwrap();
        let mut conv2 = R2ConvConfig::new(&hidden, &wide, 3).with_padding(1).init(options).unwrap();
        conv2.weights = param("conv2.weights");
        conv2.bias = Some(param("conv2.bias"));
        let group_pool = GroupPooling::new(&wide).unwrap();
        let mut fc = LinearConfig::new(3, 10).init(&Device::flex());
        fc.weight = Param::from_tensor(tensor::<2>(&state, "fc.weight").transpose());
        fc.bias = Some(param("fc.bias"));

        let input = tensor::<4>(&io, "network/input");
        let x = conv1.forward(input.clone());
        check("after.conv1", values(x.clone()));
        let folded = conv1.export_folded(&bn1).unwrap();
        let x = bn1.forward(x);
        check("after.bn1", values(x.clone()));
        check("after.bn1", values(folded.forward(input)));
        let x = elu.forward(x);
        check("after.elu", values(x.clone()));
        let x = pool.forward(x);
        check("after.pool", values(x.clone()));
        let x = conv2.forward(x);
        check("after.conv2", values(x.clone()));
        let x = group_pool.forward(x);
        check("after.gpool", values(x.clone()));
        let x = x.mean_dims(&[2, 3]).squeeze_dims::<2>(&[2, 3]);
        check("after.spatial_mean", values(x.clone()));
        check("logits", values(fc.forward(x)));
    }
}
