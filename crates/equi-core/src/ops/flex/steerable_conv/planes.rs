//! Pixels side by side: images plane by plane, and their Fourier components for vectors of pixels.

#![allow(unsafe_code)] // Bounds are those of a tile, checked where it is made.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::butterfly::{ButterflyOn, Collect, NOWHERE, Spread, on_transform};
use super::grid::Grid;
use super::lanes::{Lanes, load, store};
use super::pack::Frame;
use super::places::PITCH;
use super::shared::Shared;
use crate::ops::flex::pool::Buffer;
use crate::ops::steerable_conv::symmetry::Transform;

/// Images `[sample][channel][row][column]` in a frame. Columns with the same remainder by the stride lie side by side, so that those of neighbouring
/// pixels are neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub frame: Frame,
    pub stride: usize,
}

impl Planes {
    fn columns(self) -> usize {
        self.frame.size[1].div_ceil(self.stride)
    }

    /// Numbers of a row.
    pub(super) fn row(self) -> usize {
        self.columns() * self.stride
    }

    /// Numbers of a plane.
    pub(super) fn numbers(self) -> usize {
        self.frame.size[0] * self.row()
    }

    /// Where column `column` of the frame lies in a row.
    pub(super) fn column(self, column: usize) -> usize {
        column % self.stride * self.columns() + column / self.stride
    }
}

/// `[batch, channels, height, width]` to planes, with zeros between and around, and a vector of zeros after the last plane.
pub(super) fn pack_planes<F: Lanes>(
    image: &[F],
    [height, width]: [usize; 2],
    channels: &[(usize, F)],
    planes: Planes,
) -> Buffer {
    let (count, size, row) = (channels.len(), planes.numbers(), planes.row());
    let batch = image.len() / (count * height * width);
    let mut packed = Buffer::any::<F>(batch * count * size);
    let (numbers, beyond) = packed.numbers_mut::<F>().split_at_mut(batch * count * size);
    beyond.fill(F::zeroed());
    let frame = planes.frame;
    // The columns of the image that lie in the frame.
    let inside = |column: &usize| frame.place(*column, 1).is_some();
    let columns = (0..width).position(|column| inside(&column)).unwrap_or(width)..(0..width).filter(inside).count();
    let columns = columns.start..columns.start + columns.end;
    let places: Vec<usize> =
        columns.clone().filter_map(|column| Some(planes.column(frame.place(column, 1)?))).collect();
    let together = places.windows(2).all(|pair| pair[1] == pair[0] + 1);
    numbers.par_chunks_mut(size.max(1)).with_min_len(8).enumerate().for_each(|(plane, to)| {
        let (channel, sign) = channels[plane % count];
        let image = &image[(plane / count * count + channel) * height * width..][..height * width];
        to.fill(F::zeroed());
        let (Some(&first), true) = (places.first(), height > 0) else { return };
        for (from, place) in image.chunks_exact(width).zip(0..).filter_map(|(from, i)| Some((from, frame.place(i, 0)?)))
        {
            let (from, to) = (&from[columns.clone()], &mut to[place * row..][..row]);
            if together {
                for (to, &number) in to[first..].iter_mut().zip(from) {
                    *to = number * sign;
                }
            } else {
                for (&place, &number) in places.iter().zip(from) {
                    to[place] = number * sign;
                }
            }
        }
    });
    packed
}

/// The components of every pixel of a tile, `[row, PITCH]`.
pub(super) struct SpreadingPlanes<'a, F> {
    pub transform: Transform,
    pub parts: &'a [Spread<F>],
    pub image: &'a [F],
    /// From one channel to the next.
    pub plane: usize,
    /// For every half of a largest vector: the first number of its first patch in `image`.
    pub patches: &'a [usize],
    pub to: &'a mut [F],
}

impl<F: Lanes> WithSimd for SpreadingPlanes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        on_transform!(self.transform, T => self.run::<S, T>(simd))
    }
}

