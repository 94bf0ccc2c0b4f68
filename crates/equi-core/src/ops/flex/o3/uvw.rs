//! The product `uvw` on flex: `p = C x y` for some edges at a time, without weights, in the cache; then one matrix product mixes all pairs of copies
//! that go to the same block.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use super::coupling::{Path, Table};
use super::disjoint::Disjoint;
use super::planes::{Plane, Planes};
use super::vector::Vector;
use crate::ops::flex::memory::is_large;
use crate::ops::flex::radial_product::{Turned, View};
use crate::ops::o3::Couplings;

/// Numbers of products that are held at a time.
const HELD: usize = 1 << 16;

/// Edges at a time, at most.
const EDGES: usize = 64;

/// Pairs of copies that one matrix product mixes, at most, or those of one path and one copy of the second input.
const PAIRS: usize = 1024;

/// Pieces of work in which the gradients by the weights are added up, at most.
const SUMS: usize = 16;

/// What is done for some edges.
pub(super) struct Arguments<'a, F> {
    table: Table<F>,
    groups: Vec<Group>,
    /// The output with its components apart, nothing filled up.
    out: Planes,
    /// `[edges, columns]`
    x: &'a [F],
    /// `[edges, columns]`
    y: &'a [F],
    /// Of group after group, `[pairs, copies of the output]`.
    weights: Vec<F>,
    edges: usize,
    /// Edges at a time.
    block: usize,
}

/// Pairs of copies that go to the same block of the output.
struct Group {
    out: Plane,
    members: Vec<Member>,
    /// Numbers of pairs, rows of copies filled up.
    pairs: usize,
    /// The first of its weights.
    weights: usize,
    /// Whether it is the first of its block.
    opens: bool,
}

/// A path and a copy of the second input.
struct Member {
    path: usize,
    copy: usize,
    /// Copies of the second input that the path has.
    copies: usize,
    /// Its first pair.
    place: usize,
}

impl Group {
    fn all(couplings: &Couplings, table_paths: &[Path], out: &Planes) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        let mut weights = 0;
        for (block, &plane) in out.blocks.iter().enumerate() {
            let first = groups.len();
            for (number, path) in table_paths.iter().enumerate().filter(|(_, path)| path.block == block) {
                let copies = couplings.second[couplings.paths[number].second].copies;
                for copy in 0..copies {
                    let width = path.first.stride;
                    let fits = |group: &Group| group.pairs + width <= PAIRS;
                    if groups.len() == first || !groups.last().is_some_and(fits) {
                        let opens = groups.len() == first;
                        groups.push(Self { out: plane, members: vec![], pairs: 0, weights, opens });
                    }
                    let group = groups.last_mut().expect("one was pushed");
                    group.members.push(Member { path: number, copy, copies, place: group.pairs });
                    group.pairs += width;
                    weights += width * plane.copies;
                }
            }
        }
        groups
    }

    /// Numbers of its products for one edge.
    fn numbers(&self) -> usize {
        self.out.components * self.pairs
    }
}

impl<'a, F: Vector> Arguments<'a, F> {
    pub fn new(couplings: &Couplings, x: &'a [F], y: &'a [F], w: &[F], edges: usize) -> Self {
        let table = Table::new(couplings);
        let out = Planes::new(&couplings.out, 1);
        let groups = Group::all(couplings, &table.paths, &out);
        let most = groups.iter().map(Group::numbers).max().unwrap_or(1);
        let numbers = groups.last().map_or(0, |group| group.weights + group.pairs * group.out.copies);
        let mut all = Self {
            table,
            groups,
            out,
            x,
            y,
            weights: vec![F::ZERO; numbers],
            edges,
            block: (HELD / most.max(1)).clamp(1, EDGES),
        };
        let mut weights = std::mem::take(&mut all.weights);
        all.each_row(|arranged, given| weights[arranged].copy_from_slice(&w[given]));
        all.weights = weights;
        all
    }

    /// Where the weights of every pair of copies are in groups, and where as they come.
    fn each_row(&self, mut row: impl FnMut(Range<usize>, Range<usize>)) {
        for group in &self.groups {
            let width = group.out.copies;
            for member in &group.members {
                let path = &self.table.paths[member.path];
                for copy in 0..path.first.copies {
                    let arranged = group.weights + (member.place + copy) * width;
                    let given = path.weights + (copy * member.copies + member.copy) * width;
                    row(arranged..arranged + width, given..given + width);
                }
            }
        }
    }

