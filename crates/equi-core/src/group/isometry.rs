//! Isometries of space, `x -> R x + t` with `R` in O(3).
//!
//! The product is composition, `(a b)(x) = a(b(x))`, so `(R, t)(S, u) = (R S, R u + t)`. Random rotations are uniform (Haar):
//! a unit quaternion is uniform on the sphere in four dimensions if its four entries are normal before it is normalised.

use nalgebra::{Matrix3, Vector3};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use std::fmt;
use std::ops::Mul;

use crate::error::{Error, Result};

/// An element of E(3): a rotation, with or without a reflection, and then a translation. Right-handed axes, angles
/// counter-clockwise when the axis points at the viewer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Isometry {
    /// In O(3).
    matrix: Matrix3<f64>,
    offset: Vector3<f64>,
}

impl Isometry {
    /// The neutral element.
    pub const IDENTITY: Self =
        Self { matrix: Matrix3::new(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), offset: Vector3::new(0.0, 0.0, 0.0) };

    /// The inversion through the origin, `x -> -x`.
    pub const INVERSION: Self = Self {
        matrix: Matrix3::new(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0),
        offset: Vector3::new(0.0, 0.0, 0.0),
    };

    /// `x -> R x + t`, with the rows of the matrix `R`.
    ///
    /// A matrix that was rounded to f32 is taken, and made orthogonal to f64.
    ///
    /// # Errors
    /// [`Error::NotOrthogonal`] if an entry of `R^T R - 1` exceeds 1e-6; [`Error::NotFinite`] for an offset that is not finite.
    pub fn new(matrix: [[f64; 3]; 3], offset: [f64; 3]) -> Result<Self> {
        let matrix = Matrix3::from_fn(|i, j| matrix[i][j]);
        let deviation = (matrix.tr_mul(&matrix) - Matrix3::identity())
            .iter()
            .fold(0.0, |m: f64, d| if d.abs() <= m { m } else { d.abs() });
        if !(matrix.iter().all(|entry| entry.is_finite()) && deviation <= 1e-6) {
            return Err(Error::NotOrthogonal { deviation });
        }
        Ok(Self { matrix: orthogonalise(matrix), offset: finite("the offset of an isometry", offset)? })
    }

    /// `x -> x + t`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for an offset that is not finite.
    pub fn translation(offset: [f64; 3]) -> Result<Self> {
        Ok(Self { offset: finite("a translation", offset)?, ..Self::IDENTITY })
    }

    /// The rotation by `angle` radians about an axis through the origin, of any length.
    ///
    /// # Errors
    /// [`Error::NoDirection`] for the zero vector, [`Error::NotFinite`] for what is not finite.
    pub fn rotation(axis: [f64; 3], angle: f64) -> Result<Self> {
        let [x, y, z] = direction("the axis of a rotation", axis)?;
        let [angle, _, _] = finite("the angle of a rotation", [angle, 0.0, 0.0])?.into();
        let (s, c) = (angle / 2.0).sin_cos();
        Ok(Self::of_quaternion([c, s * x, s * y, s * z]))
    }

    /// The rotation of a quaternion `[w, x, y, z]` of any length: `[1, 0, 0, 0]` is the identity.
    ///
    /// # Errors
    /// [`Error::NoDirection`] for zero, [`Error::NotFinite`] for what is not finite.
    pub fn from_quaternion(quaternion: [f64; 4]) -> Result<Self> {
        Ok(Self::of_quaternion(direction("a quaternion", quaternion)?))
    }

    /// The reflection in the plane through the origin with this normal, of any length: `x -> x - 2 n <n, x> / <n, n>`.
    ///
    /// # Errors
    /// [`Error::NoDirection`] for the zero vector, [`Error::NotFinite`] for what is not finite.
    pub fn reflection(normal: [f64; 3]) -> Result<Self> {
        let normal = Vector3::from(direction("the normal of a mirror", normal)?);
        let matrix = Matrix3::identity() - 2.0 * normal * normal.transpose();
        Ok(Self { matrix: orthogonalise(matrix), ..Self::IDENTITY })
    }

    /// A rotation about the origin, uniform in SO(3).
    pub fn random_rotation(rng: &mut (impl Rng + ?Sized)) -> Self {
        loop {
            let quaternion: [f64; 4] = std::array::from_fn(|_| StandardNormal.sample(rng));
            // Four zeros have probability zero.
            if let Ok(rotation) = Self::from_quaternion(quaternion) {
                return rotation;
            }
        }
    }

