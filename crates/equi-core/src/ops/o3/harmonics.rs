//! The recursion of spherical harmonics and that of their gradients, as numbers.

use crate::o3::SphericalHarmonics;

/// What harmonics of all degrees up to the highest are made of, and which are wanted.
///
/// Components are numbered from that of degree 0 on; those of degree `l` begin at `l^2`. Gradients of homogeneous harmonic polynomials of degree
/// `l` consist of those of degree `l - 1`: with `A^2 = (2 l + 1) / (2 l - 1)` and `c_m`, `s_m` for the components `m` and `-m`,
///
/// ```text
/// d/dy c_m =  A sqrt(l^2 - m^2) c_m              a_m = sqrt((l + m) (l + m - 1))      a_1 times sqrt 2
/// d/dz c_m =  A/2 (a_m c_(m-1) - b_m c_(m+1))    b_m = sqrt((l - m) (l - m - 1))      b_0 times sqrt 2
/// d/dx c_m = -A/2 (a_m s_(m-1) + b_m s_(m+1))    a_0 = 0,  s_0 = 0
/// ```
///
/// and for `s_m` the same with `c` and `s` exchanged, where `d/dx` has the other sign.
#[derive(Clone, Debug, PartialEq)]
pub struct HarmonicRecursion {
    pub(in crate::ops) degrees: Vec<usize>,
    /// Whether of directions.
    pub(in crate::ops) normalize: bool,
    /// Degree 0, and what the vector is multiplied by in degree 1.
    pub(in crate::ops) first: [f64; 2],
    /// For degrees from 2: the factors of `y Y_(l-1)`, then those of `r^2 Y_(l-2)`, then that of `s_l` and `c_l`.
    pub(in crate::ops) rise: Vec<Vec<f64>>,
    pub(in crate::ops) lower: Vec<Vec<f64>>,
    pub(in crate::ops) ends: Vec<f64>,
    /// For every component, those of the degree below whose sum is its derivative by `x`, `y` and `z`.
    pub(in crate::ops) slopes: Vec<Slopes>,
}

/// Components and their factors; a factor of zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::ops) struct Slopes {
    pub x: [(usize, f64); 2],
    pub y: (usize, f64),
    pub z: [(usize, f64); 2],
}

impl HarmonicRecursion {
    /// For these harmonics.
    pub fn new(harmonics: &SphericalHarmonics) -> Self {
        let lmax = harmonics.degrees().iter().max().copied().unwrap_or(0);
        let scale = |l| harmonics.normalization().factor(l);
        let [rise, lower] = [0, 1].map(|part| (2..=lmax).map(|l| harmonics.constants(l)[part].clone()).collect());
        Self {
            degrees: harmonics.degrees().to_vec(),
            normalize: harmonics.normalize(),
            first: [scale(0), 3f64.sqrt() * scale(1)],
            rise,
            lower,
            ends: (2..=lmax).map(|l| crate::o3::highest_order(l) * scale(l)).collect(),
            slopes: (0..=lmax)
                .flat_map(|l| Self::slopes(l, if l > 0 { scale(l) / scale(l - 1) } else { 0.0 }))
                .collect(),
        }
    }

    /// How many harmonics are wanted.
    pub fn columns(&self) -> usize {
        self.components().count()
    }

    /// The component of every column.
    pub(in crate::ops) fn components(&self) -> impl Iterator<Item = usize> {
        self.degrees.iter().flat_map(|l| l * l..(l + 1) * (l + 1))
    }

    /// The highest degree.
    pub(in crate::ops) fn lmax(&self) -> usize {
        self.degrees.iter().max().copied().unwrap_or(0)
    }

    /// Those of degree `l`, whose harmonics are `ratio` times as large as those of the degree below.
    fn slopes(l: usize, ratio: f64) -> Vec<Slopes> {
        if l == 0 {
            return vec![Slopes::default()];
        }
        let factor = ratio * ((2 * l + 1) as f64 / (2 * l - 1) as f64).sqrt();
        // The component of order `m` in the degree below, if there is one, and its factor.
        let below = |m: i64, factor: f64| match usize::try_from((l as i64 - 1) + m) {
            Ok(place) if m < l as i64 && factor != 0.0 => ((l - 1) * (l - 1) + place, factor),
            _ => (0, 0.0),
        };
        let slopes = |m: i64| {
            let (l, order, sine) = (l as i64, m.abs(), m < 0);
            let root = |square: i64| (square.max(0) as f64).sqrt();
            let to_zero = if order == 1 { 2f64.sqrt() } else { 1.0 };
            let from_zero = if order == 0 { 2f64.sqrt() } else { 1.0 };
            let a = if order == 0 { 0.0 } else { factor / 2.0 * root((l + order) * (l + order - 1)) * to_zero };
            let b = factor / 2.0 * root((l - order) * (l - order - 1)) * from_zero;
            // Cosines are at positive orders, sines at negative ones, and the sine of order zero is zero.
            let of = |order: i64, sine: bool, factor: f64| match (order, sine) {
                (0, true) => (0, 0.0),
                (_, true) => below(-order, factor),
                (_, false) => below(order, factor),
            };
            let sign = if sine { 1.0 } else { -1.0 };
            Slopes {
                y: below(m, factor * root(l * l - m * m)),
                z: [of(order - 1, sine, a), of(order + 1, sine, -b)],
                x: [of(order - 1, !sine, sign * a), of(order + 1, !sine, sign * b)],
            }
        };
        (-(l as i64)..=l as i64).map(slopes).collect()
    }
}
