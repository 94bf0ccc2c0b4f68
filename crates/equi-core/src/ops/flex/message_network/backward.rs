//! The gradients of messages. What is between the layers is computed again, piece by piece, unless it was kept: that takes rows of channels for
//! every edge.

use super::Messages;
use super::forward::{First, Layers};
use super::units::{Arrived, PIECE, Sums, Unit, units};
use crate::ops::flex::float::{Float, dot};
use crate::ops::flex::layers::{UnitSums, back_through_silu, matrix, parts, split};
use crate::ops::flex::microkernel::{Lanes, Panels, multiply, multiply_transposed, room, stride};
use crate::ops::flex::pieces::{for_each, with_scratch};
use crate::ops::flex::pool::Buffer;
use crate::ops::flex::simd::kernel;

/// Units of work at most. Each has its own sums of the gradients by weights.
const UNITS: usize = 16;

/// The gradients by all arguments. Those by what was not asked for, or is not there, are empty.
pub(in crate::ops::flex) struct Gradients<F> {
    pub(in crate::ops::flex) received: Buffer,
    pub(in crate::ops::flex) sent: Vec<F>,
    pub(in crate::ops::flex) differences: Vec<F>,
    pub(in crate::ops::flex) edges: Vec<F>,
    pub(in crate::ops::flex) distance: Vec<F>,
    pub(in crate::ops::flex) edge_weight: Vec<F>,
    pub(in crate::ops::flex) weight: Vec<F>,
    pub(in crate::ops::flex) bias: Vec<F>,
    /// By the weight, then the bias.
    pub(in crate::ops::flex) gate: Vec<F>,
    pub(in crate::ops::flex) shift_weight: Vec<F>,
    pub(in crate::ops::flex) shift_bias: Vec<F>,
    pub(in crate::ops::flex) shift_output: Vec<F>,
}

/// Gradients by weights, as they are summed up in a unit. Matrices have the layout of pieces of work.
const WEIGHTS: usize = 8;

