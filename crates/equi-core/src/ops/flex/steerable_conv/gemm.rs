//! Products of small matrices that are in the cache already, without packing.

#![allow(unsafe_code)] // Bounds are those of a tile, checked where it is made.

use pulp::Simd;

use super::lanes::{Lanes, load, store};

/// A matrix of numbers in memory: the first, from one row to the next, from one column to the next.
pub(super) struct Left<F> {
    pub first: *const F,
    pub row: usize,
    pub column: usize,
}

/// A matrix with contiguous rows: the first number, from one row to the next.
pub(super) struct Right<F> {
    pub first: *const F,
    pub row: usize,
}

/// `C = A B` or `C += A B` for `A [rows, depth]`, `B [depth, width]`, `C [rows, width]`; rows of `B` and `C` are contiguous and `width` is a
/// multiple of the lanes.
///
/// # Safety
/// The matrices can be read and written, and `C` overlaps none of the others. Where `ROUND`, `A` and `C` have room for 13 rows more than there are,
/// which are computed, too, if tiles do not come out even.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn gemm<F: Lanes, S: Simd, const ROUND: bool>(
    simd: S,
    [rows, depth, width]: [usize; 3],
    a: Left<F>,
    b: Right<F>,
    c: *mut F,
    c_row: usize,
    add: bool,
) {
    let lanes = F::count::<S>();
    let mut column = 0;
    while column < width {
        // SAFETY: within the matrices, by the loop's bounds and the caller's promise.
        unsafe {
            let (b_row, b, c) = (b.row, b.first.add(column), c.add(column));
            if width - column >= 2 * lanes {
                strip::<F, S, 2, ROUND>(simd, [rows, depth], &a, b, b_row, c, c_row, add);
                column += 2 * lanes;
            } else {
                strip::<F, S, 1, ROUND>(simd, [rows, depth], &a, b, b_row, c, c_row, add);
                column += lanes;
            }
        }
    }
}

/// [`gemm`] for `V` vectors of columns.
///
/// With two vectors in a row, 14 rows, two vectors of `B` and one of `A` fill 32 registers, and 6 rows 16; so do 12 rows of one vector.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn strip<F: Lanes, S: Simd, const V: usize, const ROUND: bool>(
    simd: S,
    [rows, depth]: [usize; 2],
    a: &Left<F>,
    b: *const F,
    b_row: usize,
    c: *mut F,
    c_row: usize,
    add: bool,
) {
    let many = S::REGISTER_COUNT >= 32;
    let mut row = 0;
    // A tile of so many rows while there are as many, or while there is any where tiles are rounded.
    macro_rules! tiles {
        ($($height:literal),*) => {
            $(while rows - row >= $height {
                // SAFETY: within the matrices, by the loop's bounds and the caller's promise.
                unsafe { tile::<F, S, $height, V>(simd, depth, a, row, b, b_row, c.add(row * c_row), c_row, add) };
                row += $height;
            })*
        };
    }
    macro_rules! whole {
        ($height:literal) => {
            while row < rows {
                // SAFETY: as above, in the room that the caller promises.
                unsafe { tile::<F, S, $height, V>(simd, depth, a, row, b, b_row, c.add(row * c_row), c_row, add) };
                row += $height;
            }
        };
    }
    match (ROUND, many, V) {
        (true, true, _) => whole!(14),
        (true, false, 1) => whole!(12),
        (true, false, _) => whole!(6),
        (false, true, _) => {
            // Two tiles of 8 rather than one of 14 and one of 2, which would have its sums wait for each other.
            while rows - row >= 14 && rows - row != 16 {
                // SAFETY: as above.
                unsafe { tile::<F, S, 14, V>(simd, depth, a, row, b, b_row, c.add(row * c_row), c_row, add) };
                row += 14;
            }
            tiles!(8, 4, 2, 1);
        }
        (false, false, 1) => {
            // Two tiles of about the same height rather than one of 12 and a low one, whose sums would wait for each other.
            while rows - row >= 12 && !(13..=16).contains(&(rows - row)) {
                // SAFETY: as above.
                unsafe { tile::<F, S, 12, V>(simd, depth, a, row, b, b_row, c.add(row * c_row), c_row, add) };
                row += 12;
            }
            tiles!(8, 7, 6, 5, 4, 3, 2, 1);
        }
        (false, false, _) => {
            while rows - row >= 6 && rows - row != 8 {
                // SAFETY: as above.
                unsafe { tile::<F, S, 6, V>(simd, depth, a, row, b, b_row, c.add(row * c_row), c_row, add) };
                row += 6;
            }
            tiles!(4, 2, 1);
        }
    }
}

/// `M` rows and `V` vectors, with the sums in registers.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn tile<F: Lanes, S: Simd, const M: usize, const V: usize>(
    simd: S,
    depth: usize,
    a: &Left<F>,
    row: usize,
    b: *const F,
    b_row: usize,
    c: *mut F,
    c_row: usize,
    add: bool,
) {
    let lanes = F::count::<S>();
    let mut sums = [[F::splat(simd, F::zeroed()); V]; M];
    // SAFETY: `M` rows from `row` on, `depth` rows of `B`, and `V` vectors in a row are within the matrices.
    unsafe {
        let (mut a_at, mut b_at) = (a.first.add(row * a.row), b);
        for _ in 0..depth {
            let mut columns = [F::splat(simd, F::zeroed()); V];
            for (v, columns) in columns.iter_mut().enumerate() {
                *columns = load::<F, S>(b_at.add(v * lanes));
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let entry = F::splat(simd, *a_at.add(m * a.row));
                for (sum, &columns) in sums.iter_mut().zip(&columns) {
                    *sum = F::mul_add(simd, entry, columns, *sum);
                }
            }
            a_at = a_at.add(a.column);
            b_at = b_at.add(b_row);
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let at = c.add(m * c_row + v * lanes);
                let sum = if add { F::plus(simd, load::<F, S>(at), sum) } else { sum };
                store::<F, S>(at, sum);
            }
        }
    }
}
