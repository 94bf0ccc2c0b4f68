//! The first layer of a message on flex.

use std::mem::MaybeUninit;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::activation::add_rows;
use super::float::{Float, dot};
use super::memory::{contiguous, dims, filled, is_large, numbers, own_numbers, tensor};
use super::segments;
use super::simd::kernel;
use crate::ops::extension::EdgeGradients;
use crate::ops::segments::Rows;

/// Edges in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const EDGES: usize = 128;

/// What an edge is made of: `p` and `q [nodes, channels]`, `e [edges, inputs]`, `W [inputs, channels]`, of which this is a piece from
/// edge `first` on.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a, F> {
    received: &'a [F],
    sent: &'a [F],
    edges: &'a [F],
    weight: &'a [F],
    receivers: &'a [usize],
    senders: &'a [usize],
    inputs: usize,
    channels: usize,
}

impl<'a, F: Float> Terms<'a, F> {
    /// Piece `piece` of `EDGES` edges.
    fn piece(&self, piece: usize) -> Self {
        let first = piece * EDGES;
        let last = (first + EDGES).min(self.receivers.len());
        Self {
            edges: &self.edges[first * self.inputs..last * self.inputs],
            receivers: &self.receivers[first..last],
            senders: &self.senders[first..last],
            ..*self
        }
    }

    /// `p_i + q_j + e W` for one edge.
    #[inline(always)]
    fn sum<S: pulp::Simd>(&self, edge: usize, sum: &mut [F]) {
        let channels = self.channels;
        let received = &self.received[self.receivers[edge] * channels..][..channels];
        let sent = &self.sent[self.senders[edge] * channels..][..channels];
        for ((sum, &received), &sent) in sum.iter_mut().zip(received).zip(sent) {
            *sum = received + sent;
        }
        let inputs = &self.edges[edge * self.inputs..][..self.inputs];
        for (&input, weight) in inputs.iter().zip(self.weight.chunks_exact(channels)) {
            for (sum, &weight) in sum.iter_mut().zip(weight) {
                *sum = input.mul_add::<S>(weight, *sum);
            }
        }
    }
}

kernel! {
    fn combine_piece<'a, F | S>(terms: Terms<'a, F>, output: &'a mut [MaybeUninit<F>], sum: &'a mut [F]) {
        for (edge, output) in output.chunks_exact_mut(terms.channels).enumerate() {
            terms.sum::<S>(edge, sum);
            for (output, sum) in output.iter_mut().zip(sum.iter()) {
                output.write(sum.swish::<S>());
            }
        }
    }
}

kernel! {
    /// Makes the gradient one by `p_i + q_j + e W`, and adds up that by `W` (where there is room for it) and puts down that by `e`.
    fn combine_gradient_piece<'a, F | S>(
        terms: Terms<'a, F>,
        gradient: &'a mut [F],
        by_edges: &'a mut [F],
        by_weight: &'a mut [F],
        sum: &'a mut [F],
    ) {
        let channels = terms.channels;
        for (edge, gradient) in gradient.chunks_exact_mut(channels).enumerate() {
            terms.sum::<S>(edge, sum);
            for (gradient, sum) in gradient.iter_mut().zip(sum.iter()) {
                *gradient *= sum.swish_slope::<S>();
            }
            let inputs = &terms.edges[edge * terms.inputs..][..terms.inputs];
            for (&input, by_weight) in inputs.iter().zip(by_weight.chunks_exact_mut(channels)) {
                for (by_weight, &gradient) in by_weight.iter_mut().zip(gradient.iter()) {
                    *by_weight = input.mul_add::<S>(gradient, *by_weight);
                }
            }
            if !by_edges.is_empty() {
                let by_edges = &mut by_edges[edge * terms.inputs..][..terms.inputs];
                for (by_edge, weight) in by_edges.iter_mut().zip(terms.weight.chunks_exact(channels)) {
                    *by_edge = dot::<F, S>(gradient, weight);
                }
            }
        }
    }
}

/// The arguments of `combine_edges`, side by side.
pub(super) struct Arguments {
    tensors: [FlexTensor; 4],
}

