//! Matrix products of what lies in memory as it does: nothing is copied into another order first, so that large factors are read once.

use std::mem::MaybeUninit;

use pulp::{MemMask, Simd, WithSimd};

use super::super::float::Float;

/// A matrix in memory: where it begins, and how far apart its rows are. Columns lie side by side.
#[derive(Clone, Copy)]
pub(in super::super) struct View<'a, F> {
    pub numbers: &'a [F],
    pub stride: usize,
}

/// How a product is to be read.
#[derive(Clone, Copy)]
pub(in super::super) enum Turned {
    Neither,
    Left,
    Right,
}

/// Numbers in the longest vectors.
pub(super) const LONGEST: usize = 16;

/// Rows that are computed together with 32 registers, two vectors each.
const ROWS: usize = 14;

/// The same with 16 registers.
const FEWER_ROWS: usize = 6;

/// Columns of inner products that are computed together, and rows with 32 registers and with 16.
const COLUMNS: usize = 4;
const INNER_ROWS: usize = 6;
const FEWER_INNER_ROWS: usize = 2;

/// Numbers of a kind, several at a time.
pub(in super::super) trait Vectors: Float {
    type Vector<S: Simd>: Copy;
    type Mask<S: Simd>: Copy;

    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;

    /// `a b + c`.
    fn fused<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;

    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    fn sum<S: Simd>(simd: S, x: Self::Vector<S>) -> Self;

    /// The first numbers of a vector.
    fn first<S: Simd>(simd: S, width: usize) -> Self::Mask<S>;

    /// The numbers that the mask names, and zeros.
    ///
    /// # Safety
    /// The numbers are in memory.
    #[allow(unsafe_code)] // A part of a vector is no slice.
    unsafe fn load<S: Simd>(simd: S, mask: Self::Mask<S>, numbers: *const Self) -> Self::Vector<S>;

    /// Writes the numbers that the mask names.
    ///
    /// # Safety
    /// The numbers are in memory.
    #[allow(unsafe_code)] // A part of a vector is no slice.
    unsafe fn store<S: Simd>(simd: S, mask: Self::Mask<S>, numbers: *mut Self, x: Self::Vector<S>);

    /// Whole vectors, and the rest.
    fn vectors<S: Simd>(numbers: &[Self]) -> (&[Self::Vector<S>], &[Self]);

    /// Whole vectors, and the rest.
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);
}

macro_rules! vectors {
    ($float:ident, $vector:ident, $splat:ident, $fused:ident, $plus:ident, $sum:ident, $mask:ident, $between:ident: $int:ident,
     $load:ident, $store:ident, $vectors:ident, $vectors_mut:ident) => {
        impl Vectors for $float {
            type Vector<S: Simd> = S::$vector;
            type Mask<S: Simd> = MemMask<S::$mask>;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }

            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$fused(a, b, c)
            }

            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$plus(a, b)
            }

            #[inline(always)]
            fn sum<S: Simd>(simd: S, x: S::$vector) -> Self {
                simd.$sum(x)
            }

            #[inline(always)]
            fn first<S: Simd>(simd: S, width: usize) -> MemMask<S::$mask> {
                MemMask::new(simd.$between(0, width as $int).mask())
            }

            #[inline(always)]
            #[allow(unsafe_code)] // A part of a vector is no slice.
            unsafe fn load<S: Simd>(simd: S, mask: MemMask<S::$mask>, numbers: *const Self) -> S::$vector {
                // SAFETY: the caller's promise.
                unsafe { simd.$load(mask, numbers) }
            }

            #[inline(always)]
            #[allow(unsafe_code)] // A part of a vector is no slice.
            unsafe fn store<S: Simd>(simd: S, mask: MemMask<S::$mask>, numbers: *mut Self, x: S::$vector) {
                // SAFETY: the caller's promise.
                unsafe { simd.$store(mask, numbers, x) }
            }

            #[inline(always)]
            fn vectors<S: Simd>(numbers: &[Self]) -> (&[S::$vector], &[Self]) {
                S::$vectors(numbers)
            }

            #[inline(always)]
            fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> (&mut [S::$vector], &mut [Self]) {
                S::$vectors_mut(numbers)
            }
        }
    };
}

