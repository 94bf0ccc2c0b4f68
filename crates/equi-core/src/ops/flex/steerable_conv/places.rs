//! Where a tile has the numbers of its Fourier components, and where the image has those that they are made of.

use super::butterfly::{Collect, NOWHERE, Spread};
use super::grid::Grid;
use super::lanes::Lanes;
use super::project::Chunk;
use super::weights::Layout;
use crate::ops::steerable_conv::orbits::leading;
use crate::ops::steerable_conv::plan::{Block, COMPONENTS, Part, Plan, ROWS, Side};
use crate::ops::steerable_conv::symmetry::Transform;

/// Pixels in a tile: whole vectors, and a multiple of the rows of a product's tile where registers are many.
pub(super) const PIXELS: usize = 112;

/// Rows of the matrices of a tile with channels side by side, where products of whole tiles end.
pub(super) const ROOM: usize = 126;

/// From the components of a pixel to those of the next where channels lie side by side: no power of two, and room for a vector beyond the rows of a
/// block.
pub(super) const STRIDE: usize = ROWS + 16;

/// From a component of all pixels to the next where pixels lie side by side: no power of two.
pub(super) const PITCH: usize = PIXELS + 32;

/// Numbers of a component of the patches.
pub(super) fn component_size(side: Side) -> usize {
    match side {
        Side::Channels => ROOM * STRIDE,
        Side::Pixels => ROWS * PITCH,
    }
}

/// The matrices of output components in a tile: `[ROOM, width]` each where channels lie side by side, `[width, PITCH]` where pixels do.
pub(super) struct Outputs {
    pub starts: Vec<usize>,
    pub widths: Vec<usize>,
    /// Of all matrices.
    pub length: usize,
    /// Numbers of a column.
    column: usize,
    /// From a column to the next.
    step: usize,
}

impl Outputs {
    pub(super) fn new(plan: &Plan, layout: &Layout, side: Side) -> Self {
        let (all, column, step) = match side {
            Side::Channels => (&layout.widths, ROOM, 1),
            Side::Pixels => (&plan.widths, PITCH, PITCH),
        };
        let widths: Vec<usize> =
            (0..plan.transform.outputs()).map(|matrix| all[plan.transform.irrep(matrix)]).collect();
        let mut length = 0;
        let starts = widths
            .iter()
            .map(|width| {
                let start = length;
                length += column * width;
                start
            })
            .collect();
        Self { starts, widths, length, column, step }
    }

    /// The numbers of a matrix.
    pub(super) fn range(&self, matrix: usize) -> std::ops::Range<usize> {
        self.starts[matrix]..self.starts[matrix] + self.column * self.widths[matrix]
    }

    /// Column `column` of a matrix, at the first pixel.
    fn place(&self, matrix: usize, column: usize) -> usize {
        self.starts[matrix] + column * self.step
    }

    /// From a pixel to the next where channels lie side by side, for every component.
    pub(super) fn strides(&self, transform: Transform) -> [usize; COMPONENTS] {
        let mut strides = [0; COMPONENTS];
        for (component, stride) in strides.iter_mut().enumerate().take(transform.patches()) {
            *stride = self.widths[output_matrix(transform, component)];
        }
        strides
    }
}

/// The matrix of output components that component `component` of an orbit belongs to.
fn output_matrix(transform: Transform, component: usize) -> usize {
    if transform == Transform::Dihedral && component >= 4 { 4 + (component - 4) / 2 } else { component }
}

/// How the patches are taken to the components of a block.
pub(super) enum Patches<F> {
    /// Point by point.
    Points(Vec<Spread<F>>),
    /// By functions on the points.
    Functions(Vec<Chunk<F>>),
}

impl<F: Lanes> Patches<F> {
    pub(super) fn new(plan: &Plan, block: &Block, grid: &Grid) -> Self {
        if plan.functions.is_some() {
            let chunk = |parts| Chunk::new(plan, parts, grid, |part| targets(plan, part, grid.side));
            return Self::Functions(block.chunks().map(chunk).collect());
        }
        let spreads = block.parts.iter().map(|part| of_points(plan, part, grid));
        Self::Points(if grid.side == Side::Channels { joined(spreads) } else { spreads.collect() })
    }
}

fn of_points<F: Lanes>(plan: &Plan, part: &Part, grid: &Grid) -> Spread<F> {
    let mut spread = targets(plan, part, grid.side);
    let kind = &plan.input[part.kind];
    for (h, &(point, channel, minus)) in plan.orbits[part.orbit].members.iter().enumerate() {
        let channel = kind.start + channel * kind.count() + part.first;
        spread.members[h] = grid.point(plan.input_channels(), [point / plan.size, point % plan.size], channel);
        spread.signs[h] = F::from_f64(if minus { -1.0 } else { 1.0 });
    }
    spread
}