    /// Uniform in O(3): a uniform rotation, after an inversion with probability 1/2.
    pub fn random_orthogonal(rng: &mut (impl Rng + ?Sized)) -> Self {
        let rotation = Self::random_rotation(rng);
        if rng.random() { rotation * Self::INVERSION } else { rotation }
    }

    /// A translation whose three coordinates are normal with this standard deviation.
    ///
    /// # Panics
    /// If the deviation is not finite.
    pub fn random_translation(deviation: f64, rng: &mut (impl Rng + ?Sized)) -> Self {
        assert!(deviation.is_finite(), "a translation with standard deviation {deviation} cannot be drawn");
        let offset = Vector3::from_fn(|_, _| {
            let z: f64 = StandardNormal.sample(rng);
            deviation * z
        });
        Self { offset, ..Self::IDENTITY }
    }

    /// A translation whose three coordinates are uniform in `[-half_side, half_side)`.
    ///
    /// # Panics
    /// If the half side is not finite.
    pub fn random_translation_in_box(half_side: f64, rng: &mut (impl Rng + ?Sized)) -> Self {
        assert!(half_side.is_finite(), "a translation in a box of half side {half_side} cannot be drawn");
        let offset = Vector3::from_fn(|_, _| half_side * (2.0 * rng.random::<f64>() - 1.0));
        Self { offset, ..Self::IDENTITY }
    }

    /// The rows of the orthogonal matrix `R`.
    pub fn matrix(&self) -> [[f64; 3]; 3] {
        std::array::from_fn(|i| std::array::from_fn(|j| self.matrix[(i, j)]))
    }

    /// The translation `t`.
    pub fn offset(&self) -> [f64; 3] {
        self.offset.into()
    }

    /// `det R`: 1 for a rotation, -1 if the isometry reverses orientation.
    pub fn det(&self) -> f64 {
        self.matrix.determinant().signum()
    }

    /// Whether the isometry keeps orientation, that is, is an element of SE(3).
    pub fn is_proper(&self) -> bool {
        self.det() > 0.0
    }

    /// The isometry that undoes this one, `x -> R^T (x - t)`.
    pub fn inverse(&self) -> Self {
        let matrix = self.matrix.transpose();
        Self { matrix, offset: -(matrix * self.offset) }
    }

    /// Where a point goes, `R x + t`. For tensors see [`crate::action::space`].
    pub fn act(&self, point: [f64; 3]) -> [f64; 3] {
        (self.matrix * Vector3::from(point) + self.offset).into()
    }

    /// For a quaternion of length 1.
    fn of_quaternion([w, x, y, z]: [f64; 4]) -> Self {
        let v = Vector3::new(x, y, z);
        let diagonal = Matrix3::from_diagonal_element(w * w - v.norm_squared());
        let matrix = diagonal + 2.0 * v * v.transpose() + 2.0 * w * v.cross_matrix();
        Self { matrix: orthogonalise(matrix), ..Self::IDENTITY }
    }
}

impl Mul for Isometry {
    type Output = Self;

    /// First `other`, then `self`.
    fn mul(self, other: Self) -> Self {
        // Orthogonal again after every product, so that long ones do not drift.
        Self { matrix: orthogonalise(self.matrix * other.matrix), offset: self.matrix * other.offset + self.offset }
    }
}

impl fmt::Display for Isometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proper, moved) = (self.is_proper(), self.offset != Vector3::zeros());
        // Rotations have trace 1 + 2 cos, rotations after a reflection in the plane of rotation -1 + 2 cos.
        let cosine = (self.matrix.trace() - self.det()) / 2.0;
        let degrees = (cosine.clamp(-1.0, 1.0).acos().to_degrees() * 100.0).round() / 100.0;
        match (proper, degrees) {
            (true, 0.0) if moved => {}
            (true, 0.0) => write!(f, "identity")?,
            (true, degrees) => write!(f, "rotation by {degrees} deg")?,
            (false, 0.0) => write!(f, "reflection")?,
            (false, 180.0) => write!(f, "inversion")?,
            (false, degrees) => write!(f, "reflection, rotation by {degrees} deg")?,
        }
        if moved {
            let [x, y, z] = self.offset();
            let comma = if proper && degrees == 0.0 { "" } else { ", " };
            write!(f, "{comma}translation by ({x:.2}, {y:.2}, {z:.2})")?;
        }
        Ok(())
    }
}

