//! `radial_product` on flex: nodes and hidden values in blocks, so that what is between the two products stays in the cache.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::float::{Float, dot};
use super::memory::{contiguous, numbers, tensor};
use super::simd::kernel;
use crate::ops::extension::EdgeGradients;
use crate::ops::segments::Rows;

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

/// A matrix in memory: where it begins, and how far apart its rows are. Columns lie side by side.
#[derive(Clone, Copy)]
pub(super) struct View<'a, F> {
    pub numbers: &'a [F],
    pub stride: usize,
}

/// How a product is to be read.
#[derive(Clone, Copy)]
pub(super) enum Turned {
    Neither,
    Left,
    Right,
}

/// `c = a b`, or `c += a b`, where `turned` says which factor is transposed: `c [m, n]`, sum over `k`.
pub(super) fn multiply<F: Float>(
    [m, k, n]: [usize; 3],
    a: View<F>,
    b: View<F>,
    turned: Turned,
    c: &mut [F],
    stride: usize,
    add: bool,
) {
    if m * n * k == 0 {
        return;
    }
    let last = |rows: usize, columns: usize, stride: usize| (rows - 1) * stride + columns;
    let (a_shape, b_shape) = match turned {
        Turned::Neither => ([m, k], [k, n]),
        Turned::Left => ([k, m], [k, n]),
        Turned::Right => ([m, k], [n, k]),
    };
    assert!(
        a.numbers.len() >= last(a_shape[0], a_shape[1], a.stride)
            && b.numbers.len() >= last(b_shape[0], b_shape[1], b.stride)
            && c.len() >= last(m, n, stride),
        "the matrices are in their slices"
    );
    let (a_row, a_column) = if matches!(turned, Turned::Left) { (1, a.stride) } else { (a.stride, 1) };
    let (b_row, b_column) = if matches!(turned, Turned::Right) { (1, b.stride) } else { (b.stride, 1) };
    // SAFETY: every index the product reads or writes is below the lengths checked above; the output is borrowed alone.
    #[allow(unsafe_code)] // The matrix product of `gemm` takes pointers.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.numbers.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.numbers.as_ptr(),
            b_column as isize,
            b_row as isize,
            F::ONE,
            F::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// The arguments, named as in the formula.
struct Arguments<'a, F> {
    x: &'a [F],
    a: &'a [F],
    b: &'a [F],
    w: &'a [F],
    p: usize,
    i: usize,
    h: usize,
    q: usize,
    /// `F o`
    columns: usize,
    o: usize,
    rows: &'a Rows,
}

impl<'a, F: Float> Arguments<'a, F> {
    fn new(tensors: &'a [FlexTensor; 4], rows: &'a Rows) -> Self {
        let [x, a, b, w] = tensors.each_ref().map(numbers::<F>);
        let shape = |place: usize, dim: usize| tensors[place].layout().shape()[dim];
        let (p, i, h, q) = (shape(0, 1), shape(0, 2), shape(1, 1), shape(2, 1));
        let kernels = shape(2, 2) / p;
        let columns = shape(3, 1) / h;
        let arguments = Self { x, a, b, w, p, i, h, q, columns, o: columns / kernels, rows };
        assert!(
            x.len() == rows.count() * p * i
                && a.len() == rows.rows() * h
                && b.len() == rows.rows() * q * p * kernels
                && w.len() == i * h * columns,
            "the shapes fit the segments"
        );
        arguments
    }

    /// Numbers of the angular kernels along one component that goes out: `p F`.
    fn inner(&self) -> usize {
        self.p * self.columns / self.o
    }

    fn edges(&self, nodes: &Range<usize>) -> &'a [usize] {
        &self.rows.order[self.rows.offsets[nodes.start]..self.rows.offsets[nodes.end]]
    }

    fn sent(&self, node: usize) -> Range<usize> {
        self.rows.offsets[node]..self.rows.offsets[node + 1]
    }

    /// Nodes in groups whose edges carry at most `edges`, or are those of one node.
    fn groups(&self, nodes: usize, edges: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for node in 0..self.rows.count() {
            match groups.last_mut() {
                Some(group)
                    if group.len() < nodes && self.rows.offsets[node + 1] - self.rows.offsets[group.start] <= edges =>
                {
                    group.end = node + 1;
                }
                _ => groups.push(node..node + 1),
            }
        }
        groups.retain(|group| !self.edges(group).is_empty());
        groups
    }

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

pub(super) fn product<F: Float>(tensors: [FlexTensor; 4], rows: &Rows) -> FlexTensor {
    let tensors = tensors.map(contiguous);
    let arguments = Arguments::<F>::new(&tensors, rows);
    let (q, o, inner) = (arguments.q, arguments.o, arguments.inner());
    let groups = arguments.groups(arguments.nodes_at_once(), usize::MAX);
    let parts = groups.par_iter().map_init(Scratch::default, |scratch, nodes| {
        let edges = arguments.edges(nodes);
        let mut output = vec![F::ZERO; edges.len() * q * o];
        arguments.radial(nodes, scratch);
        turn(arguments.b, edges, &scratch.sums, &mut output, q, inner, o);
        output
    });
    let parts = parts.collect();
    let edges: Vec<_> = groups.iter().map(|nodes| arguments.edges(nodes)).collect();
    tensor(restored(&edges, parts, rows.rows(), q * o), [rows.rows(), q, o])
}

pub(super) fn gradient<F: Float>(
    tensors: [FlexTensor; 4],
    rows: &Rows,
    gradient: FlexTensor,
    [by_x, by_a, by_b, by_w]: [bool; 4],
) -> EdgeGradients<burn::backend::Flex> {
    let (tensors, gradient) = (tensors.map(contiguous), contiguous(gradient));
    let arguments = Arguments::<F>::new(&tensors, rows);
    let gradient = numbers::<F>(&gradient);
    let Arguments { p, i, h, q, columns, o, .. } = arguments;
    let inner = arguments.inner();

    let angular = by_b.then(|| {
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
        tensor(restored(&edges, parts, rows.rows(), q * inner), [rows.rows(), q, inner])
    });
    if !(by_x || by_a || by_w) {
        return (None, None, angular, None);
    }

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
            turn_back(arguments.b, edges, gradient, output, q, inner, o);
        });
        of_blocks.par_iter_mut().zip(&blocks).for_each(|(gradients, hidden)| {
            gradients.add(&arguments, &held, hidden, &by_sums);
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
        tensor(sum, [rows.count(), p, i])
    });
    let by_a = by_a.then(|| tensor(whole(&|gradients| &gradients.by_a, rows.rows(), 1), [rows.rows(), h]));
    let by_w = by_w.then(|| tensor(whole(&|gradients| &gradients.by_w, i, columns), [i, h * columns]));
    (by_x, by_a, angular, by_w)
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

impl<F: Float> Gradients<F> {
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
