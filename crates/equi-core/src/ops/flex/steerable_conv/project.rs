//! Patches taken to functions on the points of the kernel, channel by channel, and filters as well.

#![allow(unsafe_code)] // Bounds are those of a tile, checked where it is made.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::butterfly::{ButterflyOn, NOWHERE, Spread, on_transform, vectors};
use super::gemm::{Left, Right, gemm};
use super::grid::Grid;
use super::lanes::{Lanes, load, store};
use super::places::{PITCH, STRIDE};
use super::planes::dispatch;
use crate::ops::flex::pool::{Buffer, with_scratch};
use crate::ops::steerable_conv::functions::{IrrepRow, KernelFunctions, PointOrbit};
use crate::ops::steerable_conv::plan::{Part, Plan, Side};
use crate::ops::steerable_conv::symmetry::Transform;

/// Where the points of a patch are in an image, and which sums and differences they make.
pub(super) struct Projection {
    /// With offsets into the image for points.
    orbits: Vec<PointOrbit>,
    rows: Vec<Row>,
    slots: usize,
    functions: usize,
}

/// The functions of a row of an irrep.
struct Row {
    first_slot: usize,
    slots: usize,
    first_function: usize,
    functions: usize,
    /// Where its coefficients begin, `[slot][function]`.
    start: usize,
}

impl Projection {
    pub(super) fn new(functions: &KernelFunctions, grid: &Grid, channels: usize) -> Self {
        let size = functions.size;
        let place = |point: usize| grid.point(channels, [point / size, point % size], 0);
        let orbit = |orbit: &PointOrbit| match *orbit {
            PointOrbit::Centre { point, slot } => PointOrbit::Centre { point: place(point), slot },
            PointOrbit::Axis { points, slots } => PointOrbit::Axis { points: points.map(place), slots },
            PointOrbit::Diagonal { points, slots } => PointOrbit::Diagonal { points: points.map(place), slots },
            PointOrbit::General { points, slots } => {
                PointOrbit::General { points: points.map(|points| points.map(place)), slots }
            }
        };
        let mut start = 0;
        let row = |row: &IrrepRow| {
            let functions = row.coefficients.len();
            let row = Row {
                first_slot: row.first_slot,
                slots: row.slots,
                first_function: row.first_function,
                functions,
                start,
            };
            start += row.slots * functions;
            row
        };
        Self {
            orbits: functions.orbits.iter().map(orbit).collect(),
            rows: functions.rows.iter().map(row).collect(),
            slots: size * size,
            functions: functions.len(),
        }
    }

    /// Numbers of the scratch that orbits of so many channels need.
    pub(super) fn scratch<F: Lanes>(&self, channels: usize) -> usize {
        (self.slots + channels * self.functions) * F::MOST
    }
}

/// What the sums and differences are multiplied with, where functions come with signs.
fn coefficients<F: Lanes>(functions: &KernelFunctions, minus: &[bool]) -> Vec<F> {
    let mut coefficients = Vec::new();
    for row in &functions.rows {
        for slot in 0..row.slots {
            for (number, function) in row.coefficients.iter().enumerate() {
                let sign = if minus[row.first_function + number] { -1.0 } else { 1.0 };
                coefficients.push(F::from_f64(sign * function[slot]));
            }
        }
    }
    coefficients
}

/// Some channel orbits of a kind, and the orbits of their channels at functions.
pub(super) struct Chunk<F> {
    count: usize,
    channels: Vec<Channel<F>>,
    /// Members are vectors: channel after channel, in each function after function.
    parts: Vec<Spread<F>>,
}

/// A channel of an orbit.
struct Channel<F> {
    /// From the patch to the channel of the first orbit.
    offset: usize,
    coefficients: Vec<F>,
}

