//! The convolution as products of matrices, one for each irrep of the grid group.
//!
//! A filter with `K(h q) = rho_out(h) K(q) rho_in(h)^-1` is a linear map from patches to channels that commutes with the grid group.
//! By Schur's lemma it maps every irrep to copies of itself only. So a patch is taken to its Fourier components (`orbits.rs`), each irrep is
//! multiplied with a matrix of its own, and the components of the output are taken back.

use super::orbits::{ChannelOrbits, PatchOrbit, channel_orbits, patch_orbits};
use super::symmetry::{GridGroup, Signed, Transform, channel_actions};
use crate::field::FieldType;
use crate::group::Group;

/// Rows of a component that are worked on at a time: with a tile of pixels they stay in the second level of the cache.
pub(crate) const ROWS: usize = 128;

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
    /// Which of [`Plan::orbits`].
    pub orbit: usize,
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
    /// The cheapest plan of a convolution, and that of its adjoint: with the symmetry, or without any.
    pub(crate) fn pair(input: &FieldType, output: &FieldType, size: usize) -> [Self; 2] {
        let plan = |group: &GridGroup, input: &[Vec<Signed>], output: &[Vec<Signed>]| {
            [Self::new(group, input, output, size), Self::new(group, output, input, size)]
        };
        let still = |count: usize| vec![(0..count).map(|channel| (channel, false)).collect::<Vec<Signed>>()];
        let none = plan(&GridGroup::new(Group::trivial()), &still(input.size()), &still(output.size()));
        let (Some(from), Some(to)) = (channel_actions(input), channel_actions(output)) else { return none };
        let all = plan(&GridGroup::new(input.group()), &from, &to);
        let least = |plan: &Self| plan.cost(plan.side(1.0));
        let cost = |plans: &[Self; 2]| least(&plans[0]) + least(&plans[1]);
        if cost(&all) < cost(&none) { all } else { none }
    }

    /// The plan of a convolution between channels that the grid group acts on like this, with `size * size` points.
    pub(crate) fn new(group: &GridGroup, input: &[Vec<Signed>], output: &[Vec<Signed>], size: usize) -> Self {
        let transform = group.transform();
        let (input, output) = (channel_orbits(group, input), channel_orbits(group, output));
        let orbits = patch_orbits(group, &input, size);
        let widths = (0..transform.irreps())
            .map(|irrep| output.iter().map(|kind| kind.count() * kind.copies.of(irrep).len()).sum())
            .collect();
        let blocks = blocks(&input, &orbits);
        Self { transform, group: group.clone(), size, input, output, orbits, blocks, widths }
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
        self.blocks.iter().flat_map(|block| &block.parts).map(|part| side.vectors(part.count) * one).sum()
    }

    /// Whether the gradient by the filter is cheaper with the patches that the adjoint has already than with those of the convolution.
    pub(crate) fn shares_patches(&self, adjoint: &Self, side: Side) -> bool {
        let patches = self.packing(side) + self.patches(side);
        adjoint.multiplying(Side::Channels) <= self.multiplying(Side::Channels) + patches
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
            let filled = blocks.last().map_or(0, |block| block.rows.into_iter().max().unwrap_or(0));
            if filled > 0 && (filled >= target || filled + count > ROWS) {
                blocks.push(Block::default());
            }
            let block = blocks.last_mut().expect("a block");
            block.parts.push(Part { orbit: number, first, count, rows: block.rows });
            for (irrep, copies) in orbit.copies.columns.iter().enumerate() {
                (0..copies.len()).for_each(|copy| block.rows[irrep + copy] += count);
            }
        }
    }
    blocks
}
