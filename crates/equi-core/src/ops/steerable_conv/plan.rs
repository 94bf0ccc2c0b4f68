//! The convolution as products of matrices, one for each irrep of the grid group.
//!
//! A filter with `K(h q) = rho_out(h) K(q) rho_in(h)^-1` is a linear map from patches to channels that commutes with the grid group.
//! By Schur's lemma it maps every irrep to copies of itself only. So a patch is taken to its Fourier components (`orbits.rs`), each irrep is
//! multiplied with a matrix of its own, and the components of the output are taken back.

use std::sync::Arc;

use super::functions::KernelFunctions;
use super::orbits::{ChannelOrbits, PatchOrbit, channel_orbits, patch_orbits};
use super::symmetry::{GridGroup, Signed, Transform, channel_actions};
use crate::field::FieldType;
use crate::group::Group;

/// Rows of a component that are worked on at a time: with a tile of pixels they stay in the second level of the cache.
pub(crate) const ROWS: usize = 176;

/// Components of a patch, at most.
pub(crate) const COMPONENTS: usize = 8;

/// What lies side by side in a vector: channels of a pixel, or pixels of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Channels,
    Pixels,
}

/// How a filter is cut into matrices.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub transform: Transform,
    pub group: GridGroup,
    /// Points along a side of the kernel.
    pub size: usize,
    /// The functions that patches are taken to first, in place of their points.
    pub functions: Option<Arc<KernelFunctions>>,
    pub input: Vec<ChannelOrbits>,
    pub output: Vec<ChannelOrbits>,
    pub orbits: Vec<PatchOrbit>,
    pub blocks: Vec<Block>,
    /// For every irrep: its copies in the output.
    pub widths: Vec<usize>,
}

/// Patch orbits that are worked on at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub parts: Vec<Part>,
    /// For every slot (irrep and copy): its rows.
    pub rows: [usize; SLOTS],
}

/// Some of the orbits that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Which of [`Plan::orbits`], and the kind of its channel orbits.
    pub orbit: usize,
    pub kind: usize,
    /// Which of the channel orbits.
    pub first: usize,
    pub count: usize,
    /// For every slot: its first row.
    pub rows: [usize; SLOTS],
}

/// Kinds of rows: one for each irrep, and one for the second copies of the matrices of `D4`.
pub(crate) const SLOTS: usize = 6;

/// One of the products that make up the convolution: of patch components and weights to output components.
pub(crate) struct Product {
    pub patch: usize,
    pub weight: usize,
    pub output: usize,
}

const fn product(patch: usize, weight: usize, output: usize) -> Product {
    Product { patch, weight, output }
}

impl Transform {
    /// The products. The complex irrep of `C4` takes three, of `r + i`, `r` and `i`; the matrices of `D4` take each row with each column.
    pub(crate) fn products(self) -> &'static [Product] {
        const ALONE: [Product; 5] =
            [product(0, 0, 0), product(1, 1, 1), product(2, 2, 2), product(3, 3, 3), product(4, 4, 4)];
        const DIHEDRAL: [Product; 8] = [
            product(0, 0, 0),
            product(1, 1, 1),
            product(2, 2, 2),
            product(3, 3, 3),
            product(4, 4, 4),
            product(5, 5, 4),
            product(6, 4, 5),
            product(7, 5, 5),
        ];
        match self {
            Self::Dihedral => &DIHEDRAL,
            other => &ALONE[..other.weights()],
        }
    }

    /// Matrices of weights.
    pub(crate) fn weights(self) -> usize {
        match self {
            Self::Trivial => 1,
            Self::Two => 2,
            Self::Klein => 4,
            Self::Cyclic => 5,
            Self::Dihedral => 6,
        }
    }

    /// Components of the patches, and matrices that hold them.
    pub(crate) fn patches(self) -> usize {
        if self == Self::Dihedral { 8 } else { self.weights() }
    }

    /// Matrices that hold components of the output: as many as matrices of weights.
    pub(crate) fn outputs(self) -> usize {
        self.weights()
    }

    /// The slot of a matrix of weights: its rows.
    pub(crate) fn slot(self, weight: usize) -> usize {
        if self == Self::Cyclic { weight.min(2) } else { weight }
    }

    /// The irrep of a matrix of weights or of output components.
    pub(crate) fn irrep(self, matrix: usize) -> usize {
        matrix.min(self.irreps() - 1)
    }
}

impl Plan {
    /// The cheapest of [all](Self::pairs).
    pub(crate) fn pair(
        input: &FieldType,
        output: &FieldType,
        size: usize,
        functions: Option<&Arc<KernelFunctions>>,
    ) -> [Self; 2] {
        let least = |plan: &Self| plan.cost(plan.side(1.0));
        let cost = |plans: &[Self; 2]| least(&plans[0]) + least(&plans[1]);
        let all = Self::pairs(input, output, size, functions).into_iter();
        all.min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("the dense convolution")
    }

