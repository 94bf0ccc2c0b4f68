//! `linear_rows` and `perceptron`, composed of matrix products.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::row;
use crate::ops::extension::RowOps;
use crate::ops::message_network::OptionalTensors;
use crate::ops::perceptron::{ARGUMENTS, BackendPerceptron};

pub(in crate::ops) fn linear_rows<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: OptionalTensors<B>,
) -> FloatTensor<B> {
    shifted::<B>(B::float_matmul(x, weight), bias)
}

pub(in crate::ops) fn linear_rows_gradient<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    needed: [bool; 3],
) -> Vec<Option<FloatTensor<B>>> {
    vec![
        needed[0].then(|| B::float_matmul(gradient.clone(), B::float_transpose(weight))),
        needed[1].then(|| B::float_matmul(B::float_transpose(x), gradient.clone())),
        needed[2].then(|| sum_rows::<B>(gradient)),
    ]
}

pub(in crate::ops) fn perceptron<B: RowOps>(network: BackendPerceptron<B>) -> FloatTensor<B> {
    let hidden = B::bias_swish(sums(&network), network.bias);
    let output = shifted::<B>(B::float_matmul(hidden, network.output), network.output_bias);
    if network.residual { B::float_add(network.x, output) } else { output }
}

pub(in crate::ops) fn perceptron_gradient<B: RowOps>(
    network: BackendPerceptron<B>,
    gradient: FloatTensor<B>,
    needed: [bool; ARGUMENTS],
) -> Vec<Option<FloatTensor<B>>> {
    let sums = sums(&network);
    let hidden = B::bias_swish(sums.clone(), network.bias.clone());
    let by_hidden = B::float_matmul(gradient.clone(), B::float_transpose(network.output.clone()));
    let (by_sums, by_bias) = B::bias_swish_gradient(sums, network.bias.clone(), by_hidden);
    let tensors = network.tensors();
    let mut all: Vec<_> = (0..6)
        .map(|place| {
            if !needed[place] {
                return None;
            }
            let (x, weight) = (tensors[place / 2 * 2]?.clone(), tensors[place / 2 * 2 + 1]?.clone());
            Some(match place % 2 {
                0 => B::float_matmul(by_sums.clone(), B::float_transpose(weight)),
                _ => B::float_matmul(B::float_transpose(x), by_sums.clone()),
            })
        })
        .collect();
    if network.residual {
        all[0] = all[0].take().map(|by_x| B::float_add(by_x, gradient.clone()));
    }
    all.push(needed[6].then_some(by_bias));
    all.push(needed[7].then(|| B::float_matmul(B::float_transpose(hidden), gradient.clone())));
    all.push(needed[8].then(|| sum_rows::<B>(gradient)));
    all
}

/// The argument of the SiLU, without the bias.
fn sums<B: Backend>(network: &BackendPerceptron<B>) -> FloatTensor<B> {
    let first = B::float_matmul(network.x.clone(), network.weight.clone());
    [&network.second, &network.third].into_iter().fold(first, |sum, input| match input.clone() {
        OptionalTensors::Two(x, weight) => B::float_add(sum, B::float_matmul(x, weight)),
        _ => sum,
    })
}

fn shifted<B: Backend>(rows: FloatTensor<B>, bias: OptionalTensors<B>) -> FloatTensor<B> {
    match bias {
        OptionalTensors::One(bias) => B::float_add(rows, row::<B>(bias)),
        _ => rows,
    }
}

fn sum_rows<B: Backend>(rows: FloatTensor<B>) -> FloatTensor<B> {
    let columns = rows.shape()[1];
    B::float_reshape(B::float_sum_dim(rows, 0), [columns].into())
}
