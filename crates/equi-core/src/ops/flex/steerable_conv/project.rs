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
use crate::ops::steerable_conv::functions::{A1, A2, B1, B2, IrrepRow, KernelFunctions, PointOrbit, X, Y};
use crate::ops::steerable_conv::plan::{Part, Plan, Side};
use crate::ops::steerable_conv::symmetry::Transform;

/// Where the points of a patch are in an image, and which sums and differences they make.
pub(super) struct Projection<F> {
    /// Orbits of points: offsets into the image, and where the sums and differences go.
    centre: Option<(usize, usize)>,
    axes: Vec<([usize; 4], [usize; 4])>,
    diagonals: Vec<([usize; 4], [usize; 4])>,
    general: Vec<([[usize; 4]; 2], [usize; 8])>,
    rows: Vec<Row>,
    coefficients: Vec<F>,
    /// For every slot: where its coefficients begin.
    starts: Vec<usize>,
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

impl<F: Lanes> Projection<F> {
    pub(super) fn new(functions: &KernelFunctions, grid: &Grid, channels: usize) -> Self {
        let size = functions.size;
        let place = |point: usize| grid.point(channels, [point / size, point % size], 0);
        let mut this = Self {
            centre: None,
            axes: Vec::new(),
            diagonals: Vec::new(),
            general: Vec::new(),
            rows: Vec::new(),
            coefficients: coefficients(functions),
            starts: Vec::new(),
            slots: size * size,
            functions: functions.len(),
        };
        for orbit in &functions.orbits {
            match *orbit {
                PointOrbit::Centre { point, slot } => this.centre = Some((place(point), slot)),
                PointOrbit::Axis { points, slots } => this.axes.push((points.map(place), slots)),
                PointOrbit::Diagonal { points, slots } => {
                    this.diagonals.push((points.map(place), slots));
                }
                PointOrbit::General { points, slots } => {
                    this.general.push((points.map(|points| points.map(place)), slots));
                }
            }
        }
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
        this.rows = functions.rows.iter().map(row).collect();
        this.starts =
            this.rows.iter().flat_map(|row| (0..row.slots).map(|slot| row.start + slot * row.functions)).collect();
        this
    }

