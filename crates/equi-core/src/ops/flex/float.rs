//! Exponentials that the compiler can vectorise: no branches, no calls.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use burn::tensor::Element;
use pulp::Simd;
use pulp::bytemuck::Pod;

/// `f32` and `f64`, as a kernel for the instruction set `S` sees them.
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

    /// Where the exponential of smaller numbers is taken for zero.
    const VANISHING: Self;

    /// The largest number whose sum and product with one of ordinary size are finite.
    const BOUND: Self;

    /// `a b + c`, rounded once where there is an instruction for it.
    fn mul_add<S: Simd>(self, b: Self, c: Self) -> Self;

    /// `exp(-x)`, within 2 units in the last place for `-88 < x < 87` (`-709 < x < 708` in double precision); beyond that
    /// infinity, or the number at the end of that range. Not a number for not a number.
    #[inline(always)]
    fn exp_neg<S: Simd>(self) -> Self {
        let [w, r, power] = self.exp_neg_parts::<S>();
        w.mul_add::<S>(r, Self::ONE) * power
    }

    /// `[w, r, p]` with `exp(-x) = (1 + w r) p`, where `p` is a power of two, and 1 around zero.
    fn exp_neg_parts<S: Simd>(self) -> [Self; 3];

    fn square_root(self) -> Self;

    /// The error function, within 4e-7 in single precision.
    fn erf<S: Simd>(self) -> Self;

    /// `exp(-x) - 1`, as exact near zero as elsewhere.
    #[inline(always)]
    fn exp_neg_minus_one<S: Simd>(self) -> Self {
        let [w, r, power] = self.exp_neg_parts::<S>();
        (w * r).mul_add::<S>(power, power - Self::ONE)
    }

    /// The hyperbolic tangent, `-u / (2 + u)` with `u = exp(-2 |x|) - 1` and the sign of `x`.
    #[inline(always)]
    fn tanh<S: Simd>(self) -> Self {
        let negative = self < Self::ZERO;
        let size = if negative { -self } else { self };
        let u = (size + size).exp_neg_minus_one::<S>();
        let tanh = -u / (Self::ONE + Self::ONE + u);
        if negative { -tanh } else { tanh }
    }

    /// `1 / (1 + exp(-x))`.
    #[inline(always)]
    fn sigmoid<S: Simd>(self) -> Self {
        Self::ONE / (Self::ONE + self.exp_neg::<S>())
    }

    /// `x sigmoid(x)`; zero at minus infinity.
    #[inline(always)]
    fn swish<S: Simd>(self) -> Self {
        let x = if self < -Self::BOUND { -Self::BOUND } else { self };
        x / (Self::ONE + self.exp_neg::<S>())
    }

    /// The derivative of [`swish`](Self::swish): `s (1 + x (1 - s))` with `s = sigmoid(x)`.
    #[inline(always)]
    fn swish_slope<S: Simd>(self) -> Self {
        let x = if self < -Self::BOUND { -Self::BOUND } else { self };
        let x = if x > Self::BOUND { Self::BOUND } else { x };
        let sigmoid = self.sigmoid::<S>();
        sigmoid * x.mul_add::<S>(Self::ONE - sigmoid, Self::ONE)
    }
}