    fn group_weights(&self, group: &Group) -> View<'_, F> {
        View { numbers: &self.weights[group.weights..], stride: group.out.copies }
    }

    /// Where the part of a block of the output is that the edges at a time have.
    fn part(&self, plane: &Plane, edges: usize) -> Range<usize> {
        plane.place * self.block..plane.place * self.block + edges * plane.components * plane.copies
    }

    fn large(&self) -> bool {
        is_large(self.edges * self.groups.iter().map(Group::numbers).sum::<usize>())
    }

    /// Blocks of edges.
    fn blocks(&self, edges: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<'_, F> {
        edges.clone().step_by(self.block).map(move |first| first..(first + self.block).min(edges.end))
    }
}

/// What one thread needs.
struct Scratch<F> {
    /// `[edges, first input]`, components apart.
    x: Vec<F>,
    matrices: Vec<F>,
    /// `[edges, 2 l + 1, pairs]`
    products: Vec<F>,
    by_products: Vec<F>,
    /// Block after block of the output, `[edges, 2 l + 1, copies]`.
    z: Vec<F>,
    by_x: Vec<F>,
    by_y: Vec<F>,
    by_matrices: Vec<F>,
}

impl<F: Vector> Scratch<F> {
    fn new(arguments: &Arguments<F>, [by_x, by_y, by_w]: [bool; 3]) -> Self {
        let Arguments { table, groups, out, block, .. } = arguments;
        let zeros = |size: usize, needed: bool| vec![F::ZERO; if needed { size } else { 0 }];
        let products = block * groups.iter().map(Group::numbers).max().unwrap_or(0);
        let gradient = by_x || by_y;
        Self {
            x: zeros(block * table.first.size, true),
            matrices: zeros(table.matrices, true),
            products: zeros(products, !gradient || by_w),
            by_products: zeros(products, gradient),
            z: zeros(block * out.size, true),
            by_x: zeros(block * table.first.size, by_x),
            by_y: zeros(block * table.columns[1] * table.width, by_y),
            by_matrices: zeros(table.matrices * table.width, by_y),
        }
    }
}

/// Takes the components of the first input apart.
struct Spread<'a, F> {
    arguments: &'a Arguments<'a, F>,
    edges: Range<usize>,
    x: &'a mut [F],
}

impl<F: Vector> pulp::WithSimd for Spread<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let table = &self.arguments.table;
        let columns = table.columns[0];
        for (edge, planes) in self.edges.zip(self.x.chunks_exact_mut(table.first.size)) {
            table.first.spread(&self.arguments.x[edge * columns..][..columns], planes);
        }
    }
}

/// The products of a group.
struct Products<'a, F> {
    arguments: &'a Arguments<'a, F>,
    group: &'a Group,
    edges: Range<usize>,
    x: &'a [F],
    matrices: &'a mut [F],
    products: &'a mut [F],
}

impl<F: Vector> pulp::WithSimd for Products<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { arguments, group, edges, x, matrices, products } = self;
        let table = &arguments.table;
        let rows = x.chunks_exact(table.first.size).zip(products.chunks_exact_mut(group.numbers()));
        for (edge, (x, products)) in edges.zip(rows) {
            let y = &arguments.y[edge * table.columns[1]..][..table.columns[1]];
            for member in &group.members {
                let path = &table.paths[member.path];
                table.matrix(simd, path, &y[path.second_copy(member.copy)], matrices);
                let products = &mut products[member.place..];
                table.multiply(simd, path, matrices, x, None, products, group.pairs, false);
            }
        }
    }
}

/// The gradients that those by the products of a group have by both inputs, added.
struct ByProducts<'a, F> {
    arguments: &'a Arguments<'a, F>,
    group: &'a Group,
    edges: Range<usize>,
    x: &'a [F],
    matrices: &'a mut [F],
    by_products: &'a [F],
    by_x: &'a mut [F],
    by_y: &'a mut [F],
    by_matrices: &'a mut [F],
}

