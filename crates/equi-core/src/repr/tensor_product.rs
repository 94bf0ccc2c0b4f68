//! Tensor products of irreps: Clebsch-Gordan coefficients.

use nalgebra::{DMatrix, DVector};
use std::f64::consts::FRAC_1_SQRT_2;

use super::{Irrep, Representation};
use crate::error::{Error, Result};
use crate::group::Group;

/// The irreps in the tensor product of two irreps with their Clebsch-Gordan coefficients.
///
/// Entry `(j, C)` has `C` of shape `[size m * size n, size j]` (rows `(m, n)` row-major) with
/// `(rho_m (x) rho_n)(g) C = C rho_j(g)` and orthogonal columns; `j` is repeated by its multiplicity.
///
/// For groups of rotations this is the closed form of escnn, in its order, up to its sign and scale conventions. With flips
/// escnn solves numerically; here the basis comes from averaging over the group, in a determined order.
pub(crate) fn clebsch_gordan(group: Group, m: Irrep, n: Irrep) -> Vec<(Irrep, Vec<DMatrix<f64>>)> {
    if group.has_flips() { averaged(group, m, n) } else { closed_form(group, m.frequency, n.frequency) }
}

fn closed_form(group: Group, m: u32, n: u32) -> Vec<(Irrep, Vec<DMatrix<f64>>)> {
    let size = |k| Irrep::rotation(k).size(group);
    let folded = |k: u32| match group.rotations() {
        Some(order) if 2 * k > order => order - k,
        _ => k,
    };
    let sum = folded(m + n);
    if size(m) == 1 || size(n) == 1 {
        // A character only shifts the frequency; past N/2 the frequency comes back with the opposite sign.
        let mut matrix = DMatrix::identity(size(sum), size(sum));
        if sum != m + n && size(sum) == 2 {
            matrix[(1, 1)] = -1.0;
        }
        return vec![(Irrep::rotation(sum), vec![matrix])];
    }
    // Columns: (cos, sin) of the difference m - n, then of the sum; rows (n, m).
    let h = FRAC_1_SQRT_2;
    let mut columns = [[h, 0.0, 0.0, h], [0.0, h, -h, 0.0], [h, 0.0, 0.0, -h], [0.0, h, h, 0.0]];
    if m < n {
        columns[1].iter_mut().for_each(|v| *v = -*v);
    }
    if sum != m + n {
        columns[3].iter_mut().for_each(|v| *v = -*v);
    }
    let part = |j: u32, pair: &[[f64; 4]]| {
        // Transpose the rows from (n, m) to (m, n).
        let column = |c: &[f64; 4]| [c[0], c[2], c[1], c[3]];
        let matrices = if size(j) == 2 {
            vec![DMatrix::from_fn(4, 2, |row, col| column(&pair[col])[row])]
        } else {
            pair.iter().map(|c| DMatrix::from_column_slice(4, 1, &column(c))).collect()
        };
        (Irrep::rotation(j), matrices)
    };
    vec![part(m.abs_diff(n), &columns[..2]), part(sum, &columns[2..])]
}

fn averaged(group: Group, m: Irrep, n: Irrep) -> Vec<(Irrep, Vec<DMatrix<f64>>)> {
    let highest = m.frequency + n.frequency;
    // Products of three irreps have frequencies up to twice the highest.
    let elements = group.quadrature(2 * highest);
    Irrep::all(group, highest)
        .into_iter()
        .filter_map(|j| {
            let (rows, cols) = (m.size(group) * n.size(group), j.size(group));
            let pairs: Vec<_> = elements
                .iter()
                .map(|g| (m.at(group, g).kronecker(&n.at(group, g)), j.at(group, g).transpose()))
                .collect();
            let mut found: Vec<DVector<f64>> = Vec::new();
            for unit in 0..rows * cols {
                let mut map = DMatrix::zeros(rows, cols);
                map[(unit / cols, unit % cols)] = 1.0;
                let sum = pairs.iter().fold(DMatrix::zeros(rows, cols), |sum, (p, q)| sum + p * &map * q);
                let mut average = DVector::from_column_slice((sum / elements.len() as f64).as_slice());
                for other in &found {
                    let along = other.dot(&average) / other.norm_squared();
                    average -= other * along;
                }
                if average.norm() > 1e-9 {
                    let scale = (cols as f64).sqrt() / average.norm();
                    found.push(average * scale);
                }
            }
            let matrices: Vec<_> = found.iter().map(|v| DMatrix::from_column_slice(rows, cols, v.as_slice())).collect();
            (!matrices.is_empty()).then_some((j, matrices))
        })
        .collect()
}

