//! Messages with harmonics in the frame where the vector of the edge is the polar axis; see [`alignment`](crate::ops::o3) for the mathematics.
//!
//! Of an edge, features are turned into its frame, multiplied by the paths, and turned back block by block; all of it in the first level of the cache.
//!
//! The gradient by the vector is a torque: a message `f(x, r)` turns with both arguments, so with the generators `X` of rotations
//!
//! ```text
//! d/dt f(x, e^(t X) r) = X f(x, r) - f(X x, r)          g . (df/dr X r) = g . X f - (g df/dx) . X x
//! ```
//!
//! In the frame only rotations about `x` and `z` move the vector, and their generators join neighbouring orders. What remains is the derivative along the vector,
//! where harmonics of degree `l` grow as `r^l`.

mod couple;
mod frame;
mod plan;
mod turn;

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;

use self::couple::torque;
use self::frame::Frame;
use self::turn::{into_frame, out_of_frame};
use super::coupling::{scale, scale_gradient};
use super::disjoint::Disjoint;
use super::stream::{fence, is_streamed, prefetch, write};
use super::uvu::{Graph, PIECE, SUMS, Source, planes_of};
use super::vector::Vector;
use crate::ops::flex::pieces::for_each_with;
use crate::ops::segments::Rows;

pub(super) use self::plan::Plan;

/// The arguments side by side.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a, F> {
    pub plan: &'a Plan<F>,
    /// `[nodes, columns]`
    pub x: &'a [F],
    /// `[edges, 3]`
    pub vectors: &'a [F],
    /// `[edges, weights]`, or `[weights]` where all share them.
    pub w: &'a [F],
    pub shared: bool,
    pub graph: Graph<'a>,
}

impl<F: Vector> Arguments<'_, F> {
    fn edges(&self) -> usize {
        self.vectors.len() / 3
    }

    fn weights(&self, edge: usize) -> &[F] {
        let columns = self.plan.weights.columns;
        if self.shared { self.w } else { &self.w[edge * columns..][..columns] }
    }

    /// The weights of the edge after that in a place, if they are read as they come.
    fn next_weights(&self, rows: &Rows, place: usize) -> &[F] {
        match rows.order.get(place + 1) {
            Some(&edge) if !self.shared && self.plan.weights.scratch() == 0 => self.weights(edge),
            _ => &[],
        }
    }

    fn vector(&self, edge: usize) -> [F; 3] {
        self.vectors.as_chunks::<3>().0[edge]
    }

    /// How many nodes a piece of work of the gradient has.
    fn piece(&self) -> usize {
        if self.shared { self.graph.senders.count().div_ceil(SUMS).max(PIECE) } else { PIECE }
    }

    /// The pieces of work of the gradient.
    pub fn pieces(&self) -> usize {
        self.graph.senders.count().div_ceil(self.piece())
    }
}

/// What one thread needs. Numbers that fill up rows of copies are zero and stay so.
struct Scratch<F> {
    frame: Frame<F>,
    /// `f_m` of the paths for the length of an edge, where it matters.
    factors: Vec<F>,
    x: Vec<F>,
    w: Vec<F>,
    z: Vec<F>,
    /// Features in the frame, a block of messages, and one of gradients.
    turned_x: Vec<F>,
    turned_z: Vec<F>,
    turned_g: Vec<F>,
    by_x: Vec<F>,
    by_w: Vec<F>,
    by_turned_x: Vec<F>,
    /// A row on its way past the caches; none if rows do not take it.
    row: Vec<MaybeUninit<F>>,
}

impl<F: Vector> Scratch<F> {
    fn new(plan: &Plan<F>, [by_x, by_vectors, by_w]: [bool; 3], streamed: bool) -> Self {
        let zeros = |size: usize, needed: bool| vec![F::ZERO; if needed { size } else { 0 }];
        let any = by_x || by_vectors || by_w;
        Self {
            frame: Frame::new(&plan.series),
            factors: zeros(plan.factors.len(), !plan.directed),
            x: zeros(plan.first.size, any),
            w: zeros(plan.weights.scratch(), true),
            z: zeros(plan.out.size, true),
            turned_x: zeros(plan.turned, true),
            turned_z: zeros(plan.largest, !any || by_vectors),
            turned_g: zeros(plan.largest, any),
            by_x: zeros(plan.first.size, by_x),
            by_w: zeros(plan.weights.size, by_w),
            by_turned_x: zeros(plan.turned, by_x || by_vectors),
            row: vec![
                MaybeUninit::uninit();
                if streamed { plan.columns[0].max(plan.columns[1]).max(plan.weights.columns) } else { 0 }
            ],
        }
    }
}