impl<F: Lanes> Messages<'_, F> {
    /// Lengths of the gradients by `distance`, `edge_weight`, `weight`, `bias`, `gate`, and the three of `shift`.
    fn weight_lengths(&self) -> [usize; WEIGHTS] {
        let (hidden, channels, width) = (self.hidden, self.channels, self.width());
        [
            hidden,
            self.inputs * hidden,
            room(hidden, channels),
            channels,
            if self.gate.is_some() { channels + 1 } else { 0 },
            if width > 0 { room(channels, width) } else { 0 },
            width,
            width,
        ]
    }

    /// The gradients, given that by the output, and what was kept of it, if anything. Of those by `differences` and `edges` only what is `needed`.
    pub(in crate::ops::flex) fn gradients(
        &self,
        gradient: &[F],
        kept: Option<&mut [F]>,
        needed: [bool; 2],
    ) -> Gradients<F> {
        let (edges, nodes) = (self.receivers.rows(), self.receivers.count());
        let units = units(self.receivers, edges.div_ceil(PIECE).div_ceil(UNITS).max(2));
        let panels = self.panels();
        let shift = self.shift.as_ref().map_or(&[][..], |shift| shift.weight);
        let transposed = [
            Panels::transposed(self.weight, [self.hidden, self.channels]),
            Panels::transposed(shift, [self.channels, self.width()]),
        ];

        let mut received = Sums::new(self.hidden, nodes, units.len());
        let lengths = self.weight_lengths();
        let mut weights = UnitSums::new::<F>(lengths.iter().sum(), units.len());
        let [mut by_differences, mut by_edges] = [(needed[0], self.dimensions), (needed[1], self.inputs)]
            .map(|(needed, columns)| vec![F::ZERO; if needed { edges * columns } else { 0 }]);
        let mut sent: Vec<Sent<F>> = units.iter().map(|_| Sent::default()).collect();

        let size = units.first().map_or(0, |unit| unit.edges.len());
        let rows = split(&mut by_differences, size * self.dimensions, units.len());
        let rows = rows.into_iter().zip(split(&mut by_edges, size * self.inputs, units.len()));
        let sums = received.split(&units).into_iter().zip(&mut sent).zip(weights.split());
        let kept_size = size.div_ceil(PIECE) * self.kept_lengths().iter().sum::<usize>();
        let kept = split(kept.unwrap_or_default(), kept_size, units.len());
        let work: Vec<_> = units.iter().zip(kept).zip(sums.zip(rows)).collect();
        for_each(work, 4 * self.operations(), |((unit, kept), (((received, sent), weights), (differences, edges)))| {
            weights.fill(F::ZERO);
            let received = received.cleared();
            *sent = Sent::new(&self.senders[unit.edges.clone()], self.hidden);
            let into = Into { received, sent, weights: parts(weights, lengths), differences, edges };
            self.unit(unit, gradient, kept, [&panels, &transposed], into);
        });

        let mut sum = weights.add_up::<F>();
        let [distance, edge_weight, weight, bias, gate, shift_weight, shift_bias, shift_output] =
            parts(&mut sum, lengths);
        Gradients {
            received: received.finish(&units, self.receivers),
            sent: Sent::sum(&sent, self.hidden, nodes),
            differences: by_differences,
            edges: by_edges,
            distance: distance.to_vec(),
            edge_weight: edge_weight.to_vec(),
            weight: matrix(weight, [self.hidden, self.channels]),
            bias: bias.to_vec(),
            gate: gate.to_vec(),
            shift_weight: matrix(shift_weight, [self.channels, self.width()]),
            shift_bias: shift_bias.to_vec(),
            shift_output: shift_output.to_vec(),
        }
    }

    fn unit(
        &self,
        unit: &Unit,
        gradient: &[F],
        kept: &mut [F],
        [panels, transposed]: [&[Panels<F>; 2]; 2],
        mut into: Into<F>,
    ) {
        let [first, second, _] = self.lengths();
        let kept_lengths = self.kept_lengths();
        let kept_length = kept_lengths.iter().sum();
        let anew = if kept.is_empty() { kept_length } else { 0 };
        with_scratch([first, second, PIECE, anew], |[by_s, by_m, by_weights, scratch]| {
            for (number, edges) in unit.pieces().enumerate() {
                let count = edges.len();
                let values = if anew > 0 { &mut *scratch } else { &mut kept[number * kept_length..][..kept_length] };
                // The slopes of the third SiLU are turned into gradients where they are.
                let [s, m, u, slope_s, slope_m, by_u, opens, weights] = parts(values, kept_lengths);
                if anew > 0 {
                    let [s, m, u, opens, weights] = [&mut *s, &mut *m, &mut *u, &mut *opens, &mut *weights];
                    let mut layers = Layers { first: s, second: m, third: u, opens, weights };
                    self.piece(&edges, panels, &mut layers, Some([&mut *slope_s, &mut *slope_m, &mut *by_u]));
                }
                let first = First::of(self, &edges);
                let place = edges.start - unit.edges.start;
                let differences = if into.differences.is_empty() {
                    &mut [][..]
                } else {
                    &mut into.differences[place * self.dimensions..][..count * self.dimensions]
                };
                let [
                    by_distance,
                    by_edge_weight,
                    by_weight,
                    by_bias,
                    by_gate,
                    by_shift,
                    by_shift_bias,
                    by_shift_output,
                ] = &mut into.weights;

                if let Some(shift) = &self.shift {
                    let by_weights = &mut by_weights[..count];
                    let ends = [shift.tanh.then_some(F::ONE), shift.clamp];
                    back_through_shifts(first, ends, gradient, self.row(), weights, by_weights, differences);
                    back_through_weights(u, shift.output, by_weights, by_u, by_shift_bias, by_shift_output);
                    multiply(count, by_u, stride(shift.width), &transposed[1], by_m, false);
                    if self.gate.is_some() {
                        scale(shift.width, &opens[..count], by_u);
                    }
                    multiply_transposed(
                        [count, self.channels, shift.width],
                        [m, by_u],
                        stride(self.channels),
                        by_shift,
                    );
                } else {
                    by_m[..count * stride(self.channels)].fill(F::ZERO);
                }
                back_through_sums(first.receivers, gradient, self.row(), self.channels, by_m);
                if let Some([weight, _]) = self.gate {
                    back_through_gate(m, weight, &opens[..count], by_m, by_gate);
                }
                back_through_silu(self.channels, &slope_m[..count * stride(self.channels)], by_m, by_bias);
                multiply_transposed([count, self.hidden, self.channels], [s, by_m], stride(self.hidden), by_weight);
                multiply(count, by_m, stride(self.channels), &transposed[0], by_s, false);
                let edges = if into.edges.is_empty() {
                    &mut [][..]
                } else {
                    &mut into.edges[place * self.inputs..][..count * self.inputs]
                };
                let weights = [&mut **by_distance, &mut **by_edge_weight];
                back_through_first(first, slope_s, by_s, weights, differences, edges);
                let Sent { slots, sums, .. } = &mut *into.sent;
                collect(first, self.hidden, by_s, into.received.again(), &slots[place..], sums);
            }
        });
    }
}

