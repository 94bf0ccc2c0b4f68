//! `radial_product` with all hidden values: nodes and hidden values in blocks, so that what is between the two products stays in the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::super::float::{Float, dot};
use super::super::simd::kernel;
use super::Arguments;
use super::multiply::{Turned, Vectors, View, multiply};

/// Numbers between the two products at a time.
const BLOCK: usize = 1 << 17;

/// Nodes whose products are taken together: fewer would read the weights too often. More, where a node is one row.
const NODES: usize = 8;

/// Hidden values that are taken together at least: fewer would read the sums too often.
const FEWEST: usize = 16;

/// Hidden values that the gradients take at a time, or a few more; every block is a piece of work.
const HIDDEN: usize = 16;

/// Numbers of gradients by the sums over hidden values that are held at a time: they are read for every block of hidden values, from the cache.
const HELD: usize = if cfg!(test) { 1 << 8 } else { 1 << 21 };

impl<F: Vectors> Arguments<'_, F> {
    /// The hidden values of edges, one after the other.
    fn hidden(&self, edges: &[usize], hidden: Range<usize>) -> Vec<F> {
        let mut values = Vec::with_capacity(edges.len() * hidden.len());
        for &edge in edges {
            values.extend_from_slice(&self.a[edge * self.h..][hidden.clone()]);
        }
        values
    }

    /// Nodes at a time in the forward pass.
    fn nodes_at_once(&self) -> usize {
        if self.p == 1 { 2 * NODES } else { NODES }
    }

    /// Some hidden values' columns of `W x` for `nodes`, `[nodes, p, hidden, F o]`.
    fn products(&self, nodes: &Range<usize>, hidden: &Range<usize>, products: &mut [F]) {
        let columns = hidden.len() * self.columns;
        multiply(
            [nodes.len() * self.p, self.i, columns],
            View { numbers: &self.x[nodes.start * self.p * self.i..], stride: self.i },
            View { numbers: &self.w[hidden.start * self.columns..], stride: self.h * self.columns },
            Turned::Neither,
            products,
            columns,
            false,
        );
    }

    /// `sum over h of a_e[h] W_h x` for the edges that `nodes` send, `[edges, p, F o]`, in `sums`.
    fn radial(&self, nodes: &Range<usize>, Scratch { products, sums }: &mut Scratch<F>) {
        let edges = self.edges(nodes);
        let all_hidden = self.hidden(edges, 0..self.h);
        let row = self.p * self.columns;
        let step = (BLOCK / (nodes.len() * row)).max(FEWEST).min(self.h);
        // In parts of equal size.
        let step = self.h.div_ceil(self.h.div_ceil(step));
        products.resize(nodes.len() * row * step, F::ZERO);
        sums.resize(edges.len() * row, F::ZERO);
        for start in (0..self.h).step_by(step) {
            let hidden = start..(start + step).min(self.h);
            let columns = hidden.len() * self.columns;
            self.products(nodes, &hidden, products);
            for node in nodes.clone() {
                let sent = self.sent(node);
                let first = sent.start - self.rows.offsets[nodes.start];
                for component in 0..self.p {
                    multiply(
                        [sent.len(), hidden.len(), self.columns],
                        View { numbers: all_hidden.get(first * self.h + start..).unwrap_or(&[]), stride: self.h },
                        View {
                            numbers: &products[((node - nodes.start) * self.p + component) * columns..],
                            stride: self.columns,
                        },
                        Turned::Neither,
                        sums.get_mut(first * row + component * self.columns..).unwrap_or(&mut []),
                        row,
                        start > 0,
                    );
                }
            }
        }
    }
}

/// Between the two products. What is in it when it is taken up again does not matter: all that is read is written before.
#[derive(Default)]
struct Scratch<F> {
    /// `[nodes, p, hidden, F o]`
    products: Vec<F>,
    /// `[edges, p, F o]`
    sums: Vec<F>,
}

kernel! {
    /// `y_e = B_e s_e` for the edges, one after the other.
    fn turn<'a, F | S>(b: &'a [F], edges: &'a [usize], sums: &'a [F], output: &'a mut [F], q: usize, inner: usize, o: usize) {
        for ((&edge, sums), output) in
            edges.iter().zip(sums.chunks_exact(inner * o)).zip(output.chunks_exact_mut(q * o))
        {
            let angular = &b[edge * q * inner..][..q * inner];
            for (angular, output) in angular.chunks_exact(inner).zip(output.chunks_exact_mut(o)) {
                for (&angular, sums) in angular.iter().zip(sums.chunks_exact(o)) {
                    for (output, &sum) in output.iter_mut().zip(sums) {
                        *output = angular.mul_add::<S>(sum, *output);
                    }
                }
            }
        }
    }
}

