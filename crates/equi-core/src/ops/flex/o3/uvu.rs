//! The product `uvu` on flex: edge by edge, everything between the arguments and the sums in the first level of the cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use super::coupling::Table;
use super::disjoint::Disjoint;
use super::planes::Planes;
use super::stream::{fence, is_streamed, write};
use super::vector::Vector;
use crate::ops::flex::float::Float;
use crate::ops::flex::memory::is_large;
use crate::ops::flex::pieces::for_each_with;
use crate::ops::flex::simd::kernel;
use crate::ops::segments::Rows;

/// Edges, or nodes with their edges, in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
pub(super) const PIECE: usize = 16;

/// Pieces of work at most where all edges share their weights, since each has its own sum of gradients.
pub(super) const SUMS: usize = 16;

/// The arguments side by side.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a, F> {
    pub table: &'a Table<F>,
    /// `[nodes, columns]`
    pub x: &'a [F],
    /// `[edges, columns]`
    pub y: &'a [F],
    /// `[edges, weights]`, or `[weights]` where all share them.
    pub w: &'a [F],
    pub shared: bool,
    pub edges: usize,
    pub graph: Option<Graph<'a>>,
}

/// Who sends along an edge, and who receives. Without it every edge is a node of its own.
#[derive(Clone, Copy)]
pub(super) struct Graph<'a> {
    pub senders: &'a Rows,
    pub receivers: &'a Rows,
}

/// The edges of a node, one after the other.
#[inline(always)]
fn edges_of(rows: Option<&Rows>, node: usize) -> impl Iterator<Item = usize> {
    let range = rows.map_or(node..node + 1, |rows| rows.offsets[node]..rows.offsets[node + 1]);
    range.map(move |place| rows.map_or(place, |rows| rows.order[place]))
}

impl<'a, F: Vector> Arguments<'a, F> {
    /// Nodes that receive, and nodes that send.
    pub fn nodes(&self) -> [usize; 2] {
        self.graph.map_or([self.edges; 2], |graph| [graph.receivers.count(), graph.senders.count()])
    }

    /// Multiplications and additions of the product, about.
    fn operations(&self) -> usize {
        4 * self.edges * self.table.out.size
    }

    /// The weights of an edge.
    #[inline(always)]
    fn weights<'b>(&'b self, edge: usize, scratch: &'b mut [F]) -> &'b [F] {
        let columns = self.table.weights.columns;
        let w = if self.shared { self.w } else { &self.w[edge * columns..][..columns] };
        self.table.weights.spread(w, scratch)
    }

    /// The matrices of an edge.
    #[inline(always)]
    fn matrices<S: Simd>(&self, simd: S, edge: usize, matrices: &mut [F]) {
        let y = &self.y[edge * self.table.columns[1]..][..self.table.columns[1]];
        for path in &self.table.paths {
            self.table.matrix(simd, path, &y[path.second_copy(0)], matrices);
        }
    }
}

/// What one thread needs. Numbers that fill up rows of copies are zero and stay so.
struct Scratch<F> {
    x: Vec<F>,
    w: Vec<F>,
    z: Vec<F>,
    matrices: Vec<F>,
    by_x: Vec<F>,
    by_y: Vec<F>,
    by_w: Vec<F>,
    by_matrices: Vec<F>,
    /// A row on its way past the caches; none if rows do not take it.
    row: Vec<MaybeUninit<F>>,
}

impl<F: Vector> Scratch<F> {
    fn new(table: &Table<F>, [by_x, by_y, by_w]: [bool; 3], streamed: bool) -> Self {
        let zeros = |size: usize, needed: bool| vec![F::ZERO; if needed { size } else { 0 }];
        Self {
            x: zeros(table.first.size, true),
            w: zeros(table.weights.scratch(), true),
            z: zeros(table.out.size, true),
            matrices: zeros(table.matrices, true),
            by_x: zeros(table.first.size, by_x),
            by_y: zeros(table.columns[1] * table.width, by_y),
            by_w: zeros(table.weights.size, by_w),
            by_matrices: zeros(table.matrices * table.width, by_y),
            row: vec![
                MaybeUninit::uninit();
                if streamed { table.columns[2].max(table.columns[0]).max(table.weights.columns) } else { 0 }
            ],
        }
    }
}