    /// The plans of a convolution, each with that of its adjoint: without the symmetry and with it, by points and, if there are some, by functions.
    pub(crate) fn pairs(
        input: &FieldType,
        output: &FieldType,
        size: usize,
        functions: Option<&Arc<KernelFunctions>>,
    ) -> Vec<[Self; 2]> {
        let still = |count: usize| vec![(0..count).map(|channel| (channel, false)).collect::<Vec<Signed>>()];
        let mut actions = vec![(GridGroup::new(Group::trivial()), still(input.size()), still(output.size()))];
        if let (Some(from), Some(to)) = (channel_actions(input), channel_actions(output)) {
            actions.push((GridGroup::new(input.group()), from, to));
        }
        let mut pairs = Vec::new();
        for functions in [None].into_iter().chain(functions.map(Some)) {
            for (group, from, to) in &actions {
                let plan = |from, to| Self::new(group, from, to, size, functions.cloned());
                pairs.push([plan(from, to), plan(to, from)]);
            }
        }
        pairs
    }

    /// The plan of a convolution between channels that the grid group acts on like this, with `size * size` points, and the functions on these that
    /// filters are combinations of, if they are to be used.
    pub(crate) fn new(
        group: &GridGroup,
        input: &[Vec<Signed>],
        output: &[Vec<Signed>],
        size: usize,
        functions: Option<Arc<KernelFunctions>>,
    ) -> Self {
        let transform = group.transform();
        let (input, output) = (channel_orbits(group, input), channel_orbits(group, output));
        let action = |h: usize| -> Vec<Signed> {
            let point = |p: usize| group.point(h, p, size);
            match &functions {
                Some(functions) => (0..functions.len()).map(|f| functions.moved(f, point)).collect(),
                None => (0..size * size).map(|p| (point(p), false)).collect(),
            }
        };
        let places: Vec<Vec<Signed>> = (0..group.order()).map(action).collect();
        let orbits = patch_orbits(group, &input, &places);
        let widths = (0..transform.irreps())
            .map(|irrep| output.iter().map(|kind| kind.count() * kind.copies.of(irrep).len()).sum())
            .collect();
        let blocks = if functions.is_some() { blocks_of_kinds(&input, &orbits) } else { blocks(&input, &orbits) };
        Self { transform, group: group.clone(), size, functions, input, output, orbits, blocks, widths }
    }

    /// Places of a patch: points, or functions.
    pub(crate) fn places(&self) -> usize {
        self.functions.as_ref().map_or(self.size * self.size, |functions| functions.len())
    }

    /// Where the half turn about the centre takes a place.
    pub(crate) fn reflected(&self, place: usize) -> Signed {
        match &self.functions {
            Some(functions) => (place, functions.odd(place)),
            None => (self.places() - 1 - place, false),
        }
    }

    /// The first column of the components of a kind of output orbits.
    pub(crate) fn columns(&self, kind: usize, irrep: usize) -> usize {
        self.output[..kind].iter().map(|kind| kind.count() * kind.copies.of(irrep).len()).sum()
    }

    /// For every element `t`, and every element `g`: `g t`.
    pub(crate) fn products(&self) -> Vec<Vec<usize>> {
        let all = 0..self.group.order();
        all.clone().map(|t| all.clone().map(|g| self.group.product(g, t)).collect()).collect()
    }

    pub(crate) fn input_channels(&self) -> usize {
        channels(&self.input)
    }

    pub(crate) fn output_channels(&self) -> usize {
        channels(&self.output)
    }

    /// The better side, where a row has `waste` times the pixels that it needs if they lie side by side.
    pub(crate) fn side(&self, waste: f64) -> Side {
        if self.cost(Side::Pixels) * waste < self.cost(Side::Channels) { Side::Pixels } else { Side::Channels }
    }

    /// What a pixel of the output costs, in operations on vectors of 8 numbers.
    pub(crate) fn cost(&self, side: Side) -> f64 {
        self.packing(side) + self.patches(side) + self.multiplying(side)
    }

    /// The part of [`cost`](Self::cost) that goes over the images, where channels lie side by side with transposing them.
    fn packing(&self, side: Side) -> f64 {
        let numbers = side.vectors(self.input_channels() + self.output_channels());
        numbers * if side == Side::Channels { 3.0 } else { 1.0 }
    }

    /// The part of [`cost`](Self::cost) that multiplies the components with the matrices.
    fn multiplying(&self, side: Side) -> f64 {
        let one = |block: &Block, product: &Product| {
            let width = side.vectors(self.widths[self.transform.irrep(product.weight)]);
            block.rows[self.transform.slot(product.weight)] as f64 * width
        };
        self.blocks.iter().flat_map(|block| self.transform.products().iter().map(move |p| one(block, p))).sum()
    }

