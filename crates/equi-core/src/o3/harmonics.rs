//! Real spherical harmonics as polynomials in x, y, z.
//!
//! With the polar axis y, `r^2 = x^2 + y^2 + z^2` and `c_m + i s_m = (z + i x)^m`, degree `l` consists of
//!
//! ```text
//! Y_l,-m = P_lm(y, r^2) s_m      Y_l,0 = P_l0(y, r^2)      Y_l,m = P_lm(y, r^2) c_m      (m = 1, ..., l)
//! ```
//!
//! which are homogeneous of degree `l`: no angle, no division, nothing special at the poles or at zero. For every order they
//! rise by
//!
//! ```text
//! Y_lm = a y Y_(l-1)m - b r^2 Y_(l-2)m      a^2 = (4 l^2 - 1) / (l^2 - m^2)      b = a_lm / a_(l-1)m
//! ```
//!
//! (the associated Legendre recursion, normalised), which is stable. Values and order are e3nn's.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{Irrep, Irreps};
use crate::ops::{HarmonicRecursion, spherical_harmonics};

/// Shorter vectors have no direction.
pub(crate) const SHORTEST: f64 = 1e-12;

/// What the squared norm of `Y_l` is on the unit sphere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// `2 l + 1`, so that a component has mean square 1.
    #[default]
    Component,
    /// `(2 l + 1) / 4 pi`, so that the integral of the square of a component is 1.
    Integral,
    /// 1.
    Norm,
}

impl Normalization {
    /// What harmonics of degree `l` are, relative to [`Component`](Self::Component).
    pub fn factor(self, l: usize) -> f64 {
        match self {
            Self::Component => 1.0,
            Self::Integral => (4.0 * std::f64::consts::PI).sqrt().recip(),
            Self::Norm => ((2 * l + 1) as f64).sqrt().recip(),
        }
    }
}

/// The real spherical harmonics `Y_l(x)` of some degrees; `Y_l(g x) = D_l(g) Y_l(x)` for all `g` in O(3), with parity `(-1)^l`.
///
/// Of the direction `x / |x|`, unless [`with_normalize(false)`](Self::with_normalize) makes them homogeneous polynomials,
/// `Y_l(s x) = s^l Y_l(x)`. Vectors shorter than 1e-12 have no direction and count as zero: there `Y_0` is what it is
/// everywhere, and other degrees and their gradients are zero.
///
/// ```
/// use equi_core::o3::SphericalHarmonics;
///
/// let harmonics = SphericalHarmonics::new([0, 1]);
/// assert_eq!(harmonics.at([0.0, 2.0, 0.0]), [1.0, 0.0, 3f64.sqrt(), 0.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SphericalHarmonics {
    degrees: Vec<usize>,
    normalization: Normalization,
    normalize: bool,
}

impl SphericalHarmonics {
    /// Of these degrees, in this order; of directions, with [`Normalization::Component`].
    pub fn new(degrees: impl Into<Vec<usize>>) -> Self {
        Self { degrees: degrees.into(), normalization: Normalization::default(), normalize: true }
    }

    /// Of all degrees up to `lmax`.
    pub fn up_to(lmax: usize) -> Self {
        Self::new(Vec::from_iter(0..=lmax))
    }

    /// With another norm.
    pub fn with_normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// Whether of the direction only, or of the vector as it is.
    pub fn with_normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// The degrees, in the order of the columns.
    pub fn degrees(&self) -> &[usize] {
        &self.degrees
    }

    /// The irreps of the columns.
    pub fn irreps(&self) -> Irreps {
        self.degrees.iter().map(|&l| Irrep::spherical_harmonic(l)).collect()
    }

    /// How many columns there are, the sum of `2 l + 1`.
    pub fn dim(&self) -> usize {
        self.degrees.iter().map(|l| 2 * l + 1).sum()
    }

    /// The harmonics of vectors, differentiable, in their precision.
    ///
    /// # Shapes
    /// - `vectors`: `[rows, 3]`
    /// - output: `[rows, sum 2 l + 1]`
    ///
    /// # Panics
    /// If there are not three columns.
    pub fn forward(&self, vectors: Tensor<2>) -> Tensor<2> {
        let [rows, columns] = vectors.dims();
        assert_eq!(columns, 3, "spherical harmonics are of vectors [rows, 3], not [{rows}, {columns}]");
        spherical_harmonics(vectors, &Arc::new(HarmonicRecursion::new(self)))
    }

    /// The harmonics of one vector, on the host.
    pub fn at(&self, vector: [f64; 3]) -> Vec<f64> {
        let length = vector[0].hypot(vector[1]).hypot(vector[2]);
        let [x, y, z] = match self.normalize {
            true if length < SHORTEST => [0.0; 3],
            true => vector.map(|v| v / length),
            false => vector,
        };
        let square = x * x + y * y + z * z;
        let lmax = self.degrees.iter().max().copied().unwrap_or(0);
        let mut harmonics = vec![vec![1.0], [x, y, z].map(|v| v * 3f64.sqrt()).to_vec()];
        let (mut s, mut c) = (x, z);
        for l in 2..=lmax {
            (s, c) = (z * s + x * c, z * c - x * s);
            let (before, last) = (&harmonics[l - 2], &harmonics[l - 1]);
            let risen = |place: usize| {
                let m = place.abs_diff(l - 1);
                let lower = if m < l - 1 { lower_factor(l, m) * square * before[place - 1] } else { 0.0 };
                rise_factor(l, m) * y * last[place] - lower
            };
            let mut degree = vec![highest_order(l) * s];
            degree.extend((0..2 * l - 1).map(risen));
            degree.push(highest_order(l) * c);
            harmonics.push(degree);
        }
        let scaled = |&l: &usize| {
            let scale = self.normalization.factor(l);
            harmonics[l].iter().map(move |v| v * scale)
        };
        self.degrees.iter().flat_map(scaled).collect()
    }

    /// The factors of degree `l >= 2`: of degree `l - 1` for the orders that it has, and of degree `l - 2`.
    pub(crate) fn constants(&self, l: usize) -> [Vec<f64>; 2] {
        let (to, orders) =
            (self.normalization.factor(l), |highest: usize| (0..=2 * highest).map(move |i| i.abs_diff(highest)));
        let rise = orders(l - 1).map(|m| rise_factor(l, m) * to / self.normalization.factor(l - 1));
        let lower = orders(l - 2).map(|m| lower_factor(l, m) * to / self.normalization.factor(l - 2));
        [rise.collect(), lower.collect()]
    }

    /// How large they are.
    pub(crate) fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// Whether they are of directions.
    pub(crate) fn normalize(&self) -> bool {
        self.normalize
    }
}

/// `a` of the recursion, for `m < l`.
fn rise_factor(l: usize, m: usize) -> f64 {
    (((2 * l - 1) * (2 * l + 1)) as f64 / ((l - m) * (l + m)) as f64).sqrt()
}

/// `b` of the recursion, for `m < l - 1`.
fn lower_factor(l: usize, m: usize) -> f64 {
    rise_factor(l, m) / rise_factor(l - 1, m)
}

/// The factor of `s_l` and `c_l` in degree `l >= 1`: `sqrt(2 (2 l + 1)!! / (2 l)!!)`, which is `sqrt 3` for `l = 1`.
pub(crate) fn highest_order(l: usize) -> f64 {
    (1..=l).fold(2.0, |square, k| square * (2 * k + 1) as f64 / (2 * k) as f64).sqrt()
}
