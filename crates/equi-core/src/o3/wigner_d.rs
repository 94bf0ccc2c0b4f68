//! The matrices of irreps.
//!
//! Degree `l` is the highest part of degree `l - 1` times a vector. With the Clebsch-Gordan coefficients `C` of degrees `l - 1`,
//! 1, `l`
//!
//! ```text
//! D_l = (2 l + 1) C^T (D_(l-1) x R) C            X_l = (2 l + 1) C^T (X_(l-1) x 1 + 1 x X_1) C
//! ```
//!
//! for the rotation `R` and for the generators `X`. `sqrt(2 l + 1) C` is an isometry, so errors add up over degrees and do not
//! grow.

use nalgebra::{DMatrix, Matrix3};

use super::angles::euler;
use super::{Irrep, Irreps, Parity, wigner_3j};
use crate::group::Isometry;

/// `D_l` of the rotation `R_y(alpha) R_x(beta) R_y(gamma)`, `[2 l + 1, 2 l + 1]`: `Y_l(R x) = D_l Y_l(x)`. Angles in radians;
/// from a quaternion, a matrix, or an axis and an angle, see [`Irrep::matrix`].
///
/// # Panics
/// For degrees above 60.
pub fn wigner_d(l: usize, alpha: f64, beta: f64, gamma: f64) -> DMatrix<f64> {
    up_to(l, &euler(alpha, beta, gamma)).pop().expect("there is degree 0")
}

/// The generators of the rotations about x, y and z in degree `l`: `D_l` of the rotation by `t` about an axis is `exp(t X)`.
///
/// # Panics
/// For degrees above 60.
pub fn so3_generators(l: usize) -> [DMatrix<f64>; 3] {
    let vector = [
        Matrix3::new(0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0),
        Matrix3::new(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0),
        Matrix3::new(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ];
    let one = |i, j| if i == j { 1.0 } else { 0.0 };
    vector.map(|x| {
        (1..=l).fold(DMatrix::zeros(1, 1), |lower, l| {
            raise(l, |(a, b), (c, d)| lower[(a, c)] * one(b, d) + one(a, c) * x[(b, d)])
        })
    })
}

impl Irrep {
    /// The matrix of the orthogonal part of an isometry, `[2 l + 1, 2 l + 1]`; the inversion acts by the parity.
    ///
    /// # Panics
    /// For degrees above 60.
    pub fn matrix(self, g: &Isometry) -> DMatrix<f64> {
        let rotation = up_to(self.l, &g.rotation_part()).pop().expect("there is degree 0");
        self.with_parity(rotation, g)
    }

    /// `D_l` of the rotation `R det R`, to that of `R`.
    fn with_parity(self, rotation: DMatrix<f64>, g: &Isometry) -> DMatrix<f64> {
        if self.parity == Parity::Odd && !g.is_proper() { -rotation } else { rotation }
    }
}

impl Irreps {
    /// The matrix of the orthogonal part of an isometry, block diagonal, `[dim, dim]`.
    ///
    /// # Panics
    /// For degrees above 60.
    pub fn matrix(&self, g: &Isometry) -> DMatrix<f64> {
        let rotations = up_to(self.lmax().unwrap_or(0), &g.rotation_part());
        let mut matrix = DMatrix::zeros(self.dim(), self.dim());
        for (block, columns) in self.blocks().iter().zip(self.slices()).filter(|(block, _)| block.mul > 0) {
            let copy = block.irrep.with_parity(rotations[block.irrep.l].clone(), g);
            for start in columns.step_by(block.irrep.dim()) {
                matrix.view_mut((start, start), copy.shape()).copy_from(&copy);
            }
        }
        matrix
    }
}

/// `D_0, D_1, ..., D_lmax` of a rotation.
fn up_to(lmax: usize, rotation: &Matrix3<f64>) -> Vec<DMatrix<f64>> {
    let mut all = vec![DMatrix::identity(1, 1)];
    for l in 1..=lmax {
        let lower = &all[l - 1];
        all.push(raise(l, |(a, b), (c, d)| lower[(a, c)] * rotation[(b, d)]));
    }
    all
}

/// `(2 l + 1) C^T M C` for a matrix `M` on pairs of components of degrees `l - 1` and 1.
fn raise(l: usize, pairs: impl Fn((usize, usize), (usize, usize)) -> f64) -> DMatrix<f64> {
    let table = wigner_3j(l - 1, 1, l).unwrap_or_else(|error| panic!("Wigner D of degree {l}: {error}"));
    let dim = 2 * l + 1;
    let mut raised = DMatrix::zeros(dim, dim);
    for (a, b, row, left) in table.nonzeros() {
        for (c, d, column, right) in table.nonzeros() {
            raised[(row, column)] += dim as f64 * left * right * pairs((a, b), (c, d));
        }
    }
    raised
}