    /// The part of [`cost`](Self::cost) that takes patches to their components.
    fn patches(&self, side: Side) -> f64 {
        if (self.transform, side) == (Transform::Trivial, Side::Channels) {
            // Channels of all points in a row are neighbours.
            return 2.0 * self.size as f64 * side.vectors(self.size * self.input_channels());
        }
        let one = (3 * self.group.order() + self.transform.patches()) as f64;
        let parts = self.blocks.iter().flat_map(|block| &block.parts).map(|part| side.vectors(part.count) * one);
        parts.sum::<f64>() + self.projecting(side)
    }

    /// The part of [`patches`](Self::patches) that takes channels to functions.
    fn projecting(&self, side: Side) -> f64 {
        let Some(functions) = &self.functions else { return 0.0 };
        let one = (functions.operations() + 2 * self.size * self.size + functions.len()) as f64;
        let chunks = self.blocks.iter().flat_map(|block| block.chunks()).map(|parts| {
            let channels = self.input[self.orbits[parts[0].orbit].kind].channels.len();
            side.vectors(parts[0].count) * channels as f64
        });
        chunks.sum::<f64>() * one
    }

    /// Whether the gradient by the filter is cheaper with the patches that the adjoint has already than with those of the convolution.
    pub(crate) fn shares_patches(&self, adjoint: &Self, side: Side) -> bool {
        let patches = self.packing(side) + self.patches(side);
        adjoint.multiplying(Side::Channels) <= self.multiplying(Side::Channels) + patches
    }
}

impl Block {
    fn add(&mut self, number: usize, orbit: &PatchOrbit, first: usize, count: usize) {
        self.parts.push(Part { orbit: number, kind: orbit.kind, first, count, rows: self.rows });
        for (irrep, copies) in orbit.copies.columns.iter().enumerate() {
            (0..copies.len()).for_each(|copy| self.rows[irrep + copy] += count);
        }
    }

    fn most_rows(&self) -> usize {
        self.rows.into_iter().max().unwrap_or(0)
    }

    /// Parts with the same channels, where all places of a channel belong to one block.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[Part]> {
        self.parts.chunk_by(|a, b| (a.kind, a.first) == (b.kind, b.first))
    }
}

impl Side {
    /// Operations on so many channels: they fill vectors where orbits are alike, and pixels do anyway.
    fn vectors(self, count: usize) -> f64 {
        match self {
            Self::Channels => count.div_ceil(VECTOR) as f64,
            Self::Pixels => count as f64 / VECTOR as f64,
        }
    }
}

/// Numbers of half the largest vector: a product that needs no more takes half the time.
const VECTOR: usize = 8;

fn channels(kinds: &[ChannelOrbits]) -> usize {
    kinds.iter().map(|kind| kind.count() * kind.channels.len()).sum()
}

/// Blocks of about the same number of rows, none of more than [`ROWS`].
fn blocks(input: &[ChannelOrbits], orbits: &[PatchOrbit]) -> Vec<Block> {
    let total: usize = orbits.iter().map(|orbit| input[orbit.kind].count()).sum();
    let target = total.div_ceil(total.div_ceil(ROWS));
    let mut blocks = vec![Block::default()];
    for (number, orbit) in orbits.iter().enumerate() {
        let all = input[orbit.kind].count();
        for first in (0..all).step_by(ROWS) {
            let count = (all - first).min(ROWS);
            let filled = blocks.last().map_or(0, Block::most_rows);
            if filled > 0 && (filled >= target || filled + count > ROWS) {
                blocks.push(Block::default());
            }
            blocks.last_mut().expect("a block").add(number, orbit, first, count);
        }
    }
    blocks
}

/// Blocks that have all orbits of their channels, of about [`ROWS`] rows at most.
fn blocks_of_kinds(input: &[ChannelOrbits], orbits: &[PatchOrbit]) -> Vec<Block> {
    let mut blocks = vec![Block::default()];
    for (kind, channels) in input.iter().enumerate() {
        let mut one = Block::default();
        let of_kind = || orbits.iter().enumerate().filter(|(_, orbit)| orbit.kind == kind);
        of_kind().for_each(|(number, orbit)| one.add(number, orbit, 0, 1));
        let rows = one.most_rows().max(1);
        // Whole vectors where that many fit.
        let fitting = (ROWS / rows).max(1);
        let fitting = if fitting > VECTOR { fitting / VECTOR * VECTOR } else { fitting };
        for first in (0..channels.count()).step_by(fitting) {
            let count = (channels.count() - first).min(fitting);
            let filled = blocks.last().map_or(0, Block::most_rows);
            if filled > 0 && filled + count * rows > ROWS {
                blocks.push(Block::default());
            }
            let block = blocks.last_mut().expect("a block");
            of_kind().for_each(|(number, orbit)| block.add(number, orbit, first, count));
        }
    }
    blocks
}
