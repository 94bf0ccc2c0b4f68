//! Paths in the frame, along the copies: complex products of the components of every order, and their gradients.

use std::ops::Range;

use pulp::Simd;

use super::plan::{Couple, Path, Turned};
use super::turn::{by_orders, orders};
use crate::ops::flex::o3::stream::prefetch;
use crate::ops::flex::o3::vector::Vector;

/// What paths take beside their blocks.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a, F> {
    pub paths: &'a [Path],
    /// `f_m` of path after path.
    pub factors: &'a [F],
    /// The weights, filled up.
    pub w: &'a [F],
    /// Those of the next edge, which are on their way to the cache; none where they are not read from memory.
    pub next: &'a [F],
}

/// A turned block: the vectors of the copies of an order, cosines and sines.
struct Orders<'a, F: Vector, S: Simd> {
    cosines: &'a [F::Lanes<S>],
    sines: &'a [F::Lanes<S>],
    count: usize,
}

impl<'a, F: Vector, S: Simd> Orders<'a, F, S> {
    #[inline(always)]
    fn new(numbers: &'a [F], stride: usize) -> Self {
        let (cosines, sines) = F::vectors::<S>(numbers).split_at(numbers.len() / F::width::<S>() / 2);
        Self { cosines, sines, count: stride / F::width::<S>() }
    }

    #[inline(always)]
    fn at(&self, m: usize, lanes: usize) -> [F::Lanes<S>; 2] {
        [self.cosines[m * self.count + lanes], self.sines[m * self.count + lanes]]
    }
}

/// The same to be written.
struct OrdersMut<'a, F: Vector, S: Simd> {
    cosines: &'a mut [F::Lanes<S>],
    sines: &'a mut [F::Lanes<S>],
    count: usize,
}

impl<'a, F: Vector, S: Simd> OrdersMut<'a, F, S> {
    #[inline(always)]
    fn new(numbers: &'a mut [F], stride: usize) -> Self {
        let half = numbers.len() / F::width::<S>() / 2;
        let (cosines, sines) = F::vectors_mut::<S>(numbers).split_at_mut(half);
        let count = stride / F::width::<S>();
        Self { cosines, sines, count }
    }

    #[inline(always)]
    fn at(&self, m: usize, lanes: usize) -> [F::Lanes<S>; 2] {
        [self.cosines[m * self.count + lanes], self.sines[m * self.count + lanes]]
    }

    #[inline(always)]
    fn put(&mut self, m: usize, lanes: usize, [cosine, sine]: [F::Lanes<S>; 2]) {
        self.cosines[m * self.count + lanes] = cosine;
        self.sines[m * self.count + lanes] = sine;
    }
}

impl<F: Vector> Arguments<'_, F> {
    /// What paths multiply orders `first` to `first + N` by together.
    #[inline(always)]
    fn factors<S: Simd, const N: usize>(
        &self,
        simd: S,
        paths: &Range<usize>,
        first: usize,
        lanes: usize,
    ) -> [F::Lanes<S>; N] {
        let mut sums = [F::splat(simd, F::ZERO); N];
        for path in &self.paths[paths.clone()] {
            let factors = &self.factors[path.factors.start + first..][..N];
            let w = F::vectors::<S>(self.w)[path.lane / F::width::<S>() + lanes];
            prefetch(self.next, path.lane + lanes * F::width::<S>());
            for m in 0..N {
                sums[m] = F::fma(simd, F::splat(simd, factors[m]), w, sums[m]);
            }
        }
        sums
    }
}

/// Puts down what the paths of a couple take from `x` in `z`, or adds it.
#[inline(always)]
pub(super) fn multiply<F: Vector, S: Simd>(
    simd: S,
    arguments: Arguments<F>,
    couple: &Couple,
    x: &[F],
    z: &mut [F],
    stride: usize,
    add: bool,
) {
    by_orders!(couple.orders, multiply_orders::<F, S>(first, simd, arguments, couple, first, x, &mut *z, stride, add));
}

orders! {
    fn multiply_orders<'a, F, S, N, FROM_ZERO>(
        simd,
        arguments: Arguments<'a, F>,
        couple: &'a Couple,
        first: usize,
        x: &'a [F],
        z: &'a mut [F],
        stride: usize,
        add: bool,
    ) {
        let (x, mut z) = (Orders::<F, S>::new(x, stride), OrdersMut::<F, S>::new(z, stride));
        for lanes in 0..x.count {
            let mut to = [[F::splat(simd, F::ZERO); 2]; N];
            if add {
                for m in 0..N {
                    to[m] = z.at(first + m, lanes);
                }
            }
            if !couple.even.is_empty() {
                let even = arguments.factors::<S, N>(simd, &couple.even, first, lanes);
                for m in 0..N {
                    let [cosine, sine] = x.at(first + m, lanes);
                    to[m] = [F::fma(simd, even[m], cosine, to[m][0]), F::fma(simd, even[m], sine, to[m][1])];
                }
            }
            if !couple.odd.is_empty() {
                let odd = arguments.factors::<S, N>(simd, &couple.odd, first, lanes);
                for m in 0..N {
                    let [cosine, sine] = x.at(first + m, lanes);
                    let less = F::times(simd, odd[m], cosine);
                    to[m] = [F::fma(simd, odd[m], sine, to[m][0]), F::minus(simd, to[m][1], less)];
                }
            }
            for m in 0..N {
                z.put(first + m, lanes, to[m]);
            }
        }
    }
}

/// Where gradients go; what is empty is not asked for.
pub(super) struct Gradients<'a, F> {
    pub by_x: &'a mut [F],
    /// By the weights, filled up, times `scale`.
    pub by_w: &'a mut [F],
    pub scale: F,
    /// The sum over paths of their share of `g . z` times their degree is added here.
    pub along: Option<&'a mut F>,
}