/// Where the gradients of a unit go.
struct Into<'a, F> {
    received: Arrived<'a, F>,
    sent: &'a mut Sent<F>,
    weights: [&'a mut [F]; WEIGHTS],
    differences: &'a mut [F],
    edges: &'a mut [F],
}

/// Gradients by what nodes send, summed over the edges of a unit: a row for every sender that it has.
#[derive(Default)]
struct Sent<F> {
    senders: Vec<usize>,
    /// The row of every edge.
    slots: Vec<usize>,
    sums: Vec<F>,
}

impl<F: Float> Sent<F> {
    fn new(senders: &[usize], hidden: usize) -> Self {
        let mut order = senders.to_vec();
        order.sort_unstable();
        order.dedup();
        let slots = senders.iter().map(|sender| order.binary_search(sender).expect("one of them")).collect();
        Self { sums: vec![F::ZERO; order.len() * hidden], senders: order, slots }
    }

    /// `[nodes, hidden]`, unit by unit.
    fn sum(units: &[Self], hidden: usize, nodes: usize) -> Vec<F> {
        let mut sums = vec![F::ZERO; nodes * hidden];
        for unit in units {
            for (sender, row) in unit.senders.iter().zip(unit.sums.chunks_exact(hidden)) {
                for (sum, &row) in sums[sender * hidden..].iter_mut().zip(row) {
                    *sum += row;
                }
            }
        }
        sums
    }
}

kernel! {
    /// From the shifts of a piece to the weights of its differences, before their tanh, and to its differences.
    fn back_through_shifts<'a, F | S>(
        first: First<'a, F>,
        ends: [Option<F>; 2],
        gradient: &'a [F],
        row: usize,
        weights: &'a [F],
        by_weights: &'a mut [F],
        by_differences: &'a mut [F],
    ) {
        let [tanh, clamp] = ends;
        for (edge, (by_weight, &weight)) in by_weights.iter_mut().zip(weights).enumerate() {
            let gradient = &gradient[first.receivers[edge] * row..][row - first.dimensions..row];
            let mut sum = F::ZERO;
            for (place, (&difference, &gradient)) in first.difference(edge).iter().zip(gradient).enumerate() {
                let cut = clamp.is_some_and(|clamp| difference * weight > clamp || difference * weight < -clamp);
                let gradient = if cut { F::ZERO } else { gradient };
                sum = difference.mul_add::<S>(gradient, sum);
                if !by_differences.is_empty() {
                    by_differences[edge * first.dimensions + place] = gradient * weight;
                }
            }
            *by_weight = if tanh.is_some() { sum * (F::ONE - weight * weight) } else { sum };
        }
    }
}

kernel! {
    /// From the weights of differences to what is before the SiLU in the network that makes them, in place of its slopes.
    fn back_through_weights<'a, F | S>(
        values: &'a [F],
        output: &'a [F],
        by_weights: &'a [F],
        slopes: &'a mut [F],
        by_bias: &'a mut [F],
        by_output: &'a mut [F],
    ) {
        let width = output.len();
        let rows = values.chunks_exact(stride(width)).zip(slopes.chunks_exact_mut(stride(width)));
        for ((values, slopes), &by_weight) in rows.zip(by_weights) {
            let sums = by_bias.iter_mut().zip(by_output.iter_mut()).zip(output);
            for ((slope, &value), ((by_bias, by_output), &output)) in slopes.iter_mut().zip(values).zip(sums) {
                *by_output = by_weight.mul_add::<S>(value, *by_output);
                *slope *= by_weight * output;
                *by_bias += *slope;
            }
        }
    }
}

kernel! {
    fn scale<'a, F | S>(columns: usize, scales: &'a [F], values: &'a mut [F]) {
        for (values, &scale) in values.chunks_exact_mut(stride(columns)).zip(scales) {
            for value in &mut values[..columns] {
                *value *= scale;
            }
        }
    }
}

