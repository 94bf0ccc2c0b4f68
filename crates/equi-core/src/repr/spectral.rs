//! Band-limited functions on the cosets of a subgroup, by their Fourier coefficients and by their samples.
//!
//! The function with coefficients `c` is `f(g H) = <rho(g) delta, c>`, where `delta` holds the coefficients of the Dirac delta
//! at the coset of the identity. The group acts on `c` by `rho`, as `(h . f)(g H) = f(h^-1 g H) = <rho(g) delta, rho(h) c>`. An
//! irrep occurs in `rho` once for every vector of it that the subgroup fixes, and that vector is its part of `delta`.

use nalgebra::{DMatrix, DVector};

use super::{Irrep, Representation};
use crate::error::Result;
use crate::group::{Group, Subgroup};

/// Added to the diagonal before inverting, as in escnn.
const REGULARISATION: f64 = 1e-8;

impl Irrep {
    /// The vectors that a subgroup fixes, `[size, copies]`: one column for every copy of the irrep among the functions on
    /// the cosets. Of an irrep whose endomorphisms are complex, only the first of each two columns that they mix is listed.
    ///
    /// # Errors
    /// If the group of the subgroup does not have the irrep.
    pub fn fixed_by(self, subgroup: &Subgroup) -> Result<DMatrix<f64>> {
        let group = subgroup.parent();
        let fixed = Representation::irrep(group, self)?.restrict(subgroup)?.invariants();
        let copies = fixed.ncols() / self.endomorphisms(group).len();
        Ok(fixed.columns(0, copies).into_owned())
    }
}

impl Representation {
    /// Functions on the cosets of a subgroup, band-limited to `frequency` (escnn's `spectral_quotient_representation`), in
    /// the basis of the irreps.
    ///
    /// # Errors
    /// [`Error::NoSuchIrrep`](crate::Error::NoSuchIrrep) if a finite group has no frequency that high.
    pub fn spectral_quotient(subgroup: &Subgroup, frequency: u32) -> Result<Self> {
        let group = subgroup.parent();
        Self::spectral(group, frequency)?;
        let mut labels = Vec::new();
        let mut irreps = Vec::new();
        for irrep in Irrep::all(group, frequency) {
            let copies = irrep.fixed_by(subgroup)?.ncols();
            if copies > 0 {
                labels.push(if group.has_flips() {
                    format!("({}, {})", irrep.flip, irrep.frequency)
                } else {
                    format!("({},)", irrep.frequency)
                });
            }
            irreps.extend(vec![irrep; copies]);
        }
        let size = irreps.iter().map(|i| i.size(group)).sum();
        let name = format!("quotient[{}]_[{}]", subgroup.escnn_id(), labels.join("|"));
        Ok(Self::new(group, name, irreps, DMatrix::identity(size, size)))
    }
}

/// Points of a group, or of its cosets, at which band-limited functions are sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct FourierGrid {
    representation: Representation,
    samples: DMatrix<f64>,
    coefficients: DMatrix<f64>,
}

impl FourierGrid {
    /// Functions on the group, at `rotations` evenly spaced rotations (all of a finite group) and their flips.
    ///
    /// With `normalise`, `delta` is scaled to length 1. More than `2 frequency` rotations determine a function.
    ///
    /// # Errors
    /// As [`Representation::spectral`].
    pub fn on_group(group: Group, frequency: u32, rotations: u32, normalise: bool) -> Result<Self> {
        let subgroup = Subgroup::new(group, Group::trivial())?;
        let representation = Representation::spectral(group, frequency)?;
        // Peter-Weyl: the delta has every irrep in proportion to the root of its dimension.
        let delta = delta(&subgroup, frequency, |size| (size as f64).sqrt())?;
        Ok(Self::new(representation, delta, rotations, normalise))
    }

    /// Functions on the cosets of a subgroup, at the cosets of `rotations` evenly spaced rotations (all of a finite group)
    /// and their flips. All irreps have equal parts in `delta`, as in escnn.
    ///
    /// # Errors
    /// As [`Representation::spectral_quotient`].
    pub fn on_cosets(subgroup: &Subgroup, frequency: u32, rotations: u32, normalise: bool) -> Result<Self> {
        let representation = Representation::spectral_quotient(subgroup, frequency)?;
        let delta = delta(subgroup, frequency, |_| 1.0)?;
        Ok(Self::new(representation, delta, rotations, normalise))
    }

    fn new(representation: Representation, delta: DVector<f64>, rotations: u32, normalise: bool) -> Self {
        let delta = if normalise { delta.normalize() } else { delta };
        let group = representation.group();
        // Elements of one coset give one point, which counts as often as it is met.
        let mut points: Vec<(DVector<f64>, f64)> = Vec::new();
        for g in group.sample(group.rotations().unwrap_or(rotations)) {
            let point = representation.at(&g) * &delta;
            match points.iter_mut().find(|(known, _)| (known - &point).amax() < 1e-9) {
                Some((_, count)) => *count += 1.0,
                None => points.push((point, 1.0)),
            }
        }
        let counts = DVector::from_iterator(points.len(), points.iter().map(|(_, count)| *count));
        let columns: Vec<DVector<f64>> = points.into_iter().map(|(point, _)| point).collect();
        let transposed = DMatrix::from_columns(&columns);
        let weighted = &transposed * DMatrix::from_diagonal(&counts);
        let size = representation.size();
        let gram = &weighted * transposed.transpose() + DMatrix::identity(size, size) * REGULARISATION;
        let coefficients = gram.cholesky().expect("regularised, so positive definite").solve(&weighted);
        Self { representation, samples: transposed.transpose(), coefficients }
    }

