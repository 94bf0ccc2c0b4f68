//! Which of our parameters are which of the reference's, both ways.
//!
//! `torch.nn.Linear` computes `y = A x + b` with `A` of shape `[out, in]`; Burn's, `y = x W + b` with `W` of shape `[in, out]`. The
//! reference concatenates the inputs of a layer, `[h_i, h_j, r, a]`, where ours keeps a weight for each: the columns of `A`, cut into
//! parts and transposed. This file is the only place that knows.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::architecture::{Architecture, Variant};
use super::state_dict::StateDict;
use crate::graph::{Egnn, EgnnLayer};

/// A linear layer of the reference, and where we keep it.
pub(super) struct Counterpart<'a> {
    /// The name of the layer in the reference.
    key: String,
    /// Outputs of the layer.
    outputs: usize,
    /// Our weights `[in, out]`, in the order of the columns, each with the number of its columns. A weight may be wider and longer: the
    /// rest is zero.
    parts: Vec<(&'a mut Param<Tensor<2>>, usize)>,
    bias: Option<&'a mut Param<Tensor<1>>>,
}

impl Counterpart<'_> {
    pub(super) fn whole<'a>(key: impl Into<String>, linear: &'a mut Linear) -> Counterpart<'a> {
        let [input, output] = linear.weight.dims();
        Counterpart {
            key: key.into(),
            outputs: output,
            parts: vec![(&mut linear.weight, input)],
            bias: linear.bias.as_mut(),
        }
    }

    /// Writes the reference's weights into ours.
    ///
    /// # Panics
    /// If `dict` has no such keys, or other shapes.
    pub(super) fn read(self, dict: &StateDict, device: &Device, dtype: DType) {
        let given = values(dict, &format!("{}.weight", self.key));
        let columns: usize = self.parts.iter().map(|(_, columns)| columns).sum();
        let mut first = 0;
        for (param, count) in self.parts {
            let [rows, width] = param.dims();
            let mut ours = vec![0.0; rows * width];
            for (output, row) in given.chunks_exact(columns).enumerate() {
                for (input, value) in row[first..first + count].iter().enumerate() {
                    ours[input * width + output] = *value;
                }
            }
            first += count;
            *param = parameter(TensorData::new(ours, [rows, width]), device, dtype);
        }
        if let Some(param) = self.bias {
            let [width] = param.dims();
            let mut ours = values(dict, &format!("{}.bias", self.key));
            ours.resize(width, 0.0);
            *param = parameter(TensorData::new(ours, [width]), device, dtype);
        }
    }

    /// The reference's weights from ours, in our precision.
    fn write(self, tensors: &mut Vec<(String, TensorData)>) {
        let columns: usize = self.parts.iter().map(|(_, columns)| columns).sum();
        let mut weight = vec![0.0; self.outputs * columns];
        let mut first = 0;
        let mut dtype = DType::F64;
        for (param, count) in self.parts {
            let data = param.val().to_data();
            dtype = data.dtype();
            let [_, width] = param.dims();
            let ours: Vec<f64> = data.iter().collect();
            for (input, row) in ours.chunks_exact(width).take(count).enumerate() {
                for (output, value) in row.iter().take(self.outputs).enumerate() {
                    weight[output * columns + first + input] = *value;
                }
            }
            first += count;
        }
        let weight = TensorData::new(weight, [self.outputs, columns]).convert_dtype(dtype);
        tensors.push((format!("{}.weight", self.key), weight));
        if let Some(param) = self.bias {
            let bias: Vec<f64> = param.val().to_data().iter().take(self.outputs).collect();
            let bias = TensorData::new(bias, [self.outputs]).convert_dtype(dtype);
            tensors.push((format!("{}.bias", self.key), bias));
        }
    }
}

fn values(dict: &StateDict, key: &str) -> Vec<f64> {
    dict.get(key).unwrap_or_else(|| panic!("no tensor `{key}`")).iter().collect()
}

pub(super) fn parameter<const D: usize>(data: TensorData, device: &Device, dtype: DType) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(data.convert_dtype(dtype), (device, dtype)))
}

/// Every layer of the reference beside ours.
pub(super) fn counterparts<'a>(architecture: &Architecture, egnn: &'a mut Egnn) -> Vec<Counterpart<'a>> {
    let mut all = Vec::new();
    if architecture.variant == Variant::Layer {
        layer(architecture, "", &mut egnn.layers[0], &mut all);
        return all;
    }
    all.push(Counterpart::whole(architecture.variant.embedding(), &mut egnn.embedding));
    for (i, ours) in egnn.layers.iter_mut().enumerate() {
        layer(architecture, &format!("gcl_{i}."), ours, &mut all);
    }
    all.extend(egnn.readout.as_mut().map(|readout| Counterpart::whole("embedding_out", readout)));
    all
}

fn layer<'a>(architecture: &Architecture, prefix: &str, ours: &'a mut EgnnLayer, all: &mut Vec<Counterpart<'a>>) {
    let Architecture { hidden, edge_features, node_attributes, .. } = *architecture;
    let [received, updated] = architecture.layer_features();
    let at = |name: &str| format!("{prefix}{name}");
    let mut push = |name: &str, outputs, parts, bias| {
        all.push(Counterpart { key: at(name), outputs, parts, bias });
    };
    let mut edge = vec![
        (&mut ours.edge_receiver.weight, received),
        (&mut ours.edge_sender.weight, received),
        (&mut ours.edge_distance, 1),
    ];
    edge.extend(ours.edge_features.as_mut().map(|linear| (&mut linear.weight, edge_features)));
    push("edge_mlp.0", hidden, edge, ours.edge_receiver.bias.as_mut());
    push("edge_mlp.2", hidden, vec![(&mut ours.edge_output.weight, hidden)], ours.edge_output.bias.as_mut());
    let mut node = vec![(&mut ours.node_features.weight, received), (&mut ours.node_messages.weight, hidden)];
    node.extend(ours.node_attributes.as_mut().map(|linear| (&mut linear.weight, node_attributes)));
    push("node_mlp.0", hidden, node, ours.node_features.bias.as_mut());
    push("node_mlp.2", updated, vec![(&mut ours.node_output.weight, hidden)], ours.node_output.bias.as_mut());
    if let Some(mlp) = &mut ours.coordinates {
        push("coord_mlp.0", hidden, vec![(&mut mlp.input.weight, hidden)], mlp.input.bias.as_mut());
        push("coord_mlp.2", 1, vec![(&mut mlp.output.weight, hidden)], None);
    }
    if let Some(mlp) = &mut ours.velocity {
        push("coord_mlp_vel.0", hidden, vec![(&mut mlp.input.weight, hidden)], mlp.input.bias.as_mut());
        push("coord_mlp_vel.2", 1, vec![(&mut mlp.output.weight, hidden)], mlp.output.bias.as_mut());
    }
    if let Some(linear) = &mut ours.attention {
        push("att_mlp.0", 1, vec![(&mut linear.weight, hidden)], linear.bias.as_mut());
    }
}

/// The state dict that the reference would have with our weights.
pub(super) fn written(counterparts: Vec<Counterpart>) -> StateDict {
    let mut tensors = Vec::new();
    counterparts.into_iter().for_each(|counterpart| counterpart.write(&mut tensors));
    tensors.into_iter().collect()
}