/// The exponential by `exp(t) = 2^n exp(t - n ln 2)`. The argument `r` of the second factor is at most `ln 2 / 2`, where
/// `exp(r) = 1 + r + r^2 q(r)` with a polynomial `q` of least relative error (Remez): 3.1e-9 in single precision, 3.3e-17 in double.
///
/// Adding `magic`, 1.5 times the weight of the first bit above the mantissa, rounds to the nearest integer and leaves it in the
/// last bits, from where a shift takes it into the exponent. `ln 2` is in two parts, the first with so few bits that its product
/// with `n` is exact.
macro_rules! float {
    ($float:ident, log2_e: $log2_e:expr, bits: $bits:ty, mantissa: $mantissa:expr, bias: $bias:expr, magic: $magic:expr, ln2: [$high:expr, $low:expr],
     range: [$lowest:expr, $highest:expr], bound: $bound:expr, q: [$first:expr, $($coefficient:expr),*], erf: [$($erf:tt)+]) => {
        impl Float for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const VANISHING: Self = $lowest;
            const BOUND: Self = $bound;

            #[inline(always)]
            fn mul_add<S: Simd>(self, b: Self, c: Self) -> Self {
                // Without an instruction it would be a call.
                if S::IS_SCALAR || cfg!(target_family = "wasm") { self * b + c } else { $float::mul_add(self, b, c) }
            }

            #[inline(always)]
            fn exp_neg_parts<S: Simd>(self) -> [Self; 3] {
                // Comparisons with what is not a number are false, so it passes through.
                let t = -self;
                let t = if t < $lowest { $lowest } else { t };
                let t = if t > $highest { $highest } else { t };
                let shifted = Float::mul_add::<S>(t, $log2_e, $magic);
                let n = shifted - $magic;
                let r = Float::mul_add::<S>(n, -$low, Float::mul_add::<S>(n, -$high, t));
                let q: $float = $first;
                $(let q = Float::mul_add::<S>(q, r, $coefficient);)*
                let power = $float::from_bits(shifted.to_bits().wrapping_add($bias) << ($mantissa as $bits));
                [Float::mul_add::<S>(q, r, 1.0), r, power]
            }

            #[inline(always)]
            fn square_root(self) -> Self {
                self.sqrt()
            }

            #[inline(always)]
            fn erf<S: Simd>(self) -> Self {
                $($erf)+(self)
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
    range: [-87.0, 89.0],
    bound: 1e30,
    q: [0.001_381_460_2, 0.008_368_715, 0.041_668_39, 0.166_665_21, 0.499_999_93],
    erf: [erf_single::<S>]
);

float!(
    f64,
    log2_e: std::f64::consts::LOG2_E,
    bits: u64,
    mantissa: 52,
    bias: 1023,
    magic: 6_755_399_441_055_744.0,
    ln2: [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10],
    range: [-708.0, 710.0],
    bound: 1e300,
    q: [
        2.542_365_083_394_636e-8,
        2.762_451_051_097_182e-7,
        2.755_628_820_278_424_2e-6,
        2.480_151_036_763_602e-5,
        0.000_198_412_708_781_673_2,
        0.001_388_888_892_624_486_5,
        0.008_333_333_332_922_703,
        0.041_666_666_666_595_16,
        0.166_666_666_666_671_74,
        0.500_000_000_000_000_3
    ],
    erf: [libm::erf]
);

/// `x N(x^2) / D(x^2)`, with coefficients of least largest error up to 3.9, from where on the function is 1 in this precision.
#[inline(always)]
fn erf_single<S: Simd>(x: f32) -> f32 {
    let x = if x > 3.9 { 3.9 } else { x };
    let x = if x < -3.9 { -3.9 } else { x };
    let w = x * x;
    let n: f32 = 2.050_387_1e-6;
    let n = Float::mul_add::<S>(n, w, 2.874_565e-4);
    let n = Float::mul_add::<S>(n, w, 3.836_856_2e-3);
    let n = Float::mul_add::<S>(n, w, 5.296_686_3e-2);
    let n = Float::mul_add::<S>(n, w, 0.191_940_58);
    let n = Float::mul_add::<S>(n, w, std::f32::consts::FRAC_2_SQRT_PI);
    let d: f32 = 3.823_069_7e-5;
    let d = Float::mul_add::<S>(d, w, 1.181_728_9e-3);
    let d = Float::mul_add::<S>(d, w, 1.510_916_7e-2);
    let d = Float::mul_add::<S>(d, w, 0.114_758_02);
    let d = Float::mul_add::<S>(d, w, 0.503_434_7);
    let d = Float::mul_add::<S>(d, w, 1.0);
    x * n / d
}

/// `a . b`, in 16 sums side by side.
#[inline(always)]
pub(super) fn dot<F: Float, S: Simd>(a: &[F], b: &[F]) -> F {
    let mut lanes = [F::ZERO; 16];
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..16 {
            lanes[lane] = a[lane].mul_add::<S>(b[lane], lanes[lane]);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *lane += a * b;
    }
    let mut width = 8;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