kernel! {
    /// `B_e^T g_e` for the edges, one after the other.
    fn turn_back<'a, F | S>(b: &'a [F], edges: &'a [usize], gradient: &'a [F], output: &'a mut [F], q: usize, inner: usize, o: usize) {
        for (&edge, output) in edges.iter().zip(output.chunks_exact_mut(inner * o)) {
            let angular = &b[edge * q * inner..][..q * inner];
            let gradient = &gradient[edge * q * o..][..q * o];
            for (angular, gradient) in angular.chunks_exact(inner).zip(gradient.chunks_exact(o)) {
                for (&angular, output) in angular.iter().zip(output.chunks_exact_mut(o)) {
                    for (output, &gradient) in output.iter_mut().zip(gradient) {
                        *output = angular.mul_add::<S>(gradient, *output);
                    }
                }
            }
        }
    }
}

kernel! {
    /// `g_e s_e^T` for the edges, one after the other.
    fn turn_gradient<'a, F | S>(gradient: &'a [F], edges: &'a [usize], sums: &'a [F], output: &'a mut [F], q: usize, inner: usize, o: usize) {
        for ((&edge, sums), output) in
            edges.iter().zip(sums.chunks_exact(inner * o)).zip(output.chunks_exact_mut(q * inner))
        {
            let gradient = &gradient[edge * q * o..][..q * o];
            for (gradient, output) in gradient.chunks_exact(o).zip(output.chunks_exact_mut(inner)) {
                for (output, sums) in output.iter_mut().zip(sums.chunks_exact(o)) {
                    *output = dot::<F, S>(gradient, sums);
                }
            }
        }
    }
}

/// Rows of edges that came node by node, where the edges are.
fn restored<F: Float>(groups: &[&[usize]], parts: Vec<Vec<F>>, edges: usize, columns: usize) -> Vec<F> {
    let mut rows: Vec<&[F]> = vec![&[]; edges];
    for (edges, part) in groups.iter().zip(&parts) {
        for (&edge, row) in edges.iter().zip(part.chunks_exact(columns)) {
            rows[edge] = row;
        }
    }
    let mut output = vec![F::ZERO; edges * columns];
    output.par_chunks_mut(64 * columns).zip(rows.par_chunks(64)).for_each(|(output, rows)| {
        output.chunks_exact_mut(columns).zip(rows).for_each(|(output, row)| output.copy_from_slice(row));
    });
    output
}

/// `[edges, q, o]`
pub(super) fn product<F: Vectors>(arguments: &Arguments<F>) -> Vec<F> {
    let &Arguments { b, q, o, rows, .. } = arguments;
    let inner = arguments.inner();
    let groups = arguments.groups(arguments.nodes_at_once(), usize::MAX);
    let parts = groups.par_iter().map_init(Scratch::default, |scratch, nodes| {
        let edges = arguments.edges(nodes);
        let mut output = vec![F::ZERO; edges.len() * q * o];
        arguments.radial(nodes, scratch);
        turn(b, edges, &scratch.sums, &mut output, q, inner, o);
        output
    });
    let parts = parts.collect();
    let edges: Vec<_> = groups.iter().map(|nodes| arguments.edges(nodes)).collect();
    restored(&edges, parts, rows.rows(), q * o)
}

/// The gradient by the angular kernels, `[edges, q, p F]`, from that by the output.
pub(super) fn by_angular<F: Vectors>(arguments: &Arguments<F>, gradient: &[F]) -> Vec<F> {
    let &Arguments { q, o, rows, .. } = arguments;
    let inner = arguments.inner();
    let groups = arguments.groups(arguments.nodes_at_once(), usize::MAX);
    let parts = groups.par_iter().map_init(Scratch::default, |scratch, nodes| {
        let edges = arguments.edges(nodes);
        let mut output = vec![F::ZERO; edges.len() * q * inner];
        arguments.radial(nodes, scratch);
        turn_gradient(gradient, edges, &scratch.sums, &mut output, q, inner, o);
        output
    });
    let parts = parts.collect();
    let edges: Vec<_> = groups.iter().map(|nodes| arguments.edges(nodes)).collect();
    restored(&edges, parts, rows.rows(), q * inner)
}