/// Rows as they come, or with their components apart already.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, F> {
    Rows(&'a [F]),
    Planes(&'a [F]),
}

impl<'a, F: Vector> Source<'a, F> {
    #[inline(always)]
    pub fn planes<'b>(&self, planes: &Planes, columns: usize, row: usize, scratch: &'b mut [F]) -> &'b [F]
    where
        'a: 'b,
    {
        match self {
            Self::Planes(numbers) => &numbers[row * planes.size..][..planes.size],
            Self::Rows(numbers) => {
                planes.spread(&numbers[row * columns..][..columns], scratch);
                scratch
            }
        }
    }
}

kernel! {
    /// Takes the components of all rows apart.
    fn spread_rows<'a, F | S>(planes: &'a Planes, rows: &'a [F], columns: usize, output: &'a mut [F]) {
        for (row, output) in rows.chunks_exact(columns).zip(output.chunks_exact_mut(planes.size)) {
            planes.spread(row, output);
        }
    }
}

/// The rows with their components apart, if they are those of nodes: they are read edge by edge.
pub(super) fn planes_of<F: Vector>(planes: &Planes, rows: &[F], columns: usize, of_nodes: bool) -> Vec<F> {
    if !of_nodes {
        return vec![];
    }
    let mut output = vec![F::ZERO; rows.len() / columns * planes.size];
    if is_large(output.len()) {
        let work = rows.par_chunks(PIECE * columns).zip(output.par_chunks_mut(PIECE * planes.size));
        work.for_each(|(rows, output)| spread_rows(planes, rows, columns, output));
    } else {
        spread_rows(planes, rows, columns, &mut output);
    }
    output
}

/// The product for some of the nodes that receive.
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
        let table = arguments.table;
        let Scratch { x: x_scratch, w, z, matrices, row, .. } = scratch;
        for (node, output) in nodes.zip(output.chunks_exact_mut(table.columns[2])) {
            let mut add = false;
            for edge in edges_of(arguments.graph.map(|graph| graph.receivers), node) {
                let sender = arguments.graph.map_or(edge, |graph| graph.senders.ids[edge]);
                let x = x.planes(&table.first, table.columns[0], sender, x_scratch);
                arguments.matrices(simd, edge, matrices);
                let w = arguments.weights(edge, w);
                for path in &table.paths {
                    let z = &mut z[path.out.numbers()];
                    table.multiply(
                        simd,
                        path,
                        matrices,
                        x,
                        Some(&w[path.lane..]),
                        z,
                        path.out.stride,
                        add || !path.opens,
                    );
                }
                add = true;
            }
            if !add {
                z.fill(F::ZERO);
            }
            write(row, output, |output| table.out.collect(z, output));
        }
        fence();
    }
}

/// Writes the product, `[nodes that receive, columns]`.
pub(super) fn multiply<F: Vector>(arguments: &Arguments<F>, output: &mut [MaybeUninit<F>]) {
    let table = arguments.table;
    let planes = planes_of(&table.first, arguments.x, table.columns[0], arguments.graph.is_some());
    let x = if arguments.graph.is_some() { Source::Planes(&planes) } else { Source::Rows(arguments.x) };
    let nodes = arguments.nodes()[0];
    let work = |scratch: &mut Scratch<F>, (piece, output): (usize, &mut [MaybeUninit<F>])| {
        let nodes = piece * PIECE..(piece * PIECE + PIECE).min(nodes);
        pulp::Arch::new().dispatch(Multiply { arguments, x, nodes, scratch, output });
    };
    let streamed = is_streamed(output.len());
    let scratch = || Scratch::new(table, [false; 3], streamed);
    let pieces = output.chunks_mut(PIECE * table.columns[2]).enumerate().collect();
    for_each_with(pieces, arguments.operations(), scratch, work);
}

