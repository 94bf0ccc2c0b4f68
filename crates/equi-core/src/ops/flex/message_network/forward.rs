//! Messages, and what arrives of them.

use std::ops::Range;

use super::units::{Arrived, PIECE, Sums, units};
use super::{Messages, Shift};
use crate::ops::flex::float::{Float, dot};
use crate::ops::flex::layers::{activate, activate_row, activate_with_slopes, parts, split};
use crate::ops::flex::microkernel::{Lanes, Panels, multiply, room, stride};
use crate::ops::flex::pieces::{for_each, with_scratch};
use crate::ops::flex::pool::Buffer;
use crate::ops::flex::simd::kernel;

/// The first layer of a piece of edges.
#[derive(Clone, Copy)]
pub(super) struct First<'a, F> {
    received: &'a [F],
    sent: &'a [F],
    pub(super) distance: &'a [F],
    pub(super) edges: &'a [F],
    pub(super) edge_weight: &'a [F],
    pub(super) differences: &'a [F],
    pub(super) receivers: &'a [usize],
    pub(super) senders: &'a [usize],
    pub(super) inputs: usize,
    pub(super) dimensions: usize,
}

impl<'a, F: Float> First<'a, F> {
    pub(super) fn of(messages: &Messages<'a, F>, edges: &Range<usize>) -> Self {
        let Messages { dimensions, inputs, .. } = *messages;
        Self {
            received: messages.received,
            sent: messages.sent,
            distance: messages.distance,
            edges: &messages.edges[edges.start * inputs..edges.end * inputs],
            edge_weight: messages.edge_weight,
            differences: &messages.differences[edges.start * dimensions..edges.end * dimensions],
            receivers: &messages.receivers.ids[edges.clone()],
            senders: &messages.senders[edges.clone()],
            inputs,
            dimensions,
        }
    }

    pub(super) fn difference(&self, edge: usize) -> &'a [F] {
        &self.differences[edge * self.dimensions..][..self.dimensions]
    }

    /// The squared distance.
    #[inline(always)]
    pub(super) fn squared<S: pulp::Simd>(&self, edge: usize) -> F {
        self.difference(edge).iter().fold(F::ZERO, |sum, &d| d.mul_add::<S>(d, sum))
    }

    /// `p_i + q_j + r w + e W`, given to `take` with its place, in parts that stay in registers.
    #[inline(always)]
    fn sum<S: pulp::Simd>(&self, edge: usize, mut take: impl FnMut(usize, &[F])) {
        let hidden = self.distance.len();
        let whole = hidden / WIDE * WIDE;
        let squared = self.squared::<S>(edge);
        for place in (0..whole).step_by(WIDE) {
            take(place, &self.part::<S, WIDE>(edge, place, squared));
        }
        for place in whole..hidden {
            take(place, &self.part::<S, 1>(edge, place, squared));
        }
    }

    /// `N` numbers of it from `place` on.
    #[inline(always)]
    fn part<S: pulp::Simd, const N: usize>(&self, edge: usize, place: usize, squared: F) -> [F; N] {
        let hidden = self.distance.len();
        let at = |rows: &'a [F], row: usize| rows[row * hidden + place..].first_chunk::<N>().expect("within a row");
        let (received, sent) = (at(self.received, self.receivers[edge]), at(self.sent, self.senders[edge]));
        let distance = at(self.distance, 0);
        let mut sum = [F::ZERO; N];
        for lane in 0..N {
            sum[lane] = squared.mul_add::<S>(distance[lane], received[lane] + sent[lane]);
        }
        for (input, &value) in self.edges[edge * self.inputs..][..self.inputs].iter().enumerate() {
            let weight = at(self.edge_weight, input);
            for lane in 0..N {
                sum[lane] = value.mul_add::<S>(weight[lane], sum[lane]);
            }
        }
        sum
    }
}

/// Numbers that are kept for the gradient of an operation at most: from some thousand edges on, computing them again costs less than memory does.
const KEPT: usize = 1 << 21;

/// Numbers of a row that are taken together: a vector, or a few.
const WIDE: usize = 32;

