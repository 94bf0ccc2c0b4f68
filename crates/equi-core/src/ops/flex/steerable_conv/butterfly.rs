//! From images to Fourier components and back, a vector of orbits at a time.

#![allow(unsafe_code)] // Bounds are those of a tile, checked where it is made.

use std::ops::{Add, Sub};

use pulp::Simd;

use super::lanes::{Lanes, load, store};
use crate::ops::steerable_conv::fourier;
use crate::ops::steerable_conv::plan::COMPONENTS;
use crate::ops::steerable_conv::symmetry::Transform;

/// Nowhere: a component that an orbit does not have.
pub(super) const NOWHERE: usize = usize::MAX;

/// Orbits that are alike, side by side in the image: where their members are, and where their components go.
pub(super) struct Spread<F> {
    /// From the pixel to the member that every element leads to.
    pub members: [usize; COMPONENTS],
    pub signs: [F; COMPONENTS],
    /// From the first number of a pixel's components, for every component.
    pub targets: [usize; COMPONENTS],
    pub count: usize,
    /// No signs, and all components.
    pub free: bool,
}

/// Orbits that are alike: where their components are, and where their channels go.
pub(super) struct Collect<F> {
    pub sources: [usize; COMPONENTS],
    pub signs: [F; COMPONENTS],
    /// An element that leads to each channel of the orbit.
    pub leaders: Vec<usize>,
    /// The first channel.
    pub start: usize,
    pub count: usize,
    pub free: bool,
}

/// The components of every pixel in `pixels`: offsets into `image`.
pub(super) struct Spreading<'a, F> {
    pub transform: Transform,
    pub parts: &'a [Spread<F>],
    pub image: &'a [F],
    pub pixels: &'a [usize],
    pub to: &'a mut [F],
    /// From the components of one pixel to those of the next.
    pub strides: [usize; COMPONENTS],
}

impl<F: Lanes> pulp::WithSimd for Spreading<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        on_transform!(self.transform, T => self.run::<S, T>(simd))
    }
}

impl<F: Lanes> Spreading<'_, F> {
    #[inline(always)]
    fn run<S: Simd, T: ButterflyOn>(self, simd: S) {
        let (image, to) = (self.image.as_ptr(), self.to.as_mut_ptr());
        for (number, &pixel) in self.pixels.iter().enumerate() {
            for part in self.parts {
                for at in vectors::<F, S>(part.count) {
                    let mut values = [F::splat(simd, F::zeroed()); 8];
                    for (value, &member) in values[..T::ORDER].iter_mut().zip(&part.members) {
                        // SAFETY: members lie within the image; a vector that reaches beyond the last orbit lies within the line that an image has
                        // more than it needs.
                        *value = unsafe { load::<F, S>(image.add(pixel + member + at)) };
                    }
                    if !part.free {
                        for (value, &sign) in values[..T::ORDER].iter_mut().zip(&part.signs) {
                            *value = F::times(simd, *value, F::splat(simd, sign));
                        }
                    }
                    let components = T::forward::<F, S>(simd, values);
                    for (c, component) in components.into_iter().enumerate().take(T::COMPONENTS) {
                        if part.free || part.targets[c] != NOWHERE {
                            let place = part.targets[c] + number * self.strides[c] + at;
                            // SAFETY: targets lie within the components, which have room for a vector after their last.
                            unsafe { store::<F, S>(to.add(place), component) };
                        }
                    }
                }
            }
        }
    }
}

/// The channels of `pixels` pixels from their components.
pub(super) struct Collecting<'a, F> {
    pub transform: Transform,
    pub parts: &'a [Collect<F>],
    pub from: &'a [F],
    /// The first pixel.
    pub first: usize,
    pub strides: [usize; COMPONENTS],
    pub pixels: usize,
    /// `[pixels, row]`
    pub to: &'a mut [F],
    pub row: usize,
}

impl<F: Lanes> pulp::WithSimd for Collecting<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        on_transform!(self.transform, T => self.run::<S, T>(simd))
    }
}

impl<F: Lanes> Collecting<'_, F> {
    #[inline(always)]
    fn run<S: Simd, T: ButterflyOn>(self, simd: S) {
        let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
        for pixel in 0..self.pixels {
            for part in self.parts {
                for at in vectors::<F, S>(part.count) {
                    let mut components = [F::splat(simd, F::zeroed()); 8];
                    for (c, component) in components.iter_mut().enumerate().take(T::COMPONENTS) {
                        if part.free || part.sources[c] != NOWHERE {
                            let place = part.sources[c] + (self.first + pixel) * self.strides[c] + at;
                            // SAFETY: sources lie within the components, which have room for a vector after their last.
                            *component = unsafe { load::<F, S>(from.add(place)) };
                        }
                    }
                    let start = pixel * self.row + part.start + at;
                    if part.free {
                        let values = T::transpose::<F, S>(simd, components);
                        for (channel, value) in values.into_iter().enumerate().take(T::ORDER) {
                            // SAFETY: channels lie within a row, which has room for a vector after its last.
                            unsafe { store::<F, S>(to.add(start + channel * part.count), value) };
                        }
                    } else {
                        for (component, &sign) in components.iter_mut().zip(&part.signs) {
                            *component = F::times(simd, *component, F::splat(simd, sign));
                        }
                        let values = T::transpose::<F, S>(simd, components);
                        for (channel, &leader) in part.leaders.iter().enumerate() {
                            // SAFETY: as above.
                            unsafe { store::<F, S>(to.add(start + channel * part.count), values[leader]) };
                        }
                    }
                }
            }
        }
    }
}

