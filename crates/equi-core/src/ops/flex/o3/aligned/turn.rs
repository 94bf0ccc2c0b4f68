//! Components of a block into the frame of an edge and back, along the copies.
//!
//! In the frame, components lie order by order: all cosines, then all sines; the sine of order 0 is zero.

use pulp::Simd;

use super::frame::Turn;
use crate::ops::flex::o3::vector::Vector;

/// Calls a kernel for all orders: up to seven from order 0, whose sums fit the registers, then two at a time.
macro_rules! by_orders {
    ($orders:expr, $name:ident::<$float:ident, $simd:ident>($first:ident, $($argument:expr),*)) => {{
        let mut $first = 0;
        while $first < $orders {
            $first += match ($first, $orders - $first) {
                (0, 1) => $name::<$float, $simd, 1, true>($($argument),*),
                (0, 2) => $name::<$float, $simd, 2, true>($($argument),*),
                (0, 3) => $name::<$float, $simd, 3, true>($($argument),*),
                (0, 4) => $name::<$float, $simd, 4, true>($($argument),*),
                (0, 5) => $name::<$float, $simd, 5, true>($($argument),*),
                (0, 6) => $name::<$float, $simd, 6, true>($($argument),*),
                (0, _) => $name::<$float, $simd, 7, true>($($argument),*),
                (_, 1) => $name::<$float, $simd, 1, false>($($argument),*),
                _ => $name::<$float, $simd, 2, false>($($argument),*),
            };
        }
    }};
}

/// A kernel for orders `first` to `first + N`, the first of them 0 or not, which is compiled once for every instruction set and called. Gives `N`.
macro_rules! orders {
    ($(#[$attribute:meta])* fn $name:ident<$life:lifetime, $float:ident, $simd:ident, $n:ident, $zero:ident>(
        $token:ident, $($argument:ident: $type:ty),* $(,)?
    ) $body:block) => {
        $(#[$attribute])*
        #[inline(always)]
        #[allow(clippy::too_many_arguments)]
        fn $name<$life, $float: Vector, $simd: Simd, const $n: usize, const $zero: bool>(
            simd: $simd,
            $($argument: $type),*
        ) -> usize {
            struct Kernel<$life, $float, const N: usize, const ZERO: bool> {
                $($argument: $type,)*
            }

            impl<$life, $float: Vector, const $n: usize, const $zero: bool> pulp::WithSimd for Kernel<$life, $float, $n, $zero> {
                type Output = ();

                #[inline(always)]
                fn with_simd<$simd: Simd>(self, $token: $simd) {
                    let Self { $($argument),* } = self;
                    $body
                }
            }

            simd.vectorize(Kernel::<$float, $n, $zero> { $($argument),* });
            $n
        }
    };
}

pub(super) use {by_orders, orders};

/// Takes the components `x`, `[2 l + 1, count]`, into the frame: the lowest `orders` of them, in `turned`, `[2, room, count]`, a row of copies being `stride` numbers.
#[inline(always)]
pub(super) fn into_frame<F: Vector, S: Simd>(
    simd: S,
    turn: Turn<F>,
    orders: usize,
    x: &[F],
    turned: &mut [F],
    stride: usize,
) {
    by_orders!(orders, into::<F, S>(first, simd, turn, first, x, &mut *turned, stride));
}

/// Takes the lowest `orders` components in the frame back and adds them to `z`, `[2 l + 1, count]`.
#[inline(always)]
pub(super) fn out_of_frame<F: Vector, S: Simd>(
    simd: S,
    turn: Turn<F>,
    orders: usize,
    turned: &[F],
    stride: usize,
    z: &mut [F],
) {
    by_orders!(orders, out_of::<F, S>(first, simd, turn, first, turned, stride, &mut *z));
}

orders! {
    fn into<'a, F, S, N, FROM_ZERO>(
        simd,
        turn: Turn<'a, F>,
        first: usize,
        x: &'a [F],
        turned: &'a mut [F],
        stride: usize,
    ) {
        let Turn { l, around, matrices, row } = turn;
        let (for_cosines, for_sines) = matrices.split_at((l + 1) * row);
        let (x, turned) = (F::vectors::<S>(x), F::vectors_mut::<S>(turned));
        let (cosines, sines) = turned.split_at_mut(turned.len() / 2);
        let count = stride / F::width::<S>();
        let x = &x[..(2 * l + 1) * count];
        let zero = F::splat(simd, F::ZERO);
        for lanes in 0..count {
            let (mut c, mut s) = ([zero; N], [zero; N]);
            let entries = &for_cosines[first..][..N];
            for m in 0..N {
                c[m] = F::times(simd, F::splat(simd, entries[m]), x[l * count + lanes]);
            }
            let (mut cosine, mut sine, mut at) = (l * count + lanes, l * count + lanes, first);
            for around in around {
                (cosine, sine, at) = (cosine + count, sine - count, at + row);
                let (cosine, sine) = (x[cosine], x[sine]);
                let [cos, sin, opposite] = around.map(|number| F::splat(simd, number));
                let level = F::fma(simd, sin, sine, F::times(simd, cos, cosine));
                let across = F::fma(simd, opposite, cosine, F::times(simd, cos, sine));
                let (entries, sine_entries) = (&for_cosines[at..][..N], &for_sines[at..][..N]);
                for m in 0..N {
                    c[m] = F::fma(simd, F::splat(simd, entries[m]), level, c[m]);
                }
                for m in usize::from(FROM_ZERO)..N {
                    s[m] = F::fma(simd, F::splat(simd, sine_entries[m]), across, s[m]);
                }
            }
            for m in 0..N {
                cosines[(first + m) * count + lanes] = c[m];
                sines[(first + m) * count + lanes] = s[m];
            }
        }
    }
}

