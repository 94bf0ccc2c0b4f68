//! Edges in pieces of work, and the nodes that they lead to.

use std::marker::PhantomData;
use std::ops::Range;

use crate::ops::flex::float::Float;
use crate::ops::flex::pool::Buffer;
use crate::ops::segments::Rows;

/// Edges whose messages are made at a time: as many as stay in the cache with all that is between the layers.
pub(super) const PIECE: usize = 128;

/// Pieces that one thread takes one after the other. Edges are sorted by receiver.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) edges: Range<usize>,
    /// Nodes whose first edge is in this unit, or would be.
    pub(super) nodes: Range<usize>,
}

/// All edges in units of `pieces` pieces. The units depend on nothing but the graph, so sums over them are the same with any number of threads.
pub(super) fn units(receivers: &Rows, pieces: usize) -> Vec<Unit> {
    let (edges, nodes, size) = (receivers.rows(), receivers.count(), pieces * PIECE);
    let begins =
        |edge: usize| if edge >= edges { nodes } else { receivers.offsets[..nodes].partition_point(|&o| o < edge) };
    (0..edges)
        .step_by(size)
        .map(|first| Unit { edges: first..(first + size).min(edges), nodes: begins(first)..begins(first + size) })
        .collect()
}

impl Unit {
    pub(super) fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        let end = self.edges.end;
        self.edges.clone().step_by(PIECE).map(move |first| first..(first + PIECE).min(end))
    }
}

/// Sums at the nodes that a unit leads to: its own, and in front of them the node whose edges began before.
pub(super) struct Arrived<'a, F> {
    first: usize,
    own: &'a mut [F],
    before: &'a mut [F],
}

impl<F: Float> Arrived<'_, F> {
    /// The same for a shorter time.
    pub(super) fn again(&mut self) -> Arrived<'_, F> {
        Arrived { first: self.first, own: self.own, before: self.before }
    }

    /// The same with zeros.
    pub(super) fn cleared(self) -> Self {
        self.own.fill(F::ZERO);
        self.before.fill(F::ZERO);
        self
    }

    #[inline(always)]
    pub(super) fn row(&mut self, node: usize) -> &mut [F] {
        let width = self.before.len();
        if node < self.first { self.before } else { &mut self.own[(node - self.first) * width..][..width] }
    }
}

/// Sums of `width` numbers at all nodes, unit by unit.
pub(super) struct Sums<F> {
    width: usize,
    nodes: usize,
    units: usize,
    /// Those of all nodes, then of every unit what belongs to the node whose edges began before.
    numbers: Buffer,
    float: PhantomData<F>,
}

impl<F: Float> Sums<F> {
    pub(super) fn new(width: usize, nodes: usize, units: usize) -> Self {
        Self { width, nodes, units, numbers: Buffer::any::<F>((nodes + units) * width), float: PhantomData }
    }

    /// Where the units add, which may hold anything before they clear it. Every node belongs to a unit.
    pub(super) fn split<'a>(&'a mut self, units: &[Unit]) -> Vec<Arrived<'a, F>> {
        let numbers = &mut self.numbers.numbers_mut::<F>()[..(self.nodes + self.units) * self.width];
        let (mut rest, before) = numbers.split_at_mut(self.nodes * self.width);
        let before = before.chunks_exact_mut(self.width);
        let arrived = units.iter().zip(before).map(|(unit, before)| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(unit.nodes.len() * self.width);
            rest = others;
            Arrived { first: unit.nodes.start, own, before }
        });
        arrived.collect()
    }

    /// The sums in front, with what came from units before.
    pub(super) fn finish(mut self, units: &[Unit], receivers: &Rows) -> Buffer {
        let (nodes, before) = self.numbers.numbers_mut::<F>().split_at_mut(self.nodes * self.width);
        for (unit, before) in units.iter().zip(before.chunks_exact(self.width)) {
            let node = receivers.ids[unit.edges.start];
            if node < unit.nodes.start {
                for (sum, &before) in nodes[node * self.width..].iter_mut().zip(before) {
                    *sum += before;
                }
            }
        }
        self.numbers
    }
}