/// One Newton step to the nearest orthogonal matrix, `R (3 - R^T R) / 2`: it squares the deviation, and changes nothing at
/// matrices that are orthogonal without rounding.
fn orthogonalise(matrix: Matrix3<f64>) -> Matrix3<f64> {
    matrix * (Matrix3::from_diagonal_element(3.0) - matrix.tr_mul(&matrix)) * 0.5
}

fn finite(what: &'static str, values: [f64; 3]) -> Result<Vector3<f64>> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(Error::NotFinite { what, value }),
        None => Ok(values.into()),
    }
}

/// Of length 1. The largest entry is divided out first, so that no square overflows or vanishes.
fn direction<const N: usize>(what: &'static str, values: [f64; N]) -> Result<[f64; N]> {
    if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::NotFinite { what, value });
    }
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if largest == 0.0 {
        return Err(Error::NoDirection { what });
    }
    let scaled = values.map(|value| value / largest);
    let length = scaled.iter().map(|value| value * value).sum::<f64>().sqrt();
    Ok(scaled.map(|value| value / length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::f64::consts::{FRAC_PI_2, PI};

    const SAMPLES: usize = 40_000;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// A rotation or rotoreflection with a translation.
    fn draw(rng: &mut ChaCha8Rng) -> Isometry {
        Isometry::random_translation(3.0, rng) * Isometry::random_orthogonal(rng)
    }

    fn distance(a: &Isometry, b: &Isometry) -> f64 {
        (a.matrix - b.matrix).amax().max((a.offset - b.offset).amax())
    }

    fn points(distance_to: [f64; 3], from: [f64; 3]) -> f64 {
        (Vector3::from(distance_to) - Vector3::from(from)).amax()
    }

    /// In `[0, pi]`, exact near both ends.
    fn angle(rotation: &Isometry) -> f64 {
        let m = &rotation.matrix;
        let twice_sine = Vector3::new(m[(2, 1)] - m[(1, 2)], m[(0, 2)] - m[(2, 0)], m[(1, 0)] - m[(0, 1)]).norm();
        twice_sine.atan2(m.trace() - 1.0)
    }

    #[test]
    fn constructors_move_points_as_they_say() {
        let quarter = Isometry::rotation([0.0, 0.0, 7.0], FRAC_PI_2).unwrap();
        assert!(points(quarter.act([1.0, 2.0, 3.0]), [-2.0, 1.0, 3.0]) < 1e-15);
        let third = Isometry::rotation([1.0, 1.0, 1.0], 2.0 * PI / 3.0).unwrap();
        assert!(points(third.act([1.0, 2.0, 3.0]), [3.0, 1.0, 2.0]) < 1e-15);
        let same = Isometry::from_quaternion([3.0, 3.0, 3.0, 3.0]).unwrap();
        assert!(distance(&third, &same) < 1e-15);
        let mirror = Isometry::reflection([0.0, 2.0, 0.0]).unwrap();
        assert_eq!(mirror.act([1.0, 2.0, 3.0]), [1.0, -2.0, 3.0]);
        assert_eq!(Isometry::INVERSION.act([1.0, 2.0, 3.0]), [-1.0, -2.0, -3.0]);
        assert_eq!(Isometry::translation([1.0, 0.0, -1.0]).unwrap().act([1.0, 2.0, 3.0]), [2.0, 2.0, 2.0]);
    }

    #[test]
    fn orientation_is_the_sign_of_the_determinant() {
        let mirror = Isometry::reflection([0.3, -1.0, 2.0]).unwrap();
        assert_eq!((mirror.det(), Isometry::INVERSION.det(), Isometry::IDENTITY.det()), (-1.0, -1.0, 1.0));
        assert!((mirror * Isometry::INVERSION).is_proper());
        assert!(!mirror.is_proper());
    }

    #[test]
    fn matrices_that_are_not_orthogonal_are_refused() {
        let shear = [[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        assert_eq!(Isometry::new(shear, [0.0; 3]), Err(Error::NotOrthogonal { deviation: 0.5 }));
        for entry in [f64::NAN, f64::INFINITY, 1.0 + 1e-5, 0.0] {
            let matrix = [[entry, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
            let error = Isometry::new(matrix, [0.0; 3]).unwrap_err();
            assert!(matches!(error, Error::NotOrthogonal { .. }), "{error}");
        }
    }

    #[test]
    fn what_has_no_direction_or_is_not_finite_is_refused() {
        assert_eq!(Isometry::rotation([0.0; 3], 1.0), Err(Error::NoDirection { what: "the axis of a rotation" }));
        assert_eq!(Isometry::from_quaternion([0.0; 4]), Err(Error::NoDirection { what: "a quaternion" }));
        assert_eq!(Isometry::reflection([0.0; 3]), Err(Error::NoDirection { what: "the normal of a mirror" }));
        for result in [
            Isometry::rotation([0.0, 0.0, f64::NAN], 1.0),
            Isometry::rotation([0.0, 0.0, 1.0], f64::INFINITY),
            Isometry::translation([0.0, f64::NAN, 0.0]),
            Isometry::new(Isometry::IDENTITY.matrix(), [f64::INFINITY, 0.0, 0.0]),
        ] {
            assert!(matches!(result, Err(Error::NotFinite { .. })), "{result:?}");
        }
    }

    #[test]
    fn tiny_and_huge_axes_keep_their_direction() {
        let expected = Isometry::rotation([1.0, 2.0, 3.0], 0.7).unwrap();
        for scale in [1e-300, 1e300] {
            assert!(distance(&Isometry::rotation([1.0, 2.0, 3.0].map(|v| v * scale), 0.7).unwrap(), &expected) < 1e-15);
        }
    }

    #[test]
    fn a_matrix_rounded_to_f32_is_made_orthogonal() {
        for seed in 0..20 {
            let rounded =
                Isometry::random_rotation(&mut rng(seed)).matrix().map(|row| row.map(|entry| f64::from(entry as f32)));
            let taken = Isometry::new(rounded, [0.0; 3]).unwrap();
            // The deviation of 1e-7 is squared.
            assert!((taken.matrix.tr_mul(&taken.matrix) - Matrix3::identity()).amax() < 1e-13);
            assert!((taken.matrix - Matrix3::from_fn(|i, j| rounded[i][j])).amax() < 1e-7);
        }
    }

    #[test]
    fn long_products_stay_orthogonal() {
        let step = Isometry::random_orthogonal(&mut rng(1));
        let product = (0..100_000).fold(Isometry::IDENTITY, |product, _| product * step);
        assert!((product.matrix.tr_mul(&product.matrix) - Matrix3::identity()).amax() < 1e-14);
    }

    #[test]
    fn display_reads_as_words() {
        let third = Isometry::rotation([1.0, 1.0, 1.0], 2.0 * PI / 3.0).unwrap();
        let shift = Isometry::translation([1.0, -0.5, 0.0]).unwrap();
        let mirror = Isometry::reflection([1.0, 2.0, 0.0]).unwrap();
        assert_eq!(Isometry::IDENTITY.to_string(), "identity");
        assert_eq!(shift.to_string(), "translation by (1.00, -0.50, 0.00)");
        assert_eq!((shift * third).to_string(), "rotation by 120 deg, translation by (1.00, -0.50, 0.00)");
        assert_eq!((mirror.to_string(), Isometry::INVERSION.to_string()), ("reflection".into(), "inversion".into()));
        let about_the_normal = Isometry::rotation([1.0, 2.0, 0.0], 0.5 * PI).unwrap();
        assert_eq!((about_the_normal * mirror).to_string(), "reflection, rotation by 90 deg");
    }

    proptest! {
        #[test]
        fn group_axioms(seed in any::<u64>(), x in [-9.0..9.0, -9.0..9.0, -9.0..9.0f64]) {
            let mut rng = rng(seed);
            let [a, b, c] = [(); 3].map(|()| draw(&mut rng));
            // Coordinates up to about 60 and a few operations on them.
            prop_assert!(distance(&((a * b) * c), &(a * (b * c))) < 1e-13);
            prop_assert!(distance(&(a * a.inverse()), &Isometry::IDENTITY) < 1e-13);
            prop_assert!(points((a * b).act(x), a.act(b.act(x))) < 1e-13);
            prop_assert_eq!((a * b).det(), a.det() * b.det());
        }
    }

    /// The mean over rotations of a product of entries.
    fn moment(rotations: &[Isometry], entries: &[(usize, usize)]) -> f64 {
        let product = |g: &Isometry| entries.iter().map(|&entry| g.matrix[entry]).product::<f64>();
        rotations.iter().map(product).sum::<f64>() / rotations.len() as f64
    }

    /// Kolmogorov's distance between the angles of rotations and the Haar measure, density `(1 - cos) / pi`, in units in which a
    /// true sample exceeds 1.95 once in a thousand seeds.
    fn kolmogorov(rotations: impl Iterator<Item = Isometry>) -> f64 {
        let mut angles: Vec<f64> = rotations.map(|g| angle(&g)).collect();
        angles.sort_by(f64::total_cmp);
        let n = angles.len() as f64;
        let gap = |(i, a): (usize, &f64)| {
            let expected = (a - a.sin()) / PI;
            (expected - i as f64 / n).abs().max((expected - (i + 1) as f64 / n).abs())
        };
        angles.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
    }

    #[test]
    fn rotations_have_the_moments_of_the_haar_measure() {
        let mut rng = rng(2);
        let proper: Vec<_> = (0..SAMPLES).map(|_| Isometry::random_rotation(&mut rng)).collect();
        let both: Vec<_> = (0..SAMPLES).map(|_| Isometry::random_orthogonal(&mut rng)).collect();
        assert!(proper.iter().all(Isometry::is_proper));
        // 5 standard errors: R_ij has variance 1/3, R_ij R_kl at most E[R_ij^4] = 1/5, a product of three at most 1/7.
        let errors = |variance: f64| 5.0 * (variance / SAMPLES as f64).sqrt();
        let entries = || (0..9).map(|k| (k / 3, k % 3));
        for rotations in [&proper, &both] {
            for a in entries() {
                assert!(moment(rotations, &[a]).abs() < errors(1.0 / 3.0), "mean of {a:?}");
                for b in entries() {
                    let expected = if a == b { 1.0 / 3.0 } else { 0.0 };
                    assert!((moment(rotations, &[a, b]) - expected).abs() < errors(0.2), "{a:?} {b:?}");
                }
            }
        }
        // The first moment in which the two groups differ: the determinant averages to 1 and to 0, over six equal terms.
        let diagonal = [(0, 0), (1, 1), (2, 2)];
        assert!((moment(&proper, &diagonal) - 1.0 / 6.0).abs() < errors(1.0 / 7.0));
        assert!(moment(&both, &diagonal).abs() < errors(1.0 / 7.0));
        let improper = both.iter().filter(|g| !g.is_proper()).count() as f64 / SAMPLES as f64;
        assert!((improper - 0.5).abs() < errors(0.25), "{improper}");
    }

    #[test]
    fn angles_have_the_distribution_of_the_haar_measure_wherever_one_starts() {
        let mut rng = rng(3);
        let rotations: Vec<_> = (0..SAMPLES).map(|_| Isometry::random_rotation(&mut rng)).collect();
        let g = Isometry::rotation([1.0, -2.0, 0.5], 2.0).unwrap();
        assert!(kolmogorov(rotations.iter().copied()) < 1.95);
        assert!(kolmogorov(rotations.iter().map(|&r| g * r)) < 1.95);
        assert!(kolmogorov(rotations.iter().map(|&r| r * g)) < 1.95);
        // The test has power: uniform angles about uniform axes, a common mistake, are far off.
        let naive = rotations.iter().map(|r| {
            let [row, _, _] = r.matrix();
            Isometry::rotation(row, rng.random::<f64>() * PI).unwrap()
        });
        assert!(kolmogorov(naive) > 20.0);
    }

    #[test]
    fn translations_have_the_stated_spread() {
        let mut rng = rng(4);
        let mut variance = |draw: &mut dyn FnMut(&mut ChaCha8Rng) -> Isometry| {
            let values: Vec<f64> = (0..SAMPLES).flat_map(|_| draw(&mut rng).offset()).collect();
            let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|&v| f(v)).sum::<f64>() / values.len() as f64;
            assert!(mean(&|v| v).abs() < 0.03, "{}", mean(&|v| v));
            (mean(&|v| v * v), values.iter().fold(0.0, |m: f64, v| m.max(v.abs())))
        };
        // 5 standard errors over 3 n values: 4 sqrt(2 / 3n) for the normal, 3 sqrt(4 / 45 * 9 / n) for the box of variance 3.
        let (normal, _) = variance(&mut |rng| Isometry::random_translation(2.0, rng));
        assert!((normal - 4.0).abs() < 0.082, "{normal}");
        let (uniform, largest) = variance(&mut |rng| Isometry::random_translation_in_box(3.0, rng));
        assert!((uniform - 3.0).abs() < 0.039, "{uniform}");
        assert!(largest <= 3.0);
    }
}
