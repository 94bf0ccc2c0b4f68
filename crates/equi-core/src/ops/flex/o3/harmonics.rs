//! Spherical harmonics on flex: some points at a time, whose components stay in the cache until all degrees are done.

use std::mem::MaybeUninit;

use pulp::Simd;
use rayon::prelude::*;

use super::vector::Vector;
use crate::o3::SHORTEST;
use crate::ops::flex::memory::is_large;
use crate::ops::o3::HarmonicRecursion;

/// Points at a time.
const BLOCK: usize = 64;

/// Points in one piece of work.
const PIECE: usize = 1024;

/// Numbers of all points of a block.
type Points<F> = [F; BLOCK];

/// The recursion in the precision of a kernel.
pub(super) struct Recursion<F> {
    lmax: usize,
    normalize: bool,
    columns: Vec<usize>,
    first: [F; 2],
    rise: Vec<Vec<F>>,
    lower: Vec<Vec<F>>,
    ends: Vec<F>,
    slopes: Vec<Slopes<F>>,
}

/// What the derivatives of a component consist of.
struct Slopes<F> {
    x: [(usize, F); 2],
    y: (usize, F),
    z: [(usize, F); 2],
}

impl<F: Vector> Recursion<F> {
    pub fn new(recursion: &HarmonicRecursion) -> Self {
        let number = |number: &f64| F::from_elem(*number);
        let numbers = |lists: &[Vec<f64>]| lists.iter().map(|list| list.iter().map(number).collect()).collect();
        let term = |(place, factor): (usize, f64)| (place, number(&factor));
        Self {
            lmax: recursion.lmax(),
            normalize: recursion.normalize,
            columns: recursion.components().collect(),
            first: recursion.first.each_ref().map(number),
            rise: numbers(&recursion.rise),
            lower: numbers(&recursion.lower),
            ends: recursion.ends.iter().map(number).collect(),
            slopes: (recursion.slopes.iter())
                .map(|slopes| Slopes { x: slopes.x.map(term), y: term(slopes.y), z: slopes.z.map(term) })
                .collect(),
        }
    }

    /// How many harmonics are wanted.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The harmonics of degrees up to `lmax`, component by component.
    #[inline(always)]
    fn harmonics(&self, lmax: usize, block: &Block<F>, harmonics: &mut [Points<F>]) {
        let Block { x, y, z, square, .. } = block;
        harmonics[0] = [self.first[0]; BLOCK];
        if lmax == 0 {
            return;
        }
        for (harmonics, axis) in harmonics[1..4].iter_mut().zip([x, y, z]) {
            for point in 0..BLOCK {
                harmonics[point] = axis[point] * self.first[1];
            }
        }
        let (mut sine, mut cosine) = (*x, *z);
        for l in 2..=lmax {
            let (below, degree) = harmonics.split_at_mut(l * l);
            let (before, last) = below[(l - 2) * (l - 2)..].split_at((2 * l) - 3);
            for point in 0..BLOCK {
                let (s, c) = (sine[point], cosine[point]);
                sine[point] = z[point] * s + x[point] * c;
                cosine[point] = z[point] * c - x[point] * s;
                degree[0][point] = sine[point] * self.ends[l - 2];
                degree[2 * l][point] = cosine[point] * self.ends[l - 2];
            }
            let (rise, lower) = (&self.rise[l - 2], &self.lower[l - 2]);
            for (place, (degree, (last, &rise))) in degree[1..2 * l].iter_mut().zip(last.iter().zip(rise)).enumerate() {
                match place.checked_sub(1).and_then(|place| Some((before.get(place)?, lower[place]))) {
                    Some((before, lower)) => {
                        for point in 0..BLOCK {
                            degree[point] = rise * y[point] * last[point] - lower * square[point] * before[point];
                        }
                    }
                    None => {
                        for point in 0..BLOCK {
                            degree[point] = rise * y[point] * last[point];
                        }
                    }
                }
            }
        }
    }
}

/// Points with their coordinates apart. Where there are fewer than fit, the rest is zero.
struct Block<F> {
    x: Points<F>,
    y: Points<F>,
    z: Points<F>,
    /// `r^2`.
    square: Points<F>,
    /// One over the lengths of the vectors given, where directions are taken; zero where there is none.
    inverse: Points<F>,
}

