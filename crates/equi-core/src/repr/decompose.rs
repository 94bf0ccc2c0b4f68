//! Finding the irreps inside a representation that is given by its matrices.

use nalgebra::{DMatrix, DVector};

use super::{Irrep, Representation};
use crate::group::{Element, Group};

/// An orthonormal basis of the linear maps `A` with `A rho(h) = psi(h) A` for all pairs `(psi(h), rho(h))`, one for each class
/// under the `endomorphisms` of `rho`.
///
/// The averaging projector is applied to the matrix units in order, so that the basis is determined.
pub(super) fn intertwiners(
    pairs: &[(DMatrix<f64>, DMatrix<f64>)],
    endomorphisms: &[DMatrix<f64>],
) -> Vec<DMatrix<f64>> {
    let (n, d) = (pairs[0].0.nrows(), pairs[0].1.nrows());
    let mut found: Vec<DMatrix<f64>> = Vec::new();
    let mut spanned: Vec<DVector<f64>> = Vec::new();
    for unit in 0..n * d {
        let (row, column) = (unit / d, unit % d);
        let sum = pairs
            .iter()
            .fold(DMatrix::zeros(n, d), |sum, (psi, rho)| sum + psi.column(row) * rho.column(column).transpose());
        let mut average = DVector::from_column_slice((sum / pairs.len() as f64).as_slice());
        for direction in &spanned {
            average -= direction * direction.dot(&average);
        }
        let norm = average.norm();
        if norm < 1e-9 {
            continue;
        }
        let map = DMatrix::from_column_slice(n, d, (average / norm).as_slice());
        for endomorphism in endomorphisms {
            let moved = &map * endomorphism;
            spanned.push(DVector::from_column_slice((&moved / moved.norm()).as_slice()));
        }
        found.push(map);
    }
    found
}

impl Representation {
    /// The representation with the given orthogonal matrices, whose irreps have frequencies up to `frequency`.
    pub(super) fn decompose(
        group: Group,
        name: String,
        frequency: u32,
        matrix: impl Fn(&Element) -> DMatrix<f64>,
    ) -> Self {
        // Products of two irreps have frequencies up to twice the highest.
        let elements = group.quadrature(2 * frequency);
        let matrices: Vec<DMatrix<f64>> = elements.iter().map(matrix).collect();
        let size = matrices[0].nrows();
        let mut change_of_basis = DMatrix::zeros(size, size);
        let mut irreps = Vec::new();
        let mut column = 0;
        for rho in Irrep::all(group, frequency) {
            let d = rho.size(group);
            let pairs: Vec<_> =
                matrices.iter().zip(&elements).map(|(psi, g)| (psi.clone(), rho.at(group, g))).collect();
            for map in intertwiners(&pairs, &rho.endomorphisms(group)) {
                change_of_basis.columns_mut(column, d).copy_from(&(map * (d as f64).sqrt()));
                irreps.push(rho);
                column += d;
            }
        }
        assert_eq!(column, size, "the irreps of {group} do not fill {name}");
        Self::new(group, name, irreps, change_of_basis)
    }
}