orders! {
    /// The adjoint, added.
    fn out_of<'a, F, S, N, FROM_ZERO>(
        simd,
        turn: Turn<'a, F>,
        first: usize,
        turned: &'a [F],
        stride: usize,
        z: &'a mut [F],
    ) {
        let Turn { l, around, matrices, row } = turn;
        let (for_cosines, for_sines) = matrices.split_at((l + 1) * row);
        let (turned, z) = (F::vectors::<S>(turned), F::vectors_mut::<S>(z));
        let (cosines, sines) = turned.split_at(turned.len() / 2);
        let count = stride / F::width::<S>();
        let z = &mut z[..(2 * l + 1) * count];
        let zero = F::splat(simd, F::ZERO);
        for lanes in 0..count {
            let (mut c, mut s) = ([zero; N], [zero; N]);
            for m in 0..N {
                c[m] = cosines[(first + m) * count + lanes];
                s[m] = sines[(first + m) * count + lanes];
            }
            let entries = &for_cosines[first..][..N];
            let mut sum = z[l * count + lanes];
            for m in 0..N {
                sum = F::fma(simd, F::splat(simd, entries[m]), c[m], sum);
            }
            z[l * count + lanes] = sum;
            let (mut cosine, mut sine, mut at) = (l * count + lanes, l * count + lanes, first);
            for around in around {
                (cosine, sine, at) = (cosine + count, sine - count, at + row);
                let (entries, sine_entries) = (&for_cosines[at..][..N], &for_sines[at..][..N]);
                let (mut level, mut across) = (F::times(simd, F::splat(simd, entries[0]), c[0]), zero);
                for m in 1..N {
                    level = F::fma(simd, F::splat(simd, entries[m]), c[m], level);
                }
                for m in usize::from(FROM_ZERO)..N {
                    across = F::fma(simd, F::splat(simd, sine_entries[m]), s[m], across);
                }
                let [cos, sin, opposite] = around.map(|number| F::splat(simd, number));
                z[cosine] = F::fma(simd, opposite, across, F::fma(simd, cos, level, z[cosine]));
                z[sine] = F::fma(simd, cos, across, F::fma(simd, sin, level, z[sine]));
            }
        }
    }
}
