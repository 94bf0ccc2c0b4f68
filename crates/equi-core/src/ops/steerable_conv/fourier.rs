//! Fourier transforms of the grid groups: sums and differences only.
//!
//! For real functions `F` on the group, up to a factor for each irrep, with `r^a s^e` at `a + 4 e` (in `D4`):
//!
//! | group | components |
//! |---|---|
//! | trivial | `F` |
//! | two elements | `F0 + F1`, `F0 - F1` |
//! | half turns and flips | the four characters |
//! | `C4` | the characters 1 and `(-1)^a`, then real and imaginary part of `sum F(a) i^-a` (with the sign of `i` left to the inverse) |
//! | `D4` | the four characters `1, (-1)^e, (-1)^a, (-1)^(a + e)`, then the two-dimensional irrep as a matrix, row by row |
//!
//! The inverse is the transpose; factors are taken with the weights.

use std::ops::{Add, Sub};

use super::symmetry::Transform;

/// The first two numbers are replaced by their components.
#[inline(always)]
pub(crate) fn two<T: Copy + Add<Output = T> + Sub<Output = T>>(f: [T; 8]) -> [T; 8] {
    [f[0] + f[1], f[0] - f[1], f[2], f[3], f[4], f[5], f[6], f[7]]
}

/// The first four numbers are replaced by their components for half turns and flips.
#[inline(always)]
pub(crate) fn klein<T: Copy + Add<Output = T> + Sub<Output = T>>(f: [T; 8]) -> [T; 8] {
    let (p, m, q, n) = (f[0] + f[1], f[0] - f[1], f[2] + f[3], f[2] - f[3]);
    [p + q, m + n, p - q, m - n, f[4], f[5], f[6], f[7]]
}

/// The first four numbers are replaced by their components for `C4`.
#[inline(always)]
pub(crate) fn cyclic<T: Copy + Add<Output = T> + Sub<Output = T>>(f: [T; 8]) -> [T; 8] {
    let (even, odd) = (f[0] + f[2], f[1] + f[3]);
    [even + odd, even - odd, f[0] - f[2], f[1] - f[3], f[4], f[5], f[6], f[7]]
}

/// The transpose of [`cyclic`].
#[inline(always)]
pub(crate) fn cyclic_transpose<T: Copy + Add<Output = T> + Sub<Output = T>>(c: [T; 8]) -> [T; 8] {
    let (even, odd) = (c[0] + c[1], c[0] - c[1]);
    [even + c[2], odd + c[3], even - c[2], odd - c[3], c[4], c[5], c[6], c[7]]
}

/// The components for `D4`.
#[inline(always)]
pub(crate) fn dihedral<T: Copy + Add<Output = T> + Sub<Output = T>>(f: [T; 8]) -> [T; 8] {
    let [a, b, r, i, ..] = cyclic(f);
    let [c, d, s, j, ..] = cyclic([f[4], f[5], f[6], f[7], f[0], f[1], f[2], f[3]]);
    [a + c, a - c, b + d, b - d, r + s, j - i, i + j, r - s]
}

/// The transpose of [`dihedral`].
#[inline(always)]
pub(crate) fn dihedral_transpose<T: Copy + Add<Output = T> + Sub<Output = T>>(c: [T; 8]) -> [T; 8] {
    let turned = [c[0] + c[1], c[2] + c[3], c[4] + c[7], c[6] - c[5], c[4], c[5], c[6], c[7]];
    let flipped = [c[0] - c[1], c[2] - c[3], c[4] - c[7], c[5] + c[6], c[4], c[5], c[6], c[7]];
    let [a, b, d, e, ..] = cyclic_transpose(turned);
    let [f, g, h, i, ..] = cyclic_transpose(flipped);
    [a, b, d, e, f, g, h, i]
}

impl Transform {
    /// Irreps: each has one component, but for the last of `C4`, a complex number, and the last of `D4`, a matrix.
    pub(crate) fn irreps(self) -> usize {
        match self {
            Self::Trivial => 1,
            Self::Two => 2,
            Self::Klein => 4,
            Self::Cyclic => 3,
            Self::Dihedral => 5,
        }
    }

    /// The components of a function on the group, in place of its values.
    #[inline]
    pub(crate) fn components<T: Copy + Add<Output = T> + Sub<Output = T>>(self, f: [T; 8]) -> [T; 8] {
        match self {
            Self::Trivial => f,
            Self::Two => two(f),
            Self::Klein => klein(f),
            Self::Cyclic => cyclic(f),
            Self::Dihedral => dihedral(f),
        }
    }

    /// The transpose of [`components`](Self::components).
    #[inline]
    pub(crate) fn function<T: Copy + Add<Output = T> + Sub<Output = T>>(self, c: [T; 8]) -> [T; 8] {
        match self {
            Self::Trivial => c,
            Self::Two => two(c),
            Self::Klein => klein(c),
            Self::Cyclic => cyclic_transpose(c),
            Self::Dihedral => dihedral_transpose(c),
        }
    }
}