    /// How the coefficients transform.
    pub fn representation(&self) -> &Representation {
        &self.representation
    }

    /// From coefficients to samples, `[points, size]`.
    pub fn samples(&self) -> &DMatrix<f64> {
        &self.samples
    }

    /// From samples to the coefficients of the nearest function, `[size, points]`: the regularised pseudo-inverse.
    pub fn coefficients(&self) -> &DMatrix<f64> {
        &self.coefficients
    }
}

fn delta(subgroup: &Subgroup, frequency: u32, scale: impl Fn(usize) -> f64) -> Result<DVector<f64>> {
    let mut values = Vec::new();
    for irrep in Irrep::all(subgroup.parent(), frequency) {
        let fixed = irrep.fixed_by(subgroup)?;
        values.extend(fixed.iter().map(|v| v * scale(fixed.nrows())));
    }
    Ok(DVector::from_vec(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C4, C8, D1, D4, Rotation};

    fn subgroups() -> Vec<Subgroup> {
        vec![
            Subgroup::new(Group::O2, D1).unwrap(),
            Subgroup::with_axis(Group::O2, D1, Rotation::turns(1, 8)).unwrap(),
            Subgroup::new(Group::O2, Group::Dihedral(2)).unwrap(),
            Subgroup::new(Group::O2, Group::SO2).unwrap(),
            Subgroup::new(Group::SO2, Group::Cyclic(2)).unwrap(),
            Subgroup::new(Group::SO2, Group::trivial()).unwrap(),
            Subgroup::new(C8, Group::Cyclic(2)).unwrap(),
            Subgroup::with_axis(D4, D1, Rotation::turns(1, 4)).unwrap(),
        ]
    }

    #[test]
    fn the_subgroup_fixes_the_fixed_vectors() {
        for subgroup in subgroups() {
            let group = subgroup.parent();
            for irrep in Irrep::all(group, 4) {
                let fixed = irrep.fixed_by(&subgroup).unwrap();
                for h in subgroup.group().sample(subgroup.group().rotations().unwrap_or(7)) {
                    let moved = irrep.at(group, &subgroup.embed(h)) * &fixed;
                    assert!(fixed.is_empty() || (moved - &fixed).amax() < 1e-14, "{subgroup} {irrep:?}");
                }
            }
        }
    }

    /// Without a band limit the coefficients are the functions on the cosets, so the characters agree.
    #[test]
    fn all_frequencies_together_are_the_quotient_representation() {
        for subgroup in subgroups().into_iter().filter(|s| s.parent().order().is_some()) {
            let quotient = Representation::quotient(&subgroup).unwrap();
            let spectral =
                Representation::spectral_quotient(&subgroup, subgroup.parent().rotations().unwrap() / 2).unwrap();
            assert_eq!(spectral.size(), quotient.size());
            for g in subgroup.parent().elements().unwrap() {
                assert!((spectral.at(&g).trace() - quotient.at(&g).trace()).abs() < 1e-13, "{subgroup} {g}");
            }
        }
    }

    #[test]
    fn trivial_cosets_give_the_spectral_regular_representation() {
        for group in [C8, D4, Group::SO2, Group::O2] {
            let subgroup = Subgroup::new(group, Group::trivial()).unwrap();
            let quotient = Representation::spectral_quotient(&subgroup, 2).unwrap();
            assert_eq!(quotient.irreps(), Representation::spectral(group, 2).unwrap().irreps());
        }
    }

    #[test]
    fn samples_determine_the_coefficients_and_turn_with_them() {
        let grids = subgroups().into_iter().map(|s| FourierGrid::on_cosets(&s, 2, 8, true)).chain([
            FourierGrid::on_group(Group::SO2, 3, 8, true),
            FourierGrid::on_group(Group::O2, 2, 8, false),
            FourierGrid::on_group(C4, 2, 4, true),
        ]);
        for grid in grids {
            let grid = grid.unwrap();
            let rho = grid.representation();
            let size = rho.size();
            // The regularisation of 1e-8 shrinks the coefficients by that, relative to singular values of order 1.
            let identity = grid.coefficients() * grid.samples();
            assert!((identity - DMatrix::<f64>::identity(size, size)).amax() < 1e-7, "{rho:?}");
            for g in rho.group().sample(rho.group().rotations().unwrap_or(8)) {
                // rho(g) permutes the points: projecting commutes with it on any samples, band-limited or not.
                let turned = grid.samples() * rho.at(&g);
                let permutation = DMatrix::from_fn(turned.nrows(), turned.nrows(), |to, from| {
                    f64::from((turned.row(to) - grid.samples().row(from)).amax() < 1e-9)
                });
                let difference = rho.at(&g) * grid.coefficients() - grid.coefficients() * permutation;
                assert!(difference.amax() < 1e-12, "{rho:?} {g}");
            }
        }
    }

    #[test]
    fn elements_of_one_coset_share_a_point() {
        let subgroup = Subgroup::new(Group::O2, D1).unwrap();
        let grid = FourierGrid::on_cosets(&subgroup, 2, 16, true).unwrap();
        assert_eq!(grid.samples().shape(), (16, 5));
        assert_eq!(grid.representation().name(), "quotient[(0.0, 1)]_[(0, 0)|(1, 1)|(1, 2)]");
    }
}