/// The first of the numbers of every vector. The last vector begins earlier if the vectors do not come out even; a single one reaches
/// beyond the end, into what is written next.
#[inline(always)]
pub(super) fn vectors<F: Lanes, S: Simd>(count: usize) -> impl Iterator<Item = usize> {
    let lanes = F::count::<S>();
    let last = count.saturating_sub(lanes);
    (0..count.div_ceil(lanes)).map(
        #[inline(always)]
        move |vector| (vector * lanes).min(last),
    )
}

/// A vector that can be added.
#[derive(Clone, Copy)]
struct Wide<F: Lanes, S: Simd>(S, F::Vector<S>);

impl<F: Lanes, S: Simd> Add for Wide<F, S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0, F::plus(self.0, self.1, other.1))
    }
}

impl<F: Lanes, S: Simd> Sub for Wide<F, S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0, F::minus(self.0, self.1, other.1))
    }
}

/// Calls with the Fourier transform of a group as a type.
macro_rules! on_transform {
    ($transform:expr, $T:ident => $call:expr) => {{
        use $crate::ops::flex::steerable_conv::butterfly::{Cyclic, Dihedral, Klein, Trivial, Two};
        use $crate::ops::steerable_conv::symmetry::Transform;
        match $transform {
            Transform::Trivial => {
                type $T = Trivial;
                $call
            }
            Transform::Two => {
                type $T = Two;
                $call
            }
            Transform::Klein => {
                type $T = Klein;
                $call
            }
            Transform::Cyclic => {
                type $T = Cyclic;
                $call
            }
            Transform::Dihedral => {
                type $T = Dihedral;
                $call
            }
        }
    }};
}
pub(super) use on_transform;

/// A [`Butterfly`] on vectors.
pub(super) trait ButterflyOn: Butterfly {
    /// [`Butterfly::components`] of vectors.
    #[inline(always)]
    fn forward<F: Lanes, S: Simd>(simd: S, f: [F::Vector<S>; 8]) -> [F::Vector<S>; 8] {
        Self::components(f.map(
            #[inline(always)]
            |value| Wide::<F, S>(simd, value),
        ))
        .map(
            #[inline(always)]
            |value| value.1,
        )
    }

    /// [`Butterfly::function`] of vectors.
    #[inline(always)]
    fn transpose<F: Lanes, S: Simd>(simd: S, c: [F::Vector<S>; 8]) -> [F::Vector<S>; 8] {
        Self::function(c.map(
            #[inline(always)]
            |value| Wide::<F, S>(simd, value),
        ))
        .map(
            #[inline(always)]
            |value| value.1,
        )
    }
}

impl<T: Butterfly> ButterflyOn for T {}

/// A Fourier transform as the compiler is to see it: without a loop, without a call.
pub(super) trait Butterfly {
    const ORDER: usize;
    const COMPONENTS: usize;

    /// The components of the function on the group that the first numbers are.
    fn components<T: Copy + Add<Output = T> + Sub<Output = T>>(f: [T; 8]) -> [T; 8];

    /// The transpose.
    fn function<T: Copy + Add<Output = T> + Sub<Output = T>>(c: [T; 8]) -> [T; 8];
}

macro_rules! butterfly {
    ($name:ident, $order:literal, $components:literal, |$f:ident| $forward:expr, |$c:ident| $inverse:expr) => {
        pub(super) struct $name;

        impl Butterfly for $name {
            const ORDER: usize = $order;
            const COMPONENTS: usize = $components;

            #[inline(always)]
            fn components<T: Copy + Add<Output = T> + Sub<Output = T>>($f: [T; 8]) -> [T; 8] {
                $forward
            }

            #[inline(always)]
            fn function<T: Copy + Add<Output = T> + Sub<Output = T>>($c: [T; 8]) -> [T; 8] {
                $inverse
            }
        }
    };
}

butterfly!(Trivial, 1, 1, |f| f, |c| c);
butterfly!(Two, 2, 2, |f| fourier::two(f), |c| fourier::two(c));
butterfly!(Klein, 4, 4, |f| fourier::klein(f), |c| fourier::klein(c));
// The three products of the complex irrep are those with r + i, r and i.
butterfly!(
    Cyclic,
    4,
    5,
    |f| {
        let [a, b, r, i, ..] = fourier::cyclic(f);
        [a, b, r + i, r, i, a, a, a]
    },
    |c| fourier::cyclic_transpose([c[0], c[1], c[2] - c[4], c[2] + c[3], c[4], c[5], c[6], c[7]])
);
butterfly!(Dihedral, 8, 8, |f| fourier::dihedral(f), |c| fourier::dihedral_transpose(c));