vectors!(
    f32,
    f32s,
    splat_f32s,
    mul_add_e_f32s,
    add_f32s,
    reduce_sum_f32s,
    m32s,
    mask_between_m32s: u32,
    mask_load_ptr_f32s,
    mask_store_ptr_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
vectors!(
    f64,
    f64s,
    splat_f64s,
    mul_add_e_f64s,
    add_f64s,
    reduce_sum_f64s,
    m64s,
    mask_between_m64s: u64,
    mask_load_ptr_f64s,
    mask_store_ptr_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);

/// `c = a b`, or `c += a b`, where `turned` says which factor is transposed: `c [m, n]`, sum over `k`.
///
/// # Panics
/// If a matrix is not in its slice.
pub(in super::super) fn multiply<F: Vectors>(
    shape: [usize; 3],
    a: View<F>,
    b: View<F>,
    turned: Turned,
    c: &mut [F],
    stride: usize,
    add: bool,
) {
    // SAFETY: numbers are written, and nothing else.
    #[allow(unsafe_code)] // There is no safe way to forget that numbers have been written.
    let c = unsafe { &mut *(std::ptr::from_mut(c) as *mut [MaybeUninit<F>]) };
    product(shape, a, b, turned, c, stride, add, 0);
}

/// `c = a b` in memory that nobody has written, as [`multiply`].
pub(super) fn multiply_into<F: Vectors>(
    shape: [usize; 3],
    a: View<F>,
    b: View<F>,
    turned: Turned,
    c: &mut [MaybeUninit<F>],
    stride: usize,
) {
    product(shape, a, b, turned, c, stride, false, 0);
}

/// `c = a b`, or `c += a b`, with a factor `b` that comes from memory: what lies `ahead` numbers behind it is asked for meanwhile.
///
/// # Safety
/// Where it adds, `c` is written.
#[allow(unsafe_code, clippy::too_many_arguments)] // What is in `c` may be read.
pub(super) unsafe fn multiply_streamed<F: Vectors>(
    shape: [usize; 3],
    a: View<F>,
    b: View<F>,
    c: &mut [MaybeUninit<F>],
    stride: usize,
    add: bool,
    ahead: usize,
) {
    product(shape, a, b, Turned::Neither, c, stride, add, ahead);
}

/// `c = a b` as [`multiply_streamed`].
pub(super) fn multiply_ahead<F: Vectors>(
    shape: [usize; 3],
    a: View<F>,
    b: View<F>,
    c: &mut [F],
    stride: usize,
    ahead: usize,
) {
    // SAFETY: numbers are written, and nothing else.
    #[allow(unsafe_code)] // There is no safe way to forget that numbers have been written.
    let c = unsafe { &mut *(std::ptr::from_mut(c) as *mut [MaybeUninit<F>]) };
    product(shape, a, b, Turned::Neither, c, stride, false, ahead);
}

#[allow(clippy::too_many_arguments)] // Three matrices.
fn product<F: Vectors>(
    [m, k, n]: [usize; 3],
    a: View<F>,
    b: View<F>,
    turned: Turned,
    c: &mut [MaybeUninit<F>],
    stride: usize,
    add: bool,
    ahead: usize,
) {
    if m * n == 0 {
        return;
    }
    let last = |rows: usize, columns: usize, stride: usize| {
        if rows * columns == 0 { 0 } else { (rows - 1) * stride + columns }
    };
    let (a_shape, b_shape) = match turned {
        Turned::Neither => ([m, k], [k, n]),
        Turned::Left => ([k, m], [k, n]),
        Turned::Right => ([m, k], [n, k]),
    };
    assert!(
        a.numbers.len() >= last(a_shape[0], a_shape[1], a.stride)
            && b.numbers.len() >= last(b_shape[0], b_shape[1], b.stride)
            && c.len() >= last(m, n, stride)
            && (stride >= n || m == 1),
        "the matrices are in their slices"
    );
    let (a_row, a_column) = if matches!(turned, Turned::Left) { (1, a.stride) } else { (a.stride, 1) };
    let product = Product {
        shape: [m, k, n],
        a: a.numbers.as_ptr(),
        a_row,
        a_column,
        b: b.numbers.as_ptr(),
        b_row: b.stride,
        c: c.as_mut_ptr().cast(),
        c_row: stride,
        add,
        ahead,
    };
    let arch = pulp::Arch::new();
    match turned {
        Turned::Right => arch.dispatch(Inner(product)),
        _ => arch.dispatch(Outer(product)),
    }
}

/// The matrices of a product, all in memory that their slices have.
#[derive(Clone, Copy)]
struct Product<F> {
    shape: [usize; 3],
    a: *const F,
    a_row: usize,
    a_column: usize,
    b: *const F,
    b_row: usize,
    c: *mut F,
    c_row: usize,
    add: bool,
    /// How far ahead of `b` memory is asked for.
    ahead: usize,
}

/// With the rows of `b` as vectors.
struct Outer<F>(Product<F>);

/// With the rows of `a` and `b` as vectors, whose inner products are wanted.
struct Inner<F>(Product<F>);

/// Rows in parts of equal size, or one more, of at most `most`: calls `$tile` for each with its size as a constant.
macro_rules! by_rows {
    ($m:expr, $most:expr, |$row:ident, $rows:ident| $tile:expr, [$($size:literal),*]) => {{
        let (m, parts) = ($m, $m.div_ceil($most));
        let mut $row = 0;
        for part in 0..parts {
            match m * (part + 1) / parts - $row {
                $($size => {
                    const $rows: usize = $size;
                    $tile;
                })*
                _ => unreachable!("parts are no larger than asked for"),
            }
            $row = m * (part + 1) / parts;
        }
    }};
}

impl<F: Vectors> WithSimd for Outer<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(product) = self;
        let [m, _, n] = product.shape;
        let lanes = size_of::<F::Vector<S>>() / size_of::<F>();
        let most = if S::REGISTER_COUNT >= 32 { ROWS } else { FEWER_ROWS };
        let mut column = 0;
        while column < n {
            let width = n - column;
            // SAFETY: rows and columns of the tiles are those of the matrices, which are in their slices.
            #[allow(unsafe_code)] // Tiles of matrices are no slices.
            unsafe {
                if width >= 2 * lanes {
                    by_rows!(
                        m,
                        most,
                        |row, M| product.tile::<S, M, 2>(simd, row, column),
                        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
                    );
                    column += 2 * lanes;
                } else if width >= lanes {
                    by_rows!(
                        m,
                        most,
                        |row, M| product.tile::<S, M, 1>(simd, row, column),
                        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
                    );
                    column += lanes;
                } else {
                    by_rows!(
                        m,
                        most,
                        |row, M| product.narrow_tile::<S, M>(simd, row, column, width),
                        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
                    );
                    column = n;
                }
            }
        }
    }
}