impl Representation {
    /// The tensor product, acting on `(i, j)` row-major by `rho_1(g) (x) rho_2(g)`.
    ///
    /// # Errors
    /// [`Error::GroupMismatch`] if the factors belong to different groups.
    pub fn tensor(&self, other: &Self) -> Result<Self> {
        if self.group() != other.group() {
            return Err(Error::GroupMismatch { left: format!("{self:?}"), right: format!("{other:?}") });
        }
        let group = self.group();
        let (rows, other_size) = (self.size() * other.size(), other.size());
        let mut irreps = Vec::new();
        let mut columns: Vec<DVector<f64>> = Vec::new();
        for (a, m) in self.irrep_offsets() {
            for (b, n) in other.irrep_offsets() {
                for (j, matrices) in clebsch_gordan(group, m, n) {
                    for c in matrices {
                        irreps.push(j);
                        for column in c.column_iter() {
                            // Place the block (m, n) into (irreps of self, irreps of other).
                            let mut placed = DVector::zeros(rows);
                            for (k, value) in column.iter().enumerate() {
                                let (i, l) = (k / n.size(group), k % n.size(group));
                                placed[(a + i) * other_size + b + l] = *value;
                            }
                            columns.push(placed);
                        }
                    }
                }
            }
        }
        let in_irreps = DMatrix::from_columns(&columns);
        let change_of_basis = self.change_of_basis().kronecker(other.change_of_basis()) * in_irreps;
        Ok(Self::new(group, format!("{} X {}", self.name(), other.name()), irreps, change_of_basis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C4, C8, D1, D4, D8};

    #[test]
    fn coefficients_intertwine_and_fill_the_product() {
        for group in [C4, C8, Group::Cyclic(3), Group::Cyclic(5), Group::SO2, D1, D4, D8, Group::Dihedral(5), Group::O2]
        {
            for m in Irrep::all(group, 4) {
                for n in Irrep::all(group, 4) {
                    let product = clebsch_gordan(group, m, n);
                    let mut columns = Vec::new();
                    for (j, matrices) in &product {
                        for c in matrices {
                            for g in group.quadrature(17) {
                                let left = m.at(group, &g).kronecker(&n.at(group, &g)) * c;
                                let right = c * j.at(group, &g);
                                assert!((left - right).amax() < 1e-13, "{group} {m:?} {n:?} {j:?}");
                            }
                            columns.extend(c.column_iter().map(|c| c.into_owned()));
                        }
                    }
                    let all = DMatrix::from_columns(&columns);
                    assert_eq!(all.nrows(), all.ncols(), "{group} {m:?} {n:?}");
                    let gram = all.transpose() * &all;
                    assert!((gram - DMatrix::<f64>::identity(all.ncols(), all.ncols())).amax() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn tensor_products_are_kronecker_products() {
        for group in [C8, D4] {
            let regular = Representation::regular(group).unwrap();
            let k = if group.has_flips() { Irrep::with_flip(1, 1) } else { Irrep::rotation(1) };
            let product = regular.tensor(&Representation::irrep(group, k).unwrap()).unwrap();
            for g in group.elements().unwrap() {
                let expected = regular.at(&g).kronecker(&k.at(group, &g));
                assert!((product.at(&g) - expected).amax() < 1e-13);
            }
        }
    }
}