impl<F: Lanes> SpreadingPlanes<'_, F> {
    #[inline(always)]
    fn run<S: Simd, T: ButterflyOn>(self, simd: S) {
        let (image, to) = (self.image.as_ptr(), self.to.as_mut_ptr());
        let (lanes, half) = (F::count::<S>(), F::MOST / 2);
        for part in self.parts {
            for orbit in 0..part.count {
                for at in (0..self.patches.len() * half).step_by(lanes) {
                    let patch = self.patches[at / half] + at % half + orbit * self.plane;
                    let mut values = [F::splat(simd, F::zeroed()); 8];
                    for (value, &member) in values[..T::ORDER].iter_mut().zip(&part.members) {
                        // SAFETY: members lie within the image; a vector that reaches beyond the last row lies within the line that an image has
                        // more than it needs.
                        *value = unsafe { load::<F, S>(image.add(patch + member)) };
                    }
                    if !part.free {
                        for (value, &sign) in values[..T::ORDER].iter_mut().zip(&part.signs) {
                            *value = F::times(simd, *value, F::splat(simd, sign));
                        }
                    }
                    let components = T::forward::<F, S>(simd, values);
                    for (c, component) in components.into_iter().enumerate().take(T::COMPONENTS) {
                        if part.free || part.targets[c] != NOWHERE {
                            let place = part.targets[c] + orbit * PITCH + at;
                            // SAFETY: targets are rows of the components, as long as a tile.
                            unsafe { store::<F, S>(to.add(place), component) };
                        }
                    }
                }
            }
        }
    }
}

/// The channels of a tile from the components, put where they belong.
pub(super) struct CollectingPlanes<'a, 'b, F> {
    pub transform: Transform,
    pub parts: &'a [Collect<F>],
    pub from: &'a [F],
    pub grid: Grid,
    /// The first pixel of the tile, and pixels.
    pub first: usize,
    pub count: usize,
    /// For every packed channel: the channel of the feature map, and its sign.
    pub channels: &'a [(usize, F)],
    pub bias: &'a [F],
    /// `[batch, channels, height, width]`
    pub output: &'a Shared<'b, F>,
}

impl<F: Lanes> WithSimd for CollectingPlanes<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        on_transform!(self.transform, T => self.run::<S, T>(simd))
    }
}

impl<F: Lanes> CollectingPlanes<'_, '_, F> {
    #[inline(always)]
    fn run<S: Simd, T: ButterflyOn>(self, simd: S) {
        let Self { grid, first, count, .. } = self;
        let (from, lanes) = (self.from.as_ptr(), F::count::<S>());
        let [height, width] = grid.size;
        let plane = height * width;
        for at in (0..count).step_by(lanes) {
            let pixel = first + at;
            let (sample, line, column) = (pixel / grid.pixels(), pixel / grid.row % height, pixel % grid.row);
            // Of this vector, on the image.
            let valid = lanes.min(width.saturating_sub(column));
            if valid == 0 {
                continue;
            }
            let to = sample * self.channels.len() * plane + line * width + column;
            for part in self.parts {
                for orbit in 0..part.count {
                    let mut components = [F::splat(simd, F::zeroed()); 8];
                    for (c, component) in components.iter_mut().enumerate().take(T::COMPONENTS) {
                        if part.free || part.sources[c] != NOWHERE {
                            // SAFETY: sources are rows of the components, as long as a tile.
                            *component = unsafe { load::<F, S>(from.add(part.sources[c] + orbit * PITCH + at)) };
                        }
                    }
                    if !part.free {
                        for (component, &sign) in components.iter_mut().zip(&part.signs) {
                            *component = F::times(simd, *component, F::splat(simd, sign));
                        }
                    }
                    let values = T::transpose::<F, S>(simd, components);
                    for (number, &leader) in part.leaders.iter().enumerate() {
                        let (channel, sign) = self.channels[part.start + number * part.count + orbit];
                        let value = if part.free { values[number] } else { values[leader] };
                        let (sign, bias) = (F::splat(simd, sign), F::splat(simd, self.bias[channel]));
                        let value = F::mul_add(simd, value, sign, bias);
                        // SAFETY: a pixel belongs to one tile, and tiles to one thread.
                        let to = unsafe { self.output.slice(to + channel * plane, valid) };
                        F::store_first(simd, to, value);
                    }
                }
            }
        }
    }
}

/// Runs a kernel with the best instruction set, or, where half of its vectors is all that is needed, with one of such vectors.
pub(super) fn dispatch<O: WithSimd>(narrow: bool, operation: O) -> O::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if narrow && let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || operation.with_simd(simd),
        );
    }
    let _ = narrow;
    Arch::new().dispatch(operation)
}
