//! The gradients of [`Few`]. That by the hidden values is one by all of them, so it takes all products of weights and features.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::Arguments;
use super::few::Few;
use super::multiply::{LONGEST, Turned, Vectors, View, multiply, multiply_ahead, multiply_into};
use super::shared::Shared;
use crate::ops::flex::memory::Unwritten;

/// Rows of `W` whose gradients are taken together.
const INPUTS: usize = 8;

/// Hidden values whose gradients are taken together.
const HIDDEN: usize = 22;

/// Length of inner products that are taken at a time: four rows of `K` stay in the cache closest to the processor.
const LENGTH: usize = 1024;

/// Numbers of gradients by the sums over `r`, and by the products before them, that are held at a time.
const HELD: usize = if cfg!(test) { 1 << 8 } else { 1 << 21 };

/// The gradients by `x`, `a` and `W`.
pub(super) type Gradients<F> = (Option<Vec<F>>, Option<Unwritten<F>>, Option<Unwritten<F>>);

/// What is held for some nodes one after the other, all of it written.
struct Held<F> {
    nodes: Range<usize>,
    /// Gradients by the products `K x`, tile by tile `[nodes, p, r, F o]`.
    by_products: Unwritten<F>,
    /// Gradients by the sums over `r`, edges side by side: node by node, tile by tile `[p, F o, edges]`, edges padded with zeros.
    by_sums: Unwritten<F>,
    /// Where the nodes begin in `by_sums`.
    places: Vec<usize>,
}

