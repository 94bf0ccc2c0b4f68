//! Few rows that all others are combinations of.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::float::Float;
use super::multiply::{LONGEST, Turned, Vectors, View, multiply};

/// Rows among which a basis is looked for at a time.
const SAMPLE: usize = 96;

/// Rows that are checked together.
const ROWS: usize = 128;

/// What may be missing of a row, relative to its length, in units of the last place: as much as rounding takes from a sum of a hundred
/// products.
const TOLERANCE: f64 = 8.0;

/// Rows whose square is smaller are not looked at: there squares lose what they measure.
const SMALLEST: f64 = 1e-20;

/// `a_e = sum over r of q_e[r] v_r` up to rounding, for all rows `a_e`, with orthonormal `v`.
///
/// Hidden values of a radial network that sees one number, the distance, lie on a smooth curve, and the rows along it are combinations of
/// a dozen or two. With more inputs there are more, and soon too many.
pub(super) struct Span<F> {
    pub rank: usize,
    /// `v`, `[rank, columns]`
    pub basis: Vec<F>,
    /// `q`, `[rows, rank]`, with zeros up to `stride` columns.
    pub coefficients: Vec<F>,
    pub stride: usize,
}

impl<F: Vectors> Span<F> {
    /// Of `rows [., columns]`; none if that takes more than `most` vectors, or there are rows of zeros or of what is not finite.
    pub(super) fn new(rows: &[F], columns: usize, most: usize) -> Option<Self> {
        let count = rows.len() / columns;
        let mut basis = Basis { vectors: Vec::new(), columns, padded: columns.next_multiple_of(LONGEST), most };
        let strided =
            |rows: &[usize]| -> Vec<usize> { rows.iter().copied().step_by(rows.len().div_ceil(SAMPLE)).collect() };
        let mut sample = strided(&(0..count).collect::<Vec<_>>());
        loop {
            let rank = basis.rank();
            basis.extend(rows, &sample)?;
            // What is missing is rounding, and no vector helps.
            if basis.rank() == rank {
                return None;
            }
            let missing = basis.misses(rows)?;
            if missing.len() <= SAMPLE {
                basis.extend(rows, &missing)?;
                let (basis, rank) = (basis.unpadded(), basis.rank());
                let (turned, stride) = transposed(&basis, columns);
                let mut coefficients = vec![F::ZERO; count * stride];
                let pieces = coefficients.par_chunks_mut(ROWS * stride).zip(rows.par_chunks(ROWS * columns));
                pieces.for_each(|(coefficients, rows)| project(rows, columns, &turned, coefficients));
                return Some(Self { rank, basis, coefficients, stride });
            }
            sample = strided(&missing);
        }
    }
}

/// Orthonormal vectors, each with zeros up to a multiple of the longest vectors.
struct Basis<F> {
    vectors: Vec<F>,
    columns: usize,
    padded: usize,
    most: usize,
}

impl<F: Vectors> Basis<F> {
    fn rank(&self) -> usize {
        self.vectors.len() / self.padded
    }

    fn unpadded(&self) -> Vec<F> {
        self.vectors.chunks_exact(self.padded).flat_map(|vector| &vector[..self.columns]).copied().collect()
    }

