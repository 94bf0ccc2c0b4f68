//! `message_network`, composed of the operations on edges.

use burn::backend::tensor::FloatTensor;
use burn::backend::{TensorMetadata, get_or_init_device_settings};
use burn::tensor::{Slice, TensorData};

use crate::ops::extension::{BackendSegments, RowOps};
use crate::ops::message_network::{ARGUMENTS, BackendMessages, OptionalTensors};

pub(in crate::ops) fn message_network<B: RowOps>(
    messages: BackendMessages<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
) -> FloatTensor<B> {
    let layers = Layers::new(&messages, &receivers, &senders);
    let sums = average::<B>(B::sum_rows(layers.messages, receivers.clone()), &receivers, messages.mean[0]);
    match layers.shifts {
        Some(shifts) => {
            let shifts = average::<B>(B::sum_rows(shifts.clamped, receivers.clone()), &receivers, messages.mean[1]);
            B::float_cat(vec![sums, shifts], 1)
        }
        None => sums,
    }
}

/// What is between the layers.
struct Layers<B: RowOps> {
    /// `[r, e]` and their weights, `[w, W_e]`.
    inputs: FloatTensor<B>,
    input_weight: FloatTensor<B>,
    first: FloatTensor<B>,
    /// `s W`
    second: FloatTensor<B>,
    /// Before and after the gate.
    open: FloatTensor<B>,
    messages: FloatTensor<B>,
    shifts: Option<Shifts<B>>,
}

struct Shifts<B: RowOps> {
    /// `m W_x`, and `u` after its SiLU.
    third: FloatTensor<B>,
    values: FloatTensor<B>,
    /// `[edges, 1]`
    weights: FloatTensor<B>,
    shifts: FloatTensor<B>,
    clamped: FloatTensor<B>,
}

impl<B: RowOps> Layers<B> {
    fn new(arguments: &BackendMessages<B>, receivers: &BackendSegments<B>, senders: &BackendSegments<B>) -> Self {
        let BackendMessages { received, sent, differences, distance, weight, bias, .. } = arguments.clone();
        let squared = B::float_sum_dim(B::float_mul(differences.clone(), differences.clone()), 1);
        let (inputs, input_weight) = match arguments.edges.clone() {
            OptionalTensors::Two(features, weight) => {
                (B::float_cat(vec![squared, features], 1), B::float_cat(vec![distance, weight], 0))
            }
            _ => (squared, distance),
        };
        let (to, from) = (receivers.clone(), senders.clone());
        let first = B::combine_edges(received, sent, inputs.clone(), input_weight.clone(), to, from);
        let second = B::float_matmul(first.clone(), weight);
        let open = B::bias_swish(second.clone(), bias);
        let messages = match arguments.gate.clone() {
            OptionalTensors::Two(weight, bias) => B::gate(open.clone(), weight, bias),
            _ => open.clone(),
        };
        let shifts = match arguments.shift.clone() {
            OptionalTensors::Three(weight, bias, output) => {
                let third = B::float_matmul(messages.clone(), weight);
                let values = B::bias_swish(third.clone(), bias);
                let weights = B::float_matmul(values.clone(), output);
                let weights = if arguments.tanh { B::float_tanh(weights) } else { weights };
                let shifts = B::float_mul(differences, weights.clone());
                let clamped = match arguments.clamp {
                    Some(clamp) => B::float_clamp(shifts.clone(), (-clamp).into(), clamp.into()),
                    None => shifts.clone(),
                };
                Some(Shifts { third, values, weights, shifts, clamped })
            }
            _ => None,
        };
        Self { inputs, input_weight, first, second, open, messages, shifts }
    }
}