/// Where gradients are written; what is not asked for has no rows.
pub(super) struct Gradients<'a, F> {
    pub by_x: Disjoint<'a, F>,
    pub by_y: Disjoint<'a, F>,
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
        let table = arguments.table;
        let [by_x, by_y, by_w] = gradients.needed;
        let Scratch { x, w, z, matrices, by_x: x_sums, by_y: y_sums, by_w: w_sums, by_matrices, row: buffer } = scratch;
        let shared = by_w && arguments.shared;
        w_sums.fill(F::ZERO);
        for node in nodes {
            x_sums.fill(F::ZERO);
            table.first.spread(&arguments.x[node * table.columns[0]..][..table.columns[0]], x);
            for edge in edges_of(arguments.graph.map(|graph| graph.senders), node) {
                let receiver = arguments.graph.map_or(edge, |graph| graph.receivers.ids[edge]);
                let by_z = gradient.planes(&table.out, table.columns[2], receiver, z);
                arguments.matrices(simd, edge, matrices);
                let w = arguments.weights(edge, w);
                if !shared {
                    w_sums.fill(F::ZERO);
                }
                for path in &table.paths {
                    let by_w = if by_w { &mut w_sums[path.lane..] } else { &mut [][..] };
                    let (w, by_z) = (Some(&w[path.lane..]), &by_z[path.out.numbers()]);
                    let stride = path.out.stride;
                    table.gradient(simd, path, matrices, x, w, by_z, stride, x_sums, by_w, by_matrices);
                }
                if by_y {
                    y_sums.fill(F::ZERO);
                    for path in &table.paths {
                        let y_sums = &mut y_sums[path.second_copy(0).start * table.width..];
                        table.matrix_gradient(simd, path, by_matrices, y_sums);
                    }
                    // SAFETY: every edge is sent by one node, and every node is in one piece.
                    let row = unsafe { gradients.by_y.row(edge) };
                    for (by_y, sums) in row.iter_mut().zip(F::vectors::<S>(y_sums)) {
                        by_y.write(F::total(simd, *sums));
                    }
                }
                if by_w && !shared {
                    // SAFETY: as above.
                    let row = unsafe { gradients.by_w.row(edge) };
                    write(buffer, row, |row| table.weights.collect(w_sums, row));
                }
            }
            if by_x {
                // SAFETY: every node is in one piece.
                let row = unsafe { gradients.by_x.row(node) };
                write(buffer, row, |row| table.first.collect(x_sums, row));
            }
        }
        if shared {
            // SAFETY: every piece has a row.
            table.weights.collect(w_sums, unsafe { gradients.by_w.row(piece) });
        }
        fence();
    }
}

/// How many nodes a piece of work of the gradient has.
fn piece<F: Vector>(arguments: &Arguments<F>) -> usize {
    if arguments.shared { arguments.nodes()[1].div_ceil(SUMS).max(PIECE) } else { PIECE }
}

/// The pieces of work of the gradient.
pub(super) fn pieces<F: Vector>(arguments: &Arguments<F>) -> usize {
    arguments.nodes()[1].div_ceil(piece(arguments))
}

/// Writes the gradients that `gradient`, `[nodes that receive, columns]`, has by the arguments: every row of them.
pub(super) fn gradient<F: Vector>(arguments: &Arguments<F>, gradient: &[F], gradients: &Gradients<F>) {
    let table = arguments.table;
    let planes = planes_of(&table.out, gradient, table.columns[2], arguments.graph.is_some());
    let gradient = if arguments.graph.is_some() { Source::Planes(&planes) } else { Source::Rows(gradient) };
    let (size, nodes) = (piece(arguments), arguments.nodes()[1]);
    let work = |scratch: &mut Scratch<F>, piece: usize| {
        let nodes = piece * size..(piece * size + size).min(nodes);
        pulp::Arch::new().dispatch(Gradient { arguments, gradient, piece, nodes, scratch, gradients });
    };
    let scratch = || Scratch::new(table, gradients.needed, is_streamed(arguments.edges * table.out.size));
    for_each_with((0..pieces(arguments)).collect(), arguments.operations(), scratch, work);
}
