//! `radial_product` where the hidden values of all edges are combinations of few: with `a_e = sum over r of q_e[r] v_r`,
//!
//! ```text
//! y_e = sum over r of q_e[r] B_e (K_r x_j)        K_r = sum over h of v_r[h] W_h
//! ```
//!
//! The weights are read once, to make `K`, whose products and sums cost as much less as there are fewer `r` than `h`.

use std::ops::Range;

use rayon::prelude::*;

use super::Arguments;
use super::multiply::{LONGEST, Turned, Vectors, View, multiply, multiply_into, multiply_streamed};
use super::shared::Shared;
use super::span::Span;
use crate::ops::flex::memory::Unwritten;

/// Columns `o` that are taken together at most: what is between two products stays in the cache.
const TILE: usize = 64;

/// Rows `x` of nodes whose products are taken together: fewer would read `K` too often.
const ROWS: usize = 28;

/// Rows of weights that are read together.
const STREAMED: usize = 16;

/// More vectors are never worth while: to look for them costs more than it saves.
const MOST: usize = 64;

/// The part of the multiplications that must be saved.
const WORTH: f64 = 0.8;

/// The product in terms of few hidden values.
pub(super) struct Few<'a, F> {
    pub(super) arguments: &'a Arguments<'a, F>,
    pub(super) span: Span<F>,
    /// `q` in the order of the senders, `[edges, span.stride]`
    pub(super) coefficients: Vec<F>,
    /// Parts of the columns `o`.
    pub(super) tiles: Vec<Range<usize>>,
}

impl<'a, F: Vectors> Few<'a, F> {
    /// If that is worth while.
    pub(super) fn new(arguments: &'a Arguments<'a, F>) -> Option<Self> {
        let &Arguments { a, p, i, h, o, rows, .. } = arguments;
        let each = (rows.count() * p * i + rows.rows() * p) as f64;
        let most = (WORTH * h as f64 * each / (each + (i * h) as f64)) as usize;
        let span = Span::new(a, h, most.min(MOST))?;
        let mut coefficients = Vec::with_capacity(rows.rows() * span.stride);
        for &edge in &rows.order {
            coefficients.extend_from_slice(&span.coefficients[edge * span.stride..][..span.stride]);
        }
        let parts = o.div_ceil(TILE);
        let width = o.div_ceil(parts).next_multiple_of(LONGEST);
        let tiles = (0..o).step_by(width).map(|start| start..(start + width).min(o)).collect();
        Some(Self { arguments, span, coefficients, tiles })
    }

    /// Angular kernels `F`.
    pub(super) fn kernels(&self) -> usize {
        self.arguments.columns / self.arguments.o
    }

    /// Numbers of `K` of one input in a tile: `r F o`.
    pub(super) fn row(&self, tile: &Range<usize>) -> usize {
        self.span.rank * self.kernels() * tile.len()
    }

    /// Where tiles of matrices of so many rows `[rows, r F o]` begin.
    pub(super) fn start(&self, tile: &Range<usize>, rows: usize) -> usize {
        self.span.rank * self.kernels() * tile.start * rows
    }

    pub(super) fn groups(&self, nodes: Range<usize>) -> Vec<Range<usize>> {
        let parts = (nodes.len() * self.arguments.p).div_ceil(ROWS).min(nodes.len());
        let border = |part: usize| nodes.start + nodes.len() * part / parts.max(1);
        (0..parts).map(|part| border(part)..border(part + 1)).collect()
    }

    /// `K`, tile by tile `[i, r, F, o]`, all of it written.
    pub(super) fn weights(&self) -> Unwritten<F> {
        let &Arguments { w, i, h, columns, o, .. } = self.arguments;
        let mut weights = Unwritten::new(i * self.span.rank * columns);
        let shared = Shared::new(weights.numbers());
        (0..i).into_par_iter().for_each(|input| {
            let w = &w[input * h * columns..][..h * columns];
            // Few rows of the weights at a time, which come one after the other from memory.
            for from in (0..h).step_by(STREAMED) {
                let hidden = from..(from + STREAMED).min(h);
                let basis = View { numbers: &self.span.basis[hidden.start..], stride: h };
                for tile in &self.tiles {
                    let start = self.start(tile, i) + input * self.row(tile);
                    // SAFETY: every input is one piece of work.
                    #[allow(unsafe_code)] // See `Shared`.
                    let part = unsafe { shared.part(start..start + self.row(tile)) };
                    for kernel in 0..self.kernels() {
                        let w =
                            View { numbers: &w[hidden.start * columns + kernel * o + tile.start..], stride: columns };
                        let shape = [self.span.rank, hidden.len(), tile.len()];
                        let stride = self.kernels() * tile.len();
                        let part = &mut part[kernel * tile.len()..];
                        // SAFETY: written in the first step.
                        #[allow(unsafe_code)] // See `multiply_streamed`.
                        unsafe {
                            multiply_streamed(shape, basis, w, part, stride, from > 0, STREAMED * columns);
                        }
                    }
                }
            }
        });
        weights
    }