/// `f_m` of the paths for vectors of this length; those of unit vectors where only directions count. Divided by the length, if `reduced`.
#[inline(always)]
fn factors_for<'a, F: Vector>(plan: &'a Plan<F>, length: F, reduced: bool, scratch: &'a mut [F]) -> &'a [F] {
    if plan.directed {
        return &plan.factors;
    }
    for path in &plan.paths {
        let power = (usize::from(reduced)..path.degree).fold(F::ONE, |power, _| power * length);
        for place in path.factors.clone() {
            scratch[place] = plan.factors[place] * power;
        }
    }
    scratch
}

/// The messages to some of the nodes.
struct Multiply<'a, F> {
    arguments: &'a Arguments<'a, F>,
    x: Source<'a, F>,
    nodes: Range<usize>,
    scratch: &'a mut Scratch<F>,
    output: &'a mut [MaybeUninit<F>],
}

impl<F: Vector> pulp::WithSimd for Multiply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { arguments, x, nodes, scratch, output } = self;
        let Arguments { plan, graph, .. } = *arguments;
        let Scratch { frame, factors, x: x_scratch, w, z, turned_x, turned_z, row, .. } = scratch;
        for (node, output) in nodes.zip(output.chunks_exact_mut(plan.columns[1])) {
            z.fill(F::ZERO);
            for place in graph.receivers.offsets[node]..graph.receivers.offsets[node + 1] {
                let edge = graph.receivers.order[place];
                let next = arguments.next_weights(graph.receivers, place);
                let x = x.planes(&plan.first, plan.columns[0], graph.senders.ids[edge], x_scratch);
                let w = plan.weights.spread(arguments.weights(edge), w);
                for path in &plan.straight {
                    let (x, w) = (&x[path.first.numbers()], &w[path.lane..]);
                    (0..path.out.stride).step_by(plan.width).for_each(|lane| prefetch(next, path.lane + lane));
                    let (components, stride) = (path.out.components, path.out.stride / plan.width);
                    let z = F::vectors_mut::<S>(&mut z[path.out.numbers()]);
                    let (x, w) = (F::vectors::<S>(x), Some(F::vectors::<S>(w)));
                    scale::<F, S>(simd, components, path.factor, x, w, z, stride, true);
                }
                if plan.outs.is_empty() || !frame.set(simd, &plan.series, arguments.vector(edge), plan.directed) {
                    continue;
                }
                for block in &plan.firsts {
                    let (turn, x) = (frame.turn(&plan.series, block.degree), &x[block.plane.numbers()]);
                    into_frame(simd, turn, block.orders, x, &mut turned_x[block.place.clone()], block.plane.stride);
                }
                let factors = factors_for(plan, frame.length, false, factors);
                let coupling = couple::Arguments { paths: &plan.paths, factors, w, next };
                for (block, couples) in plan.outs.iter().zip(&plan.ends) {
                    let turned_z = &mut turned_z[..block.place.len()];
                    for (number, couple) in plan.couples[couples.clone()].iter().enumerate() {
                        let first = &plan.firsts[couple.first];
                        let x = &turned_x[first.place.clone()];
                        couple::multiply::<F, S>(simd, coupling, couple, x, turned_z, block.plane.stride, number > 0);
                    }
                    let (turn, z) = (frame.turn(&plan.series, block.degree), &mut z[block.plane.numbers()]);
                    out_of_frame(simd, turn, block.orders, turned_z, block.plane.stride, z);
                }
            }
            write(row, output, |output| plan.out.collect(z, output));
        }
        fence();
    }
}

/// Writes the messages, `[nodes that receive, columns]`.
pub(super) fn multiply<F: Vector>(arguments: &Arguments<F>, output: &mut [MaybeUninit<F>]) {
    let plan = arguments.plan;
    let planes = planes_of(&plan.first, arguments.x, plan.columns[0], true);
    let x = Source::Planes(&planes);
    let nodes = arguments.graph.receivers.count();
    let work = |scratch: &mut Scratch<F>, (piece, output): (usize, &mut [MaybeUninit<F>])| {
        let nodes = piece * PIECE..(piece * PIECE + PIECE).min(nodes);
        pulp::Arch::new().dispatch(Multiply { arguments, x, nodes, scratch, output });
    };
    let streamed = is_streamed(output.len());
    let scratch = || Scratch::new(plan, [false; 3], streamed);
    let pieces = output.chunks_mut(PIECE * plan.columns[1]).enumerate().collect();
    for_each_with(pieces, arguments.edges() * plan.operations, scratch, work);
}