    /// Numbers of the scratch that orbits of so many channels need.
    pub(super) fn scratch(&self, channels: usize) -> usize {
        channels * (self.slots + self.functions) * F::MOST
    }
}

/// What the sums and differences are multiplied with.
fn coefficients<F: Lanes>(functions: &KernelFunctions) -> Vec<F> {
    let slots = |row: &IrrepRow| {
        let of_slot = |slot: usize| row.coefficients.iter().map(move |function| F::from_f64(function[slot]));
        (0..row.slots).flat_map(of_slot).collect::<Vec<F>>()
    };
    functions.rows.iter().flat_map(slots).collect()
}

/// Some channel orbits of a kind, and the orbits of their channels at functions.
pub(super) struct Chunk<F> {
    count: usize,
    /// From the patch to every channel of the first orbit.
    channels: Vec<usize>,
    /// `[channel][function]`: the signs that functions first come with.
    signs: Vec<F>,
    /// Members are vectors: channel after channel, in each function after function.
    parts: Vec<Spread<F>>,
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
            // As many members as elements, each with the sign that it first comes with.
            spread.free = plan.orbits[part.orbit].signs().count() == plan.group.order();
            spread
        };
        let parts = parts.iter().map(spread).collect();
        let channel = |channel| grid.point(plan.input_channels(), [0, 0], kind.start + channel * kind.count() + first);
        let channels = (0..kind.channels.len()).map(channel).collect();
        let signs = minus.iter().map(|&minus| F::from_f64(if minus { -1.0 } else { 1.0 })).collect();
        Self { count, channels, signs, parts }
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
    pub projection: &'a Projection<F>,
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
        for chunk in self.chunks {
            let channels = chunk.channels.len();
            let (slots, values) = self.scratch.split_at_mut(channels * projection.slots * F::MOST);
            assert!(values.len() >= channels * projection.functions * F::MOST);
            match self.side {
                Side::Channels => {
                    for (number, &patch) in self.patches.iter().enumerate() {
                        for at in vectors::<F, S>(chunk.count) {
                            // SAFETY: patches lie within the image, which has room for a vector after its last number, and so have components.
                            unsafe {
                                let (from, to) = (image.add(patch + at), to.add(number * STRIDE + at));
                                chunk.run::<S, T>(simd, projection, from, slots, values, to);
                            }
                        }
                    }
                }
                Side::Pixels => {
                    for orbit in 0..chunk.count {
                        for at in (0..self.patches.len() * half).step_by(lanes) {
                            let patch = self.patches[at / half] + at % half + orbit * self.plane;
                            // SAFETY: as above.
                            unsafe {
                                let (from, to) = (image.add(patch), to.add(orbit * PITCH + at));
                                chunk.run::<S, T>(simd, projection, from, slots, values, to);
                            }
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
        projection: &Projection<F>,
        from: *const F,
        slots: &mut [F],
        values: &mut [F],
        to: *mut F,
    ) {
        let (slots, values) = (slots.as_mut_ptr(), values.as_mut_ptr());
        // SAFETY: the scratch has room for the slots and the functions of all channels.
        unsafe { projection.functions::<S>(simd, from, &self.channels, &self.signs, slots, values) };
        for part in &self.parts {
            let mut vectors = [F::splat(simd, F::zeroed()); 8];
            for (vector, &member) in vectors[..T::ORDER].iter_mut().zip(&part.members) {
                // SAFETY: members lie within the scratch.
                *vector = unsafe { load::<F, S>(values.add(member)) };
            }
            if part.free {
                let components = T::forward::<F, S>(simd, vectors);
                for (c, component) in components.into_iter().enumerate().take(T::COMPONENTS) {
                    // SAFETY: the caller's promise.
                    unsafe { store::<F, S>(to.add(part.targets[c]), component) };
                }
                continue;
            }
            for (vector, &sign) in vectors[..T::ORDER].iter_mut().zip(&part.signs) {
                *vector = F::times(simd, *vector, F::splat(simd, sign));
            }
            let components = T::forward::<F, S>(simd, vectors);
            for (c, component) in components.into_iter().enumerate().take(T::COMPONENTS) {
                if part.targets[c] != NOWHERE {
                    // SAFETY: the caller's promise.
                    unsafe { store::<F, S>(to.add(part.targets[c]), component) };
                }
            }
        }
    }
}

impl<F: Lanes> Projection<F> {
    /// The functions of channels, `[channel][function]`, of a vector of patches.
    ///
    /// # Safety
    /// The points lie within the image, from every channel on, and there is room for the slots and functions of all channels.
    #[inline(always)]
    unsafe fn functions<S: Simd>(
        &self,
        simd: S,
        from: *const F,
        channels: &[usize],
        signs: &[F],
        slots: *mut F,
        to: *mut F,
    ) {
        // The usual kernels of 3, 5 and 7 points along a side: sums stay in registers. Rows: A1, A2, B1, B2, X, Y.
        macro_rules! direct {
            ($a:literal, $b:literal, $c:literal, $e:literal) => {
                for (number, &channel) in channels.iter().enumerate() {
                    let first = number * self.functions;
                    let mut sums = Sums::<F, S, $a, $b, $c, $e>::new(simd, self);
                    // SAFETY: the caller's promise.
                    unsafe {
                        self.differences(simd, from.add(channel), &mut sums);
                        sums.put(simd, self, &signs[first..], to.add(first * F::MOST));
                    }
                }
            };
        }
        let many = S::REGISTER_COUNT >= 32;
        match [0, 1, 2, 3, 4, 5].map(|row| self.rows[row].functions) {
            [2, 0, 1, 1, 1, 1] => direct!(2, 1, 1, 1),
            [3, 0, 2, 2, 2, 2] => direct!(3, 2, 2, 2),
            [4, 0, 3, 3, 4, 4] if many => direct!(4, 3, 3, 4),
            _ => {
                for (number, &channel) in channels.iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let mut stored = Stored { to: slots.add(number * self.slots * F::MOST) };
                        self.differences(simd, from.add(channel), &mut stored);
                    }
                }
                // SAFETY: the slots have been stored.
                unsafe { self.multiply::<S>(simd, channels.len(), signs, slots, to) };
            }
        }
    }

    /// Sums and differences of a vector of patches.
    ///
    /// # Safety
    /// The points lie within the image, and `to` has room for all slots.
    #[inline(always)]
    unsafe fn differences<S: Simd>(&self, simd: S, from: *const F, to: &mut impl Sink<F, S>) {
        // SAFETY: the caller's promise, for all of them.
        unsafe {
            if let Some((point, slot)) = self.centre {
                to.take::<A1>(simd, slot, load::<F, S>(from.add(point)));
            }
            for (points, slots) in &self.axes {
                let [east, north, west, south] = four::<F, S>(from, points);
                let (across, along) = (F::plus(simd, east, west), F::plus(simd, north, south));
                to.take::<A1>(simd, slots[0], F::plus(simd, across, along));
                to.take::<B1>(simd, slots[1], F::minus(simd, across, along));
                to.take::<X>(simd, slots[2], F::minus(simd, east, west));
                to.take::<Y>(simd, slots[3], F::minus(simd, north, south));
            }
            for (points, slots) in &self.diagonals {
                let [even, x, y, xy] = corners::<F, S>(simd, from, points);
                to.take::<A1>(simd, slots[0], even);
                to.take::<X>(simd, slots[1], x);
                to.take::<Y>(simd, slots[2], y);
                to.take::<B2>(simd, slots[3], xy);
            }
            for ([p, q], slots) in &self.general {
                let [even, x, y, xy] = corners::<F, S>(simd, from, p);
                let [even_q, x_q, y_q, xy_q] = corners::<F, S>(simd, from, q);
                to.take::<A1>(simd, slots[0], F::plus(simd, even, even_q));
                to.take::<B1>(simd, slots[1], F::minus(simd, even, even_q));
                to.take::<B2>(simd, slots[2], F::plus(simd, xy, xy_q));
                to.take::<A2>(simd, slots[3], F::minus(simd, xy, xy_q));
                to.take::<X>(simd, slots[4], x);
                to.take::<X>(simd, slots[5], x_q);
                to.take::<Y>(simd, slots[6], y_q);
                to.take::<Y>(simd, slots[7], y);
            }
        }
    }

    /// Functions from sums and differences, of so many channels.
    ///
    /// # Safety
    /// There are all slots of all channels, and there is room for all functions.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, simd: S, channels: usize, signs: &[F], slots: *const F, to: *mut F) {
        for row in &self.rows {
            let mut channel = 0;
            macro_rules! some {
                ($channels:literal: $($functions:literal)*) => {
                    while channels - channel >= $channels {
                        let mut function = 0;
                        $(while row.functions - function >= $functions {
                            // SAFETY: the caller's promise, and the bounds of the loops.
                            unsafe {
                                self.combine::<S, $functions, $channels>(simd, row, [function, channel], signs, slots, to);
                            }
                            function += $functions;
                        })*
                        channel += $channels;
                    }
                };
            }
            // As many sums as registers hold where there are 16.
            some!(4: 2 1);
            some!(2: 4 2 1);
            some!(1: 4 2 1);
        }
    }

    /// `N` functions of a row, of `C` channels.
    ///
    /// # Safety
    /// As [`Self::multiply`]; there are these functions and channels.
    #[inline(always)]
    unsafe fn combine<S: Simd, const N: usize, const C: usize>(
        &self,
        simd: S,
        row: &Row,
        [function, channel]: [usize; 2],
        signs: &[F],
        slots: *const F,
        to: *mut F,
    ) {
        let mut sums = [[F::splat(simd, F::zeroed()); C]; N];
        // SAFETY: the caller's promise.
        unsafe {
            let coefficients = self.coefficients.as_ptr().add(row.start + function);
            let slots = slots.add((channel * self.slots + row.first_slot) * F::MOST);
            for slot in 0..row.slots {
                let mut vectors = [F::splat(simd, F::zeroed()); C];
                for (c, vector) in vectors.iter_mut().enumerate() {
                    *vector = load::<F, S>(slots.add((c * self.slots + slot) * F::MOST));
                }
                for (n, sums) in sums.iter_mut().enumerate() {
                    let coefficient = F::splat(simd, *coefficients.add(slot * row.functions + n));
                    for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                        *sum = F::mul_add(simd, vector, coefficient, *sum);
                    }
                }
            }
            let first = channel * self.functions + row.first_function + function;
            let (signs, to) = (signs.as_ptr().add(first), to.add(first * F::MOST));
            for (n, sums) in sums.into_iter().enumerate() {
                for (c, sum) in sums.into_iter().enumerate() {
                    let number = c * self.functions + n;
                    let sign = F::splat(simd, *signs.add(number));
                    store::<F, S>(to.add(number * F::MOST), F::times(simd, sum, sign));
                }
            }
        }
    }
}

