//! Representations built from others: trivial, irreducible, spectral, direct sums, restrictions, disentangled parts.

use nalgebra::DMatrix;

use super::{Basis, Irrep, Representation};
use crate::error::{Error, Result};
use crate::group::{Element, Group, Subgroup};

impl Representation {
    /// One channel on which every element acts as the identity.
    pub fn trivial(group: Group) -> Self {
        Self::irrep(group, Irrep::TRIVIAL).expect("every group has the trivial irrep")
    }

    /// An irreducible representation.
    ///
    /// # Errors
    /// [`Error::NoSuchIrrep`] if the group does not have it.
    pub fn irrep(group: Group, irrep: Irrep) -> Result<Self> {
        let size = irrep.check(group)?.size(group);
        let name = format!("irrep_{}", irrep.label(group));
        Ok(Self::new(group, name, vec![irrep], DMatrix::identity(size, size)))
    }

    /// Functions on the group band-limited to `frequency`: each irrep up to there as often as the regular representation
    /// has it (escnn's `spectral_regular_representation`), in the basis of the irreps.
    ///
    /// # Errors
    /// [`Error::NoSuchIrrep`] if a finite group has no frequency that high.
    pub fn spectral(group: Group, frequency: u32) -> Result<Self> {
        if let Some(n) = group.rotations()
            && 2 * frequency > n
        {
            Irrep::rotation(frequency).check(group)?;
        }
        let distinct = Irrep::all(group, frequency);
        let labels: Vec<String> = distinct
            .iter()
            .map(|i| {
                if group.has_flips() { format!("({}, {})", i.flip, i.frequency) } else { format!("({},)", i.frequency) }
            })
            .collect();
        let irreps = distinct
            .iter()
            .flat_map(|&i| vec![i; if i.is_complex(group) { 1 } else { i.size(group) }])
            .collect::<Vec<_>>();
        let size = irreps.iter().map(|i| i.size(group)).sum();
        Ok(Self::new(group, format!("regular_[{}]", labels.join("|")), irreps, DMatrix::identity(size, size)))
    }

    /// The direct sum, block diagonal in the order given.
    ///
    /// # Errors
    /// [`Error::GroupMismatch`] if the parts belong to different groups.
    ///
    /// # Panics
    /// If there are no parts.
    pub fn direct_sum(parts: &[Self]) -> Result<Self> {
        let first = parts.first().expect("a direct sum needs at least one part");
        if let Some(other) = parts.iter().find(|p| p.group() != first.group()) {
            return Err(Error::GroupMismatch { left: format!("{first:?}"), right: format!("{other:?}") });
        }
        let name = parts.iter().map(|p| format!("[{}]", p.name())).collect::<Vec<_>>().join("_");
        let irreps = parts.iter().flat_map(|p| p.irreps().iter().copied()).collect();
        Ok(Self::new(first.group(), name, irreps, block_diagonal(parts.iter().map(|p| p.change_of_basis()))))
    }

    /// The representation of a subgroup that forgets the other elements.
    ///
    /// # Errors
    /// [`Error::GroupMismatch`] if the subgroup lies in another group.
    pub fn restrict(&self, subgroup: &Subgroup) -> Result<Self> {
        if subgroup.parent() != self.group() {
            return Err(Error::GroupMismatch { left: format!("{self:?}"), right: subgroup.to_string() });
        }
        let (bases, parts): (Vec<_>, Vec<_>) = self.irreps().iter().map(|i| i.restrict(subgroup)).unzip();
        let change_of_basis = self.change_of_basis() * block_diagonal(bases.iter());
        let name = format!("{}:{}", escnn_group_name(self.group()), self.name());
        Ok(Self::new(subgroup.group(), name, parts.concat(), change_of_basis))
    }

    /// The finest split into representations that share no channel, with the channels of each.
    ///
    /// Gathering the channels in the order given turns the representation into the direct sum of the parts. A regular
    /// representation restricted to a subgroup splits into regular representations, one per coset. (escnn looks for
    /// irreps that share no channel instead, and leaves that one whole.)
    pub fn disentangle(&self) -> Vec<(Self, Vec<usize>)> {
        let (group, size) = (self.group(), self.size());
        let highest = self.irreps().iter().map(|i| i.frequency).max().unwrap_or(0);
        let matrices: Vec<DMatrix<f64>> = group.quadrature(2 * highest + 1).iter().map(|g| self.at(g)).collect();
        let reach = |from: usize| -> Vec<usize> {
            // In the order in which the elements of the group visit them, so that free orbits become regular.
            let mut channels = vec![from];
            let mut next = 0;
            while next < channels.len() {
                for matrix in &matrices {
                    for to in 0..size {
                        if matrix[(to, channels[next])].abs() > 1e-9 && !channels.contains(&to) {
                            channels.push(to);
                        }
                    }
                }
                next += 1;
            }
            if self.basis() == Basis::Orthogonal {
                channels.sort_unstable();
            }
            channels
        };
        let mut parts: Vec<(Self, Vec<usize>)> = Vec::new();
        for seed in 0..size {
            if parts.iter().any(|(_, channels)| channels.contains(&seed)) {
                continue;
            }
            let channels = reach(seed);
            let block = |g: &Element| self.at(g).select_rows(&channels).select_columns(&channels);
            let equals =
                |known: &Self| group.quadrature(2 * highest + 1).iter().all(|g| (block(g) - known.at(g)).amax() < 1e-9);
            let known = [Ok(Self::trivial(group)), Self::regular(group)]
                .into_iter()
                .flatten()
                .find(|known| known.size() == channels.len() && equals(known));
            let part = known.unwrap_or_else(|| {
                let name = format!("{}_{}", self.name(), parts.len());
                Self::decompose(group, name, highest, block)
            });
            parts.push((part, channels));
        }
        parts
    }
}