/// Where gradients are written; what is not asked for has no rows.
pub(super) struct Gradients<'a, F> {
    pub by_x: Disjoint<'a, F>,
    pub by_vectors: Disjoint<'a, F>,
    /// Of every edge, or of every piece of work where all share their weights.
    pub by_w: Disjoint<'a, F>,
    pub needed: [bool; 3],
}

/// The gradients for some of the nodes that send.
struct Gradient<'a, F> {
    arguments: &'a Arguments<'a, F>,
    gradient: Source<'a, F>,
    piece: usize,
    nodes: Range<usize>,
    scratch: &'a mut Scratch<F>,
    gradients: &'a Gradients<'a, F>,
}

impl<F: Vector> pulp::WithSimd for Gradient<'_, F> {
    type Output = ();

    #[inline(always)]
    #[allow(unsafe_code)] // Edges lie in the order of receivers, and are visited in that of senders.
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { arguments, gradient, piece, nodes, scratch, gradients } = self;
        let Arguments { plan, graph, shared, .. } = *arguments;
        let [by_x, by_vectors, by_w] = gradients.needed;
        scratch.by_w.fill(F::ZERO);
        for node in nodes {
            scratch.by_x.fill(F::ZERO);
            plan.first.spread(&arguments.x[node * plan.columns[0]..][..plan.columns[0]], &mut scratch.x);
            for place in graph.senders.offsets[node]..graph.senders.offsets[node + 1] {
                let edge = graph.senders.order[place];
                if !shared {
                    scratch.by_w.fill(F::ZERO);
                }
                let by_vector = scratch.edge(simd, arguments, gradient, place, by_vectors);
                if by_vectors {
                    // SAFETY: every edge is sent by one node, and every node is in one piece.
                    let row = unsafe { gradients.by_vectors.row(edge) };
                    row.write_copy_of_slice(&by_vector);
                }
                if by_w && !shared {
                    // SAFETY: as above.
                    let row = unsafe { gradients.by_w.row(edge) };
                    write(&mut scratch.row, row, |row| plan.weights.collect(&scratch.by_w, row));
                }
            }
            if by_x {
                // SAFETY: every node is in one piece.
                let row = unsafe { gradients.by_x.row(node) };
                write(&mut scratch.row, row, |row| plan.first.collect(&scratch.by_x, row));
            }
        }
        if by_w && shared {
            // SAFETY: every piece has a row.
            plan.weights.collect(&scratch.by_w, unsafe { gradients.by_w.row(piece) });
        }
        fence();
    }
}