impl<F: Vector> pulp::WithSimd for ByProducts<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { arguments, group, edges, x, matrices, by_products, by_x, by_y, by_matrices } = self;
        let table = &arguments.table;
        let (size, columns) = (table.first.size, table.columns[1]);
        let rows = x.chunks_exact(size).zip(by_products.chunks_exact(group.numbers()));
        for (row, (edge, (x, by_products))) in edges.zip(rows).enumerate() {
            let y = &arguments.y[edge * columns..][..columns];
            let by_x = if by_x.is_empty() { &mut [][..] } else { &mut by_x[row * size..][..size] };
            for member in &group.members {
                let path = &table.paths[member.path];
                let copy = path.second_copy(member.copy);
                table.matrix(simd, path, &y[copy.clone()], matrices);
                let by_products = &by_products[member.place..];
                table.gradient(simd, path, matrices, x, None, by_products, group.pairs, by_x, &mut [], by_matrices);
                if !by_y.is_empty() {
                    let by_y = &mut by_y[(row * columns + copy.start) * table.width..];
                    table.matrix_gradient(simd, path, by_matrices, by_y);
                }
            }
        }
    }
}

/// Takes the output together.
struct Collect<'a, F> {
    arguments: &'a Arguments<'a, F>,
    z: &'a [F],
    output: &'a mut [MaybeUninit<F>],
}

impl<F: Vector> pulp::WithSimd for Collect<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { arguments, z, output } = self;
        let columns = arguments.table.columns[2];
        let edges = output.len() / columns;
        for plane in arguments.out.blocks.iter().filter(|plane| plane.copies > 0) {
            let rows = z[arguments.part(plane, edges)].chunks_exact(plane.components * plane.copies);
            for (z, row) in rows.zip(output.chunks_exact_mut(columns)) {
                plane.collect(z, row);
            }
        }
    }
}

/// Takes the gradient by the output apart.
struct SpreadGradient<'a, F> {
    arguments: &'a Arguments<'a, F>,
    gradient: &'a [F],
    z: &'a mut [F],
}

impl<F: Vector> pulp::WithSimd for SpreadGradient<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { arguments, gradient, z } = self;
        let columns = arguments.table.columns[2];
        let edges = gradient.len() / columns;
        for plane in arguments.out.blocks.iter().filter(|plane| plane.copies > 0) {
            let rows = z[arguments.part(plane, edges)].chunks_exact_mut(plane.components * plane.copies);
            for (z, row) in rows.zip(gradient.chunks_exact(columns)) {
                plane.spread(row, z);
            }
        }
    }
}

/// Takes the gradients by both inputs together.
struct CollectGradients<'a, F> {
    arguments: &'a Arguments<'a, F>,
    edges: Range<usize>,
    by_x: &'a [F],
    by_y: &'a [F],
    gradients: &'a Gradients<'a, F>,
}

impl<F: Vector> pulp::WithSimd for CollectGradients<'_, F> {
    type Output = ();

    #[inline(always)]
    #[allow(unsafe_code)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { arguments, edges, by_x, by_y, gradients } = self;
        let table = &arguments.table;
        if gradients.needed[0] {
            for (edge, planes) in edges.clone().zip(by_x.chunks_exact(table.first.size)) {
                // SAFETY: every edge is in one piece of work.
                table.first.collect(planes, unsafe { gradients.by_x.row(edge) });
            }
        }
        if gradients.needed[1] {
            for (edge, sums) in edges.zip(by_y.chunks_exact(table.columns[1] * table.width)) {
                // SAFETY: as above.
                let row = unsafe { gradients.by_y.row(edge) };
                for (by_y, sums) in row.iter_mut().zip(F::vectors::<S>(sums)) {
                    by_y.write(F::total(simd, *sums));
                }
            }
        }
    }
}

