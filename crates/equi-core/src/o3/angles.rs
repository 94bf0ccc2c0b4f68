//! Rotations by Euler angles, unit quaternions, and axis and angle.
//!
//! ```text
//! R(alpha, beta, gamma) = R_y(alpha) R_x(beta) R_y(gamma)
//! ```
//!
//! in radians, so that `alpha` and `beta` are the longitude, from z towards x, and the polar angle, from y, of where y goes.
//! What is read off an improper isometry is that of the rotation `R det R`. Composition and inverse are those of [`Isometry`].

use nalgebra::Matrix3;

use crate::error::Result;
use crate::group::Isometry;

impl Isometry {
    /// The rotation `R_y(alpha) R_x(beta) R_y(gamma)`; angles in radians.
    ///
    /// # Errors
    /// [`NotFinite`](crate::Error::NotFinite) for an angle that is not finite.
    pub fn from_angles([alpha, beta, gamma]: [f64; 3]) -> Result<Self> {
        let (x, y) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
        Ok(Self::rotation(y, alpha)? * Self::rotation(x, beta)? * Self::rotation(y, gamma)?)
    }

    /// The angles `[alpha, beta, gamma]` of the rotation, in radians, with `0 <= beta <= pi` and the others from `-pi` to `pi`.
    ///
    /// Where `beta` is 0 or pi, only the sum or the difference of the others is determined, and `alpha` is that of rounding.
    pub fn angles(&self) -> [f64; 3] {
        let r = self.rotation_part();
        let [alpha, beta] = point_to_angles(r.column(1).into());
        // R_x(-beta) R_y(-alpha) R is R_y(gamma), whose first row is (cos, 0, sin).
        let (s, c) = alpha.sin_cos();
        let entry = |column: usize| c * r[(0, column)] - s * r[(2, column)];
        [alpha, beta, entry(2).atan2(entry(0))]
    }

    /// The unit quaternion `[w, x, y, z]` of the rotation with `w >= 0`.
    pub fn quaternion(&self) -> [f64; 4] {
        let r = self.rotation_part();
        let trace = r.trace();
        // Four times the products of the largest of the four with all: no small number is divided by.
        let squares = [trace, r[(0, 0)], r[(1, 1)], r[(2, 2)]];
        let largest = (0..4).max_by(|&a, &b| squares[a].total_cmp(&squares[b])).expect("there are four");
        let products = |n: usize| match n {
            0 => [1.0 + trace, r[(2, 1)] - r[(1, 2)], r[(0, 2)] - r[(2, 0)], r[(1, 0)] - r[(0, 1)]],
            n => {
                let (i, j, k) = (n - 1, n % 3, (n + 1) % 3);
                let mut q = [r[(k, j)] - r[(j, k)], 0.0, 0.0, 0.0];
                q[1 + i] = 1.0 - trace + 2.0 * r[(i, i)];
                q[1 + j] = r[(i, j)] + r[(j, i)];
                q[1 + k] = r[(i, k)] + r[(k, i)];
                q
            }
        };
        let quaternion = products(largest);
        let length = quaternion.iter().map(|q| q * q).sum::<f64>().sqrt();
        let sign = if quaternion[0] < 0.0 { -1.0 } else { 1.0 };
        quaternion.map(|q| sign * q / length)
    }

    /// The axis, of length 1, and the angle in `[0, pi]` of the rotation. The identity turns about y.
    pub fn axis_angle(&self) -> ([f64; 3], f64) {
        let [w, x, y, z] = self.quaternion();
        let sine = x.hypot(y).hypot(z);
        let axis = if sine == 0.0 { [0.0, 1.0, 0.0] } else { [x / sine, y / sine, z / sine] };
        (axis, 2.0 * sine.atan2(w))
    }

    /// `R det R`.
    pub(super) fn rotation_part(&self) -> Matrix3<f64> {
        let r = self.matrix();
        Matrix3::from_fn(|i, j| self.det() * r[i][j])
    }
}

/// The point of the unit sphere with longitude `alpha` and polar angle `beta`,
/// `(sin beta sin alpha, cos beta, sin beta cos alpha)`: where the rotation by these angles takes y.
pub fn angles_to_point([alpha, beta]: [f64; 2]) -> [f64; 3] {
    let ((sa, ca), (sb, cb)) = (alpha.sin_cos(), beta.sin_cos());
    [sb * sa, cb, sb * ca]
}

