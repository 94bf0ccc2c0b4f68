//! Groups of rotations and reflections of the plane, all of them subgroups of O(2); isometries of space and permutations.
//!
//! A planar element is "first flip, then rotate": it acts on the plane by `x -> R(theta) diag(-1, 1)^flip x`, with the x axis
//! to the right, the y axis **up** and angles counter-clockwise. So the flip mirrors left and right. The product is
//! `(f1, a1)(f2, a2) = (f1 + f2, a1 + (-1)^f1 a2)`.

mod element;
mod isometry;
mod permutation;
mod subgroup;

pub use element::{Element, Rotation};
pub use isometry::Isometry;
pub use permutation::Permutation;
pub use subgroup::Subgroup;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A closed group of rotations and reflections of the plane that fix the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Group {
    /// `C_N`: the N rotations by multiples of `2 pi / N`.
    Cyclic(u32),
    /// `D_N`: the rotations of `C_N`, each also after a flip; order 2 N.
    Dihedral(u32),
    /// All rotations.
    SO2,
    /// All rotations and reflections.
    O2,
}

/// The trivial group.
pub const C1: Group = Group::Cyclic(1);
/// Half turns.
pub const C2: Group = Group::Cyclic(2);
/// Quarter turns, exact on the pixel grid.
pub const C4: Group = Group::Cyclic(4);
/// Rotations by multiples of 45 degrees.
pub const C8: Group = Group::Cyclic(8);
/// The left-right flip alone.
pub const D1: Group = Group::Dihedral(1);
/// Quarter turns and flips: all symmetries of the pixel grid.
pub const D4: Group = Group::Dihedral(4);
/// Rotations by multiples of 45 degrees and flips.
pub const D8: Group = Group::Dihedral(8);

impl Group {
    /// The group with one element.
    pub const fn trivial() -> Self {
        Self::Cyclic(1)
    }

    /// The group of the left-right flip.
    pub const fn flip() -> Self {
        Self::Dihedral(1)
    }

    /// `C_N`.
    ///
    /// # Errors
    /// [`Error::EmptyGroup`] for `n == 0`.
    pub fn cyclic(n: u32) -> Result<Self> {
        if n == 0 { Err(Error::EmptyGroup) } else { Ok(Self::Cyclic(n)) }
    }

    /// `D_N`.
    ///
    /// # Errors
    /// [`Error::EmptyGroup`] for `n == 0`.
    pub fn dihedral(n: u32) -> Result<Self> {
        if n == 0 { Err(Error::EmptyGroup) } else { Ok(Self::Dihedral(n)) }
    }

    /// The number of rotations (a flip does not count), or `None` for infinitely many.
    pub fn rotations(self) -> Option<u32> {
        match self {
            Self::Cyclic(n) | Self::Dihedral(n) => Some(n),
            Self::SO2 | Self::O2 => None,
        }
    }

    /// Whether the group contains a reflection.
    pub fn has_flips(self) -> bool {
        matches!(self, Self::Dihedral(_) | Self::O2)
    }

    /// The number of elements, or `None` for infinitely many.
    pub fn order(self) -> Option<usize> {
        let rotations = self.rotations()? as usize;
        Some(if self.has_flips() { 2 * rotations } else { rotations })
    }

    /// All elements of a finite group: the rotations in order, then the flips followed by the rotations in order.
    ///
    /// # Errors
    /// [`Error::InfiniteGroup`] for SO(2) and O(2); [`Self::sample`] gives evenly spaced elements of those.
    pub fn elements(self) -> Result<Vec<Element>> {
        match self.rotations() {
            Some(n) => Ok(self.sample(n)),
            None => Err(Error::InfiniteGroup { group: self.to_string(), what: "the list of elements" }),
        }
    }

    /// `n` evenly spaced rotations starting at the identity, and, if the group has flips, those after a flip.
    ///
    /// For `C_N` and `D_N`, `n` must divide or equal N for all of them to be elements.
    pub fn sample(self, n: u32) -> Vec<Element> {
        let flips: &[bool] = if self.has_flips() { &[false, true] } else { &[false] };
        flips.iter().flat_map(|&flip| (0..n).map(move |r| Element::new(flip, Rotation::turns(r, n)))).collect()
    }