impl<F: Lanes> Chunk<F> {
    /// Of parts of a plan with the same channels, and the spreads of these whose members are numbers of a channel and a function, in pairs as in the plan.
    pub(super) fn new(plan: &Plan, parts: &[Part], grid: &Grid, spread: impl Fn(&Part) -> Spread<F>) -> Self {
        let functions = plan.functions.as_ref().expect("a plan by functions");
        let (kind, first, count) = (&plan.input[parts[0].kind], parts[0].first, parts[0].count);
        let number = |function: usize, channel: usize| channel * functions.len() + function;
        // The sign that each first comes with is taken with the coefficients.
        let mut minus = vec![false; kind.channels.len() * functions.len()];
        for part in parts {
            for (function, channel, sign) in plan.orbits[part.orbit].signs() {
                minus[number(function, channel)] = sign;
            }
        }
        let spread = |part: &_| {
            let mut spread = spread(part);
            for (h, &(function, channel, sign)) in plan.orbits[part.orbit].members.iter().enumerate() {
                let number = number(function, channel);
                spread.members[h] = number * F::MOST;
                spread.signs[h] = F::from_f64(if sign == minus[number] { 1.0 } else { -1.0 });
            }
            spread
        };
        let parts = parts.iter().map(spread).collect();
        let channel = |(channel, minus): (usize, &[bool])| Channel {
            offset: grid.point(plan.input_channels(), [0, 0], kind.start + channel * kind.count() + first),
            coefficients: coefficients(functions, minus),
        };
        let channels = minus.chunks(functions.len()).enumerate().map(channel).collect();
        Self { count, channels, parts }
    }

    /// Whether halves of the largest vectors hold its orbits.
    pub(super) fn narrow(&self) -> bool {
        self.count <= F::MOST / 2
    }
}

/// The components of every pixel of a tile.
pub(super) struct Projecting<'a, F> {
    pub transform: Transform,
    pub side: Side,
    pub projection: &'a Projection,
    pub chunks: &'a [Chunk<F>],
    pub image: &'a [F],
    /// From one channel to the next in the image, where pixels lie side by side.
    pub plane: usize,
    /// The first numbers of patches: of every pixel, or of every half of a largest vector of pixels.
    pub patches: &'a [usize],
    /// See [`Projection::scratch`].
    pub scratch: &'a mut [F],
    pub to: &'a mut [F],
}

impl<F: Lanes> WithSimd for Projecting<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        on_transform!(self.transform, T => self.run::<S, T>(simd))
    }
}

impl<F: Lanes> Projecting<'_, F> {
    #[inline(always)]
    fn run<S: Simd, T: ButterflyOn>(self, simd: S) {
        let (image, to, lanes, half) = (self.image.as_ptr(), self.to.as_mut_ptr(), F::count::<S>(), F::MOST / 2);
        let projection = self.projection;
        let (slots, values) = self.scratch.split_at_mut(projection.slots * F::MOST);
        for chunk in self.chunks {
            assert!(values.len() >= chunk.channels.len() * projection.functions * F::MOST);
            // SAFETY: patches lie within the image, which has room for a vector after its last number, and so have components.
            let mut run = |patch: usize, place: usize| unsafe {
                chunk.run::<S, T>(simd, projection, image.add(patch), slots, values, to.add(place));
            };
            match self.side {
                Side::Channels => {
                    for (number, &patch) in self.patches.iter().enumerate() {
                        vectors::<F, S>(chunk.count).for_each(|at| run(patch + at, number * STRIDE + at));
                    }
                }
                Side::Pixels => {
                    for orbit in 0..chunk.count {
                        for at in (0..self.patches.len() * half).step_by(lanes) {
                            run(self.patches[at / half] + at % half + orbit * self.plane, orbit * PITCH + at);
                        }
                    }
                }
            }
        }
    }
}

impl<F: Lanes> Chunk<F> {
    /// A vector of patches that begin at `from`, to the components from `to` on.
    ///
    /// # Safety
    /// Offsets of points and channels lie within the image, and targets within the components.
    #[inline(always)]
    unsafe fn run<S: Simd, T: ButterflyOn>(
        &self,
        simd: S,
        projection: &Projection,
        from: *const F,
        slots: &mut [F],
        values: &mut [F],
        to: *mut F,
    ) {
        let (slots, values) = (slots.as_mut_ptr(), values.as_mut_ptr());
        for (number, channel) in self.channels.iter().enumerate() {
            // SAFETY: the scratch has room for all slots, and for all functions of all channels.
            unsafe {
                projection.differences::<F, S>(simd, from.add(channel.offset), slots);
                let values = values.add(number * projection.functions * F::MOST);
                projection.multiply::<F, S>(simd, &channel.coefficients, slots, values);
            }
        }
        for part in &self.parts {
            let mut vectors = [F::splat(simd, F::zeroed()); 8];
            for (vector, &member) in vectors[..T::ORDER].iter_mut().zip(&part.members) {
                // SAFETY: members lie within the scratch.
                *vector = unsafe { load::<F, S>(values.add(member)) };
            }
            if !part.free {
                for (vector, &sign) in vectors[..T::ORDER].iter_mut().zip(&part.signs) {
                    *vector = F::times(simd, *vector, F::splat(simd, sign));
                }
            }
            let components = T::forward::<F, S>(simd, vectors);
            for (c, component) in components.into_iter().enumerate().take(T::COMPONENTS) {
                if part.free || part.targets[c] != NOWHERE {
                    // SAFETY: the caller's promise.
                    unsafe { store::<F, S>(to.add(part.targets[c]), component) };
                }
            }
        }
    }
}