kernel! {
    fn first_layer<'a, F | S>(first: First<'a, F>, values: &'a mut [F]) {
        let hidden = first.distance.len();
        for (edge, values) in values.chunks_exact_mut(stride(hidden)).take(first.receivers.len()).enumerate() {
            first.sum::<S>(edge, |place, sums| {
                for (value, sum) in values[place..].iter_mut().zip(sums) {
                    *value = sum.swish::<S>();
                }
            });
        }
    }
}

kernel! {
    /// The same, and the slopes of the SiLU.
    fn first_layer_with_slopes<'a, F | S>(first: First<'a, F>, values: &'a mut [F], slopes: &'a mut [F]) {
        let hidden = first.distance.len();
        let rows = values.chunks_exact_mut(stride(hidden)).zip(slopes.chunks_exact_mut(stride(hidden)));
        for (edge, (values, slopes)) in rows.take(first.receivers.len()).enumerate() {
            first.sum::<S>(edge, |place, sums| {
                let (values, slopes) = (&mut values[place..][..sums.len()], &mut slopes[place..][..sums.len()]);
                values.copy_from_slice(sums);
                activate_row::<F, S>(values, slopes);
            });
        }
    }
}

kernel! {
    /// `sigmoid(m w + b)` for every row.
    fn open<'a, F | S>(values: &'a [F], weight: &'a [F], bias: F, opens: &'a mut [F]) {
        for (values, open) in values.chunks_exact(stride(weight.len())).zip(opens.iter_mut()) {
            *open = dot::<F, S>(&values[..weight.len()], weight) + bias;
        }
        for open in opens {
            *open = open.sigmoid::<S>();
        }
    }
}

kernel! {
    /// `u w` for every row, or its tanh.
    fn weigh<'a, F | S>(values: &'a [F], weight: &'a [F], tanh: bool, weights: &'a mut [F]) {
        for (values, sum) in values.chunks_exact(stride(weight.len())).zip(weights.iter_mut()) {
            *sum = dot::<F, S>(&values[..weight.len()], weight);
        }
        if tanh {
            for sum in weights {
                *sum = sum.tanh::<S>();
            }
        }
    }
}

/// What a piece of edges carries from its ends to its messages.
pub(super) struct Layers<'a, F> {
    /// `s`, after the first layer.
    pub(super) first: &'a mut [F],
    /// `m`, after the second, not yet weighted.
    pub(super) second: &'a mut [F],
    /// `u`, in the network that weighs differences.
    pub(super) third: &'a mut [F],
    /// How far the gate is open, for every edge.
    pub(super) opens: &'a mut [F],
    /// What differences are weighted by, for every edge.
    pub(super) weights: &'a mut [F],
}

