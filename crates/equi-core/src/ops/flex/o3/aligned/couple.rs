//! Paths in the frame, along the copies: complex products of the components of every order, and their gradients.

use std::ops::Range;

use pulp::Simd;

use super::plan::{Couple, Path, Turned};
use crate::ops::flex::o3::vector::Vector;

/// What paths take beside their blocks.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a, F> {
    pub paths: &'a [Path],
    /// `f_m` of path after path.
    pub factors: &'a [F],
    /// The weights, filled up.
    pub w: &'a [F],
}

/// A turned block: the vectors of the copies of an order, cosines and sines.
struct Orders<'a, F: Vector, S: Simd> {
    cosines: &'a [F::Lanes<S>],
    sines: &'a [F::Lanes<S>],
    count: usize,
}

impl<'a, F: Vector, S: Simd> Orders<'a, F, S> {
    #[inline(always)]
    fn new(numbers: &'a [F], room: usize) -> Self {
        let (cosines, sines) = F::vectors::<S>(numbers).split_at(numbers.len() / F::width::<S>() / 2);
        Self { cosines, sines, count: cosines.len() / room }
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
    fn new(numbers: &'a mut [F], room: usize) -> Self {
        let half = numbers.len() / F::width::<S>() / 2;
        let (cosines, sines) = F::vectors_mut::<S>(numbers).split_at_mut(half);
        let count = cosines.len() / room;
        Self { cosines, sines, count }
    }

    /// Adds `(a + i b) x`.
    #[inline(always)]
    fn add(&mut self, simd: S, m: usize, lanes: usize, [a, b]: [F::Lanes<S>; 2], [cosine, sine]: [F::Lanes<S>; 2]) {
        let minus_b = F::minus(simd, F::splat(simd, F::ZERO), b);
        let place = m * self.count + lanes;
        let to = &mut self.cosines[place];
        *to = F::fma(simd, a, cosine, F::fma(simd, minus_b, sine, *to));
        let to = &mut self.sines[place];
        *to = F::fma(simd, a, sine, F::fma(simd, b, cosine, *to));
    }

    /// Adds `a x` with a real number.
    #[inline(always)]
    fn add_real(&mut self, simd: S, m: usize, lanes: usize, a: F::Lanes<S>, [cosine, sine]: [F::Lanes<S>; 2]) {
        let place = m * self.count + lanes;
        self.cosines[place] = F::fma(simd, a, cosine, self.cosines[place]);
        self.sines[place] = F::fma(simd, a, sine, self.sines[place]);
    }
}

impl<F: Vector> Arguments<'_, F> {
    /// What paths multiply order `m` by together.
    #[inline(always)]
    fn factor<S: Simd>(&self, simd: S, paths: &Range<usize>, m: usize, lanes: usize) -> F::Lanes<S> {
        let mut sum = F::splat(simd, F::ZERO);
        for path in &self.paths[paths.clone()] {
            let factor = F::splat(simd, self.factors[path.factors.start + m]);
            sum = F::fma(simd, factor, F::vectors::<S>(&self.w[path.lane..])[lanes], sum);
        }
        sum
    }
}

