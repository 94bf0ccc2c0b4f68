//! The angular solutions of the kernel constraint for a pair of irreps.
//!
//! A circular harmonic `Y_f(phi) = (cos f phi, sin f phi)` transforms by an irrep of O(2). On the group it splits into irreps
//! `j`; each `j` in the product of the output and the input irrep gives the solutions
//! `K(phi)[n, m] = sum C[(n, m), i] E_k[j, i] R[j, y] Y_y(phi)`, with Clebsch-Gordan coefficients `C`, the endomorphisms `E` of `j`
//! and the rows `R` of the restriction that carry `j`.

use nalgebra::DMatrix;

use crate::group::{Group, Subgroup};
use crate::repr::{Irrep, clebsch_gordan};

/// One solution: the coefficients of `(cos f phi, sin f phi)` (or of 1) for each entry of the kernel.
pub(super) struct Solution {
    /// `coefficients[y]` is `[out, in]`.
    pub coefficients: Vec<DMatrix<f64>>,
}

/// The solutions of angular frequency `frequency` in escnn's order: by irrep `j`, endomorphism, multiplicity, copy.
pub(super) fn solutions(group: Group, input: Irrep, output: Irrep, frequency: u32) -> Vec<Solution> {
    let whole = Subgroup::new(Group::O2, group).expect("every planar group is a subgroup of O(2)");
    let harmonic = Irrep::with_flip(u32::from(frequency > 0), frequency);
    let (basis, parts) = harmonic.restrict(&whole);
    let rows = basis.transpose();

    let (n, m) = (output.size(group), input.size(group));
    let mut found = Vec::new();
    // escnn lists the irreps of the product of (input, output) but takes the coefficients of (output, input).
    let coefficients = clebsch_gordan(group, output, input);
    for (j, couplings) in &coefficients {
        let d = j.size(group);
        let mut at = 0;
        let mut copies = Vec::new();
        for part in &parts {
            if part == j {
                copies.push(rows.rows(at, d).into_owned());
            }
            at += part.size(group);
        }
        for endomorphism in j.endomorphisms(group) {
            for coupling in couplings {
                for copy in &copies {
                    // [n * m, Y]: rows (n, m) row-major.
                    let solution = coupling * endomorphism.transpose() * copy;
                    let coefficients =
                        solution.column_iter().map(|y| DMatrix::from_fn(n, m, |a, b| y[a * m + b])).collect();
                    found.push(Solution { coefficients });
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C8, D1, D4, Element};
    use std::f64::consts::FRAC_PI_2;

    #[test]
    fn solutions_satisfy_the_kernel_constraint_at_random_angles() {
        for group in [Group::trivial(), C8, Group::Cyclic(3), Group::SO2, D1, D4, Group::Dihedral(3), Group::O2] {
            for input in Irrep::all(group, 3) {
                for output in Irrep::all(group, 3) {
                    for frequency in 0..5 {
                        for solution in solutions(group, input, output, frequency) {
                            let kernel = |angle: f64| {
                                // The reflection axis is vertical.
                                let phi = f64::from(frequency) * (angle - FRAC_PI_2);
                                let harmonics = [phi.cos(), phi.sin()];
                                solution.coefficients.iter().zip(harmonics).map(|(c, y)| c * y).sum::<DMatrix<f64>>()
                            };
                            for g in group.quadrature(6) {
                                for angle in [0.3, 1.7, 4.0] {
                                    let turned = moved(&g, angle);
                                    let expected =
                                        output.at(group, &g) * kernel(angle) * input.at(group, &g).transpose();
                                    let error = (kernel(turned) - expected).amax();
                                    assert!(error < 1e-13, "{group} {input:?} {output:?} f={frequency} {g}: {error}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn moved(g: &Element, angle: f64) -> f64 {
        let [[a, b], [c, d]] = g.matrix();
        let (s, co) = angle.sin_cos();
        (c * co + d * s).atan2(a * co + b * s)
    }
}