/// Where sums and differences go.
trait Sink<F: Lanes, S: Simd> {
    /// Takes what belongs to a slot of a row.
    ///
    /// # Safety
    /// There is such a slot.
    unsafe fn take<const ROW: usize>(&mut self, simd: S, slot: usize, vector: F::Vector<S>);
}

/// Into memory.
struct Stored<F> {
    to: *mut F,
}

impl<F: Lanes, S: Simd> Sink<F, S> for Stored<F> {
    #[inline(always)]
    unsafe fn take<const ROW: usize>(&mut self, _: S, slot: usize, vector: F::Vector<S>) {
        // SAFETY: the caller's promise.
        unsafe { store::<F, S>(self.to.add(slot * F::MOST), vector) };
    }
}

/// Into the functions that they belong to, of which rows have these numbers, and row `A2` none.
struct Sums<'a, F: Lanes, S: Simd, const A: usize, const B: usize, const C: usize, const E: usize> {
    a1: [F::Vector<S>; A],
    b1: [F::Vector<S>; B],
    b2: [F::Vector<S>; C],
    x: [F::Vector<S>; E],
    y: [F::Vector<S>; E],
    coefficients: &'a [F],
    starts: &'a [usize],
}

impl<'a, F: Lanes, S: Simd, const A: usize, const B: usize, const C: usize, const E: usize> Sums<'a, F, S, A, B, C, E> {
    #[inline(always)]
    fn new(simd: S, projection: &'a Projection<F>) -> Self {
        let zero = F::splat(simd, F::zeroed());
        Self {
            a1: [zero; A],
            b1: [zero; B],
            b2: [zero; C],
            x: [zero; E],
            y: [zero; E],
            coefficients: &projection.coefficients,
            starts: &projection.starts,
        }
    }

