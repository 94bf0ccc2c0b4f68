//! Vectors of numbers, where the compiler does not find them by itself.

use pulp::Simd;
use pulp::bytemuck::Pod;

use crate::ops::flex::float::Float;
use crate::ops::flex::radial_product::{self, Turned, View};

/// Numbers that come in vectors of the instruction set `S`.
pub(super) trait Vector: Float {
    /// As many numbers as one instruction takes.
    type Lanes<S: Simd>: Pod;

    fn splat<S: Simd>(simd: S, number: Self) -> Self::Lanes<S>;

    fn plus<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;

    fn minus<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;

    fn times<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;

    /// `a b + c`, rounded once where there is an instruction for it.
    fn fma<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>, c: Self::Lanes<S>) -> Self::Lanes<S>;

    /// `c = a b` or `c += a b`; see [`radial_product::multiply`].
    fn product(
        shape: [usize; 3],
        a: View<Self>,
        b: View<Self>,
        turned: Turned,
        c: &mut [Self],
        stride: usize,
        add: bool,
    );

    /// The sum over the lanes.
    fn total<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self;

    /// As many vectors as the numbers fill.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Lanes<S>];

    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Lanes<S>];

    /// Numbers in a vector.
    fn width<S: Simd>() -> usize {
        size_of::<Self::Lanes<S>>() / size_of::<Self>()
    }
}

macro_rules! vector {
    ($float:ident, $lanes:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $total:ident, $vectors:ident, $vectors_mut:ident) => {
        impl Vector for $float {
            type Lanes<S: Simd> = S::$lanes;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, number: Self) -> S::$lanes {
                simd.$splat(number)
            }

            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$sub(a, b)
            }

            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn fma<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes, c: S::$lanes) -> S::$lanes {
                simd.$fma(a, b, c)
            }

            fn product(
                shape: [usize; 3],
                a: View<Self>,
                b: View<Self>,
                turned: Turned,
                c: &mut [Self],
                stride: usize,
                add: bool,
            ) {
                radial_product::multiply(shape, a, b, turned, c, stride, add);
            }

            #[inline(always)]
            fn total<S: Simd>(simd: S, a: S::$lanes) -> Self {
                simd.$total(a)
            }

            #[inline(always)]
            fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$lanes] {
                S::$vectors(numbers).0
            }

            #[inline(always)]
            fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$lanes] {
                S::$vectors_mut(numbers).0
            }
        }
    };
}

vector!(
    f32,
    f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    mul_add_e_f32s,
    reduce_sum_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);

vector!(
    f64,
    f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);

/// The width of the vectors that kernels run with on this machine.
pub(super) fn width<F: Vector>() -> usize {
    struct Width<F>(std::marker::PhantomData<F>);

    impl<F: Vector> pulp::WithSimd for Width<F> {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            F::width::<S>()
        }
    }

    pulp::Arch::new().dispatch(Width::<F>(std::marker::PhantomData))
}