impl Arguments {
    pub(super) fn new(received: FlexTensor, sent: FlexTensor, edges: FlexTensor, weight: FlexTensor) -> Self {
        Self { tensors: [received, sent, edges, weight].map(contiguous) }
    }

    fn terms<'a, F: Float>(&'a self, receivers: &'a Rows, senders: &'a Rows) -> Terms<'a, F> {
        let [received, sent, edges, weight] = &self.tensors;
        let [inputs, channels] = dims(weight);
        Terms {
            received: numbers(received),
            sent: numbers(sent),
            edges: numbers(edges),
            weight: numbers(weight),
            receivers: &receivers.ids,
            senders: &senders.ids,
            inputs,
            channels,
        }
    }
}

pub(super) fn combine<F: Float>(arguments: &Arguments, receivers: &Rows, senders: &Rows) -> FlexTensor {
    let terms = arguments.terms::<F>(receivers, senders);
    let shape = [receivers.rows(), terms.channels];
    let work = |(piece, output): (usize, &mut [MaybeUninit<F>])| {
        combine_piece(terms.piece(piece), output, &mut vec![F::ZERO; terms.channels]);
    };
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(output.len()) {
            output.par_chunks_mut(EDGES * terms.channels).enumerate().for_each(work);
        } else {
            output.chunks_mut(EDGES * terms.channels).enumerate().for_each(work);
        }
    };
    // The output has a row for every edge, and every row is written.
    filled::<F>(shape, fill)
}

pub(super) fn combine_gradient<F: Float>(
    arguments: &Arguments,
    receivers: &Rows,
    senders: &Rows,
    gradient: FlexTensor,
    needed: [bool; 4],
) -> EdgeGradients<Flex> {
    let terms = arguments.terms::<F>(receivers, senders);
    let (edges, inputs, channels) = (receivers.rows(), terms.inputs, terms.channels);
    let [by_received, by_sent, by_edges, by_weight] = needed;
    let mut gradient = contiguous(gradient);
    let mut edge_gradients = vec![F::ZERO; if by_edges { edges * inputs } else { 0 }];
    let mut weight_gradients = vec![F::ZERO; if by_weight { edges.div_ceil(EDGES) * inputs * channels } else { 0 }];
    let values = own_numbers::<F>(&mut gradient);
    let pieces = edges.div_ceil(EDGES);
    // A piece of a slice that nobody asked for is empty.
    let edge_pieces = pieces_of(&mut edge_gradients, EDGES * inputs, pieces);
    let weight_pieces = pieces_of(&mut weight_gradients, inputs * channels, pieces);
    let work: Vec<Piece<F>> = values
        .chunks_mut(EDGES * channels)
        .zip(edge_pieces)
        .zip(weight_pieces)
        .enumerate()
        .map(|(piece, ((gradient, by_edges), by_weight))| Piece { piece, gradient, by_edges, by_weight })
        .collect();
    let run = |Piece { piece, gradient, by_edges, by_weight }: Piece<F>| {
        combine_gradient_piece(terms.piece(piece), gradient, by_edges, by_weight, &mut vec![F::ZERO; channels]);
    };
    if is_large(edges * channels) {
        work.into_par_iter().for_each(run);
    } else {
        work.into_iter().for_each(run);
    }
    (
        by_received.then(|| segments::sum::<F>(gradient.clone(), receivers)),
        by_sent.then(|| segments::sum::<F>(gradient.clone(), senders)),
        by_edges.then(|| tensor(edge_gradients, [edges, inputs])),
        by_weight.then(|| {
            let mut sum = vec![F::ZERO; inputs * channels];
            add_rows(&weight_gradients, &mut sum);
            tensor(sum, [inputs, channels])
        }),
    )
}

/// Where the gradients of a piece are put down.
struct Piece<'a, F> {
    piece: usize,
    gradient: &'a mut [F],
    by_edges: &'a mut [F],
    by_weight: &'a mut [F],
}

/// `count` pieces of `size` numbers, or `count` empty ones of nothing.
fn pieces_of<F>(numbers: &mut [F], size: usize, count: usize) -> Vec<&mut [F]> {
    if numbers.is_empty() { (0..count).map(|_| &mut [][..]).collect() } else { numbers.chunks_mut(size).collect() }
}