    /// # Safety
    /// There is room for all functions.
    #[inline(always)]
    unsafe fn put(self, simd: S, projection: &Projection<F>, signs: &[F], to: *mut F) {
        let first = [A1, B1, B2, X, Y].map(
            #[inline(always)]
            |row| projection.rows[row].first_function,
        );
        // SAFETY: the caller's promise.
        unsafe {
            put::<F, S, A>(simd, self.a1, first[0], signs, to);
            put::<F, S, B>(simd, self.b1, first[1], signs, to);
            put::<F, S, C>(simd, self.b2, first[2], signs, to);
            put::<F, S, E>(simd, self.x, first[3], signs, to);
            put::<F, S, E>(simd, self.y, first[4], signs, to);
        }
    }
}

impl<F: Lanes, S: Simd, const A: usize, const B: usize, const C: usize, const E: usize> Sink<F, S>
    for Sums<'_, F, S, A, B, C, E>
{
    #[inline(always)]
    unsafe fn take<const ROW: usize>(&mut self, simd: S, slot: usize, vector: F::Vector<S>) {
        // SAFETY: the caller's promise.
        let coefficients = unsafe { self.coefficients.as_ptr().add(*self.starts.get_unchecked(slot)) };
        // SAFETY: as many functions as the row has.
        unsafe {
            match ROW {
                A1 => add::<F, S, A>(simd, &mut self.a1, vector, coefficients),
                B1 => add::<F, S, B>(simd, &mut self.b1, vector, coefficients),
                B2 => add::<F, S, C>(simd, &mut self.b2, vector, coefficients),
                X => add::<F, S, E>(simd, &mut self.x, vector, coefficients),
                Y => add::<F, S, E>(simd, &mut self.y, vector, coefficients),
                _ => {}
            }
        }
    }
}

/// # Safety
/// There are `N` coefficients.
#[inline(always)]
unsafe fn add<F: Lanes, S: Simd, const N: usize>(
    simd: S,
    sums: &mut [F::Vector<S>; N],
    vector: F::Vector<S>,
    coefficients: *const F,
) {
    for (n, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let coefficient = unsafe { *coefficients.add(n) };
        *sum = F::mul_add(simd, vector, F::splat(simd, coefficient), *sum);
    }
}

/// # Safety
/// There is room for the functions from the first on.
#[inline(always)]
unsafe fn put<F: Lanes, S: Simd, const N: usize>(
    simd: S,
    sums: [F::Vector<S>; N],
    first: usize,
    signs: &[F],
    to: *mut F,
) {
    for (function, sum) in (first..).zip(sums) {
        // SAFETY: the caller's promise.
        unsafe { store::<F, S>(to.add(function * F::MOST), F::times(simd, sum, F::splat(simd, signs[function]))) };
    }
}

/// # Safety
/// The points lie within the image.
#[inline(always)]
unsafe fn four<F: Lanes, S: Simd>(from: *const F, points: &[usize; 4]) -> [F::Vector<S>; 4] {
    let &[a, b, c, d] = points;
    // SAFETY: the caller's promise.
    unsafe {
        [load::<F, S>(from.add(a)), load::<F, S>(from.add(b)), load::<F, S>(from.add(c)), load::<F, S>(from.add(d))]
    }
}

/// Even, odd in x, odd in y, odd in both: from the northeast, northwest, southwest and southeast.
///
/// # Safety
/// The points lie within the image.
#[inline(always)]
unsafe fn corners<F: Lanes, S: Simd>(simd: S, from: *const F, points: &[usize; 4]) -> [F::Vector<S>; 4] {
    // SAFETY: the caller's promise.
    let [northeast, northwest, southwest, southeast] = unsafe { four::<F, S>(from, points) };
    let (north, south) = (F::plus(simd, northeast, northwest), F::plus(simd, southeast, southwest));
    let (n, s) = (F::minus(simd, northeast, northwest), F::minus(simd, southeast, southwest));
    [F::plus(simd, north, south), F::plus(simd, n, s), F::minus(simd, north, south), F::minus(simd, n, s)]
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