impl<F: Vectors> WithSimd for Inner<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(product) = self;
        let [m, _, n] = product.shape;
        let most = if S::REGISTER_COUNT >= 32 { INNER_ROWS } else { FEWER_INNER_ROWS };
        let mut column = 0;
        while column < n {
            // SAFETY: rows and columns of the tiles are those of the matrices, which are in their slices.
            #[allow(unsafe_code)] // Tiles of matrices are no slices.
            unsafe {
                if n - column >= COLUMNS {
                    by_rows!(
                        m,
                        most,
                        |row, M| product.inner_tile::<S, M, COLUMNS>(simd, row, column),
                        [1, 2, 3, 4, 5, 6]
                    );
                    column += COLUMNS;
                } else {
                    by_rows!(m, most, |row, M| product.inner_tile::<S, M, 1>(simd, row, column), [1, 2, 3, 4, 5, 6]);
                    column += 1;
                }
            }
        }
    }
}

#[allow(unsafe_code)] // Tiles of matrices are no slices.
impl<F: Vectors> Product<F> {
    /// `M` rows of `N` vectors.
    ///
    /// # Safety
    /// They are rows and columns of the output, and the matrices are in memory.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(self, simd: S, row: usize, column: usize) {
        let lanes = size_of::<F::Vector<S>>() / size_of::<F>();
        let mut sums = [[F::splat(simd, F::ZERO); N]; M];
        // SAFETY: the caller's promise.
        unsafe {
            let (mut a, mut b) = (self.a.add(row * self.a_row), self.b.add(column));
            for _ in 0..self.shape[1] {
                let mut vectors = [F::splat(simd, F::ZERO); N];
                for (place, vector) in vectors.iter_mut().enumerate() {
                    *vector = b.add(place * lanes).cast::<F::Vector<S>>().read_unaligned();
                    if self.ahead > 0 {
                        ask_for(b.wrapping_add(place * lanes + self.ahead));
                    }
                }
                for (place, sums) in sums.iter_mut().enumerate() {
                    let factor = F::splat(simd, *a.add(place * self.a_row));
                    for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                        *sum = F::fused(simd, factor, vector, *sum);
                    }
                }
                (a, b) = (a.wrapping_add(self.a_column), b.wrapping_add(self.b_row));
            }
            for (place, sums) in sums.iter().enumerate() {
                let c = self.c.add((row + place) * self.c_row + column);
                for (place, &sum) in sums.iter().enumerate() {
                    let c = c.add(place * lanes).cast::<F::Vector<S>>();
                    c.write_unaligned(if self.add { F::plus(simd, c.read_unaligned(), sum) } else { sum });
                }
            }
        }
    }

    /// `M` rows of less than a vector.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile).
    #[inline(always)]
    unsafe fn narrow_tile<S: Simd, const M: usize>(self, simd: S, row: usize, column: usize, width: usize) {
        let mask = F::first(simd, width);
        let mut sums = [F::splat(simd, F::ZERO); M];
        // SAFETY: the caller's promise.
        unsafe {
            let (mut a, mut b) = (self.a.add(row * self.a_row), self.b.add(column));
            for _ in 0..self.shape[1] {
                let vector = F::load(simd, mask, b);
                for (place, sum) in sums.iter_mut().enumerate() {
                    *sum = F::fused(simd, F::splat(simd, *a.add(place * self.a_row)), vector, *sum);
                }
                (a, b) = (a.wrapping_add(self.a_column), b.wrapping_add(self.b_row));
            }
            for (place, &sum) in sums.iter().enumerate() {
                let c = self.c.add((row + place) * self.c_row + column);
                let sum = if self.add { F::plus(simd, F::load(simd, mask, c), sum) } else { sum };
                F::store(simd, mask, c, sum);
            }
        }
    }

    /// Inner products of `M` rows of `a` with `N` of `b`.
    ///
    /// # Safety
    /// As for [`tile`](Self::tile).
    #[inline(always)]
    unsafe fn inner_tile<S: Simd, const M: usize, const N: usize>(self, simd: S, row: usize, column: usize) {
        let lanes = size_of::<F::Vector<S>>() / size_of::<F>();
        let mut sums = [[F::splat(simd, F::ZERO); N]; M];
        let whole = self.shape[1] / lanes * lanes;
        // SAFETY: the caller's promise.
        unsafe {
            let (a, b) = (self.a.add(row * self.a_row), self.b.add(column * self.b_row));
            let mut start = 0;
            while start < whole {
                let mut vectors = [F::splat(simd, F::ZERO); N];
                for (place, vector) in vectors.iter_mut().enumerate() {
                    *vector = b.add(place * self.b_row + start).cast::<F::Vector<S>>().read_unaligned();
                }
                for (place, sums) in sums.iter_mut().enumerate() {
                    let factor = a.add(place * self.a_row + start).cast::<F::Vector<S>>().read_unaligned();
                    for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                        *sum = F::fused(simd, factor, vector, *sum);
                    }
                }
                start += lanes;
            }
            if whole < self.shape[1] {
                let mask = F::first(simd, self.shape[1] - whole);
                let mut vectors = [F::splat(simd, F::ZERO); N];
                for (place, vector) in vectors.iter_mut().enumerate() {
                    *vector = F::load(simd, mask, b.add(place * self.b_row + whole));
                }
                for (place, sums) in sums.iter_mut().enumerate() {
                    let factor = F::load(simd, mask, a.add(place * self.a_row + whole));
                    for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                        *sum = F::fused(simd, factor, vector, *sum);
                    }
                }
            }
            for (place, sums) in sums.iter().enumerate() {
                let c = self.c.add((row + place) * self.c_row + column);
                for (place, &sum) in sums.iter().enumerate() {
                    let sum = F::sum(simd, sum);
                    let c = c.add(place);
                    *c = if self.add { *c + sum } else { sum };
                }
            }
        }
    }
}

