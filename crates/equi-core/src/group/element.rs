//! Elements of O(2): a flip, then a rotation.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::fmt;
use std::ops::Mul;

/// An angle: an exact fraction of a turn, or radians.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rotation {
    /// `step / of` of a full turn, in lowest terms, `step < of`.
    Turns {
        /// Numerator.
        step: u32,
        /// Denominator.
        of: u32,
    },
    /// Radians, counter-clockwise.
    Radians(f64),
}

impl Rotation {
    /// No rotation.
    pub const ZERO: Self = Self::Turns { step: 0, of: 1 };

    /// `step / of` of a full turn, counter-clockwise.
    ///
    /// # Panics
    /// If `of` is zero.
    pub fn turns(step: u32, of: u32) -> Self {
        assert!(of > 0, "a rotation by {step}/{of} of a turn does not exist");
        let step = step % of;
        let divisor = gcd(u64::from(step), u64::from(of)) as u32;
        Self::Turns { step: step / divisor, of: of / divisor }
    }

    /// The angle in radians, in `[0, 2 pi)` for fractions of a turn.
    pub fn radians(self) -> f64 {
        match self {
            Self::Turns { step, of } => TAU * f64::from(step) / f64::from(of),
            Self::Radians(a) => a,
        }
    }

    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Turns { step: a, of: n }, Self::Turns { step: b, of: m }) => {
                // Each product fits 64 bits, their sum may not; a denominator past 32 bits is left to floating point.
                let (a, b, n, m) = (u128::from(a), u128::from(b), u128::from(n), u128::from(m));
                let (step, of) = ((a * m + b * n) % (n * m), n * m);
                let divisor = gcd(step as u64, of as u64);
                match (u32::try_from(step as u64 / divisor), u32::try_from(of as u64 / divisor)) {
                    (Ok(step), Ok(of)) => Self::Turns { step, of },
                    _ => Self::Radians(TAU * step as f64 / of as f64),
                }
            }
            _ => Self::Radians(self.radians() + other.radians()),
        }
    }

    fn negate(self) -> Self {
        match self {
            Self::Turns { step, of } => Self::turns(of - step, of),
            Self::Radians(a) => Self::Radians(-a),
        }
    }

    /// `(cos, sin)` of `k` times the angle; exact at quarter turns.
    pub fn cos_sin(self, k: i64) -> (f64, f64) {
        match self {
            Self::Turns { step, of } => {
                let step = (k * i64::from(step)).rem_euclid(i64::from(of));
                let quarters = 4 * step;
                if quarters % i64::from(of) == 0 {
                    [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][(quarters / i64::from(of)) as usize % 4]
                } else {
                    let angle = TAU * step as f64 / f64::from(of);
                    (angle.cos(), angle.sin())
                }
            }
            Self::Radians(a) => ((k as f64 * a).cos(), (k as f64 * a).sin()),
        }
    }
}

/// An element of O(2): a flip of left and right (or none), then a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element {
    flip: bool,
    rotation: Rotation,
}

impl Element {
    /// The neutral element.
    pub const IDENTITY: Self = Self { flip: false, rotation: Rotation::ZERO };
    /// The flip of left and right.
    pub const FLIP: Self = Self { flip: true, rotation: Rotation::ZERO };

    /// First the flip, if any, then the rotation.
    pub fn new(flip: bool, rotation: Rotation) -> Self {
        Self { flip, rotation }
    }

    /// The rotation by `step / of` of a full turn, counter-clockwise.
    pub fn turn(step: u32, of: u32) -> Self {
        Self::new(false, Rotation::turns(step, of))
    }

    /// The rotation by an angle in radians, counter-clockwise.
    pub fn radians(angle: f64) -> Self {
        Self::new(false, Rotation::Radians(angle))
    }

    /// Whether the element reverses orientation.
    pub fn is_flip(&self) -> bool {
        self.flip
    }

    /// The rotation that follows the flip.
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// The element that undoes this one.
    pub fn inverse(self) -> Self {
        if self.flip { self } else { Self::new(false, self.rotation.negate()) }
    }

    /// Whether the element maps the pixel grid onto itself: a quarter turn, with or without a flip.
    pub fn is_grid_symmetry(&self) -> bool {
        self.quarter_turns().is_some()
    }

    /// The number of counter-clockwise quarter turns of the rotation, if it is exactly that.
    pub fn quarter_turns(&self) -> Option<u32> {
        match self.rotation {
            Rotation::Turns { step, of } if 4 % of == 0 => Some(step * (4 / of)),
            _ => None,
        }
    }

    /// The orthogonal matrix `R(theta) diag(-1, 1)^flip` by which the element acts on the plane (x right, y up).
    pub fn matrix(&self) -> [[f64; 2]; 2] {
        let (c, s) = self.rotation.cos_sin(1);
        let mirror = if self.flip { -1.0 } else { 1.0 };
        [[mirror * c, -s], [mirror * s, c]]
    }
}

impl Mul for Element {
    type Output = Self;

    /// `(f1, a1)(f2, a2) = (f1 + f2, a1 + (-1)^f1 a2)`.
    fn mul(self, other: Self) -> Self {
        let second = if self.flip { other.rotation.negate() } else { other.rotation };
        Self::new(self.flip != other.flip, self.rotation.add(second))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let degrees = self.rotation.radians().to_degrees();
        match (self.flip, degrees == 0.0) {
            (false, true) => write!(f, "identity"),
            (true, true) => write!(f, "flip"),
            (false, false) => write!(f, "rotation by {} deg", Trimmed(degrees)),
            (true, false) => write!(f, "flip, rotation by {} deg", Trimmed(degrees)),
        }
    }
}

/// Degrees with at most two decimals.
struct Trimmed(f64);

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.2}", self.0);
        write!(f, "{}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_kept_in_lowest_terms() {
        assert_eq!(Element::turn(2, 8), Element::turn(1, 4));
        assert_eq!(Element::turn(2, 8).quarter_turns(), Some(1));
        assert_eq!(Element::turn(9, 8).quarter_turns(), None);
        assert_eq!(Element::turn(8, 8), Element::IDENTITY);
    }

    #[test]
    fn fractions_too_fine_for_their_type_stay_right() {
        let product = Element::turn(1, 65_537) * Element::turn(1, 65_539);
        let expected = TAU * (1.0 / 65_537.0 + 1.0 / 65_539.0);
        assert!((product.rotation().radians() - expected).abs() < 1e-15);
    }

    #[test]
    fn quarter_turns_have_exact_matrices() {
        assert_eq!(Element::turn(1, 4).matrix(), [[0.0, -1.0], [1.0, 0.0]]);
        assert_eq!(Element::FLIP.matrix(), [[-1.0, -0.0], [-0.0, 1.0]]);
    }

    #[test]
    fn display_reads_as_words() {
        let g = Element::FLIP * Element::turn(1, 8);
        assert_eq!(g.to_string(), "flip, rotation by 315 deg");
        assert_eq!(Element::turn(1, 16).to_string(), "rotation by 22.5 deg");
    }
}