/// Adds the gradients that one by the output of a couple, `g`, has.
#[inline(always)]
pub(super) fn gradient<F: Vector, S: Simd>(
    simd: S,
    arguments: Arguments<F>,
    couple: &Couple,
    x: &[F],
    g: &[F],
    stride: usize,
    mut gradients: Gradients<F>,
) {
    by_orders!(
        couple.orders,
        gradient_orders::<F, S>(first, simd, arguments, couple, first, x, g, stride, gradients.reborrow())
    );
}

impl<F: Vector> Gradients<'_, F> {
    fn reborrow(&mut self) -> Gradients<'_, F> {
        let Self { by_x, by_w, scale, along } = self;
        Gradients { by_x, by_w, scale: *scale, along: along.as_deref_mut() }
    }
}

orders! {
    fn gradient_orders<'a, F, S, N, FROM_ZERO>(
        simd,
        arguments: Arguments<'a, F>,
        couple: &'a Couple,
        first: usize,
        x: &'a [F],
        g: &'a [F],
        stride: usize,
        gradients: Gradients<'a, F>,
    ) {
        let Gradients { by_x, by_w, scale, along } = gradients;
        let (x, g) = (Orders::<F, S>::new(x, stride), Orders::<F, S>::new(g, stride));
        let mut by_x = (!by_x.is_empty()).then(|| OrdersMut::<F, S>::new(by_x, stride));
        let by_w = F::vectors_mut::<S>(by_w);
        let (scale, mut sum) = (F::splat(simd, scale), F::splat(simd, F::ZERO));
        for lanes in 0..x.count {
            for (paths, is_odd) in [(&couple.even, false), (&couple.odd, true)] {
                if paths.is_empty() {
                    continue;
                }
                if let Some(by_x) = &mut by_x {
                    let factors = arguments.factors::<S, N>(simd, paths, first, lanes);
                    for m in 0..N {
                        let ([cosine, sine], [to_cosine, to_sine]) = (g.at(first + m, lanes), by_x.at(first + m, lanes));
                        let to = if is_odd {
                            let less = F::times(simd, factors[m], sine);
                            [F::minus(simd, to_cosine, less), F::fma(simd, factors[m], cosine, to_sine)]
                        } else {
                            [F::fma(simd, factors[m], cosine, to_cosine), F::fma(simd, factors[m], sine, to_sine)]
                        };
                        by_x.put(first + m, lanes, to);
                    }
                }
                if by_w.is_empty() && along.is_none() {
                    continue;
                }
                let mut products = [F::splat(simd, F::ZERO); N];
                for m in 0..N {
                    let ([xc, xs], [gc, gs]) = (x.at(first + m, lanes), g.at(first + m, lanes));
                    products[m] = if is_odd {
                        F::minus(simd, F::times(simd, xs, gc), F::times(simd, xc, gs))
                    } else {
                        F::fma(simd, xc, gc, F::times(simd, xs, gs))
                    };
                }
                for path in &arguments.paths[paths.clone()] {
                    let factors = &arguments.factors[path.factors.start + first..][..N];
                    let mut product = F::times(simd, F::splat(simd, factors[0]), products[0]);
                    for m in 1..N {
                        product = F::fma(simd, F::splat(simd, factors[m]), products[m], product);
                    }
                    let place = path.lane / F::width::<S>() + lanes;
                    if let Some(by_w) = by_w.get_mut(place) {
                        *by_w = F::fma(simd, scale, product, *by_w);
                    }
                    if along.is_some() {
                        let w = F::vectors::<S>(arguments.w)[place];
                        let degree = F::splat(simd, F::from_elem(path.degree as f64));
                        sum = F::fma(simd, F::times(simd, degree, w), product, sum);
                    }
                }
            }
        }
        if let Some(along) = along {
            *along += F::total(simd, sum);
        }
    }
}

/// Adds `b . X a` for the generators `X` of rotations about `x` and `z` to `sums`: `a` has the orders that paths join, `b` the next one, too.
///
/// Both generators join an order to the next: that about `x` by real numbers `e_m`, that about `z` by `-i e_m`.
#[inline(always)]
pub(super) fn torque<F: Vector, S: Simd>(simd: S, block: &Turned<F>, a: &[F], b: &[F], sums: &mut [F::Lanes<S>; 2]) {
    let (a, b) = (Orders::<F, S>::new(a, block.plane.stride), Orders::<F, S>::new(b, block.plane.stride));
    let zero = F::splat(simd, F::ZERO);
    for lanes in 0..a.count {
        let ([mut ac, mut as_], [mut bc, mut bs]) = (a.at(0, lanes), b.at(0, lanes));
        for m in 1..block.room {
            let step = F::splat(simd, block.steps[m - 1]);
            let [next_ac, next_as] = if m < block.orders { a.at(m, lanes) } else { [zero; 2] };
            let [next_bc, next_bs] = b.at(m, lanes);
            let up = F::fma(simd, next_bc, ac, F::times(simd, next_bs, as_));
            let down = F::fma(simd, bc, next_ac, F::times(simd, bs, next_as));
            sums[0] = F::fma(simd, step, F::minus(simd, up, down), sums[0]);
            let right = F::fma(simd, next_bc, as_, F::times(simd, bc, next_as));
            let left = F::fma(simd, next_bs, ac, F::times(simd, bs, next_ac));
            sums[1] = F::fma(simd, step, F::minus(simd, right, left), sums[1]);
            ([ac, as_], [bc, bs]) = ([next_ac, next_as], [next_bc, next_bs]);
        }
    }
}