    /// Adds vectors until it spans the `sample` of the rows, within half of what may be missing; none if it would become too large, or a row is
    /// zero or not finite.
    fn extend(&mut self, rows: &[F], sample: &[usize]) -> Option<()> {
        let padded = self.padded;
        let mut chosen = vec![F::ZERO; sample.len() * padded];
        for (chosen, &row) in chosen.chunks_exact_mut(padded).zip(sample) {
            chosen[..self.columns].copy_from_slice(&rows[row * self.columns..][..self.columns]);
        }
        let (mut lengths, mut left) = (vec![F::ZERO; sample.len()], vec![F::ZERO; sample.len()]);
        // Nothing along nothing: only the squares.
        remove(&mut chosen, &vec![F::ZERO; padded], &mut lengths);
        if !lengths.iter().all(|&length| measurable(length)) {
            return None;
        }
        left.copy_from_slice(&lengths);
        for vector in self.vectors.chunks_exact(padded) {
            remove(&mut chosen, vector, &mut left);
        }
        loop {
            let share = |row: usize| left[row] / lengths[row];
            let largest = (0..sample.len()).reduce(|a, b| if share(b) > share(a) { b } else { a });
            let Some(row) = largest.filter(|&row| share(row) > bound::<F>(TOLERANCE / 2.0)) else { return Some(()) };
            if self.rank() == self.most {
                return None;
            }
            let mut vector = chosen[row * padded..][..padded].to_vec();
            normalise(&mut vector);
            // What rounding has left of the others may be as large as what is new: once more.
            for other in self.vectors.chunks_exact(padded) {
                remove(&mut vector, other, &mut [F::ZERO]);
            }
            normalise(&mut vector);
            remove(&mut chosen, &vector, &mut left);
            self.vectors.extend(vector);
        }
    }

    /// The rows of which too much is missing; none if a row is zero or not finite.
    fn misses(&self, rows: &[F]) -> Option<Vec<usize>> {
        let (columns, rank, basis) = (self.columns, self.rank(), self.unpadded());
        let (turned, stride) = transposed(&basis, columns);
        let pieces = rows.par_chunks(ROWS * columns).enumerate().map(|(piece, rows)| {
            let count = rows.len() / columns;
            let mut coefficients = vec![F::ZERO; count * stride];
            project(rows, columns, &turned, &mut coefficients);
            coefficients.iter_mut().for_each(|coefficient| *coefficient = -*coefficient);
            let mut left = rows.to_vec();
            let (coefficients, basis) =
                (View { numbers: &coefficients[..], stride }, View { numbers: &basis[..], stride: columns });
            multiply([count, rank, columns], coefficients, basis, Turned::Neither, &mut left, columns, true);
            let (mut squares, mut lengths) = (vec![F::ZERO; count], vec![F::ZERO; count]);
            pulp::Arch::new().dispatch(Squares { rows: &left, squares: &mut squares });
            pulp::Arch::new().dispatch(Squares { rows, squares: &mut lengths });
            let mut missing = Vec::new();
            for (row, (&left, &length)) in squares.iter().zip(&lengths).enumerate() {
                if !measurable(length) {
                    return None;
                }
                if left > bound::<F>(TOLERANCE) * length {
                    missing.push(piece * ROWS + row);
                }
            }
            Some(missing)
        });
        let pieces: Option<Vec<_>> = pieces.collect();
        Some(pieces?.concat())
    }
}

/// Whether a square tells how long a row is.
fn measurable<F: Float>(square: F) -> bool {
    square >= F::from_elem(SMALLEST) && square.to_f64().is_finite()
}

/// The square of so many units in the last place.
fn bound<F: Float>(units: f64) -> F {
    let unit = if size_of::<F>() == size_of::<f32>() { f64::from(f32::EPSILON) } else { f64::EPSILON };
    F::from_elem((units * unit).powi(2))
}

/// The transpose with columns of zeros up to a multiple of the longest vectors, and how many columns that are.
fn transposed<F: Float>(rows: &[F], columns: usize) -> (Vec<F>, usize) {
    let stride = (rows.len() / columns).next_multiple_of(LONGEST);
    let mut turned = vec![F::ZERO; columns * stride];
    for (row, numbers) in rows.chunks_exact(columns).enumerate() {
        for (turned, &number) in turned.iter_mut().skip(row).step_by(stride).zip(numbers) {
            *turned = number;
        }
    }
    (turned, stride)
}

/// The coefficients of rows, given the transpose of the basis.
fn project<F: Vectors>(rows: &[F], columns: usize, turned: &[F], coefficients: &mut [F]) {
    let stride = turned.len() / columns;
    let shape = [rows.len() / columns, columns, stride];
    let (rows, turned) = (View { numbers: rows, stride: columns }, View { numbers: turned, stride });
    multiply(shape, rows, turned, Turned::Neither, coefficients, stride, false);
}

