//! The actions on nodes in space: of isometries on what nodes carry, of permutations on the nodes.
//!
//! Rows are nodes (or graphs), columns the components of vectors one after the other, `x1 y1 z1 x2 y2 z2 ...`: `c` vectors
//! are `[nodes, 3 c]`, so a single one is `[nodes, 3]`. Under `g: p -> R p + t`
//!
//! ```text
//! position      R p + t          scalar         s
//! vector        R v              pseudoscalar   det R s
//! pseudovector  det R  R w       irrep          D(R) y
//! ```
//!
//! where `D` is that of an irrep of O(3), parity included: vectors are `1o`, pseudovectors `1e`, scalars `0e` and pseudoscalars
//! `0o`.
//!
//! All is computed on the device and in the precision of the tensor. Positions far from the origin lose digits: moved by `t` and
//! back, they keep about `eps |t|` less than they had.

mod isometries;
mod permute;

pub use isometries::{Isometries, act, act_each};
pub use permute::permute;

use std::fmt;

use crate::o3::Irrep;

/// How a column of nodes transforms under isometries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointField {
    /// Points in space: `R p + t`.
    Position,
    /// Directions with a length, such as velocities, forces and differences of positions: `R v`.
    Vector,
    /// Axes with a sense of rotation, such as angular momenta, magnetic fields and cross products of vectors: `det R  R w`.
    Pseudovector,
    /// Numbers that no isometry changes, such as charges and distances.
    Scalar,
    /// Numbers that change sign under reflections, such as triple products of vectors.
    Pseudoscalar,
    /// What transforms by an irrep of O(3), such as its spherical harmonics: `D(R) y`.
    Irrep(Irrep),
}

impl PointField {
    /// Number of columns of one such feature: 3 for positions, vectors and pseudovectors, 1 for scalars and pseudoscalars,
    /// `2 l + 1` for irreps.
    pub const fn size(self) -> usize {
        match self {
            Self::Position | Self::Vector | Self::Pseudovector => 3,
            Self::Scalar | Self::Pseudoscalar => 1,
            Self::Irrep(irrep) => irrep.dim(),
        }
    }

    /// How differences of two such features transform, and gradients with respect to one: translations cancel in them, so
    /// differences of positions are vectors.
    pub const fn difference(self) -> Self {
        match self {
            Self::Position => Self::Vector,
            other => other,
        }
    }

    /// Whether `det R` is a factor beside `R`. Irreps have theirs in `D`.
    pub const fn is_pseudo(self) -> bool {
        matches!(self, Self::Pseudovector | Self::Pseudoscalar)
    }
}

impl fmt::Display for PointField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Position => "position",
            Self::Vector => "vector",
            Self::Pseudovector => "pseudovector",
            Self::Scalar => "scalar",
            Self::Pseudoscalar => "pseudoscalar",
            Self::Irrep(irrep) => return irrep.fmt(f),
        })
    }
}
