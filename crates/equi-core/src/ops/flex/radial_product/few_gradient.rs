//! The gradients of [`Few`]. That by the hidden values is one by all of them, so it takes all products of weights and features.

use std::ops::Range;

use rayon::prelude::*;

use super::Arguments;
use super::few::Few;
use super::multiply::{LONGEST, Turned, Vectors, View, multiply, multiply_into};
use super::unwritten::{Shared, unwritten, written};

/// Rows of `W` whose gradients are taken together.
const INPUTS: usize = 8;

/// Hidden values whose gradients are taken together.
const HIDDEN: usize = 14;

/// Numbers of gradients by the sums over `r`, and by the products before them, that are held at a time.
const HELD: usize = if cfg!(test) { 1 << 8 } else { 1 << 21 };

/// What is held for some nodes one after the other.
struct Held<F> {
    nodes: Range<usize>,
    /// Gradients by the products `K x`, tile by tile `[nodes, p, r, F o]`.
    by_products: Vec<F>,
    /// Gradients by the sums over `r`, edges side by side: node by node, tile by tile `[p, F o, edges]`, edges padded with zeros.
    by_sums: Vec<F>,
    /// Where the nodes begin in `by_sums`.
    places: Vec<usize>,
}

impl<F: Vectors> Few<'_, F> {
    /// The gradients by `x`, `a` and `W` from that by the output, where they are asked for.
    pub(super) fn gradients(&self, gradient: &[F], needed: [bool; 3]) -> [Option<Vec<F>>; 3] {
        let &Arguments { x, p, i, h, columns, o, rows, .. } = self.arguments;
        let [by_x, by_a, by_w] = needed;
        let (rank, inner) = (self.span.rank, self.arguments.inner());
        let weights = if by_x { self.weights() } else { Vec::new() };
        // Every tile has its share of the gradient by `x`.
        let mut of_x = vec![F::ZERO; if by_x { self.tiles.len() * x.len() } else { 0 }];
        let mut of_a = unwritten(if by_a { rows.rows() * h } else { 0 });
        // By `K`, tile by tile `[i, r, F o]`.
        let mut of_weights = vec![F::ZERO; if by_w { i * rank * columns } else { 0 }];
        let nodes = (2 * HELD / (p * rank * columns)).max(1);
        for nodes in self.arguments.groups(nodes, (HELD / (inner * o)).max(1)) {
            let held = self.held(gradient, nodes, &weights, &mut of_x, needed);
            if by_w {
                self.add_by_weights(&held, &mut of_weights);
            }
            if by_a {
                self.by_hidden(&held, &Shared::new(&mut of_a));
            }
        }
        let by_x = by_x.then(|| {
            let mut tiles = of_x.chunks_exact(x.len());
            let mut sum = tiles.next().expect("a tile").to_vec();
            tiles.for_each(|tile| sum.iter_mut().zip(tile).for_each(|(sum, &part)| *sum += part));
            sum
        });
        // SAFETY: every edge is sent by a node, and all its hidden values are written.
        #[allow(unsafe_code)] // See `written`.
        let by_a = by_a.then(|| unsafe { written(of_a) });
        [by_x, by_a, by_w.then(|| self.by_weights(&of_weights))]
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
        let mut by_sums = unwritten(places[nodes.len()]);
        let mut by_products = unwritten(if by_x || by_w { nodes.len() * p * rank * columns } else { 0 });
        let (of_sums, of_products) = (Shared::new(&mut by_sums), Shared::new(&mut by_products));
        // SAFETY: numbers are written, and nothing else.
        #[allow(unsafe_code)] // See `Shared`.
        let of_x = Shared::new(unsafe { &mut *(std::ptr::from_mut(of_x) as *mut [std::mem::MaybeUninit<F>]) });
        let groups = self.groups(nodes.clone());
        let work: Vec<_> =
            self.tiles.iter().enumerate().flat_map(|tile| groups.iter().map(move |n| (tile, n))).collect();
        work.par_iter().for_each(|&((number, tile), group)| {
            let width = self.kernels() * tile.len();
            let row = rank * width;
            let first = (group.start - nodes.start) * p;
            let start = self.start(tile, nodes.len() * p) + first * row;
            let products = if by_x || by_w { start..start + group.len() * p * row } else { 0..0 };
            // SAFETY: every node and tile is one piece of work.
            #[allow(unsafe_code)] // See `Shared`.
            let products = unsafe { of_products.part(products) };
            let mut sums = Vec::new();
            for node in group.clone() {
                let sent = self.arguments.sent(node);
                let mine = (node - group.start) * p * row;
                if sent.is_empty() {
                    if by_x || by_w {
                        products[mine..mine + p * row].fill(std::mem::MaybeUninit::new(F::ZERO));
                    }
                    continue;
                }
                self.turn_back(gradient, sent.clone(), tile, &mut sums);
                if by_a {
                    let room = sent.len().next_multiple_of(LONGEST);
                    let place = places[node - nodes.start] + p * columns / o * tile.start * room;
                    // SAFETY: every node and tile is one piece of work.
                    #[allow(unsafe_code)] // See `Shared`.
                    let turned = unsafe { of_sums.part(place..place + p * width * room) };
                    transpose(&sums, p * width, turned, room);
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
                let weights = View { numbers: &weights[self.start(tile, i)..], stride: row };
                let products = View { numbers: products, stride: row };
                multiply_into([group.len() * p, row, i], products, weights, Turned::Right, output, i);
            }
        });
        // SAFETY: all nodes and tiles are written above.
        #[allow(unsafe_code)] // See `written`.
        let (by_products, by_sums) = unsafe { (written(by_products), written(by_sums)) };
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

    /// Adds the share of the nodes to the gradient by `K`.
    fn add_by_weights(&self, held: &Held<F>, of_weights: &mut [F]) {
        let &Arguments { x, p, i, .. } = self.arguments;
        let rows = held.nodes.len() * p;
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
            let products = View { numbers: &held.by_products[self.start(tile, rows)..], stride: row };
            multiply([part.len() / row, rows, row], features, products, Turned::Left, part, row, true);
        });
    }

    /// The gradient by `W` from that by `K`.
    fn by_weights(&self, of_weights: &[F]) -> Vec<F> {
        let &Arguments { i, h, columns, o, .. } = self.arguments;
        let basis = View { numbers: &self.span.basis[..], stride: h };
        let mut output = unwritten(i * h * columns);
        output.par_chunks_mut(h * columns).enumerate().for_each(|(input, output)| {
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
        // SAFETY: all inputs, hidden values, kernels and tiles are written above.
        #[allow(unsafe_code)] // See `written`.
        unsafe {
            written(output)
        }
    }

    /// Writes the gradient by the hidden values of all edges that the nodes send, `[edges, h]`.
    fn by_hidden(&self, held: &Held<F>, of_a: &Shared<F>) {
        let &Arguments { x, w, p, i, h, columns, o, rows, .. } = self.arguments;
        let parts = h.div_ceil(HIDDEN);
        (0..parts).into_par_iter().for_each(|part| {
            let hidden = h * part / parts..h * (part + 1) / parts;
            let mut products = Vec::new();
            let mut sums = Vec::new();
            for nodes in self.groups(held.nodes.clone()) {
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
                            multiply(shape, features, w, Turned::Neither, output, row, false);
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
                            let by_sums = View { numbers: held.by_sums.get(place..).unwrap_or(&[]), stride: room };
                            let shape = [hidden.len(), width, room];
                            multiply(shape, products, by_sums, Turned::Neither, mine, room, true);
                        }
                    }
                }
                let mut sums = &sums[..];
                for node in nodes {
                    let room = room(node);
                    for (place, &edge) in rows.order[self.arguments.sent(node)].iter().enumerate() {
                        // SAFETY: every edge is sent by one node, and every hidden value is in one piece of work.
                        #[allow(unsafe_code)] // See `Shared`.
                        let output = unsafe { of_a.part(edge * h + hidden.start..edge * h + hidden.end) };
                        for (output, sums) in output.iter_mut().zip(sums.chunks_exact(room)) {
                            output.write(sums[place]);
                        }
                    }
                    sums = &sums[hidden.len() * room..];
                }
            }
        });
    }
}

/// `[rows, columns]` to `[columns, room]`, with zeros where there is no row.
fn transpose<F: Vectors>(rows: &[F], columns: usize, output: &mut [std::mem::MaybeUninit<F>], room: usize) {
    let count = rows.len() / columns;
    // Few columns at a time, so that all their rows stay in the cache.
    for start in (0..columns).step_by(LONGEST) {
        for column in start..(start + LONGEST).min(columns) {
            let output = &mut output[column * room..][..room];
            for (row, output) in output[..count].iter_mut().enumerate() {
                output.write(rows[row * columns + column]);
            }
            output[count..].fill(std::mem::MaybeUninit::new(F::ZERO));
        }
    }
}