impl<F: Lanes> Messages<'_, F> {
    /// Numbers that [`Layers`] take.
    pub(super) fn lengths(&self) -> [usize; 3] {
        [self.hidden, self.channels, self.width()].map(|columns| room(PIECE, columns))
    }

    /// Everything up to the messages and the weights of differences. With slopes of the three SiLUs where the gradient wants them.
    pub(super) fn piece(
        &self,
        edges: &Range<usize>,
        [output, shift]: &[Panels<F>; 2],
        layers: &mut Layers<F>,
        slopes: Option<[&mut [F]; 3]>,
    ) {
        let (first, count) = (First::of(self, edges), edges.len());
        let Layers { first: s, second: m, third: u, opens, weights } = layers;
        opens[..count].fill(F::ONE);
        let slopes = match slopes {
            None => {
                first_layer(first, s);
                multiply(count, s, stride(self.hidden), output, m, false);
                activate(&opens[..count], self.bias, m);
                None
            }
            Some([by_first, by_second, by_third]) => {
                first_layer_with_slopes(first, s, by_first);
                multiply(count, s, stride(self.hidden), output, m, false);
                activate_with_slopes(&opens[..count], self.bias, m, by_second);
                Some(by_third)
            }
        };
        if let Some([weight, bias]) = self.gate {
            open(m, weight, bias[0], &mut opens[..count]);
        }
        if let Some(Shift { bias, output, tanh, .. }) = &self.shift {
            multiply(count, m, stride(self.channels), shift, u, false);
            match slopes {
                None => activate(&opens[..count], bias, u),
                Some(slopes) => activate_with_slopes(&opens[..count], bias, u, slopes),
            }
            weigh(u, output, *tanh, &mut weights[..count]);
        }
    }

    /// Numbers of the layers of a piece, of the slopes of their SiLUs, and of the opens and weights: what the gradient asks for.
    pub(super) fn kept_lengths(&self) -> [usize; 8] {
        let [first, second, third] = self.lengths();
        [first, second, third, first, second, third, PIECE, PIECE]
    }

    /// Numbers to keep for the gradient, or none where these would take too much memory.
    pub(super) fn kept(&self) -> Option<usize> {
        let numbers = self.receivers.rows().div_ceil(PIECE) * self.kept_lengths().iter().sum::<usize>();
        (numbers <= KEPT).then_some(numbers)
    }

    /// The sums of messages and of shifts at every node, `[nodes, channels + dimensions]`. Fills what is to be kept.
    pub(in crate::ops::flex) fn sums(&self, kept: Option<&mut [F]>) -> Buffer {
        let (panels, units) = (self.panels(), units(self.receivers, 1));
        let mut sums = Sums::<F>::new(self.row(), self.receivers.count(), units.len());
        let (lengths, kept_lengths) = (self.lengths(), self.kept_lengths());
        let kept = split(kept.unwrap_or_default(), kept_lengths.iter().sum(), units.len());
        let work: Vec<_> = units.iter().zip(sums.split(&units)).zip(kept).collect();
        for_each(work, self.operations(), |((unit, arrived), kept)| {
            let (first, edges, arrived) = (First::of(self, &unit.edges), &unit.edges, arrived.cleared());
            if kept.is_empty() {
                let [first_length, second_length, third_length] = lengths;
                let lengths = [first_length, second_length, third_length, PIECE, PIECE];
                with_scratch(lengths, |[s, m, u, opens, weights]| {
                    let mut layers = Layers { first: s, second: m, third: u, opens, weights };
                    self.piece(edges, &panels, &mut layers, None);
                    arrive(first, self, layers.second, layers.opens, layers.weights, arrived);
                });
            } else {
                let [s, m, u, by_s, by_m, by_u, opens, weights] = parts(kept, kept_lengths);
                let mut layers = Layers { first: s, second: m, third: u, opens, weights };
                self.piece(edges, &panels, &mut layers, Some([by_s, by_m, by_u]));
                arrive(first, self, layers.second, layers.opens, layers.weights, arrived);
            }
        });
        sums.finish(&units, self.receivers)
    }
}

kernel! {
    /// Adds messages and shifts to the sums at the nodes that receive them.
    fn arrive<'a, F | S>(
        first: First<'a, F>,
        messages: &'a Messages<'a, F>,
        values: &'a [F],
        opens: &'a [F],
        weights: &'a [F],
        arrived: Arrived<'a, F>,
    ) {
        let mut arrived = arrived;
        let channels = messages.bias.len();
        for (edge, &node) in first.receivers.iter().enumerate() {
            let (sums, shifts) = arrived.row(node).split_at_mut(channels);
            let (message, open) = (&values[edge * stride(channels)..][..channels], opens[edge]);
            for (sum, &message) in sums.iter_mut().zip(message) {
                *sum = open.mul_add::<S>(message, *sum);
            }
            if let Some(Shift { clamp, .. }) = &messages.shift {
                for (sum, &difference) in shifts.iter_mut().zip(first.difference(edge)) {
                    *sum += clamped(difference * weights[edge], *clamp);
                }
            }
        }
    }
}

/// `x` between `-clamp` and `clamp`. Not a number for not a number.
#[inline(always)]
fn clamped<F: Float>(x: F, clamp: Option<F>) -> F {
    match clamp {
        Some(clamp) if x > clamp => clamp,
        Some(clamp) if x < -clamp => -clamp,
        _ => x,
    }
}
