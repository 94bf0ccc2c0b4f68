//! Induction from a subgroup; the regular and the quotient representations are special cases.
//!
//! The induced space has one copy of the subgroup's representation `psi` per coset `r H`; `g` maps the copy at `r` to the
//! copy at `r'` with `g r = r' h` and applies `psi(h)`. By Frobenius reciprocity an irrep `rho` occurs once for every
//! H-map `A` from `rho` to `psi` (up to the endomorphisms of `rho`), and its rows at the coset `r` are
//! `sqrt(dim rho / cosets) A rho(r)^T`. For `psi` trivial and `H = {e}` this is escnn's regular representation.

use nalgebra::DMatrix;

use super::decompose::intertwiners;
use super::{Irrep, Representation};
use crate::error::{Error, Result};
use crate::group::{Element, Group, Subgroup};

impl Representation {
    /// Functions on a finite group: `rho(g) e_h = e_(g h)`.
    ///
    /// # Errors
    /// [`Error::InfiniteGroup`] for SO(2) and O(2); see [`Self::spectral`].
    pub fn regular(group: Group) -> Result<Self> {
        let subgroup = Subgroup::new(group, Group::trivial())?;
        let trivial = Self::trivial(Group::trivial());
        induce("regular".to_owned(), &subgroup, &trivial, "the regular representation")
    }

    /// Functions on the cosets of a subgroup: `rho(g) e_(h H) = e_(g h H)`.
    ///
    /// # Errors
    /// [`Error::InfiniteGroup`] for SO(2) and O(2).
    pub fn quotient(subgroup: &Subgroup) -> Result<Self> {
        let trivial = Self::trivial(subgroup.group());
        induce(format!("quotient[{}]", subgroup.escnn_id()), subgroup, &trivial, "a quotient representation")
    }

    /// The representation of the whole group that a representation of a subgroup induces.
    ///
    /// # Errors
    /// [`Error::InfiniteGroup`] for SO(2) and O(2); [`Error::GroupMismatch`] if `self` belongs to another group.
    pub fn induce(&self, subgroup: &Subgroup) -> Result<Self> {
        if self.group() != subgroup.group() {
            return Err(Error::GroupMismatch { left: format!("{self:?}"), right: subgroup.to_string() });
        }
        let name = format!("induced[{}][{}]", subgroup.escnn_id(), self.name());
        induce(name, subgroup, self, "an induced representation")
    }
}

fn induce(name: String, subgroup: &Subgroup, psi: &Representation, what: &'static str) -> Result<Representation> {
    let group = subgroup.parent();
    let elements = group.elements().map_err(|_| Error::InfiniteGroup { group: group.to_string(), what })?;
    let inside: Vec<(Element, Element)> =
        subgroup.group().elements()?.into_iter().map(|h| (h, subgroup.embed(h))).collect();

    let mut representatives: Vec<Element> = Vec::new();
    for &g in &elements {
        if !representatives.iter().any(|&r| inside.iter().any(|&(_, h)| r * h == g)) {
            representatives.push(g);
        }
    }

    let size = psi.size() * representatives.len();
    let mut irreps = Vec::new();
    let mut change_of_basis = DMatrix::zeros(size, size);
    let mut column = 0;
    for rho in Irrep::all(group, u32::MAX) {
        let d = rho.size(group);
        let pairs: Vec<_> = inside.iter().map(|(h, g)| (psi.at(h), rho.at(group, g))).collect();
        for map in intertwiners(&pairs, &rho.endomorphisms(group)) {
            let scale = (d as f64 / representatives.len() as f64).sqrt();
            for (i, r) in representatives.iter().enumerate() {
                let rows = &map * rho.at(group, r).transpose() * scale;
                change_of_basis.view_mut((i * psi.size(), column), (psi.size(), d)).copy_from(&rows);
            }
            irreps.push(rho);
            column += d;
        }
    }
    assert_eq!(column, size, "the irreps of {group} do not fill {name}");
    Ok(Representation::new(group, name, irreps, change_of_basis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C4, C8, D1, D4, D8, Rotation};
    use crate::repr::Basis;

    fn assert_representation(repr: &Representation) {
        let group = repr.group();
        let q = repr.change_of_basis();
        let orthogonality = (q * q.transpose() - DMatrix::<f64>::identity(q.nrows(), q.nrows())).amax();
        assert!(orthogonality < 1e-13, "{repr:?}: {orthogonality}");
        let elements = group.elements().unwrap();
        for a in &elements {
            for b in &elements {
                assert!((repr.at(a) * repr.at(b) - repr.at(&(*a * *b))).amax() < 1e-13, "{repr:?}");
            }
        }
    }

    #[test]
    fn regular_representations_permute_by_left_multiplication() {
        for group in [C8, D4, D8, Group::Cyclic(5), Group::Dihedral(3), D1] {
            let repr = Representation::regular(group).unwrap();
            assert_representation(&repr);
            assert_eq!(repr.basis(), Basis::Permutation);
            let elements = group.elements().unwrap();
            for g in &elements {
                let matrix = repr.at(g);
                for (h, element) in elements.iter().enumerate() {
                    let image = elements.iter().position(|e| *e == *g * *element).unwrap();
                    assert!((matrix[(image, h)] - 1.0).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn quotient_representations_permute_the_cosets() {
        let quotients = [
            Subgroup::new(C8, C4),
            Subgroup::new(C8, Group::Cyclic(2)),
            Subgroup::new(D4, D1),
            Subgroup::with_axis(D4, D1, Rotation::turns(1, 4)),
            Subgroup::new(D4, C4),
        ];
        for subgroup in quotients {
            let subgroup = subgroup.unwrap();
            let repr = Representation::quotient(&subgroup).unwrap();
            assert_representation(&repr);
            assert_eq!(repr.basis(), Basis::Permutation);
            assert_eq!(repr.size(), subgroup.parent().order().unwrap() / subgroup.group().order().unwrap());
        }
    }

    #[test]
    fn induction_acts_on_the_copies_at_the_cosets() {
        let subgroup = Subgroup::new(D4, C4).unwrap();
        let psi = Representation::irrep(C4, Irrep::rotation(1)).unwrap();
        let repr = psi.induce(&subgroup).unwrap();
        assert_representation(&repr);
        assert_eq!(repr.size(), 4);
        // The subgroup acts on the first copy by psi itself.
        for h in C4.elements().unwrap() {
            let block = repr.at(&h).view((0, 0), (2, 2)).clone_owned();
            assert!((block - psi.at(&h)).amax() < 1e-13);
        }
        // Inducing in stages from the trivial group gives a regular representation.
        let stages = Representation::regular(C4).unwrap().induce(&subgroup).unwrap();
        assert_representation(&stages);
        assert_eq!(stages.basis(), Basis::Permutation);
    }

    #[test]
    fn infinite_groups_are_refused_with_the_cure() {
        let message = Representation::regular(Group::SO2).unwrap_err().to_string();
        assert!(message.contains("band-limited"), "{message}");
    }
}
