//! Irreducible representations over the reals.
//!
//! Rotations (`C_N`, SO(2)): frequency `k` acts by `R(k theta)`; by `1` for `k = 0` and by `(-1)^r` for `2 k = N`.
//!
//! With flips (`D_N`, O(2)): `(1, k)` acts by `R(k theta) diag(1, -1)^flip`, `(0, 0)` is trivial, `(1, 0)` is `(-1)^flip`, and
//! for even N `(j, N/2)` is `(-1)^(r + j flip)`.
//!
//! escnn uses the same irreps and names.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::group::{Element, Group, Rotation, Subgroup};

/// Identifier of an irreducible representation of a planar group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Irrep {
    /// How the flip acts: 1 for a sign (or a mirror), 0 for none. Always 0 in groups without flips.
    pub flip: u32,
    /// Angular frequency.
    pub frequency: u32,
}

impl Irrep {
    /// The trivial representation.
    pub const TRIVIAL: Self = Self { flip: 0, frequency: 0 };

    /// Of a group without flips.
    pub fn rotation(frequency: u32) -> Self {
        Self { flip: 0, frequency }
    }

    /// Of a group with flips.
    pub fn with_flip(flip: u32, frequency: u32) -> Self {
        Self { flip, frequency }
    }

    /// Whether it is the trivial representation.
    pub fn is_trivial(self) -> bool {
        self == Self::TRIVIAL
    }

    /// Whether the group has it.
    pub fn belongs_to(self, group: Group) -> bool {
        let Self { flip, frequency } = self;
        match group {
            Group::Cyclic(n) => flip == 0 && 2 * frequency <= n,
            Group::SO2 => flip == 0,
            Group::Dihedral(n) => {
                (flip == 1 && 2 * frequency <= n) || (flip == 0 && (frequency == 0 || 2 * frequency == n))
            }
            Group::O2 => flip == 1 || (flip == 0 && frequency == 0),
        }
    }

    /// The irreps of the group in escnn's order, up to `maximum_frequency` (of a finite group there are none beyond N/2).
    pub fn all(group: Group, maximum_frequency: u32) -> Vec<Self> {
        let highest = group.rotations().map_or(maximum_frequency, |n| maximum_frequency.min(n / 2));
        if !group.has_flips() {
            return (0..=highest).map(Self::rotation).collect();
        }
        let mut irreps = vec![Self::TRIVIAL];
        irreps.extend((0..=highest).map(|k| Self::with_flip(1, k)));
        if let Some(n) = group.rotations()
            && n % 2 == 0
            && highest == n / 2
        {
            irreps.push(Self::with_flip(0, n / 2));
        }
        irreps
    }

    /// Checks that the group has the irrep.
    ///
    /// # Errors
    /// [`Error::NoSuchIrrep`], naming those there are.
    pub fn check(self, group: Group) -> Result<Self> {
        if self.belongs_to(group) {
            return Ok(self);
        }
        let available = match group.rotations() {
            Some(n) => Self::all(group, n).iter().map(|i| i.label(group)).collect::<Vec<_>>().join(", "),
            None if group.has_flips() => "0,0 and 1,k for every k >= 0".to_owned(),
            None => "every k >= 0".to_owned(),
        };
        Err(Error::NoSuchIrrep {
            group: group.to_string(),
            irrep: format!("{},{}", self.flip, self.frequency),
            available,
        })
    }

    /// Dimension, 1 or 2.
    pub fn size(self, group: Group) -> usize {
        let one = self.frequency == 0 || group.rotations().is_some_and(|n| 2 * self.frequency == n);
        if one { 1 } else { 2 }
    }

    /// Whether its endomorphisms are the complex numbers (a plane that only turns); otherwise they are the reals.
    pub fn is_complex(self, group: Group) -> bool {
        !group.has_flips() && self.size(group) == 2
    }

    /// An orthogonal basis of the matrices that commute with the irrep: the identity, and a quarter turn if complex.
    pub fn endomorphisms(self, group: Group) -> Vec<DMatrix<f64>> {
        let size = self.size(group);
        let mut basis = vec![DMatrix::identity(size, size)];
        if self.is_complex(group) {
            basis.push(DMatrix::from_row_slice(2, 2, &[0.0, -1.0, 1.0, 0.0]));
        }
        basis
    }

    /// The matrix of an element.
    pub fn at(self, group: Group, g: &Element) -> DMatrix<f64> {
        let (c, s) = g.rotation().cos_sin(i64::from(self.frequency));
        let sign = if g.is_flip() && self.flip == 1 { -1.0 } else { 1.0 };
        if self.size(group) == 1 {
            DMatrix::from_element(1, 1, c * sign)
        } else {
            DMatrix::from_row_slice(2, 2, &[c, -s * sign, s, c * sign])
        }
    }

    /// `0`, or `1,2` in a group with flips.
    pub fn label(self, group: Group) -> String {
        if group.has_flips() && group != Group::Dihedral(1) {
            format!("{},{}", self.flip, self.frequency)
        } else if group.has_flips() {
            // The flip alone is a cyclic group of order 2 to escnn.
            self.flip.to_string()
        } else {
            self.frequency.to_string()
        }
    }

