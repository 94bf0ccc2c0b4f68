//! Lists of irreps: what the columns of a feature are.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Mul, Range};
use std::str::FromStr;

use super::parse;
use super::{Irrep, MulIrrep, Parity};
use crate::error::{Error, Result};

/// A representation of O(3) as a direct sum of irreps, `4x0e+2x1o`: the type of features `[rows, dim]`.
///
/// The order of the blocks is the order of the columns, so `1x0e+1x1o` and `1x1o+1x0e` are different. Blocks without copies are
/// allowed.
///
/// ```
/// use equi_core::o3::Irreps;
///
/// let irreps = Irreps::parse("4x0e + 2x1o + 2e")?;
/// assert_eq!((irreps.dim(), irreps.to_string()), (15, "4x0e+2x1o+1x2e".into()));
/// assert_eq!(irreps.slices(), [0..4, 4..10, 10..15]);
/// # Ok::<(), equi_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Irreps {
    blocks: Vec<MulIrrep>,
}

/// Irreps in order, and where their blocks came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedIrreps {
    /// By irrep; blocks of the same irrep keep their order.
    pub irreps: Irreps,
    /// `permutation[i]` is the new place of block `i`.
    pub permutation: Vec<usize>,
    /// `inverse[i]` is the old place of what is block `i` now.
    pub inverse: Vec<usize>,
}

impl Irreps {
    /// Of blocks.
    pub fn new(blocks: impl Into<Vec<MulIrrep>>) -> Self {
        Self { blocks: blocks.into() }
    }

    /// Reads `4x0e+2x1o`. Spaces are allowed, `1o` is `1x1o`, the parity `y` is that of the spherical harmonics, and nothing at
    /// all is no irreps.
    ///
    /// # Errors
    /// [`Error::IrrepsSyntax`], which points at the character.
    pub fn parse(text: &str) -> Result<Self> {
        parse::irreps(text).map(Self::new)
    }

    /// One irrep of every degree up to `lmax`, with the parities of the spherical harmonics: `1x0e+1x1o+1x2e+...`
    pub fn spherical_harmonics(lmax: usize) -> Self {
        (0..=lmax).map(Irrep::spherical_harmonic).collect()
    }

    /// The same with the parity `p` in place of odd: `Parity::Even` for harmonics of what no reflection turns, `1x0e+1x1e+1x2e+...`
    pub fn spherical_harmonics_of_parity(lmax: usize, p: Parity) -> Self {
        (0..=lmax).map(|l| Irrep::new(l, if l.is_multiple_of(2) { Parity::Even } else { p })).collect()
    }

    /// The blocks, in the order of the columns.
    pub fn blocks(&self) -> &[MulIrrep] {
        &self.blocks
    }

    /// The columns of every block.
    pub fn slices(&self) -> Vec<Range<usize>> {
        let mut end = 0;
        let advance = |block: &MulIrrep| {
            let start = end;
            end += block.dim();
            start..end
        };
        self.blocks.iter().map(advance).collect()
    }

    /// How many columns there are.
    pub fn dim(&self) -> usize {
        self.blocks.iter().map(|block| block.dim()).sum()
    }

    /// How many irreps there are, each counted as often as it occurs.
    pub fn copies(&self) -> usize {
        self.blocks.iter().map(|block| block.mul).sum()
    }

    /// How often an irrep occurs.
    pub fn count(&self, irrep: Irrep) -> usize {
        self.blocks.iter().filter(|block| block.irrep == irrep).map(|block| block.mul).sum()
    }

    /// The highest degree that occurs; `None` if there are no columns.
    pub fn lmax(&self) -> Option<usize> {
        self.blocks.iter().filter(|block| block.mul > 0).map(|block| block.irrep.l).max()
    }

    /// Sorts the blocks by irrep.
    pub fn sort(&self) -> SortedIrreps {
        let mut inverse: Vec<usize> = (0..self.blocks.len()).collect();
        inverse.sort_by_key(|&place| self.blocks[place].irrep);
        let mut permutation = vec![0; inverse.len()];
        for (new, &old) in inverse.iter().enumerate() {
            permutation[old] = new;
        }
        let irreps = inverse.iter().map(|&place| self.blocks[place]).collect();
        SortedIrreps { irreps, permutation, inverse }
    }

    /// Joins neighbouring blocks of the same irrep and drops blocks without copies. The columns stay what they are.
    pub fn simplify(&self) -> Self {
        let mut blocks: Vec<MulIrrep> = Vec::new();
        for block in self.blocks.iter().filter(|block| block.mul > 0) {
            match blocks.last_mut() {
                Some(last) if last.irrep == block.irrep => last.mul += block.mul,
                _ => blocks.push(*block),
            }
        }
        Self { blocks }
    }

    /// One block for every irrep that occurs, in order: sorts and simplifies.
    pub fn regroup(&self) -> Self {
        self.sort().irreps.simplify()
    }

    /// Drops blocks without copies.
    pub fn remove_zero(&self) -> Self {
        self.blocks.iter().filter(|block| block.mul > 0).copied().collect()
    }

    /// Keeps the blocks of the irreps that are wanted.
    pub fn filter(&self, wanted: impl Fn(Irrep) -> bool) -> Self {
        self.blocks.iter().filter(|block| wanted(block.irrep)).copied().collect()
    }
}

impl<B: Into<MulIrrep>> FromIterator<B> for Irreps {
    fn from_iter<I: IntoIterator<Item = B>>(blocks: I) -> Self {
        Self { blocks: blocks.into_iter().map(Into::into).collect() }
    }
}

impl From<Irrep> for Irreps {
    fn from(irrep: Irrep) -> Self {
        Self::new([irrep.into()])
    }
}

impl From<MulIrrep> for Irreps {
    fn from(block: MulIrrep) -> Self {
        Self::new([block])
    }
}

impl Add for Irreps {
    type Output = Self;

    /// The direct sum: the blocks of both, one after the other.
    fn add(mut self, other: Self) -> Self {
        self.blocks.extend(other.blocks);
        self
    }
}

impl Mul<usize> for Irreps {
    type Output = Self;

    /// The direct sum with itself, this many times: blocks are repeated, not enlarged.
    fn mul(self, times: usize) -> Self {
        Self { blocks: self.blocks.repeat(times) }
    }
}

impl fmt::Display for Irreps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, block) in self.blocks.iter().enumerate() {
            let plus = if place == 0 { "" } else { "+" };
            write!(f, "{plus}{block}")?;
        }
        Ok(())
    }
}

impl FromStr for Irreps {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Irreps {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Irreps> for String {
    fn from(irreps: Irreps) -> Self {
        irreps.to_string()
    }
}