/// escnn calls the flip a cyclic group and drops the parentheses nowhere else.
fn escnn_group_name(group: Group) -> String {
    if group == Group::Dihedral(1) { "C2".to_owned() } else { group.to_string() }
}

pub(super) fn block_diagonal<'a>(blocks: impl Iterator<Item = &'a DMatrix<f64>> + Clone) -> DMatrix<f64> {
    let size = blocks.clone().map(|b| b.nrows()).sum();
    let mut matrix = DMatrix::zeros(size, size);
    let mut at = 0;
    for block in blocks {
        matrix.view_mut((at, at), block.shape()).copy_from(block);
        at += block.nrows();
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C4, C8, D1, D4, D8, Rotation};

    #[test]
    fn restriction_agrees_with_the_group_on_the_subgroup() {
        let cases = [
            (Representation::regular(D8).unwrap(), Subgroup::new(D8, D4).unwrap()),
            (Representation::regular(D8).unwrap(), Subgroup::with_axis(D8, D1, Rotation::turns(3, 8)).unwrap()),
            (Representation::regular(C8).unwrap(), Subgroup::new(C8, C4).unwrap()),
            (Representation::spectral(Group::O2, 3).unwrap(), Subgroup::new(Group::O2, D4).unwrap()),
        ];
        for (repr, subgroup) in cases {
            let restricted = repr.restrict(&subgroup).unwrap();
            for h in subgroup.group().elements().unwrap() {
                assert!((restricted.at(&h) - repr.at(&subgroup.embed(h))).amax() < 1e-13);
            }
        }
    }

    #[test]
    fn a_restricted_regular_representation_disentangles_into_regular_ones() {
        let restricted = Representation::regular(D8).unwrap().restrict(&Subgroup::new(D8, C8).unwrap()).unwrap();
        let parts = restricted.disentangle();
        let regular = Representation::regular(C8).unwrap();
        assert_eq!(parts, [(regular.clone(), (0..8).collect()), (regular, (8..16).collect())]);
        let to_d4 = Representation::regular(D8).unwrap().restrict(&Subgroup::new(D8, D4).unwrap()).unwrap();
        let parts = to_d4.disentangle();
        assert_eq!(parts.len(), 2);
        for (part, channels) in &parts {
            assert_eq!(part, &Representation::regular(D4).unwrap());
            for h in D4.elements().unwrap() {
                let whole = to_d4.at(&h).select_rows(channels).select_columns(channels);
                assert!((part.at(&h) - whole).amax() < 1e-13);
            }
        }
        // Two-dimensional irreps and leftovers come out as parts of their own.
        let sum = Representation::direct_sum(&[
            Representation::irrep(D8, Irrep::with_flip(1, 2)).unwrap(),
            Representation::trivial(D8),
        ])
        .unwrap();
        let parts = sum.restrict(&Subgroup::new(D8, C8).unwrap()).unwrap().disentangle();
        assert_eq!(parts.iter().map(|(p, _)| p.size()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn direct_sums_are_block_diagonal_and_of_one_group() {
        let sum = Representation::direct_sum(&[
            Representation::regular(C4).unwrap(),
            Representation::irrep(C4, Irrep::rotation(1)).unwrap(),
        ])
        .unwrap();
        assert_eq!((sum.size(), sum.basis()), (6, Basis::Orthogonal));
        let mixed = [Representation::trivial(C4), Representation::trivial(C8)];
        assert!(matches!(Representation::direct_sum(&mixed), Err(Error::GroupMismatch { .. })));
    }

    #[test]
    fn spectral_representations_have_the_multiplicities_of_the_regular_one() {
        assert_eq!(Representation::spectral(Group::SO2, 3).unwrap().size(), 7);
        assert_eq!(Representation::spectral(Group::O2, 2).unwrap().size(), 10);
        assert_eq!(Representation::spectral(C8, 4).unwrap().size(), 8);
        assert!(Representation::spectral(C8, 5).is_err());
    }
}
