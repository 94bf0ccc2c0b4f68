//! Irreducible representations of O(3): a degree and a parity.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Mul;
use std::str::FromStr;

use super::parse;
use crate::error::{Error, Result};

/// What the inversion `x -> -x` does: nothing, or a change of sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parity {
    /// The sign changes, `o`.
    Odd,
    /// Nothing changes, `e`.
    Even,
}

impl Parity {
    /// That of the spherical harmonics of a degree, `(-1)^l`.
    pub const fn of_degree(l: usize) -> Self {
        if l.is_multiple_of(2) { Self::Even } else { Self::Odd }
    }

    /// 1 or -1.
    pub const fn sign(self) -> f64 {
        match self {
            Self::Odd => -1.0,
            Self::Even => 1.0,
        }
    }
}

impl Mul for Parity {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        if self == other { Self::Even } else { Self::Odd }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Odd => "o",
            Self::Even => "e",
        })
    }
}

/// An irreducible representation of O(3), of dimension `2 l + 1`: `0e` are scalars, `0o` pseudoscalars, `1o` vectors, `1e`
/// pseudovectors, `2e` symmetric traceless matrices.
///
/// The order is by degree, and odd before even: `0o < 0e < 1o < 1e`. Text such as `1o` is read with [`str::parse`]; `1y` is the
/// irrep of the spherical harmonics of degree 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Irrep {
    /// Degree.
    pub l: usize,
    /// What the inversion does.
    pub parity: Parity,
}

impl Irrep {
    /// Of a degree and a parity.
    pub const fn new(l: usize, parity: Parity) -> Self {
        Self { l, parity }
    }

    /// Of even parity.
    pub const fn even(l: usize) -> Self {
        Self::new(l, Parity::Even)
    }

    /// Of odd parity.
    pub const fn odd(l: usize) -> Self {
        Self::new(l, Parity::Odd)
    }

    /// That of the spherical harmonics of a degree, with parity `(-1)^l`.
    pub const fn spherical_harmonic(l: usize) -> Self {
        Self::new(l, Parity::of_degree(l))
    }

    /// `2 l + 1`.
    pub const fn dim(self) -> usize {
        2 * self.l + 1
    }

    /// Whether it is trivial, `0e`.
    pub fn is_scalar(self) -> bool {
        self == Self::even(0)
    }

    /// The irreps of the tensor product with another, each of which it contains once: `|l1 - l2| <= l <= l1 + l2`, parities
    /// multiplied.
    pub fn product(self, other: Self) -> impl Iterator<Item = Self> {
        let parity = self.parity * other.parity;
        (self.l.abs_diff(other.l)..=self.l + other.l).map(move |l| Self::new(l, parity))
    }
}

impl fmt::Display for Irrep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.l, self.parity)
    }
}

impl FromStr for Irrep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::irrep(text)
    }
}

impl TryFrom<String> for Irrep {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Irrep> for String {
    fn from(irrep: Irrep) -> Self {
        irrep.to_string()
    }
}

/// Several copies of an irrep, such as `4x1o`: `mul` rows of `2 l + 1` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MulIrrep {
    /// How many copies.
    pub mul: usize,
    /// Of what.
    pub irrep: Irrep,
}

impl MulIrrep {
    /// `mul` copies.
    pub const fn new(mul: usize, irrep: Irrep) -> Self {
        Self { mul, irrep }
    }

    /// `mul (2 l + 1)`.
    pub const fn dim(self) -> usize {
        self.mul * self.irrep.dim()
    }
}

impl From<Irrep> for MulIrrep {
    fn from(irrep: Irrep) -> Self {
        Self::new(1, irrep)
    }
}

impl From<(usize, Irrep)> for MulIrrep {
    fn from((mul, irrep): (usize, Irrep)) -> Self {
        Self::new(mul, irrep)
    }
}

impl fmt::Display for MulIrrep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.mul, self.irrep)
    }
}