    /// Enough evenly spaced elements to average functions of angular frequency up to `frequency` exactly: all of a
    /// finite group; `frequency + 1` rotations (and their flips) of a continuous one.
    pub fn quadrature(self, frequency: u32) -> Vec<Element> {
        self.sample(self.rotations().unwrap_or(frequency + 1))
    }

    /// The elements that map the pixel grid onto itself: quarter turns and flips, as far as the group has them.
    pub fn grid_symmetries(self) -> Vec<Element> {
        let n = match self.rotations() {
            None => 4,
            Some(n) if n % 4 == 0 => 4,
            Some(n) if n % 2 == 0 => 2,
            Some(_) => 1,
        };
        self.sample(n)
    }

    /// Whether `g` is an element.
    pub fn contains(self, g: &Element) -> bool {
        (self.has_flips() || !g.is_flip())
            && match (self.rotations(), g.rotation()) {
                (None, _) => true,
                (Some(n), Rotation::Turns { of, .. }) => n % of == 0,
                (Some(_), Rotation::Radians(_)) => false,
            }
    }

    /// Whether every element of `other` is an element of this group.
    pub fn contains_group(self, other: Group) -> bool {
        (self.has_flips() || !other.has_flips())
            && match (self.rotations(), other.rotations()) {
                (None, _) => true,
                (Some(n), Some(m)) => n % m == 0,
                (Some(_), None) => false,
            }
    }
}

impl FromStr for Group {
    type Err = Error;

    /// `C8`, `D4`, `SO(2)` or `SO2`, `O(2)` or `O2`; case does not matter.
    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownGroup(name.to_owned());
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "so2" | "so(2)" => return Ok(Self::SO2),
            "o2" | "o(2)" => return Ok(Self::O2),
            _ => {}
        }
        let rotations = |rest: &str| rest.parse().map_err(|_| unknown());
        if let Some(rest) = lower.strip_prefix('c') {
            Self::cyclic(rotations(rest)?)
        } else if let Some(rest) = lower.strip_prefix('d') {
            Self::dihedral(rotations(rest)?)
        } else {
            Err(unknown())
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cyclic(n) => write!(f, "C{n}"),
            Self::Dihedral(n) => write!(f, "D{n}"),
            Self::SO2 => write!(f, "SO(2)"),
            Self::O2 => write!(f, "O(2)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_and_names() {
        assert_eq!(D4.order(), Some(8));
        assert_eq!(D4.elements().unwrap().len(), 8);
        assert_eq!(Group::SO2.order(), None);
        assert_eq!(format!("{C8} {D1} {}", Group::O2), "C8 D1 O(2)");
        assert_eq!(Group::cyclic(0), Err(Error::EmptyGroup));
        for group in [C8, D4, Group::SO2, Group::O2] {
            assert_eq!(group.to_string().parse(), Ok(group));
        }
        assert_eq!("c0".parse::<Group>(), Err(Error::EmptyGroup));
        assert!("K4".parse::<Group>().unwrap_err().to_string().contains("C1, C2"));
    }

    #[test]
    fn grid_symmetries_are_the_quarter_turns_and_flips_of_the_group() {
        assert_eq!(Group::Cyclic(6).grid_symmetries().len(), 2);
        assert_eq!(Group::Cyclic(3).grid_symmetries().len(), 1);
        assert_eq!(Group::O2.grid_symmetries().len(), 8);
        assert!(D8.grid_symmetries().iter().all(|g| g.is_grid_symmetry() && D8.contains(g)));
    }

    proptest! {
        #[test]
        fn group_axioms(n in 1u32..13, a in 0usize..24, b in 0usize..24, c in 0usize..24) {
            let elements = Group::Dihedral(n).elements().unwrap();
            let [a, b, c] = [a, b, c].map(|i| elements[i % elements.len()]);
            prop_assert_eq!((a * b) * c, a * (b * c));
            prop_assert_eq!(a * a.inverse(), Element::IDENTITY);
            prop_assert!(Group::Dihedral(n).contains(&(a * b)));
            // The action on the plane is a homomorphism.
            let (ma, mb, mab) = (a.matrix(), b.matrix(), (a * b).matrix());
            for i in 0..2 {
                for j in 0..2 {
                    let product = ma[i][0] * mb[0][j] + ma[i][1] * mb[1][j];
                    prop_assert!((product - mab[i][j]).abs() < 1e-14);
                }
            }
        }
    }
}