impl<F: Vector> Scratch<F> {
    /// Adds the gradients by the features and the weights that the edge in this place of the senders has, and gives that by its vector.
    #[inline(always)]
    fn edge<S: Simd>(
        &mut self,
        simd: S,
        arguments: &Arguments<F>,
        gradient: Source<F>,
        place: usize,
        by_vector: bool,
    ) -> [F; 3] {
        let Arguments { plan, graph, .. } = *arguments;
        let Self { frame, factors, x, w, z, turned_x, turned_z, turned_g, by_x, by_w, by_turned_x, .. } = self;
        let (edge, next) = (graph.senders.order[place], arguments.next_weights(graph.senders, place));
        let g = gradient.planes(&plan.out, plan.columns[1], graph.receivers.ids[edge], z);
        let w = plan.weights.spread(arguments.weights(edge), w);
        for path in &plan.straight {
            (0..path.out.stride).step_by(plan.width).for_each(|lane| prefetch(next, path.lane + lane));
            let (components, stride) = (path.out.components, path.out.stride / plan.width);
            let (x, g) = (F::vectors::<S>(&x[path.first.numbers()]), F::vectors::<S>(&g[path.out.numbers()]));
            let by_x = if by_x.is_empty() { &mut [][..] } else { &mut by_x[path.first.numbers()] };
            let by_w = if by_w.is_empty() { &mut [][..] } else { &mut by_w[path.lane..] };
            let (by_x, by_w) = (F::vectors_mut::<S>(by_x), F::vectors_mut::<S>(by_w));
            let w = Some(F::vectors::<S>(&w[path.lane..]));
            scale_gradient::<F, S>(simd, components, path.factor, x, w, g, stride, by_x, by_w, &mut []);
        }
        if plan.outs.is_empty() || !frame.set(simd, &plan.series, arguments.vector(edge), plan.directed) {
            return [F::ZERO; 3];
        }
        // The torque joins an order to the next.
        let orders = |block: &plan::Turned<F>| if by_vector { block.room } else { block.orders };
        for block in &plan.firsts {
            let (turn, x) = (frame.turn(&plan.series, block.degree), &x[block.plane.numbers()]);
            into_frame(simd, turn, orders(block), x, &mut turned_x[block.place.clone()], block.plane.stride);
        }
        by_turned_x.fill(F::ZERO);
        let (mut torques, mut radial) = ([F::splat(simd, F::ZERO); 2], F::ZERO);
        let factors = factors_for(plan, frame.length, true, factors);
        let coupling = couple::Arguments { paths: &plan.paths, factors, w, next };
        let length = if plan.directed { F::ONE } else { frame.length };
        for (block, couples) in plan.outs.iter().zip(&plan.ends) {
            let turned_g = &mut turned_g[..block.place.len()];
            let turn = frame.turn(&plan.series, block.degree);
            into_frame(simd, turn, orders(block), &g[block.plane.numbers()], turned_g, block.plane.stride);
            for (number, couple) in plan.couples[couples.clone()].iter().enumerate() {
                let first = &plan.firsts[couple.first];
                let x = &turned_x[first.place.clone()];
                let by_x = if by_turned_x.is_empty() { &mut [][..] } else { &mut by_turned_x[first.place.clone()] };
                let along = (by_vector && !plan.directed).then_some(&mut radial);
                let gradients = couple::Gradients { by_x, by_w, scale: length, along };
                couple::gradient::<F, S>(simd, coupling, couple, x, turned_g, block.plane.stride, gradients);
                if by_vector {
                    let z = &mut turned_z[..block.place.len()];
                    couple::multiply::<F, S>(simd, coupling, couple, x, z, block.plane.stride, number > 0);
                }
            }
            if by_vector {
                torque::<F, S>(simd, block, &turned_z[..block.place.len()], turned_g, &mut torques);
            }
        }
        if by_vector {
            for block in &plan.firsts {
                let (a, b) = (&by_turned_x[block.place.clone()], &turned_x[block.place.clone()]);
                torque::<F, S>(simd, block, a, b, &mut torques);
            }
        }
        if !by_x.is_empty() {
            if !plan.directed {
                by_turned_x.iter_mut().for_each(|number| *number *= length);
            }
            for block in &plan.firsts {
                let (turn, by_x) = (frame.turn(&plan.series, block.degree), &mut by_x[block.plane.numbers()]);
                out_of_frame(simd, turn, block.orders, &by_turned_x[block.place.clone()], block.plane.stride, by_x);
            }
        }
        let [about_x, about_z] = torques.map(|sum| F::total(simd, sum));
        let inverse = if plan.directed { F::ONE / frame.length } else { F::ONE };
        frame.vector([-about_z * inverse, radial, about_x * inverse])
    }
}

/// Writes the gradients that `gradient`, `[nodes that receive, columns]`, has by the arguments: every row of them.
pub(super) fn gradient<F: Vector>(arguments: &Arguments<F>, gradient: &[F], gradients: &Gradients<F>) {
    let plan = arguments.plan;
    let planes = planes_of(&plan.out, gradient, plan.columns[1], true);
    let gradient = Source::Planes(&planes);
    let (size, nodes) = (arguments.piece(), arguments.graph.senders.count());
    let work = |scratch: &mut Scratch<F>, piece: usize| {
        let nodes = piece * size..(piece * size + size).min(nodes);
        pulp::Arch::new().dispatch(Gradient { arguments, gradient, piece, nodes, scratch, gradients });
    };
    let scratch = || Scratch::new(plan, gradients.needed, is_streamed(arguments.edges() * plan.out.size));
    for_each_with((0..arguments.pieces()).collect(), arguments.edges() * plan.operations, scratch, work);
}