impl Projection {
    /// Sums and differences of a vector of patches.
    ///
    /// # Safety
    /// The points lie within the image, and there is room for all slots.
    #[inline(always)]
    unsafe fn differences<F: Lanes, S: Simd>(&self, simd: S, from: *const F, to: *mut F) {
        // SAFETY: the caller's promise.
        let at = |point: usize| unsafe { load::<F, S>(from.add(point)) };
        let put = |slot: usize, vector| unsafe { store::<F, S>(to.add(slot * F::MOST), vector) };
        let (plus, minus) = (|a, b| F::plus(simd, a, b), |a, b| F::minus(simd, a, b));
        // Even, odd in x, odd in y, odd in both.
        let corners = |points: &[usize; 4]| {
            let [northeast, northwest, southwest, southeast] = points.map(at);
            let (north, south) = (plus(northeast, northwest), plus(southeast, southwest));
            let (n, s) = (minus(northeast, northwest), minus(southeast, southwest));
            [plus(north, south), plus(n, s), minus(north, south), minus(n, s)]
        };
        for orbit in &self.orbits {
            match orbit {
                PointOrbit::Centre { point, slot } => put(*slot, at(*point)),
                PointOrbit::Axis { points, slots } => {
                    let [east, north, west, south] = points.map(at);
                    let (across, along) = (plus(east, west), plus(north, south));
                    put(slots[0], plus(across, along));
                    put(slots[1], minus(across, along));
                    put(slots[2], minus(east, west));
                    put(slots[3], minus(north, south));
                }
                PointOrbit::Diagonal { points, slots } => {
                    for (slot, vector) in slots.iter().zip(corners(points)) {
                        put(*slot, vector);
                    }
                }
                PointOrbit::General { points: [p, q], slots } => {
                    let [even, x, y, xy] = corners(p);
                    let [even_q, x_q, y_q, xy_q] = corners(q);
                    let vectors =
                        [plus(even, even_q), minus(even, even_q), plus(xy, xy_q), minus(xy, xy_q), x, x_q, y_q, y];
                    for (slot, vector) in slots.iter().zip(vectors) {
                        put(*slot, vector);
                    }
                }
            }
        }
    }

    /// Functions from sums and differences.
    ///
    /// # Safety
    /// There are all slots, and there is room for all functions.
    #[inline(always)]
    unsafe fn multiply<F: Lanes, S: Simd>(&self, simd: S, coefficients: &[F], slots: *const F, to: *mut F) {
        for row in &self.rows {
            let coefficients = &coefficients[row.start..][..row.slots * row.functions];
            let mut function = 0;
            macro_rules! some {
                ($count:literal) => {
                    while row.functions - function >= $count {
                        // SAFETY: the caller's promise, and the loop's bound.
                        unsafe {
                            let coefficients = coefficients.as_ptr().add(function);
                            let slots = slots.add(row.first_slot * F::MOST);
                            let to = to.add((row.first_function + function) * F::MOST);
                            combine::<F, S, $count>(simd, [row.slots, row.functions], coefficients, slots, to);
                        }
                        function += $count;
                    }
                };
            }
            some!(4);
            some!(3);
            some!(2);
            some!(1);
        }
    }
}