/// Writes the product, `[edges, columns]`.
pub(super) fn multiply<F: Vector>(arguments: &Arguments<F>, output: &mut [MaybeUninit<F>]) {
    let arch = pulp::Arch::new();
    let columns = arguments.table.columns[2];
    let work = |scratch: &mut Scratch<F>, (piece, output): (usize, &mut [MaybeUninit<F>])| {
        let count = output.len() / columns;
        let edges = piece * arguments.block..piece * arguments.block + count;
        let Scratch { x, matrices, products, z, .. } = scratch;
        arch.dispatch(Spread { arguments, edges: edges.clone(), x });
        for group in &arguments.groups {
            arch.dispatch(Products { arguments, group, edges: edges.clone(), x, matrices, products });
            let (rows, width) = (count * group.out.components, group.out.copies);
            F::product(
                [rows, group.pairs, width],
                View { numbers: products, stride: group.pairs },
                arguments.group_weights(group),
                Turned::Neither,
                &mut z[arguments.part(&group.out, count)],
                width,
                !group.opens,
            );
        }
        arch.dispatch(Collect { arguments, z, output });
    };
    let scratch = || Scratch::new(arguments, [false; 3]);
    let size = arguments.block * columns;
    if arguments.large() {
        output.par_chunks_mut(size).enumerate().for_each_init(scratch, work);
    } else {
        let mut scratch = scratch();
        output.chunks_mut(size).enumerate().for_each(|piece| work(&mut scratch, piece));
    }
}

/// Where gradients are written; what is not asked for has no rows.
pub(super) struct Gradients<'a, F> {
    pub by_x: Disjoint<'a, F>,
    pub by_y: Disjoint<'a, F>,
    pub needed: [bool; 3],
}

/// Writes the gradients that `gradient`, `[edges, columns]`, has by both inputs, and gives those by the weights where they are needed.
pub(super) fn gradient<F: Vector>(arguments: &Arguments<F>, gradient: &[F], gradients: &Gradients<F>) -> Vec<F> {
    let arch = pulp::Arch::new();
    let columns = arguments.table.columns[2];
    let [by_x, by_y, by_w] = gradients.needed;
    // Of constant size, so that sums over pieces are the same with any number of threads.
    let size = arguments.edges.div_ceil(SUMS).next_multiple_of(arguments.block);
    let work = |piece: usize| {
        let mut scratch = Scratch::new(arguments, gradients.needed);
        let mut by_weights = vec![F::ZERO; if by_w { arguments.weights.len() } else { 0 }];
        let all = piece * size..(piece * size + size).min(arguments.edges);
        for edges in arguments.blocks(all) {
            let Scratch { x, matrices, products, by_products, z, by_x: x_sums, by_y: y_sums, by_matrices } =
                &mut scratch;
            arch.dispatch(Spread { arguments, edges: edges.clone(), x });
            let gradient = &gradient[edges.start * columns..edges.end * columns];
            arch.dispatch(SpreadGradient { arguments, gradient, z });
            x_sums.fill(F::ZERO);
            y_sums.fill(F::ZERO);
            for group in &arguments.groups {
                let (rows, pairs, width) = (edges.len() * group.out.components, group.pairs, group.out.copies);
                let by_z = View { numbers: &z[arguments.part(&group.out, edges.len())], stride: width };
                if by_w {
                    arch.dispatch(Products { arguments, group, edges: edges.clone(), x, matrices, products });
                    let products = View { numbers: products, stride: pairs };
                    let by_weights = &mut by_weights[group.weights..];
                    F::product([pairs, rows, width], products, by_z, Turned::Left, by_weights, width, true);
                }
                if by_x || by_y {
                    let weights = arguments.group_weights(group);
                    F::product([rows, width, pairs], by_z, weights, Turned::Right, by_products, pairs, false);
                    let (by_x, by_y) = (&mut x_sums[..], &mut y_sums[..]);
                    let edges = edges.clone();
                    arch.dispatch(ByProducts {
                        arguments,
                        group,
                        edges,
                        x,
                        matrices,
                        by_products,
                        by_x,
                        by_y,
                        by_matrices,
                    });
                }
            }
            arch.dispatch(CollectGradients { arguments, edges, by_x: x_sums, by_y: y_sums, gradients });
        }
        by_weights
    };
    let pieces = arguments.edges.div_ceil(size);
    let sums: Vec<Vec<F>> = match arguments.large() {
        true => (0..pieces).into_par_iter().map(work).collect(),
        false => (0..pieces).map(work).collect(),
    };
    let mut total = vec![F::ZERO; if by_w { arguments.table.weights.columns } else { 0 }];
    if by_w {
        for sum in sums {
            arguments.each_row(|arranged, given| {
                for (total, &sum) in total[given].iter_mut().zip(&sum[arranged]) {
                    *total += sum;
                }
            });
        }
    }
    total
}