/// Brings what is there into the cache, if there is something.
#[inline(always)]
fn ask_for<F>(place: *const F) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for which no place is wrong.
    #[allow(unsafe_code)] // There is no safe name for it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every remainder of rows, columns and vectors, with room between the rows, which stays as it is.
    #[test]
    fn products_are_their_sums() {
        let numbers = |count: usize, seed: f64| -> Vec<f64> {
            (0..count).map(|place| ((place as f64 + 0.3) * seed).sin()).collect()
        };
        for [m, k, n] in [[1, 1, 1], [2, 0, 3], [5, 17, 31], [14, 3, 32], [15, 16, 33], [29, 40, 70], [7, 5, 15]] {
            for (turned, add) in
                [Turned::Neither, Turned::Left, Turned::Right].map(|turned| [(turned, false), (turned, true)]).concat()
            {
                let [a_stride, b_stride, stride] = [43, 75, 73];
                let (a, b, before) = (numbers(44 * 43, 1.7), numbers(75 * 75, 2.3), numbers(30 * 73, 0.7));
                let mut c = before.clone();
                let (left, right) = (View { numbers: &a, stride: a_stride }, View { numbers: &b, stride: b_stride });
                multiply([m, k, n], left, right, turned, &mut c, stride, add);
                for (place, (&given, &before)) in c.iter().zip(&before).enumerate() {
                    let (row, column) = (place / stride, place % stride);
                    let a = |step: usize| match turned {
                        Turned::Left => a[step * a_stride + row],
                        _ => a[row * a_stride + step],
                    };
                    let b = |step: usize| match turned {
                        Turned::Right => b[column * b_stride + step],
                        _ => b[step * b_stride + column],
                    };
                    let wanted = match row < m && column < n {
                        true => (0..k).map(|step| a(step) * b(step)).sum::<f64>() + if add { before } else { 0.0 },
                        false => before,
                    };
                    // 40 products of numbers up to 1.
                    assert!((given - wanted).abs() < 1e-14, "{:?} at {row}, {column}", [m, k, n]);
                }
            }
        }
    }
}