impl<F: Vector> Block<F> {
    #[inline(always)]
    fn new(points: &[F], normalize: bool) -> Self {
        let none = [F::ZERO; BLOCK];
        let mut block = Self { x: none, y: none, z: none, square: none, inverse: [F::ONE; BLOCK] };
        for (place, point) in points.as_chunks::<3>().0.iter().enumerate() {
            [block.x[place], block.y[place], block.z[place]] = *point;
        }
        let Self { x, y, z, square, inverse } = &mut block;
        for point in 0..BLOCK {
            square[point] = x[point] * x[point] + y[point] * y[point] + z[point] * z[point];
        }
        if normalize {
            let shortest = F::from_elem(SHORTEST * SHORTEST);
            for point in 0..BLOCK {
                let short = square[point] < shortest;
                inverse[point] = if short { F::ZERO } else { F::ONE / square[point].square_root() };
                square[point] = if short { F::ZERO } else { F::ONE };
                x[point] *= inverse[point];
                y[point] *= inverse[point];
                z[point] *= inverse[point];
            }
        }
        block
    }
}

/// Four columns of the points of a block: rows are written and read by fours.
type Quads<F> = [[F; 4]; BLOCK];

struct Forward<'a, F> {
    recursion: &'a Recursion<F>,
    points: &'a [F],
    output: &'a mut [MaybeUninit<F>],
}

impl<F: Vector> pulp::WithSimd for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { recursion, points, output } = self;
        let columns = recursion.columns();
        let (fours, rest) = recursion.columns.as_chunks::<4>();
        let mut harmonics = vec![[F::ZERO; BLOCK]; (recursion.lmax + 1) * (recursion.lmax + 1)];
        let mut quads: Vec<Quads<F>> = vec![[[F::ZERO; 4]; BLOCK]; fours.len()];
        for (points, output) in points.chunks(3 * BLOCK).zip(output.chunks_mut(columns * BLOCK)) {
            recursion.harmonics(recursion.lmax, &Block::new(points, recursion.normalize), &mut harmonics);
            for (quads, &components) in quads.iter_mut().zip(fours) {
                let [a, b, c, d] = components.map(|component| &harmonics[component]);
                for point in 0..BLOCK {
                    quads[point] = [a[point], b[point], c[point], d[point]];
                }
            }
            for (point, row) in output.chunks_exact_mut(columns).enumerate() {
                let (row_fours, row_rest) = row.as_chunks_mut::<4>();
                for (row, quads) in row_fours.iter_mut().zip(&quads) {
                    row.write_copy_of_slice(&quads[point]);
                }
                for (number, &component) in row_rest.iter_mut().zip(rest) {
                    number.write(harmonics[component][point]);
                }
            }
        }
    }
}

struct Gradient<'a, F> {
    recursion: &'a Recursion<F>,
    points: &'a [F],
    gradient: &'a [F],
    output: &'a mut [MaybeUninit<F>],
}