    /// For every node with the edges it sends, `f(edges, sums)`: `sum over r of q_e[r] K_r x` for the columns of a tile, `[edges, p, F o]`.
    fn sums(&self, weights: &[F], tile: &Range<usize>, nodes: &Range<usize>, mut f: impl FnMut(&[usize], &[F])) {
        let &Arguments { x, p, i, rows, .. } = self.arguments;
        let (row, width) = (self.row(tile), self.kernels() * tile.len());
        if self.arguments.edges(nodes).is_empty() {
            return;
        }
        let mut products = Unwritten::new(nodes.len() * p * row);
        let weights = View { numbers: &weights[self.start(tile, i)..], stride: row };
        let features = View { numbers: &x[nodes.start * p * i..], stride: i };
        multiply_into([nodes.len() * p, i, row], features, weights, Turned::Neither, products.numbers(), row);
        let products = products.as_slice();
        let longest = nodes.clone().map(|node| self.arguments.sent(node).len()).max().unwrap_or(0);
        let mut sums = Unwritten::new(longest * p * width);
        for node in nodes.clone() {
            let sent = self.arguments.sent(node);
            if sent.is_empty() {
                continue;
            }
            let coefficients =
                View { numbers: &self.coefficients[sent.start * self.span.stride..], stride: self.span.stride };
            for component in 0..p {
                let products = &products[((node - nodes.start) * p + component) * row..][..row];
                multiply_into(
                    [sent.len(), self.span.rank, width],
                    coefficients,
                    View { numbers: products, stride: width },
                    Turned::Neither,
                    &mut sums.numbers()[component * width..],
                    p * width,
                );
            }
            // SAFETY: the sums of these edges are written.
            #[allow(unsafe_code)] // See `Unwritten`.
            let sums = unsafe { sums.numbers()[..sent.len() * p * width].assume_init_ref() };
            f(&rows.order[sent], sums);
        }
    }

    /// `[edges, q, o]`
    pub(super) fn product(&self) -> Unwritten<F> {
        let &Arguments { b, q, o, rows, .. } = self.arguments;
        let inner = self.arguments.inner();
        let weights = self.weights();
        let weights = weights.as_slice();
        let mut output = Unwritten::new(rows.rows() * q * o);
        let shared = Shared::new(output.numbers());
        let groups = self.groups(0..rows.count());
        let work: Vec<_> = self.tiles.iter().flat_map(|tile| groups.iter().map(move |nodes| (tile, nodes))).collect();
        work.par_iter().for_each(|(tile, nodes)| {
            self.sums(weights, tile, nodes, |edges, sums| {
                for (&edge, sums) in edges.iter().zip(sums.chunks_exact(inner * tile.len())) {
                    let angular = View { numbers: &b[edge * q * inner..][..q * inner], stride: inner };
                    let sums = View { numbers: sums, stride: tile.len() };
                    for component in 0..q {
                        let start = (edge * q + component) * o;
                        // SAFETY: every edge is sent by one node, and every node and tile is one piece of work.
                        #[allow(unsafe_code)] // See `Shared`.
                        let part = unsafe { shared.part(start + tile.start..start + tile.end) };
                        let angular = View { numbers: &angular.numbers[component * inner..], stride: inner };
                        multiply_into([1, inner, tile.len()], angular, sums, Turned::Neither, part, tile.len());
                    }
                }
            });
        });
        output // Every edge is sent by a node, and all components and tiles of it are written above.
    }

    /// The gradient by the angular kernels, `[edges, q, p F]`, from that by the output.
    pub(super) fn by_angular(&self, gradient: &[F]) -> Unwritten<F> {
        let &Arguments { q, o, rows, .. } = self.arguments;
        let inner = self.arguments.inner();
        let weights = self.weights();
        let weights = weights.as_slice();
        let mut output = Unwritten::new(rows.rows() * q * inner);
        let shared = Shared::new(output.numbers());
        self.groups(0..rows.count()).par_iter().for_each(|nodes| {
            for (place, tile) in self.tiles.iter().enumerate() {
                self.sums(weights, tile, nodes, |edges, sums| {
                    for (&edge, sums) in edges.iter().zip(sums.chunks_exact(inner * tile.len())) {
                        let start = edge * q * inner;
                        // SAFETY: every edge is sent by one node, and every node is in one piece of work, which writes the whole in the first tile.
                        #[allow(unsafe_code)] // See `Shared`.
                        let part = unsafe { shared.part(start..start + q * inner) };
                        let gradient = View { numbers: &gradient[edge * q * o + tile.start..], stride: o };
                        let sums = View { numbers: sums, stride: tile.len() };
                        let shape = [q, tile.len(), inner];
                        if place == 0 {
                            multiply_into(shape, gradient, sums, Turned::Right, part, inner);
                        } else {
                            // SAFETY: written in the first tile.
                            #[allow(unsafe_code)] // See `Shared`.
                            let part = unsafe { part.assume_init_mut() };
                            multiply(shape, gradient, sums, Turned::Right, part, inner, true);
                        }
                    }
                });
            }
        });
        output // Every edge is sent by a node, and written above.
    }
}
