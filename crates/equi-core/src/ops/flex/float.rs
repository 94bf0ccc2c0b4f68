//! Exponentials that the compiler can vectorise: no branches, no calls.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use burn::tensor::Element;
use pulp::bytemuck::Pod;

/// `f32` and `f64`.
///
/// Nothing here is fused (`a * b + c` rounds twice), so results are the same with every instruction set.
pub(super) trait Float:
    Element
    + Pod
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
{
    const ZERO: Self;
    const ONE: Self;

    /// `exp(-x)`, within 2 units in the last place for `-88 < x < 87` (`-709 < x < 708` in double precision); beyond that
    /// infinity, or the number at the end of that range. Not a number for not a number.
    fn exp_neg(self) -> Self;

    /// The nearest number that is not near infinity.
    fn bounded(self) -> Self;

    /// `x sigmoid(x)`; zero at minus infinity.
    #[inline(always)]
    fn swish(self) -> Self {
        let x = self.bounded();
        // Only minus infinity is to be bounded: the limit at infinity is infinity.
        let numerator = if self < Self::ZERO { x } else { self };
        numerator / (Self::ONE + x.exp_neg())
    }

    /// The derivative of [`swish`](Self::swish): `s (1 + x (1 - s))` with `s = sigmoid(x)`.
    #[inline(always)]
    fn swish_slope(self) -> Self {
        let x = self.bounded();
        let sigmoid = Self::ONE / (Self::ONE + x.exp_neg());
        sigmoid * (Self::ONE + x * (Self::ONE - sigmoid))
    }
}

/// The exponential by `exp(t) = 2^n exp(t - n ln 2)` and the Taylor series of the second factor, whose argument is at most
/// `ln 2 / 2`: the first term that is left out is below a tenth of the rounding error.
///
/// Adding `$magic` (1.5 times the weight of the first bit above the mantissa's last) rounds to the nearest integer and leaves it
/// in the last bits, from where a shift takes it into the exponent. `ln 2` is in two parts, the first with so few bits that its
/// product with `n` is exact.
macro_rules! float {
    ($float:ty, log2_e: $log2_e:expr, bits: $bits:ty, mantissa: $mantissa:expr, bias: $bias:expr, magic: $magic:expr, ln2: [$high:expr, $low:expr],
     lowest: $lowest:expr, highest: $highest:expr, bound: $bound:expr, taylor: [$first:expr, $($coefficient:expr),*]) => {
        impl Float for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            #[inline(always)]
            fn exp_neg(self) -> Self {
                // Comparisons with a number that is none are false, so it passes through.
                let t = -self;
                let t = if t < $lowest { $lowest } else { t };
                let t = if t > $highest { $highest } else { t };
                let shifted = t * $log2_e + $magic;
                let n = shifted - $magic;
                let rest = (t - n * $high) - n * $low;
                let mut sum: $float = $first;
                $(sum = sum * rest + $coefficient;)*
                sum * <$float>::from_bits(shifted.to_bits().wrapping_add($bias) << ($mantissa as $bits))
            }

            #[inline(always)]
            fn bounded(self) -> Self {
                let x = if self < -$bound { -$bound } else { self };
                if x > $bound { $bound } else { x }
            }
        }
    };
}

float!(
    f32,
    log2_e: std::f32::consts::LOG2_E,
    bits: u32,
    mantissa: 23,
    bias: 127,
    magic: 12_582_912.0,
    ln2: [0.693_359_4, -2.121_944_4e-4],
    lowest: -87.0,
    highest: 89.0,
    bound: 1e30,
    taylor: [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0]
);

float!(
    f64,
    log2_e: std::f64::consts::LOG2_E,
    bits: u64,
    mantissa: 52,
    bias: 1023,
    magic: 6_755_399_441_055_744.0,
    ln2: [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10],
    lowest: -708.0,
    highest: 710.0,
    bound: 1e300,
    taylor: [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0
    ]
);
