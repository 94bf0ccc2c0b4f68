//! What a tensor product multiplies with what, on the host.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::o3::{Irreps, wigner_3j};

/// A path of [`Couplings`]: `z_k = c sum_ij C_ijk x_i y_j` from a block of either input to a block of the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoupledPath {
    /// Block of the first input.
    pub first: usize,
    /// Block of the second input.
    pub second: usize,
    /// Block of the output.
    pub out: usize,
    /// `c`, what the Wigner 3j tensor is multiplied by.
    pub coefficient: f64,
}

/// The paths of a tensor product with their Wigner 3j tensors, for [`uvu_product`](super::uvu_product), [`uvu_messages`](super::uvu_messages)
/// and [`uvw_product`](super::uvw_product).
#[derive(Clone, Debug, PartialEq)]
pub struct Couplings {
    pub(in crate::ops) first: Vec<Block>,
    pub(in crate::ops) second: Vec<Block>,
    pub(in crate::ops) out: Vec<Block>,
    pub(in crate::ops) paths: Vec<Path>,
    weights: usize,
    mixed: bool,
}

/// Copies of an irrep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) struct Block {
    /// The first of its columns.
    pub start: usize,
    pub copies: usize,
    /// `2 l + 1`
    pub components: usize,
}

impl Block {
    pub fn columns(&self) -> Range<usize> {
        self.start..self.start + self.copies * self.components
    }

    fn all(irreps: &Irreps) -> Vec<Self> {
        let mut start = 0;
        let block = |block: &crate::o3::MulIrrep| {
            let block = Self { start, copies: block.mul, components: block.irrep.dim() };
            start = block.columns().end;
            block
        };
        irreps.blocks().iter().map(block).collect()
    }
}

/// A path with its tensor.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Path {
    pub first: usize,
    pub second: usize,
    pub out: usize,
    /// `c C`, `[2 l1 + 1, 2 l2 + 1, 2 l3 + 1]`.
    pub coefficients: Vec<f64>,
    /// The first of its weights.
    pub weights: usize,
}

impl Couplings {
    /// Every copy of a block of the first input with the only copy of a block of the second, and a weight for each: e3nn's mode `uvu` with one
    /// `v`. Weights come path after path.
    ///
    /// # Errors
    /// [`Error::NotCoupled`] for a block that does not exist, copies that differ, a second block of more than one copy, and empty blocks;
    /// and the errors of [`wigner_3j`].
    pub fn uvu(first: &Irreps, second: &Irreps, out: &Irreps, paths: &[CoupledPath]) -> Result<Self> {
        Self::new([first, second, out], paths, false, |[a, b, c]| {
            (b.copies == 1 && a.copies == c.copies).then_some(a.copies)
        })
    }

    /// Every copy of a block of the first input with every copy of a block of the second, mixed to those of the output: e3nn's mode `uvw`.
    /// Weights come path after path, in each `[u, v, w]`.
    ///
    /// # Errors
    /// [`Error::NotCoupled`] for a block that does not exist, and empty blocks; and the errors of [`wigner_3j`].
    pub fn uvw(first: &Irreps, second: &Irreps, out: &Irreps, paths: &[CoupledPath]) -> Result<Self> {
        Self::new([first, second, out], paths, true, |[a, b, c]| Some(a.copies * b.copies * c.copies))
    }

    fn new(
        irreps: [&Irreps; 3],
        paths: &[CoupledPath],
        mixed: bool,
        count: impl Fn([Block; 3]) -> Option<usize>,
    ) -> Result<Self> {
        let [first, second, out] = irreps.map(Block::all);
        let mut all = Self { first, second, out, paths: vec![], weights: 0, mixed };
        for (number, path) in paths.iter().enumerate() {
            let blocks = (all.first.get(path.first), all.second.get(path.second), all.out.get(path.out));
            let weights = match blocks {
                (Some(&a), Some(&b), Some(&c)) if a.copies * b.copies * c.copies > 0 => count([a, b, c]),
                _ => None,
            };
            let Some(weights) = weights else {
                return Err(Error::NotCoupled { path: number });
            };
            let irrep = |irreps: &Irreps, place: usize| irreps.blocks()[place].irrep;
            let [a, b, c] =
                [(0, path.first), (1, path.second), (2, path.out)].map(|(n, place)| irrep(irreps[n], place));
            if a.product(b).all(|irrep| irrep != c) {
                return Err(Error::NotCoupled { path: number });
            }
            let &CoupledPath { first, second, out, coefficient } = path;
            let coefficients = wigner_3j(a.l, b.l, c.l)?.values().iter().map(|value| coefficient * value).collect();
            all.paths.push(Path { first, second, out, coefficients, weights: all.weights });
            all.weights += weights;
        }
        Ok(all)
    }

    /// Columns of the first input, the second, and the output.
    pub fn columns(&self) -> [usize; 3] {
        [&self.first, &self.second, &self.out].map(|blocks| blocks.last().map_or(0, |block| block.columns().end))
    }

    /// Whether copies are mixed, as by [`uvw`](Self::uvw).
    pub(in crate::ops) fn mixed(&self) -> bool {
        self.mixed
    }

    /// How many weights it takes.
    pub fn weights(&self) -> usize {
        self.weights
    }
}