/// `N` combinations of `slots` vectors.
///
/// # Safety
/// Each slot has `step` coefficients, of which `N` are read.
#[inline(always)]
unsafe fn combine<F: Lanes, S: Simd, const N: usize>(
    simd: S,
    [slots, step]: [usize; 2],
    coefficients: *const F,
    from: *const F,
    to: *mut F,
) {
    let mut sums = [F::splat(simd, F::zeroed()); N];
    for slot in 0..slots {
        // SAFETY: the caller's promise.
        let vector = unsafe { load::<F, S>(from.add(slot * F::MOST)) };
        for (n, sum) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let coefficient = unsafe { *coefficients.add(slot * step + n) };
            *sum = F::mul_add(simd, vector, F::splat(simd, coefficient), *sum);
        }
    }
    for (n, sum) in sums.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { store::<F, S>(to.add(n * F::MOST), sum) };
    }
}

/// From one pair of channels to the next in a filter by functions.
pub(super) fn pitch<F: Lanes>(functions: &KernelFunctions) -> usize {
    functions.len().next_multiple_of(F::MOST / 2)
}

/// Pairs of channels that are worked on at a time.
const PAIRS: usize = 256;

/// `[pairs, points]` to `[pairs, pitch]`: the coefficients of the functions that a filter is a combination of.
pub(super) fn project_filter<F: Lanes>(functions: &KernelFunctions, filter: &[F]) -> Buffer {
    let (points, pitch) = (functions.size * functions.size, pitch::<F>(functions));
    let mut matrix = vec![F::zeroed(); points * pitch];
    for (f, values) in functions.values.iter().enumerate() {
        values.iter().enumerate().for_each(|(point, &value)| matrix[point * pitch + f] = F::from_f64(value));
    }
    let pairs = filter.len() / points;
    let mut projected = Buffer::any::<F>(pairs * pitch);
    let to = &mut projected.numbers_mut::<F>()[..pairs * pitch];
    to.par_chunks_mut(PAIRS * pitch).zip(filter.par_chunks(PAIRS * points)).for_each(|(to, from)| {
        multiply(from, &matrix, to, [points, pitch]);
    });
    projected
}

/// `[pairs, pitch]` to `[pairs, points]`, the transpose of [`project_filter`].
pub(super) fn expand_filter<F: Lanes>(functions: &KernelFunctions, projected: &[F], filter: &mut [F]) {
    let (points, pitch) = (functions.size * functions.size, pitch::<F>(functions));
    let width = points.next_multiple_of(F::MOST / 2);
    let mut matrix = vec![F::zeroed(); pitch * width];
    for (f, values) in functions.values.iter().enumerate() {
        values.iter().zip(&mut matrix[f * width..]).for_each(|(&value, entry)| *entry = F::from_f64(value));
    }
    filter.par_chunks_mut(PAIRS * points).zip(projected.par_chunks(PAIRS * pitch)).for_each(|(to, from)| {
        let pairs = to.len() / points;
        with_scratch::<F, _>(pairs * width, |wide| {
            let wide = &mut wide[..pairs * width];
            multiply(&from[..pairs * pitch], &matrix, wide, [pitch, width]);
            for (to, wide) in to.chunks_exact_mut(points).zip(wide.chunks_exact(width)) {
                to.copy_from_slice(&wide[..points]);
            }
        });
    });
}

/// `to = from matrix`, `[rows, depth] [depth, width]`.
fn multiply<F: Lanes>(from: &[F], matrix: &[F], to: &mut [F], [depth, width]: [usize; 2]) {
    dispatch(!width.is_multiple_of(F::MOST), Multiply { from, matrix, to, depth, width });
}

struct Multiply<'a, F> {
    from: &'a [F],
    matrix: &'a [F],
    to: &'a mut [F],
    depth: usize,
    width: usize,
}

impl<F: Lanes> WithSimd for Multiply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { from, matrix, to, depth, width } = self;
        let rows = from.len() / depth;
        assert!(to.len() >= rows * width && matrix.len() >= depth * width);
        let (left, right) =
            (Left { first: from.as_ptr(), row: depth, column: 1 }, Right { first: matrix.as_ptr(), row: width });
        // SAFETY: the slices have the sizes of the matrices.
        unsafe { gemm::<F, S, false>(simd, [rows, depth, width], left, right, to.as_mut_ptr(), width, false) };
    }
}
