//! From tensors to messages, and back.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::{Messages, Shift};
use crate::ops::flex::memory::{contiguous, dims, numbers, own_numbers, pooled, tensor};
use crate::ops::flex::microkernel::Lanes;
use crate::ops::flex::pool::Buffer;
use crate::ops::kept::Kept;
use crate::ops::message_network::{ARGUMENTS, BackendMessages};
use crate::ops::segments::Rows;

impl<'a, F: Lanes> Messages<'a, F> {
    /// Of contiguous arguments.
    fn of(arguments: &'a BackendMessages<Flex>, receivers: &'a Rows, senders: &'a Rows) -> Self {
        let [p, q, d, w, weight, bias, e, e_weight, g, g_bias, x, x_bias, x_output] =
            arguments.tensors().map(|tensor| tensor.map_or(&[][..], numbers::<F>));
        let [hidden, channels] = dims(&arguments.weight);
        Self {
            received: p,
            sent: q,
            differences: d,
            distance: w,
            edges: e,
            edge_weight: e_weight,
            weight,
            bias,
            gate: (!g.is_empty()).then_some([g, g_bias]),
            shift: (!x.is_empty()).then(|| Shift {
                weight: x,
                bias: x_bias,
                output: x_output,
                width: x_bias.len(),
                tanh: arguments.tanh,
                clamp: arguments.clamp.map(F::from_elem),
            }),
            dimensions: dims(&arguments.differences)[1],
            inputs: e_weight.len() / hidden,
            hidden,
            channels,
            receivers,
            senders: &senders.ids,
        }
    }

    /// Divides rows of sums, or of gradients by means, by the number of edges of their nodes.
    fn average(&self, rows: &mut [F], mean: [bool; 2]) {
        if mean == [false; 2] {
            return;
        }
        for (row, share) in rows.chunks_exact_mut(self.row()).zip(self.receivers.shares()) {
            let share = F::from_elem(share);
            let (message, shift) = row.split_at_mut(self.channels);
            for (part, mean) in [message, shift].into_iter().zip(mean) {
                if mean {
                    part.iter_mut().for_each(|number| *number *= share);
                }
            }
        }
    }
}

pub(in crate::ops::flex) fn network<F: Lanes>(
    arguments: BackendMessages<Flex>,
    receivers: &Rows,
    senders: &Rows,
    keep: Option<Kept>,
) -> FlexTensor {
    let mean = arguments.mean;
    let arguments = arguments.map::<Flex>(contiguous);
    let messages = Messages::<F>::of(&arguments, receivers, senders);
    let mut sums = match keep.zip(messages.kept()) {
        Some((keep, count)) => {
            let mut kept = Buffer::any::<F>(count);
            let sums = messages.sums(Some(&mut kept.numbers_mut()[..count]));
            keep.put(kept);
            sums
        }
        None => messages.sums(None),
    };
    let shape = [receivers.count(), messages.row()];
    messages.average(&mut sums.numbers_mut()[..shape[0] * shape[1]], mean);
    pooled::<F>(sums, shape)
}

pub(in crate::ops::flex) fn gradient<F: Lanes>(
    arguments: BackendMessages<Flex>,
    receivers: &Rows,
    senders: &Rows,
    gradient: FlexTensor,
    kept: Kept,
    needed: [bool; ARGUMENTS],
) -> Vec<Option<FlexTensor>> {
    let mean = arguments.mean;
    let (arguments, mut gradient) = (arguments.map::<Flex>(contiguous), contiguous(gradient));
    let messages = Messages::<F>::of(&arguments, receivers, senders);
    if mean != [false; 2] {
        messages.average(own_numbers(&mut gradient), mean);
    }
    let mut kept: Option<Buffer> = kept.take();
    let kept = kept.as_mut().zip(messages.kept()).map(|(kept, count)| &mut kept.numbers_mut()[..count]);
    let mut all = messages.gradients(numbers(&gradient), kept, [needed[2], needed[6]]);
    let gate_bias = if all.gate.is_empty() { Vec::new() } else { all.gate.split_off(messages.channels) };
    let by_received = pooled::<F>(all.received, arguments.received.layout().shape().clone());
    let rest = [
        all.sent,
        all.differences,
        all.distance,
        all.weight,
        all.bias,
        all.edges,
        all.edge_weight,
        all.gate,
        gate_bias,
        all.shift_weight,
        all.shift_bias,
        all.shift_output,
    ];
    let like = arguments.tensors().into_iter().zip(needed).skip(1);
    let rest = rest.into_iter().zip(like).map(|(numbers, (like, needed))| {
        let like = like.filter(|_| needed)?;
        Some(tensor(numbers, like.layout().shape().clone()))
    });
    std::iter::once(needed[0].then_some(by_received)).chain(rest).collect()
}
