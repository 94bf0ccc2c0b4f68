//! Numbers side by side in a register.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use pulp::Simd;
use pulp::bytemuck::Pod;

/// A number, and the vector of the instruction set `S` that holds several.
pub(crate) trait Lanes:
    Pod + Send + Sync + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self> + AddAssign
{
    type Vector<S: Simd>: Copy;

    /// Numbers in the largest vector of any instruction set, 64 bytes.
    const MOST: usize = 64 / size_of::<Self>();

    fn from_f64(x: f64) -> Self;

    /// Numbers in a vector.
    #[inline(always)]
    fn count<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }

    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// Writes the first numbers of a vector, as many as there is room for.
    fn store_first<S: Simd>(simd: S, to: &mut [Self], vector: Self::Vector<S>);
    /// `a b + c`, rounded once where there is an instruction for it.
    fn mul_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($float:ident, $vector:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:ident, $store:ident) => {
        impl Lanes for $float {
            type Vector<S: Simd> = S::$vector;

            fn from_f64(x: f64) -> Self {
                x as $float
            }

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }

            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$sub(a, b)
            }

            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn store_first<S: Simd>(simd: S, to: &mut [Self], vector: S::$vector) {
                simd.$store(to, vector)
            }

            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
        }
    };
}

lanes!(f32, f32s, splat_f32s, add_f32s, sub_f32s, mul_f32s, mul_add_e_f32s, partial_store_f32s);
lanes!(f64, f64s, splat_f64s, add_f64s, sub_f64s, mul_f64s, mul_add_e_f64s, partial_store_f64s);

/// # Safety
/// A vector of numbers can be read at `from`.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn load<F: Lanes, S: Simd>(from: *const F) -> F::Vector<S> {
    // SAFETY: the caller's promise; vectors of numbers are plain data.
    unsafe { from.cast::<F::Vector<S>>().read_unaligned() }
}

/// # Safety
/// A vector of numbers can be written at `to`.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) unsafe fn store<F: Lanes, S: Simd>(to: *mut F, vector: F::Vector<S>) {
    // SAFETY: the caller's promise.
    unsafe { to.cast::<F::Vector<S>>().write_unaligned(vector) }
}