pub(in crate::ops) fn message_network_gradient<B: RowOps>(
    arguments: BackendMessages<B>,
    receivers: BackendSegments<B>,
    senders: BackendSegments<B>,
    gradient: FloatTensor<B>,
    needed: [bool; ARGUMENTS],
) -> Vec<Option<FloatTensor<B>>> {
    let layers = Layers::new(&arguments, &receivers, &senders);
    let channels = arguments.bias.shape()[0];
    let by_sums = average::<B>(columns::<B>(gradient.clone(), 0, channels), &receivers, arguments.mean[0]);
    let mut by_messages = B::gather_rows(by_sums, receivers.clone());
    let mut by_differences = None;
    let [mut by_shift_weight, mut by_shift_bias, mut by_shift_output] = [None, None, None];
    if let (Some(shifts), OptionalTensors::Three(weight, bias, output)) = (layers.shifts, arguments.shift.clone()) {
        let dimensions = arguments.differences.shape()[1];
        let by_sums = columns::<B>(gradient, channels, dimensions);
        let by_sums = average::<B>(by_sums, &receivers, arguments.mean[1]);
        let mut by_shifts = B::gather_rows(by_sums, receivers.clone());
        if arguments.clamp.is_some() {
            // One where the clamp has left the shift alone.
            let dtype = get_or_init_device_settings::<B>(&shifts.shifts.device()).bool_dtype;
            let same = B::float_equal(shifts.shifts, shifts.clamped, dtype);
            by_shifts = B::float_mask_fill(by_shifts, B::bool_not(same), 0.0.into());
        }
        by_differences = Some(B::float_mul(by_shifts.clone(), shifts.weights.clone()));
        let mut by_weights = B::float_sum_dim(B::float_mul(by_shifts, arguments.differences.clone()), 1);
        if arguments.tanh {
            let square = B::float_mul(shifts.weights.clone(), shifts.weights);
            let slope = B::float_add_scalar(B::float_neg(square), 1.0.into());
            by_weights = B::float_mul(by_weights, slope);
        }
        by_shift_output = Some(B::float_matmul(B::float_transpose(shifts.values), by_weights.clone()));
        let by_values = B::float_matmul(by_weights, B::float_transpose(output));
        let (by_third, by_bias) = B::bias_swish_gradient(shifts.third, bias, by_values);
        by_shift_bias = Some(by_bias);
        by_shift_weight = Some(B::float_matmul(B::float_transpose(layers.messages), by_third.clone()));
        by_messages = B::float_add(by_messages, B::float_matmul(by_third, B::float_transpose(weight)));
    }
    let (by_open, by_gate) = match arguments.gate.clone() {
        OptionalTensors::Two(weight, bias) => {
            let (by_open, by_weight, by_bias) = B::gate_gradient(layers.open, weight, bias, by_messages);
            (by_open, [Some(by_weight), Some(by_bias)])
        }
        _ => (by_messages, [None, None]),
    };
    let (by_second, by_bias) = B::bias_swish_gradient(layers.second, arguments.bias, by_open);
    let by_weight = B::float_matmul(B::float_transpose(layers.first), by_second.clone());
    let by_first = B::float_matmul(by_second, B::float_transpose(arguments.weight));
    let edges = layers.inputs.shape()[1] - 1;
    let (by_received, by_sent, by_inputs, by_input_weight) = B::combine_edges_gradient(
        arguments.received,
        arguments.sent,
        layers.inputs,
        layers.input_weight,
        receivers,
        senders,
        by_first,
        [needed[0], needed[1], needed[2] || needed[6], needed[3] || needed[7]],
    );
    let rows = |tensor: FloatTensor<B>, first: usize, count: usize| {
        B::float_slice(tensor, &[Slice::from(first..first + count), Slice::full()])
    };
    if needed[2] {
        let by_squared = by_inputs.clone().map(|by_inputs| columns::<B>(by_inputs, 0, 1));
        let by_squared = by_squared.expect("asked for");
        let through = B::float_mul_scalar(B::float_mul(arguments.differences, by_squared), 2.0.into());
        by_differences = Some(match by_differences {
            Some(by_differences) => B::float_add(by_differences, through),
            None => through,
        });
    }
    let by_edges = needed[6].then(|| columns::<B>(by_inputs.expect("asked for"), 1, edges));
    let by_edge_weight = needed[7].then(|| rows(by_input_weight.clone().expect("asked for"), 1, edges));
    let by_distance = by_input_weight.map(|by_weight| rows(by_weight, 0, 1));
    let [by_gate_weight, by_gate_bias] = by_gate;
    let all = [
        by_received,
        by_sent,
        by_differences,
        by_distance,
        Some(by_weight),
        Some(by_bias),
        by_edges,
        by_edge_weight,
        by_gate_weight,
        by_gate_bias,
        by_shift_weight,
        by_shift_bias,
        by_shift_output,
    ];
    all.into_iter().zip(needed).map(|(gradient, needed)| gradient.filter(|_| needed)).collect()
}

fn columns<B: RowOps>(tensor: FloatTensor<B>, first: usize, count: usize) -> FloatTensor<B> {
    B::float_slice(tensor, &[Slice::full(), Slice::from(first..first + count)])
}

/// Sums divided by the number of rows of their segments, if `mean`.
fn average<B: RowOps>(sums: FloatTensor<B>, segments: &BackendSegments<B>, mean: bool) -> FloatTensor<B> {
    if !mean {
        return sums;
    }
    let shares = segments.host.shares();
    let data = TensorData::new(shares, [segments.host.count(), 1]).convert_dtype(sums.dtype());
    B::float_mul(sums.clone(), B::float_from_data(data, &sums.device()))
}