/// Where the components of a part go; its members are still to be found.
fn targets<F: Lanes>(plan: &Plan, part: &Part, side: Side) -> Spread<F> {
    let orbit = &plan.orbits[part.orbit];
    let mut spread = Spread {
        members: [NOWHERE; COMPONENTS],
        signs: [F::from_f64(1.0); COMPONENTS],
        targets: [NOWHERE; COMPONENTS],
        count: part.count,
        free: orbit.copies.free,
    };
    let mut target = |component: usize, matrix: usize, row: usize| {
        let row = if side == Side::Channels { row } else { row * PITCH };
        spread.targets[component] = matrix * component_size(side) + row;
    };
    for irrep in 0..plan.transform.irreps() {
        for (copy, &columns) in orbit.copies.of(irrep).iter().enumerate() {
            let row = part.rows[irrep + copy];
            match (plan.transform, irrep) {
                (Transform::Cyclic, 2) => (2..5).for_each(|component| target(component, component, row)),
                (Transform::Dihedral, 4) => {
                    for matrix_row in 0..2 {
                        target(4 + 2 * matrix_row + leading(columns), 4 + 2 * matrix_row + copy, row);
                    }
                }
                _ => target(irrep, irrep, row),
            }
        }
    }
    spread
}

/// Parts that go on where the last one ends, in the image and in the components, become one with it: without symmetry, the points of a row do.
fn joined<F: Lanes>(parts: impl Iterator<Item = Spread<F>>) -> Vec<Spread<F>> {
    let mut joined: Vec<Spread<F>> = Vec::new();
    for part in parts {
        if let Some(last) = joined.last_mut() {
            let follows = |(&next, &first): (&usize, &usize)| {
                next == first.wrapping_add(last.count) || next == NOWHERE && first == NOWHERE
            };
            let goes_on = last.free
                && part.free
                && part.members.iter().zip(&last.members).all(follows)
                && part.targets.iter().zip(&last.targets).all(follows);
            if goes_on {
                last.count += part.count;
                continue;
            }
        }
        joined.push(part);
    }
    joined
}

/// Where the components of a gradient by the output go: those of the three products of `C4` are `r + i`, `i`, `r`.
pub(super) fn output_spread<F: Lanes>(plan: &Plan, outputs: &Outputs, kind: usize) -> Spread<F> {
    let orbits = &plan.output[kind];
    let mut spread = Spread {
        members: [0; COMPONENTS],
        signs: [F::from_f64(1.0); COMPONENTS],
        targets: [NOWHERE; COMPONENTS],
        count: orbits.count(),
        free: orbits.copies.free,
    };
    for (h, &(channel, minus)) in orbits.lift.iter().enumerate() {
        spread.members[h] = orbits.start + channel * orbits.count();
        spread.signs[h] = F::from_f64(if minus { -1.0 } else { 1.0 });
    }
    for irrep in 0..plan.transform.irreps() {
        let first = plan.columns(kind, irrep);
        for (copy, &columns) in orbits.copies.of(irrep).iter().enumerate() {
            let mut target = |component: usize, matrix: usize| {
                spread.targets[component] = outputs.place(matrix, first + copy * orbits.count());
            };
            match (plan.transform, irrep) {
                (Transform::Cyclic, 2) => {
                    [(2, 2), (3, 4), (4, 3)].into_iter().for_each(|(c, matrix)| target(c, matrix))
                }
                (Transform::Dihedral, 4) => (0..2).for_each(|row| target(4 + 2 * row + leading(columns), 4 + row)),
                _ => target(irrep, irrep),
            }
        }
    }
    spread
}

/// Where the components of the output come from.
pub(super) fn collect<F: Lanes>(plan: &Plan, outputs: &Outputs, kind: usize) -> Collect<F> {
    let orbits = &plan.output[kind];
    let mut collect = Collect {
        sources: [NOWHERE; COMPONENTS],
        signs: [F::from_f64(1.0); COMPONENTS],
        leaders: (0..orbits.channels.len()).map(|channel| orbits.leader(channel)).collect(),
        start: orbits.start,
        count: orbits.count(),
        free: orbits.copies.free,
    };
    for irrep in 0..plan.transform.irreps() {
        let first = plan.columns(kind, irrep);
        for (copy, &columns) in orbits.copies.of(irrep).iter().enumerate() {
            let mut source = |component: usize, matrix: usize, sign: i8| {
                collect.sources[component] = outputs.place(matrix, first + copy * orbits.count());
                collect.signs[component] = F::from_f64(f64::from(sign));
            };
            match (plan.transform, irrep) {
                (Transform::Cyclic, 2) => (2..5).for_each(|component| source(component, component, 1)),
                (Transform::Dihedral, 4) => {
                    for row in 0..2 {
                        for (column, &factor) in columns.iter().enumerate().filter(|(_, factor)| **factor != 0) {
                            source(4 + 2 * row + column, 4 + row, factor);
                        }
                    }
                }
                _ => source(irrep, irrep, 1),
            }
        }
    }
    collect
}