/// The gradients by `x`, `a` and `W` from that by the output, where they are asked for.
pub(super) fn gradients<F: Vectors>(
    arguments: &Arguments<F>,
    gradient: &[F],
    [by_x, by_a, by_w]: [bool; 3],
) -> [Option<Vec<F>>; 3] {
    let &Arguments { b, i, h, q, columns, o, rows, .. } = arguments;
    let inner = arguments.inner();
    // Every block of hidden values has its own columns of the gradients by `a` and `W`, and its share of that by `x`.
    let count = (h / HIDDEN).max(1);
    let blocks: Vec<Range<usize>> = (0..count).map(|k| h * k / count..h * (k + 1) / count).collect();
    let mut of_blocks: Vec<Gradients<F>> = blocks
        .iter()
        .map(|hidden| Gradients {
            by_x: vec![F::ZERO; if by_x { arguments.x.len() } else { 0 }],
            by_a: vec![F::ZERO; if by_a { rows.rows() * hidden.len() } else { 0 }],
            by_w: vec![F::ZERO; if by_w { i * hidden.len() * columns } else { 0 }],
        })
        .collect();
    let mut by_sums = Vec::new();
    for held in arguments.groups(usize::MAX, (HELD / (inner * o)).max(1)) {
        let edges = arguments.edges(&held);
        by_sums.clear();
        by_sums.resize(edges.len() * inner * o, F::ZERO);
        by_sums.par_chunks_mut(64 * inner * o).zip(edges.par_chunks(64)).for_each(|(output, edges)| {
            turn_back(b, edges, gradient, output, q, inner, o);
        });
        of_blocks.par_iter_mut().zip(&blocks).for_each(|(gradients, hidden)| {
            gradients.add(arguments, &held, hidden, &by_sums);
        });
    }

    let whole = |columns_of: &dyn Fn(&Gradients<F>) -> &[F], rows: usize, each: usize| {
        let mut output = vec![F::ZERO; rows * h * each];
        for (gradients, hidden) in of_blocks.iter().zip(&blocks) {
            let width = hidden.len() * each;
            for (row, part) in columns_of(gradients).chunks_exact(width).enumerate() {
                output[row * h * each + hidden.start * each..][..width].copy_from_slice(part);
            }
        }
        output
    };
    let by_x = by_x.then(|| {
        let mut sum = vec![F::ZERO; arguments.x.len()];
        for gradients in &of_blocks {
            for (sum, &part) in sum.iter_mut().zip(&gradients.by_x) {
                *sum += part;
            }
        }
        sum
    });
    let by_a = by_a.then(|| whole(&|gradients| &gradients.by_a, rows.rows(), 1));
    let by_w = by_w.then(|| whole(&|gradients| &gradients.by_w, i, columns));
    [by_x, by_a, by_w]
}

/// The gradients through one block of hidden values; empty where not asked for.
struct Gradients<F> {
    /// `[nodes, p, i]`
    by_x: Vec<F>,
    /// `[edges, hidden]`
    by_a: Vec<F>,
    /// `[i, hidden, F o]`
    by_w: Vec<F>,
}

impl<F: Vectors> Gradients<F> {
    /// Adds what the edges that the nodes `held` send contribute, of which `by_sums` are the gradients by the sums over hidden values,
    /// `[edges, p, F o]`.
    fn add(&mut self, arguments: &Arguments<F>, held: &Range<usize>, hidden: &Range<usize>, by_sums: &[F]) {
        let &Arguments { p, i, h, columns, rows, .. } = arguments;
        let (row, width) = (p * columns, hidden.len() * columns);
        // As many as fit into the cache.
        let at_once = (BLOCK / (p * width)).clamp(NODES, 8 * NODES);
        let mut products = vec![F::ZERO; at_once.min(held.len()) * p * width];
        for start in held.clone().step_by(at_once) {
            let nodes = start..(start + at_once).min(held.end);
            if arguments.edges(&nodes).is_empty() {
                continue;
            }
            if !self.by_a.is_empty() {
                arguments.products(&nodes, hidden, &mut products);
                for node in nodes.clone() {
                    let sent = arguments.sent(node);
                    let mut by_hidden = vec![F::ZERO; sent.len() * hidden.len()];
                    for component in 0..p {
                        let first = (sent.start - rows.offsets[held.start]) * row + component * columns;
                        multiply(
                            [sent.len(), columns, hidden.len()],
                            View { numbers: by_sums.get(first..).unwrap_or(&[]), stride: row },
                            View { numbers: &products[((node - start) * p + component) * width..], stride: columns },
                            Turned::Right,
                            &mut by_hidden,
                            hidden.len(),
                            component > 0,
                        );
                    }
                    for (&edge, part) in rows.order[sent].iter().zip(by_hidden.chunks_exact(hidden.len())) {
                        self.by_a[edge * hidden.len()..][..hidden.len()].copy_from_slice(part);
                    }
                }
            }
            if self.by_x.is_empty() && self.by_w.is_empty() {
                continue;
            }
            // From here on the gradients by the products, in their place.
            for node in nodes.clone() {
                let sent = arguments.sent(node);
                let here = &mut products[(node - start) * p * width..][..p * width];
                if sent.is_empty() {
                    here.fill(F::ZERO);
                    continue;
                }
                let edges = &rows.order[sent.clone()];
                let values = arguments.hidden(edges, hidden.clone());
                for component in 0..p {
                    let first = (sent.start - rows.offsets[held.start]) * row + component * columns;
                    multiply(
                        [hidden.len(), edges.len(), columns],
                        View { numbers: &values, stride: hidden.len() },
                        View { numbers: &by_sums[first..], stride: row },
                        Turned::Left,
                        &mut here[component * width..],
                        columns,
                        false,
                    );
                }
            }
            let by_products = View { numbers: &products, stride: width };
            let first = nodes.start * p * i;
            if !self.by_w.is_empty() {
                let x = View { numbers: &arguments.x[first..], stride: i };
                multiply([i, nodes.len() * p, width], x, by_products, Turned::Left, &mut self.by_w, width, true);
            }
            if !self.by_x.is_empty() {
                let w = View { numbers: &arguments.w[hidden.start * columns..], stride: h * columns };
                let by_x = &mut self.by_x[first..];
                multiply([nodes.len() * p, width, i], by_products, w, Turned::Right, by_x, i, false);
            }
        }
    }
}