kernel! {
    /// Adds the gradients by the sums at the receivers.
    fn back_through_sums<'a, F | S>(receivers: &'a [usize], gradient: &'a [F], row: usize, channels: usize, by_messages: &'a mut [F]) {
        for (by_message, &node) in by_messages.chunks_exact_mut(stride(channels)).zip(receivers) {
            for (by_message, &gradient) in by_message.iter_mut().zip(&gradient[node * row..][..channels]) {
                *by_message += gradient;
            }
        }
    }
}

kernel! {
    /// From messages to what they were before they were weighted.
    fn back_through_gate<'a, F | S>(values: &'a [F], weight: &'a [F], opens: &'a [F], by_values: &'a mut [F], by_gate: &'a mut [F]) {
        let channels = weight.len();
        let (by_weight, by_bias) = by_gate.split_at_mut(channels);
        let rows = values.chunks_exact(stride(channels)).zip(by_values.chunks_exact_mut(stride(channels)));
        for ((values, by_values), &open) in rows.zip(opens) {
            let (values, by_values) = (&values[..channels], &mut by_values[..channels]);
            let by_sum = dot::<F, S>(values, by_values) * open * (F::ONE - open);
            for (by_weight, &value) in by_weight.iter_mut().zip(values) {
                *by_weight = by_sum.mul_add::<S>(value, *by_weight);
            }
            for (by_value, &weight) in by_values.iter_mut().zip(weight) {
                *by_value = by_sum.mul_add::<S>(weight, *by_value * open);
            }
            by_bias[0] += by_sum;
        }
    }
}

kernel! {
    /// From the first layer to the weights of distances and of features of edges, and to these.
    fn back_through_first<'a, F | S>(
        first: First<'a, F>,
        slopes: &'a [F],
        by_values: &'a mut [F],
        weights: [&'a mut [F]; 2],
        by_differences: &'a mut [F],
        by_edges: &'a mut [F],
    ) {
        let [by_distance, by_edge_weight] = weights;
        let hidden = first.distance.len();
        let rows = slopes.chunks_exact(stride(hidden)).zip(by_values.chunks_exact_mut(stride(hidden)));
        for (edge, (slopes, by_values)) in rows.take(first.receivers.len()).enumerate() {
            let (slopes, by_values) = (&slopes[..hidden], &mut by_values[..hidden]);
            let squared = first.squared::<S>(edge);
            for ((by_value, &slope), by_distance) in by_values.iter_mut().zip(slopes).zip(by_distance.iter_mut()) {
                *by_value *= slope;
                *by_distance = squared.mul_add::<S>(*by_value, *by_distance);
            }
            let inputs = &first.edges[edge * first.inputs..][..first.inputs];
            for (&input, by_weight) in inputs.iter().zip(by_edge_weight.chunks_exact_mut(hidden)) {
                for (by_weight, &by_value) in by_weight.iter_mut().zip(by_values.iter()) {
                    *by_weight = input.mul_add::<S>(by_value, *by_weight);
                }
            }
            if !by_differences.is_empty() {
                let by_squared = dot::<F, S>(by_values, first.distance);
                let by_difference = &mut by_differences[edge * first.dimensions..][..first.dimensions];
                for (by_difference, &difference) in by_difference.iter_mut().zip(first.difference(edge)) {
                    *by_difference = (by_squared + by_squared).mul_add::<S>(difference, *by_difference);
                }
            }
            if !by_edges.is_empty() {
                let by_edge = &mut by_edges[edge * first.inputs..][..first.inputs];
                for (by_edge, weight) in by_edge.iter_mut().zip(first.edge_weight.chunks_exact(hidden)) {
                    *by_edge = dot::<F, S>(by_values, weight);
                }
            }
        }
    }
}

kernel! {
    /// Adds the gradients by what edges receive, and what they are sent.
    fn collect<'a, F | S>(
        first: First<'a, F>,
        hidden: usize,
        by_values: &'a [F],
        received: Arrived<'a, F>,
        slots: &'a [usize],
        sent: &'a mut [F],
    ) {
        let mut received = received;
        let rows = by_values.chunks_exact(stride(hidden)).zip(first.receivers).zip(slots);
        for ((by_values, &node), &slot) in rows {
            let sums = received.row(node).iter_mut().zip(&mut sent[slot * hidden..][..hidden]);
            for ((received, sent), &by_value) in sums.zip(by_values) {
                *received += by_value;
                *sent += by_value;
            }
        }
    }
}
