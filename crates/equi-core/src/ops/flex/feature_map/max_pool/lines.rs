//! Maxima over the windows of a plane, in vectors of pixels: along columns first, then along rows.

use crate::ops::feature_map::PoolWindow;
use crate::ops::flex::float::Float;
use crate::ops::flex::simd::kernel;

/// How a window moves over a plane.
#[derive(Clone, Copy)]
pub(super) struct Moves {
    pub window: PoolWindow,
    /// Rows and columns before, and after.
    pub input: [usize; 2],
    pub output: [usize; 2],
}

impl Moves {
    pub(super) fn new(window: PoolWindow, input: [usize; 2]) -> Self {
        Self { window, input, output: input.map(|side| window.placements(side)) }
    }

    /// The rows of the plane that lie in row `place` of windows.
    #[inline(always)]
    fn rows(&self, place: usize) -> std::ops::Range<usize> {
        let PoolWindow { kernel_size, stride, padding } = self.window;
        let first = place * stride;
        first.saturating_sub(padding)..(first + kernel_size - padding).min(self.input[0])
    }
}

/// Pixels that are compared at a time.
const LANES: usize = 16;

/// A place after all others: of what lies beyond the border.
const NOWHERE: u32 = u32::MAX / 2;

/// Room for a plane and for the maxima of a row of windows, of all placements of stride one. Rows are made up of whole vectors.
pub(super) struct Lines<F> {
    /// `[height, room]`: the rows with their padding, which is less than every number, so that it is never taken.
    plane: Vec<F>,
    /// Of the columns, and of the windows, `[room]`.
    columns: Vec<F>,
    windows: Vec<F>,
    /// In a row of the plane, for every column.
    offsets: Vec<u32>,
    from: Vec<u32>,
    places: Vec<u32>,
    /// Numbers that a row of windows is computed from, and of a row.
    used: usize,
    room: usize,
}

impl<F: Float> Lines<F> {
    pub(super) fn new(moves: Moves) -> Self {
        let ([height, width], PoolWindow { kernel_size, padding, .. }) = (moves.input, moves.window);
        let used = (width + 2 * padding).next_multiple_of(LANES);
        let room = used + kernel_size.next_multiple_of(LANES);
        let nothing = |count| vec![F::from_elem(f64::NEG_INFINITY); count];
        let mut offsets = vec![NOWHERE; room];
        offsets[padding..padding + width].iter_mut().zip(0..).for_each(|(offset, column)| *offset = column);
        let (plane, columns, windows) = (nothing(height * room), nothing(room), nothing(room));
        Self { plane, columns, windows, from: offsets.clone(), places: offsets.clone(), offsets, used, room }
    }
}

/// A vector of a row.
#[inline(always)]
fn at<T: Copy>(row: &[T], place: usize) -> [T; LANES] {
    row[place..place + LANES].try_into().expect("as many")
}

/// The larger of each pair; what is not a number stays.
#[inline(always)]
#[allow(clippy::eq_op)] // Only what is not a number differs from itself.
fn larger<F: Float>(row: [F; LANES], maximum: &mut [F; LANES]) {
    for lane in 0..LANES {
        let (x, best) = (row[lane], maximum[lane]);
        maximum[lane] = if (x > best) | (x != x) { x } else { best };
    }
}

/// The larger of each pair and its place; the earlier one of those alike. What is not a number is larger than every number.
#[inline(always)]
#[allow(clippy::eq_op, clippy::neg_cmp_op_on_partial_ord)] // As above.
fn take<F: Float>(row: [F; LANES], places: [u32; LANES], maximum: &mut [F; LANES], from: &mut [u32; LANES]) {
    for lane in 0..LANES {
        let (x, best) = (row[lane], maximum[lane]);
        let earlier = if places[lane] < from[lane] { places[lane] } else { from[lane] };
        let alike = if x == best { earlier } else { from[lane] };
        let larger = !(x <= best) & (best == best);
        maximum[lane] = if larger { x } else { best };
        from[lane] = if larger { places[lane] } else { alike };
    }
}

kernel! {
    /// The maxima of a plane.
    fn maxima<'a, F | S>(plane: &'a [F], moves: Moves, lines: &'a mut Lines<F>, output: &'a mut [F]) {
        let (width, window) = (moves.input[1], moves.window);
        let Lines { plane: rows, columns, windows, used, room, .. } = lines;
        let (used, room) = (*used, *room);
        for (to, row) in rows.chunks_exact_mut(room).zip(plane.chunks_exact(width)) {
            to[window.padding..][..width].copy_from_slice(row);
        }
        for (row, output) in output.chunks_exact_mut(moves.output[1]).enumerate() {
            let lines = moves.rows(row);
            for place in (0..used).step_by(LANES) {
                let mut maximum = at(rows, lines.start * room + place);
                for line in lines.start + 1..lines.end {
                    larger(at(rows, line * room + place), &mut maximum);
                }
                columns[place..place + LANES].copy_from_slice(&maximum);
            }
            for place in (0..used).step_by(LANES) {
                let mut maximum = at(columns, place);
                for column in 1..window.kernel_size {
                    larger(at(columns, place + column), &mut maximum);
                }
                windows[place..place + LANES].copy_from_slice(&maximum);
            }
            for (output, &maximum) in output.iter_mut().zip(windows.iter().step_by(window.stride)) {
                *output = maximum;
            }
        }
    }
}

kernel! {
    /// Adds the gradient of every window to the pixel that has its maximum.
    fn add_to_maxima<'a, F | S>(plane: &'a [F], moves: Moves, lines: &'a mut Lines<F>, gradient: &'a [F], by_plane: &'a mut [F]) {
        let (width, window) = (moves.input[1], moves.window);
        let Lines { plane: rows, columns, offsets, from, places, used, room, .. } = lines;
        let (used, room) = (*used, *room);
        for (to, row) in rows.chunks_exact_mut(room).zip(plane.chunks_exact(width)) {
            to[window.padding..][..width].copy_from_slice(row);
        }
        for (row, gradient) in gradient.chunks_exact(moves.output[1]).enumerate() {
            let lines = moves.rows(row);
            for place in (0..used).step_by(LANES) {
                let offsets = at(offsets, place);
                let first = (lines.start * width) as u32;
                let (mut maximum, mut best) = (at(rows, lines.start * room + place), offsets.map(|offset| first + offset));
                for line in lines.start + 1..lines.end {
                    let first = (line * width) as u32;
                    take(at(rows, line * room + place), offsets.map(|offset| first + offset), &mut maximum, &mut best);
                }
                columns[place..place + LANES].copy_from_slice(&maximum);
                from[place..place + LANES].copy_from_slice(&best);
            }
            for place in (0..used).step_by(LANES) {
                let (mut maximum, mut best) = (at(columns, place), at(from, place));
                for column in 1..window.kernel_size {
                    take(at(columns, place + column), at(from, place + column), &mut maximum, &mut best);
                }
                places[place..place + LANES].copy_from_slice(&best);
            }
            for (&place, &gradient) in places.iter().step_by(window.stride).zip(gradient) {
                by_plane[place as usize] += gradient;
            }
        }
    }
}