/// The longitude `alpha`, from `-pi` to `pi`, and the polar angle `beta`, from 0 to pi, of a vector of any length.
pub fn point_to_angles([x, y, z]: [f64; 3]) -> [f64; 2] {
    [x.atan2(z), x.hypot(z).atan2(y)]
}

/// The matrix `R_y(alpha) R_x(beta) R_y(gamma)`.
pub(super) fn euler(alpha: f64, beta: f64, gamma: f64) -> Matrix3<f64> {
    let y = |angle: f64| {
        let (s, c) = angle.sin_cos();
        Matrix3::new(c, 0.0, s, 0.0, 1.0, 0.0, -s, 0.0, c)
    };
    let (s, c) = beta.sin_cos();
    y(alpha) * Matrix3::new(1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c) * y(gamma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::f64::consts::{FRAC_PI_2, PI};

    fn distance(a: &Isometry, b: &Isometry) -> f64 {
        (a.rotation_part() - b.rotation_part()).amax()
    }

    /// Random ones, and those where angles or quaternions degenerate, exactly or almost.
    fn rotations() -> Vec<Isometry> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut all: Vec<_> = (0..50).map(|_| Isometry::random_rotation(&mut rng)).collect();
        for angle in [0.0, 1e-300, 1e-9, FRAC_PI_2, PI - 1e-9, PI] {
            for axis in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 2.0, -3.0]] {
                all.push(Isometry::rotation(axis, angle).unwrap());
            }
        }
        all
    }

    #[test]
    fn every_rotation_is_that_of_its_angles_quaternion_and_axis() {
        for g in rotations() {
            let [alpha, beta, gamma] = g.angles();
            assert!((0.0..=PI).contains(&beta) && alpha.abs() <= PI && gamma.abs() <= PI, "{g}");
            assert!(distance(&Isometry::from_angles([alpha, beta, gamma]).unwrap(), &g) < 1e-14, "{g}");
            assert!((euler(alpha, beta, gamma) - g.rotation_part()).amax() < 1e-14, "{g}");
            let quaternion = g.quaternion();
            assert!(quaternion[0] >= 0.0);
            assert!(distance(&Isometry::from_quaternion(quaternion).unwrap(), &g) < 1e-14, "{g}: {quaternion:?}");
            let (axis, angle) = g.axis_angle();
            assert!((0.0..=PI).contains(&angle));
            assert!(distance(&Isometry::rotation(axis, angle).unwrap(), &g) < 1e-14, "{g}: {axis:?}, {angle}");
        }
    }

    #[test]
    fn small_angles_keep_their_digits() {
        let (axis, angle) = Isometry::rotation([0.0, 3.0, 4.0], 1e-9).unwrap().axis_angle();
        assert!((angle / 1e-9 - 1.0).abs() < 1e-14 && (axis[1] - 0.6).abs() < 1e-14, "{axis:?} {angle}");
        let [_, beta, _] = Isometry::from_angles([0.3, 1e-9, 0.1]).unwrap().angles();
        assert!((beta / 1e-9 - 1.0).abs() < 1e-14);
    }

    #[test]
    fn a_reflection_has_the_angles_of_its_rotation() {
        let g = Isometry::rotation([1.0, 2.0, -3.0], 2.0).unwrap();
        let improper = g * Isometry::INVERSION;
        assert!(!improper.is_proper());
        assert!(improper.quaternion().iter().zip(g.quaternion()).all(|(a, b)| (a - b).abs() < 1e-15));
        assert!(improper.angles().iter().zip(g.angles()).all(|(a, b)| (a - b).abs() < 1e-15));
    }

    #[test]
    fn points_have_the_angles_of_the_rotation_that_takes_y_there() {
        for [alpha, beta] in [[0.3, 1.2], [-3.0, 0.1], [2.0, 3.1]] {
            let point = angles_to_point([alpha, beta]);
            let moved = Isometry::from_angles([alpha, beta, 0.7]).unwrap().act([0.0, 1.0, 0.0]);
            assert!(point.iter().zip(moved).all(|(a, b)| (a - b).abs() < 1e-15));
            let found = point_to_angles(point.map(|v| 5.0 * v));
            assert!((found[0] - alpha).abs() < 1e-14 && (found[1] - beta).abs() < 1e-14, "{found:?}");
        }
    }

    #[test]
    fn angles_that_are_not_finite_are_refused() {
        assert!(matches!(Isometry::from_angles([0.0, f64::NAN, 0.0]), Err(Error::NotFinite { .. })));
    }
}