fn normalise<F: Vectors>(vector: &mut [F]) {
    let mut square = [F::ZERO];
    pulp::Arch::new().dispatch(Squares { rows: vector, squares: &mut square });
    let share = F::ONE / square[0].square_root();
    vector.iter_mut().for_each(|number| *number *= share);
}

/// Removes from every row its part along the unit vector; in `left` the squares of what remains.
fn remove<F: Vectors>(rows: &mut [F], vector: &[F], left: &mut [F]) {
    pulp::Arch::new().dispatch(Remove { rows, vector, left });
}

struct Remove<'a, F> {
    rows: &'a mut [F],
    vector: &'a [F],
    left: &'a mut [F],
}

impl<F: Vectors> WithSimd for Remove<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (vector, _) = F::vectors::<S>(self.vector);
        for (row, left) in self.rows.chunks_exact_mut(self.vector.len()).zip(self.left) {
            let (row, _) = F::vectors_mut::<S>(row);
            let mut along = F::splat(simd, F::ZERO);
            for (&row, &vector) in row.iter().zip(vector) {
                along = F::fused(simd, row, vector, along);
            }
            let along = F::splat(simd, -F::sum(simd, along));
            let mut square = F::splat(simd, F::ZERO);
            for (row, &vector) in row.iter_mut().zip(vector) {
                *row = F::fused(simd, along, vector, *row);
                square = F::fused(simd, *row, *row, square);
            }
            *left = F::sum(simd, square);
        }
    }
}

/// The square of the length of every row.
struct Squares<'a, F> {
    rows: &'a [F],
    squares: &'a mut [F],
}

impl<F: Vectors> WithSimd for Squares<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = self.rows.len() / self.squares.len();
        for (row, square) in self.rows.chunks_exact(columns).zip(self.squares) {
            let (vectors, rest) = F::vectors::<S>(row);
            let mut sum = F::splat(simd, F::ZERO);
            for &vector in vectors {
                sum = F::fused(simd, vector, vector, sum);
            }
            *square = rest.iter().fold(F::sum(simd, sum), |sum, &number| sum + number * number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smooth functions of one number, at many.
    fn curve(rows: usize, columns: usize) -> Vec<f32> {
        let value = |row: usize, column: usize| {
            let (x, rate) = (row as f64 / rows as f64, column as f64 / columns as f64);
            ((1.0 + 2.0 * rate) * x + 5.0 * rate).sin() + rate * x * x
        };
        (0..rows * columns).map(|place| value(place / columns, place % columns) as f32).collect()
    }

    #[test]
    fn rows_of_a_curve_are_combinations_of_few() {
        let (rows, columns) = (700, 129);
        let given = curve(rows, columns);
        let span = Span::new(&given, columns, 40).expect("few");
        // As many as the singular values that single precision can tell from none.
        assert!(span.rank < 16, "{}", span.rank);
        for (row, coefficients) in given.chunks(columns).zip(span.coefficients.chunks(span.stride)) {
            let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let missing: f64 = (0..columns)
                .map(|column| {
                    let terms = (0..span.rank).map(|r| f64::from(coefficients[r] * span.basis[r * columns + column]));
                    (f64::from(row[column]) - terms.sum::<f64>()).powi(2)
                })
                .sum();
            // What may be missing, and the rounding of the sums here.
            assert!(missing.sqrt() <= 12.0 * f64::from(f32::EPSILON) * length);
        }
    }

    #[test]
    fn what_needs_more_than_the_most_is_left() {
        let given = curve(700, 129);
        assert!(Span::new(&given, 129, 3).is_none());
        let mut given = curve(700, 129);
        given[5] = f32::NAN;
        assert!(Span::new(&given, 129, 40).is_none());
        // A row of zeros has no direction.
        let mut given = curve(700, 129);
        given[129 * 500..129 * 501].fill(0.0);
        assert!(Span::new(&given, 129, 40).is_none());
    }
}