impl<F: Vector> pulp::WithSimd for Gradient<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { recursion, points, gradient, output } = self;
        let columns = recursion.columns();
        let size = (recursion.lmax + 1) * (recursion.lmax + 1);
        let mut harmonics = vec![[F::ZERO; BLOCK]; size];
        let mut by_harmonics = vec![[F::ZERO; BLOCK]; size];
        let mut by_axes = [[F::ZERO; BLOCK]; 3];
        let (fours, rest) = recursion.columns.as_chunks::<4>();
        let mut quads: Vec<Quads<F>> = vec![[[F::ZERO; 4]; BLOCK]; fours.len()];
        let mut rest_rows = vec![[F::ZERO; BLOCK]; rest.len()];
        let work = points.chunks(3 * BLOCK).zip(gradient.chunks(columns * BLOCK));
        for ((points, gradient), output) in work.zip(output.chunks_mut(3 * BLOCK)) {
            let block = Block::new(points, recursion.normalize);
            recursion.harmonics(recursion.lmax.saturating_sub(1), &block, &mut harmonics);
            for (point, row) in gradient.chunks_exact(columns).enumerate() {
                let (row_fours, row_rest) = row.as_chunks::<4>();
                for (row, quads) in row_fours.iter().zip(&mut quads) {
                    quads[point] = *row;
                }
                for (&number, rest) in row_rest.iter().zip(&mut rest_rows) {
                    rest[point] = number;
                }
            }
            by_harmonics.fill([F::ZERO; BLOCK]);
            for (quads, components) in quads.iter().zip(fours) {
                for (place, &component) in components.iter().enumerate() {
                    let sums = &mut by_harmonics[component];
                    for point in 0..BLOCK {
                        sums[point] += quads[point][place];
                    }
                }
            }
            for (numbers, &component) in rest_rows.iter().zip(rest) {
                let sums = &mut by_harmonics[component];
                for point in 0..BLOCK {
                    sums[point] += numbers[point];
                }
            }
            for lanes in 0..BLOCK / F::width::<S>() {
                let at = |points: &Points<F>| F::vectors::<S>(points)[lanes];
                let slope = |[(a, f), (b, g)]: [(usize, F); 2]| {
                    let second = F::times(simd, F::splat(simd, g), at(&harmonics[b]));
                    F::fma(simd, F::splat(simd, f), at(&harmonics[a]), second)
                };
                let mut sums = [F::splat(simd, F::ZERO); 3];
                for (slopes, by_harmonic) in recursion.slopes.iter().zip(&by_harmonics).skip(1) {
                    let by_harmonic = at(by_harmonic);
                    let along_y = F::times(simd, F::splat(simd, slopes.y.1), at(&harmonics[slopes.y.0]));
                    sums[0] = F::fma(simd, slope(slopes.x), by_harmonic, sums[0]);
                    sums[1] = F::fma(simd, along_y, by_harmonic, sums[1]);
                    sums[2] = F::fma(simd, slope(slopes.z), by_harmonic, sums[2]);
                }
                for (by_axis, sum) in by_axes.iter_mut().zip(sums) {
                    F::vectors_mut::<S>(by_axis)[lanes] = sum;
                }
            }
            let Block { x, y, z, inverse, .. } = &block;
            let [by_x, by_y, by_z] = &mut by_axes;
            if recursion.normalize {
                for point in 0..BLOCK {
                    let along = x[point] * by_x[point] + y[point] * by_y[point] + z[point] * by_z[point];
                    by_x[point] = (by_x[point] - along * x[point]) * inverse[point];
                    by_y[point] = (by_y[point] - along * y[point]) * inverse[point];
                    by_z[point] = (by_z[point] - along * z[point]) * inverse[point];
                }
            }
            for (point, output) in output.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                output[0].write(by_x[point]);
                output[1].write(by_y[point]);
                output[2].write(by_z[point]);
            }
        }
    }
}

/// Writes the harmonics of the points, `[points, columns]`.
pub(super) fn forward<F: Vector>(recursion: &Recursion<F>, points: &[F], output: &mut [MaybeUninit<F>]) {
    let columns = recursion.columns();
    let work = |(points, output): (&[F], &mut [MaybeUninit<F>])| {
        pulp::Arch::new().dispatch(Forward { recursion, points, output });
    };
    if is_large(output.len()) {
        points.par_chunks(3 * PIECE).zip(output.par_chunks_mut(columns * PIECE)).for_each(work);
    } else {
        work((points, output));
    }
}

/// Writes the gradients by the points, `[points, 3]`.
pub(super) fn gradient<F: Vector>(
    recursion: &Recursion<F>,
    points: &[F],
    gradient: &[F],
    output: &mut [MaybeUninit<F>],
) {
    let columns = recursion.columns();
    let work = |points, gradient, output| {
        pulp::Arch::new().dispatch(Gradient { recursion, points, gradient, output });
    };
    if is_large(gradient.len()) {
        let pieces = points.par_chunks(3 * PIECE).zip(gradient.par_chunks(columns * PIECE));
        pieces
            .zip(output.par_chunks_mut(3 * PIECE))
            .for_each(|((points, gradient), output)| work(points, gradient, output));
    } else {
        work(points, gradient, output);
    }
}