impl<F: Vectors> Few<'_, F> {
    /// The gradients by `x`, `a` and `W` from that by the output, where they are asked for.
    pub(super) fn gradients(&self, gradient: &[F], needed: [bool; 3]) -> Gradients<F> {
        let &Arguments { x, p, i, h, columns, o, rows, .. } = self.arguments;
        let [by_x, by_a, by_w] = needed;
        let (rank, inner) = (self.span.rank, self.arguments.inner());
        let weights = if by_x { self.weights() } else { Unwritten::new(0) };
        let weights = weights.as_slice();
        // Every tile has its share of the gradient by `x`.
        let mut of_x = vec![F::ZERO; if by_x { self.tiles.len() * x.len() } else { 0 }];
        let mut of_a = Unwritten::new(if by_a { rows.rows() * h } else { 0 });
        // By `K`, tile by tile `[i, r, F o]`.
        let mut of_weights = Unwritten::new(if by_w { i * rank * columns } else { 0 });
        let nodes = (2 * HELD / (p * rank * columns)).max(1);
        for (place, nodes) in self.arguments.groups(nodes, (HELD / (inner * o)).max(1)).into_iter().enumerate() {
            let held = self.held(gradient, nodes, weights, &mut of_x, needed);
            if by_w {
                self.add_by_weights(&held, of_weights.numbers(), place > 0);
            }
            if by_a {
                self.by_hidden(&held, &Shared::new(of_a.numbers()));
            }
        }
        let by_x = by_x.then(|| {
            let mut tiles = of_x.chunks_exact(x.len());
            let mut sum = tiles.next().expect("a tile").to_vec();
            tiles.for_each(|tile| sum.iter_mut().zip(tile).for_each(|(sum, &part)| *sum += part));
            sum
        });
        let of_weights = of_weights.as_slice();
        // Every edge is sent by a node, and all its hidden values are written.
        (by_x, by_a.then_some(of_a), by_w.then(|| self.by_weights(of_weights)))
    }

    fn held(
        &self,
        gradient: &[F],
        nodes: Range<usize>,
        weights: &[F],
        of_x: &mut [F],
        [by_x, by_a, by_w]: [bool; 3],
    ) -> Held<F> {
        let &Arguments { p, columns, o, .. } = self.arguments;
        let rank = self.span.rank;
        let mut places = vec![0];
        for node in nodes.clone() {
            let room = if by_a { self.arguments.sent(node).len().next_multiple_of(LONGEST) } else { 0 };
            places.push(places.last().expect("a first") + p * columns * room);
        }
        let mut by_sums = Unwritten::new(places[nodes.len()]);
        let mut by_products = Unwritten::new(if by_x || by_w { nodes.len() * p * rank * columns } else { 0 });
        let (of_sums, of_products) = (Shared::new(by_sums.numbers()), Shared::new(by_products.numbers()));
        // SAFETY: numbers are written, and nothing else.
        #[allow(unsafe_code)] // See `Shared`.
        let of_x = Shared::new(unsafe { &mut *(std::ptr::from_mut(of_x) as *mut [MaybeUninit<F>]) });
        let groups = self.groups(nodes.clone());
        let work: Vec<_> =
            self.tiles.iter().enumerate().flat_map(|tile| groups.iter().map(move |n| (tile, n))).collect();
        work.par_iter().for_each_init(Vec::new, |sums, &((number, tile), group)| {
            let width = self.kernels() * tile.len();
            let row = rank * width;
            let first = (group.start - nodes.start) * p;
            let start = self.start(tile, nodes.len() * p) + first * row;
            let products = if by_x || by_w { start..start + group.len() * p * row } else { 0..0 };
            // SAFETY: every node and tile is one piece of work.
            #[allow(unsafe_code)] // See `Shared`.
            let products = unsafe { of_products.part(products) };
            for node in group.clone() {
                let sent = self.arguments.sent(node);
                let mine = (node - group.start) * p * row;
                if sent.is_empty() {
                    if by_x || by_w {
                        products[mine..mine + p * row].fill(MaybeUninit::new(F::ZERO));
                    }
                    continue;
                }
                self.turn_back(gradient, sent.clone(), tile, sums);
                if by_a {
                    let room = sent.len().next_multiple_of(LONGEST);
                    let place = places[node - nodes.start] + p * columns / o * tile.start * room;
                    // SAFETY: every node and tile is one piece of work.
                    #[allow(unsafe_code)] // See `Shared`.
                    let turned = unsafe { of_sums.part(place..place + p * width * room) };
                    transpose(sums, p * width, turned, room);
                }
                if by_x || by_w {
                    let stride = self.span.stride;
                    let coefficients = View { numbers: &self.coefficients[sent.start * stride..], stride };
                    for component in 0..p {
                        let sums = View { numbers: &sums[component * width..], stride: p * width };
                        let output = &mut products[mine + component * row..][..row];
                        multiply_into([rank, sent.len(), width], coefficients, sums, Turned::Left, output, width);
                    }
                }
            }
            if by_x {
                let &Arguments { x, i, .. } = self.arguments;
                // SAFETY: written above.
                #[allow(unsafe_code)] // See `unwritten`.
                let products = unsafe { products.assume_init_ref() };
                let start = number * x.len() + group.start * p * i;
                // SAFETY: every node and tile is one piece of work.
                #[allow(unsafe_code)] // See `Shared`.
                let output = unsafe { of_x.part(start..start + group.len() * p * i) };
                let weights = &weights[self.start(tile, i)..];
                let shape = |from: usize| [group.len() * p, LENGTH.min(row - from), i];
                let parts = |from: usize| {
                    (View { numbers: &products[from..], stride: row }, View { numbers: &weights[from..], stride: row })
                };
                let (left, right) = parts(0);
                multiply_into(shape(0), left, right, Turned::Right, output, i);
                // SAFETY: written by the first part.
                #[allow(unsafe_code)] // See `unwritten`.
                let output = unsafe { output.assume_init_mut() };
                for from in (LENGTH..row).step_by(LENGTH) {
                    let (left, right) = parts(from);
                    multiply(shape(from), left, right, Turned::Right, output, i, true);
                }
            }
        });
        Held { nodes, by_products, by_sums, places }
    }

    /// `B_e^T g_e` for edges one after the other in the order of the senders, `[edges, p, F o]` for the columns of a tile.
    fn turn_back(&self, gradient: &[F], edges: Range<usize>, tile: &Range<usize>, sums: &mut Vec<F>) {
        let &Arguments { b, q, o, rows, .. } = self.arguments;
        let inner = self.arguments.inner();
        sums.resize(edges.len() * inner * tile.len(), F::ZERO);
        for (&edge, sums) in rows.order[edges].iter().zip(sums.chunks_exact_mut(inner * tile.len())) {
            let angular = View { numbers: &b[edge * q * inner..][..q * inner], stride: inner };
            let gradient = View { numbers: &gradient[edge * q * o + tile.start..], stride: o };
            multiply([inner, q, tile.len()], angular, gradient, Turned::Left, sums, tile.len(), false);
        }
    }

    /// Adds the share of the nodes to the gradient by `K`, which the first of them write.
    fn add_by_weights(&self, held: &Held<F>, of_weights: &mut [MaybeUninit<F>], add: bool) {
        let &Arguments { x, p, i, .. } = self.arguments;
        let rows = held.nodes.len() * p;
        let by_products = held.by_products.as_slice();
        let mut rest = of_weights;
        let mut work = Vec::new();
        for tile in &self.tiles {
            let (part, others) = rest.split_at_mut(i * self.row(tile));
            work.extend(part.chunks_mut(INPUTS * self.row(tile)).enumerate().map(|(place, part)| (tile, place, part)));
            rest = others;
        }
        work.into_par_iter().for_each(|(tile, place, part)| {
            let row = self.row(tile);
            let features = View { numbers: &x[held.nodes.start * p * i + place * INPUTS..], stride: i };
            let products = View { numbers: &by_products[self.start(tile, rows)..], stride: row };
            let shape = [part.len() / row, rows, row];
            if add {
                // SAFETY: the first have written it.
                #[allow(unsafe_code)] // See `Unwritten`.
                let part = unsafe { part.assume_init_mut() };
                multiply(shape, features, products, Turned::Left, part, row, true);
            } else {
                multiply_into(shape, features, products, Turned::Left, part, row);
            }
        });
    }

    /// The gradient by `W` from that by `K`.
    fn by_weights(&self, of_weights: &[F]) -> Unwritten<F> {
        let &Arguments { i, h, columns, o, .. } = self.arguments;
        let basis = View { numbers: &self.span.basis[..], stride: h };
        let mut output = Unwritten::new(i * h * columns);
        output.numbers().par_chunks_mut(h * columns).enumerate().for_each(|(input, output)| {
            for tile in &self.tiles {
                let start = self.start(tile, i) + input * self.row(tile);
                for kernel in 0..self.kernels() {
                    let by_weights = &of_weights[start + kernel * tile.len()..];
                    let by_weights = View { numbers: by_weights, stride: self.kernels() * tile.len() };
                    let shape = [h, self.span.rank, tile.len()];
                    let output = &mut output[kernel * o + tile.start..];
                    multiply_into(shape, basis, by_weights, Turned::Left, output, columns);
                }
            }
        });
        output // All inputs, hidden values, kernels and tiles are written above.
    }

    /// Writes the gradient by the hidden values of all edges that the nodes send, `[edges, h]`.
    fn by_hidden(&self, held: &Held<F>, of_a: &Shared<F>) {
        let &Arguments { x, w, p, i, h, columns, o, rows, .. } = self.arguments;
        let parts = h.div_ceil(HIDDEN);
        let by_sums = held.by_sums.as_slice();
        let groups = self.groups(held.nodes.clone());
        let work: Vec<_> = (0..parts).flat_map(|part| groups.iter().map(move |nodes| (part, nodes.clone()))).collect();
        work.into_par_iter().for_each_init(
            Default::default,
            |(products, sums): &mut (Vec<F>, Vec<F>), (part, nodes)| {
                let hidden = h * part / parts..h * (part + 1) / parts;
                let room = |node: usize| self.arguments.sent(node).len().next_multiple_of(LONGEST);
                sums.clear();
                sums.resize(nodes.clone().map(room).sum::<usize>() * hidden.len(), F::ZERO);
                for tile in &self.tiles {
                    let width = self.kernels() * tile.len();
                    let row = hidden.len() * width;
                    products.resize(nodes.len() * p * row, F::ZERO);
                    let features = View { numbers: &x[nodes.start * p * i..], stride: i };
                    for (place, value) in hidden.clone().enumerate() {
                        for kernel in 0..self.kernels() {
                            let w =
                                View { numbers: &w[value * columns + kernel * o + tile.start..], stride: h * columns };
                            let output = &mut products[place * width + kernel * tile.len()..];
                            let shape = [nodes.len() * p, i, tile.len()];
                            multiply_ahead(shape, features, w, output, row, columns);
                        }
                    }
                    let mut sums = &mut sums[..];
                    for node in nodes.clone() {
                        let room = room(node);
                        let (mine, others) = sums.split_at_mut(hidden.len() * room);
                        sums = others;
                        for component in 0..p {
                            let first = ((node - nodes.start) * p + component) * row;
                            let products = View { numbers: &products[first..], stride: width };
                            let place = held.places[node - held.nodes.start]
                                + (p * self.kernels() * tile.start + component * width) * room;
                            let by_sums = View { numbers: by_sums.get(place..).unwrap_or(&[]), stride: room };
                            let shape = [hidden.len(), width, room];
                            multiply(shape, products, by_sums, Turned::Neither, mine, room, true);
                        }
                    }
                }
                let mut sums = &sums[..];
                for node in nodes {
                    let room = room(node);
                    for (place, &edge) in rows.order[self.arguments.sent(node)].iter().enumerate() {
                        // SAFETY: every edge is sent by one node, and every node and hidden value is in one piece of work.
                        #[allow(unsafe_code)] // See `Shared`.
                        let output = unsafe { of_a.part(edge * h + hidden.start..edge * h + hidden.end) };
                        for (output, sums) in output.iter_mut().zip(sums.chunks_exact(room)) {
                            output.write(sums[place]);
                        }
                    }
                    sums = &sums[hidden.len() * room..];
                }
            },
        );
    }
}

/// `[rows, columns]` to `[columns, room]`, with zeros where there is no row.
fn transpose<F: Vectors>(rows: &[F], columns: usize, output: &mut [MaybeUninit<F>], room: usize) {
    let count = rows.len() / columns;
    // Few columns at a time, so that all their rows stay in the cache.
    for start in (0..columns).step_by(LONGEST) {
        for column in start..(start + LONGEST).min(columns) {
            let output = &mut output[column * room..][..room];
            for (row, output) in output[..count].iter_mut().enumerate() {
                output.write(rows[row * columns + column]);
            }
            output[count..].fill(MaybeUninit::new(F::ZERO));
        }
    }
}