/// Adds what the paths of a couple take from `x` to `z`.
#[inline(always)]
pub(super) fn multiply<F: Vector, S: Simd>(
    simd: S,
    arguments: Arguments<F>,
    couple: &Couple,
    (x, x_room): (&[F], usize),
    (z, z_room): (&mut [F], usize),
) {
    let (x, mut z) = (Orders::<F, S>::new(x, x_room), OrdersMut::<F, S>::new(z, z_room));
    for m in 0..couple.orders {
        for lanes in 0..x.count {
            let even = arguments.factor(simd, &couple.even, m, lanes);
            if couple.odd.is_empty() {
                z.add_real(simd, m, lanes, even, x.at(m, lanes));
            } else {
                let odd = arguments.factor(simd, &couple.odd, m, lanes);
                let minus = F::minus(simd, F::splat(simd, F::ZERO), odd);
                z.add(simd, m, lanes, [even, minus], x.at(m, lanes));
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
    /// Products of features and gradients of every order, `[2, orders, count]`, for the gradients by the weights.
    pub products: &'a mut [F],
}

/// Adds the gradients that one by the output of a couple, `g`, has. Gives the sum over the paths of their share of `g . z` times their degree, if `radial`.
#[inline(always)]
pub(super) fn gradient<F: Vector, S: Simd>(
    simd: S,
    arguments: Arguments<F>,
    couple: &Couple,
    (x, x_room): (&[F], usize),
    (g, g_room): (&[F], usize),
    gradients: &mut Gradients<F>,
    radial: bool,
) -> F {
    let (x, g) = (Orders::<F, S>::new(x, x_room), Orders::<F, S>::new(g, g_room));
    let count = x.count;
    if !gradients.by_x.is_empty() {
        let mut by_x = OrdersMut::<F, S>::new(gradients.by_x, x_room);
        for m in 0..couple.orders {
            for lanes in 0..count {
                let even = arguments.factor(simd, &couple.even, m, lanes);
                if couple.odd.is_empty() {
                    by_x.add_real(simd, m, lanes, even, g.at(m, lanes));
                } else {
                    let odd = arguments.factor(simd, &couple.odd, m, lanes);
                    by_x.add(simd, m, lanes, [even, odd], g.at(m, lanes));
                }
            }
        }
    }
    let mut sum = F::splat(simd, F::ZERO);
    if gradients.by_w.is_empty() && !radial {
        return F::ZERO;
    }
    for (paths, odd) in [(&couple.even, false), (&couple.odd, true)] {
        if paths.is_empty() {
            continue;
        }
        let products = F::vectors_mut::<S>(gradients.products);
        for m in 0..couple.orders {
            for lanes in 0..count {
                let ([xc, xs], [gc, gs]) = (x.at(m, lanes), g.at(m, lanes));
                products[m * count + lanes] = if odd {
                    F::minus(simd, F::times(simd, xs, gc), F::times(simd, xc, gs))
                } else {
                    F::fma(simd, xc, gc, F::times(simd, xs, gs))
                };
            }
        }
        for path in &arguments.paths[paths.clone()] {
            let factors = &arguments.factors[path.factors.clone()];
            let (w, scale) = (F::vectors::<S>(&arguments.w[path.lane..]), F::splat(simd, gradients.scale));
            let degree = F::splat(simd, F::from_elem(path.degree as f64));
            for lanes in 0..count {
                let mut product = F::times(simd, F::splat(simd, factors[0]), products[lanes]);
                for (m, &factor) in factors.iter().enumerate().skip(1) {
                    product = F::fma(simd, F::splat(simd, factor), products[m * count + lanes], product);
                }
                if !gradients.by_w.is_empty() {
                    let by_w = &mut F::vectors_mut::<S>(&mut gradients.by_w[path.lane..])[lanes];
                    *by_w = F::fma(simd, scale, product, *by_w);
                }
                if radial {
                    sum = F::fma(simd, F::times(simd, degree, w[lanes]), product, sum);
                }
            }
        }
    }
    if radial { F::total(simd, sum) } else { F::ZERO }
}

/// Adds `b . X a` for the generators `X` of rotations about `x` and `z` to `sums`: `a` has the orders that paths join, `b` the next one, too.
///
/// Both generators join an order to the next: that about `x` by real numbers `e_m`, that about `z` by `-i e_m`.
#[inline(always)]
pub(super) fn torque<F: Vector, S: Simd>(simd: S, block: &Turned<F>, a: &[F], b: &[F], sums: &mut [F::Lanes<S>; 2]) {
    let (a, b) = (Orders::<F, S>::new(a, block.room), Orders::<F, S>::new(b, block.room));
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