    /// The irreps it splits into on a subgroup, with the change of basis `Q`: `rho(h) = Q (+) rho_i(h) Q^T`.
    pub(crate) fn restrict(self, subgroup: &Subgroup) -> (DMatrix<f64>, Vec<Irrep>) {
        let (parent, group) = (subgroup.parent(), subgroup.group());
        let size = self.size(parent);
        let mut basis = DMatrix::identity(size, size);
        let mut frequency = self.frequency;
        if let Some(n) = group.rotations() {
            frequency %= n;
            if 2 * frequency > n {
                frequency = n - frequency;
                if size == 2 {
                    basis[(1, 1)] = -1.0;
                }
            }
        }
        if !group.has_flips() {
            let irrep = Irrep::rotation(frequency);
            return (basis, vec![irrep; size / irrep.size(group)]);
        }
        let mut flip = self.flip;
        if size == 2 {
            // The reflection axis of the subgroup is turned by half the angle of `axis`.
            let angle = 0.5 * subgroup.axis().radians() * f64::from(self.frequency);
            basis = rotation_matrix(angle) * basis;
        } else if self.frequency > 0
            && let (Some(n), Rotation::Turns { step, of }) = (parent.rotations(), subgroup.axis())
        {
            // (j, N/2) maps the rotation that follows the flip to a sign of its own.
            flip = (flip + step * (n / of)) % 2;
        }
        let irrep = Irrep::with_flip(flip, frequency);
        if irrep.size(group) < size {
            (basis, vec![Irrep::with_flip(0, frequency), irrep])
        } else {
            (basis, vec![irrep])
        }
    }
}

fn rotation_matrix(angle: f64) -> DMatrix<f64> {
    let (s, c) = angle.sin_cos();
    DMatrix::from_row_slice(2, 2, &[c, -s, s, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C4, C8, D1, D4, D8};

    #[test]
    fn irreps_are_homomorphisms_and_orthogonal() {
        for group in [C8, D8, Group::Cyclic(3), Group::Dihedral(5), D1, Group::Dihedral(2)] {
            for irrep in Irrep::all(group, 99) {
                let elements = group.elements().unwrap();
                for a in &elements {
                    for b in &elements {
                        let product = irrep.at(group, a) * irrep.at(group, b);
                        assert!((product - irrep.at(group, &(*a * *b))).amax() < 1e-14, "{group} {irrep:?} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn dimensions_account_for_the_order_of_the_group() {
        // Real type: multiplicity in the regular representation = dimension; complex type: half of it.
        for group in [C8, D8, Group::Cyclic(3), Group::Dihedral(5), D1, C4, D4] {
            let sum: usize = Irrep::all(group, 99)
                .iter()
                .map(|i| i.size(group).pow(2) / if i.is_complex(group) { 2 } else { 1 })
                .sum();
            assert_eq!(Some(sum), group.order(), "{group}");
        }
    }

    #[test]
    fn restriction_is_the_restriction() {
        let cases = [
            Subgroup::new(D8, C8).unwrap(),
            Subgroup::new(D8, D4).unwrap(),
            Subgroup::with_axis(D8, D4, Rotation::turns(1, 8)).unwrap(),
            Subgroup::with_axis(D8, D1, Rotation::turns(3, 8)).unwrap(),
            Subgroup::with_axis(D8, Group::Dihedral(2), Rotation::turns(1, 8)).unwrap(),
            Subgroup::new(C8, C4).unwrap(),
            Subgroup::new(C8, Group::Cyclic(2)).unwrap(),
            Subgroup::new(Group::O2, Group::Dihedral(3)).unwrap(),
            Subgroup::with_axis(Group::O2, Group::O2, Rotation::Radians(0.7)).unwrap(),
            Subgroup::new(Group::O2, Group::SO2).unwrap(),
            Subgroup::new(Group::SO2, Group::Cyclic(3)).unwrap(),
        ];
        for subgroup in cases {
            let (parent, group) = (subgroup.parent(), subgroup.group());
            for irrep in Irrep::all(parent, 7) {
                let (basis, parts) = irrep.restrict(&subgroup);
                for h in group.quadrature(16) {
                    let mut blocks = DMatrix::zeros(basis.nrows(), basis.ncols());
                    let mut at = 0;
                    for part in &parts {
                        let block = part.check(group).unwrap().at(group, &h);
                        blocks.view_mut((at, at), block.shape()).copy_from(&block);
                        at += block.nrows();
                    }
                    let error = (&basis * blocks * basis.transpose() - irrep.at(parent, &subgroup.embed(h))).amax();
                    assert!(error < 1e-14, "{subgroup} {irrep:?} {h}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_missing_irrep_is_named_with_those_there_are() {
        let message = Irrep::rotation(5).check(C8).unwrap_err().to_string();
        assert!(message.contains("C8 has no") && message.contains("0, 1, 2, 3, 4"), "{message}");
    }
}
