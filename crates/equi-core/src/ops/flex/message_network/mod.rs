//! `message_network` on flex: messages in pieces that stay in the cache, so that no tensor has a row of channels for every edge.

mod backward;
mod forward;
mod tensors;
mod units;

pub(super) use tensors::{gradient, network};

use super::microkernel::{Lanes, Panels};
use crate::ops::segments::Rows;

/// The arguments, as [`message_network`](crate::ops::message_network) names them. Edges are sorted by receiver.
pub(super) struct Messages<'a, F> {
    /// `p`, `q [nodes, hidden]`
    received: &'a [F],
    sent: &'a [F],
    /// `[edges, dimensions]`
    differences: &'a [F],
    /// `[hidden]`
    distance: &'a [F],
    /// `[edges, inputs]`, `[inputs, hidden]`
    edges: &'a [F],
    edge_weight: &'a [F],
    /// `[hidden, channels]`, `[channels]`
    weight: &'a [F],
    bias: &'a [F],
    /// `[channels]`, `[1]`
    gate: Option<[&'a [F]; 2]>,
    shift: Option<Shift<'a, F>>,
    dimensions: usize,
    inputs: usize,
    hidden: usize,
    channels: usize,
    receivers: &'a Rows,
    senders: &'a [usize],
}

/// The network that weighs differences.
struct Shift<'a, F> {
    /// `[channels, width]`, `[width]`, `[width]`
    weight: &'a [F],
    bias: &'a [F],
    output: &'a [F],
    width: usize,
    tanh: bool,
    clamp: Option<F>,
}

impl<F: Lanes> Messages<'_, F> {
    /// Numbers in a row of the output: a message, and a shift where there are any.
    fn row(&self) -> usize {
        self.channels + if self.shift.is_some() { self.dimensions } else { 0 }
    }

    /// Width of the network that weighs differences; zero where there is none.
    fn width(&self) -> usize {
        self.shift.as_ref().map_or(0, |shift| shift.width)
    }

    /// Multiplications and additions of all messages.
    fn operations(&self) -> usize {
        self.receivers.rows() * self.channels * (self.hidden + self.width())
    }

    fn panels(&self) -> [Panels<'_, F>; 2] {
        let shift = self.shift.as_ref().map_or(&[][..], |shift| shift.weight);
        [Panels::new(self.weight, [self.hidden, self.channels]), Panels::new(shift, [self.channels, self.width()])]
    }
}
