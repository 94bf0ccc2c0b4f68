//! Matrix products between pieces of work that lie in the cache.
//!
//! `C = A B` is taken in tiles of 13 rows and two vectors of columns, which fill the registers of AVX-512: 26 sums, 2 vectors of `B` and a
//! number of `A` (6 rows where there are 16 registers). `B` is read in panels as wide as a line or two of the cache; [`Panels`] packs
//! one that many products share. Nothing is copied, and whole tiles are computed: what is beyond the last row and column of a matrix must be there, and may
//! be anything.

use std::borrow::Cow;

use pulp::Simd;
use pulp::bytemuck::Pod;

use super::float::Float;
use super::pieces::LINE;

/// Numbers in a row of a panel: two vectors of AVX-512 in single precision.
pub(super) const PANEL: usize = 32;

/// Rows of a tile.
const TALL: usize = 13;

/// The same where there are few registers.
const SHORT: usize = 6;

/// Rows that a matrix must have room for beyond its last.
pub(super) const SPARE: usize = TALL - 1;

/// How far apart the rows of a matrix in a piece of work are: room for whole panels and tiles, and never a multiple of what the lines of a cache are
/// addressed by.
pub(super) const fn stride(columns: usize) -> usize {
    columns.next_multiple_of(PANEL) + 16
}

/// Numbers that a matrix in a piece of work takes.
pub(super) const fn room(rows: usize, columns: usize) -> usize {
    (rows + SPARE) * stride(columns)
}

/// A float with its vectors.
pub(super) trait Lanes: Float {
    /// As many as fit into a register.
    type Vector<S: Simd>: Pod;

    /// The same number everywhere.
    fn splat<S: Simd>(self, simd: S) -> Self::Vector<S>;

    /// `a b + c`
    fn multiply_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;

    /// `a + b`
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
}

macro_rules! lanes {
    ($float:ident, $vector:ident, $splat:ident, $multiply_add:ident, $add:ident) => {
        impl Lanes for $float {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(self, simd: S) -> S::$vector {
                simd.$splat(self)
            }

            #[inline(always)]
            fn multiply_add<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$multiply_add(a, b, c)
            }

            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
        }
    };
}

lanes!(f32, f32s, splat_f32s, mul_add_e_f32s, add_f32s);
lanes!(f64, f64s, splat_f64s, mul_add_e_f64s, add_f64s);

/// Bytes of a row at most of a matrix that is read where it is: with longer ones, the rows of a panel would have the same few places in the cache.
const NARROW: usize = 256;

/// A matrix as the factor on the right, panel by panel.
pub(super) struct Panels<'a, F: Clone> {
    /// From the first number of the first panel on; packed ones begin with a line of the cache.
    numbers: Cow<'a, [F]>,
    first: usize,
    /// From one row of a panel to the next, and from one panel to the next.
    stride: usize,
    panel: usize,
    depth: usize,
    columns: usize,
}

impl<'a, F: Float> Panels<'a, F> {
    /// `matrix [depth, columns]`: where it is, if its rows are whole panels and short, else packed.
    pub(super) fn new(matrix: &'a [F], [depth, columns]: [usize; 2]) -> Self {
        if columns.is_multiple_of(PANEL) && columns * size_of::<F>() <= NARROW {
            return Self { numbers: matrix.into(), first: 0, stride: columns, panel: PANEL, depth, columns };
        }
        Self::packed([depth, columns], |first, width, panel| {
            for (row, panel) in matrix.chunks_exact(columns).zip(panel.chunks_exact_mut(PANEL)) {
                panel[..width].copy_from_slice(&row[first..first + width]);
            }
        })
    }

    /// The transpose of `matrix [columns, depth]`.
    pub(super) fn transposed(matrix: &[F], [columns, depth]: [usize; 2]) -> Self {
        Self::packed([depth, columns], |first, width, panel| {
            for (column, row) in matrix.chunks_exact(depth).skip(first).take(width).enumerate() {
                for (&number, panel) in row.iter().zip(panel.chunks_exact_mut(PANEL)) {
                    panel[column] = number;
                }
            }
        })
    }

    /// Panels of zeros, each filled by `fill`, which is given its first column and how many it has.
    fn packed([depth, columns]: [usize; 2], fill: impl Fn(usize, usize, &mut [F])) -> Self {
        let length = depth * columns.next_multiple_of(PANEL);
        let mut numbers = vec![F::ZERO; length + LINE];
        let line = numbers.as_ptr().align_offset(LINE).min(LINE);
        for (panel, numbers) in numbers[line..][..length].chunks_exact_mut((depth * PANEL).max(1)).enumerate() {
            let first = panel * PANEL;
            fill(first, PANEL.min(columns - first), numbers);
        }
        Self { numbers: numbers.into(), first: line, stride: PANEL, panel: depth * PANEL, depth, columns }
    }
}

/// `C = A B`, or `C += A B`, for `rows` rows of `A` and `C`.
pub(super) fn multiply<F: Lanes>(rows: usize, a: &[F], a_stride: usize, b: &Panels<F>, c: &mut [F], add: bool) {
    let Panels { numbers, first, stride: b_stride, panel, depth, columns } = b;
    let b = Right { numbers: &numbers[*first..], stride: *b_stride, panel: *panel };
    dispatch([rows, *depth, *columns], Left { numbers: a, row: a_stride, step: 1 }, b, c, stride(*columns), add);
}

/// `C += A^T B` for `A [rows, across]`, and `B [rows, columns]` in a piece of work.
pub(super) fn multiply_transposed<F: Lanes>(
    [rows, across, columns]: [usize; 3],
    [a, b]: [&[F]; 2],
    a_stride: usize,
    c: &mut [F],
) {
    let a = Left { numbers: a, row: 1, step: a_stride };
    let b = Right { numbers: b, stride: stride(columns), panel: PANEL };
    dispatch([across, rows, columns], a, b, c, stride(columns), true);
}

/// The factor on the left: how far apart its rows, and the numbers in one, are.
#[derive(Clone, Copy)]
struct Left<'a, F> {
    numbers: &'a [F],
    row: usize,
    step: usize,
}

/// The factor on the right: how far apart its rows, and its panels, are.
#[derive(Clone, Copy)]
struct Right<'a, F> {
    numbers: &'a [F],
    stride: usize,
    panel: usize,
}

struct Product<'a, F> {
    shape: [usize; 3],
    a: Left<'a, F>,
    b: Right<'a, F>,
    c: &'a mut [F],
    stride: usize,
    add: bool,
}

/// The product of `shape` rows, depth and columns.
fn dispatch<F: Lanes>(shape: [usize; 3], a: Left<F>, b: Right<F>, c: &mut [F], stride: usize, add: bool) {
    let [rows, depth, columns] = shape;
    if rows * depth * columns == 0 {
        return;
    }
    let (rows, panels) = (rows + SPARE, columns.div_ceil(PANEL));
    assert!(
        a.numbers.len() > (rows - 1) * a.row + (depth - 1) * a.step
            && b.numbers.len() >= (panels - 1) * b.panel + (depth - 1) * b.stride + PANEL
            && stride >= panels * PANEL
            && c.len() >= (rows - 1) * stride + panels * PANEL,
        "the tiles are in their slices"
    );
    pulp::Arch::new().dispatch(Product { shape, a, b, c, stride, add });
}

impl<F: Lanes> pulp::WithSimd for Product<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: `dispatch` has checked that what is within SPARE rows and whole panels is in the slices.
        #[allow(unsafe_code)]
        unsafe {
            if S::REGISTER_COUNT >= 32 { self.tiles::<S, TALL>(simd) } else { self.tiles::<S, SHORT>(simd) }
        }
    }
}

impl<F: Lanes> Product<'_, F> {
    /// # Safety
    /// As for [`tile`], for all tiles of the product.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tiles<S: Simd, const M: usize>(self, simd: S) {
        let Self { shape: [rows, depth, columns], a, b, c, stride, add } = self;
        let lanes = size_of::<F::Vector<S>>() / size_of::<F>();
        for first in (0..columns).step_by(PANEL) {
            let panel = &b.numbers[first / PANEL * b.panel..];
            let width = PANEL.min(columns - first);
            for row in (0..rows).step_by(M) {
                let a = &a.numbers[row * a.row..];
                let c = &mut c[row * stride + first..];
                for column in (0..width).step_by(2 * lanes) {
                    // SAFETY: as for this function.
                    unsafe {
                        let (a, steps) = (a.as_ptr(), [self.a.row, self.a.step]);
                        let (b, c) = (panel.as_ptr().add(column), c.as_mut_ptr().add(column));
                        if width - column > lanes {
                            tile::<F, S, M, 2>(simd, depth, a, steps, b, self.b.stride, c, stride, add);
                        } else {
                            tile::<F, S, M, 1>(simd, depth, a, steps, b, self.b.stride, c, stride, add);
                        }
                    }
                }
            }
        }
    }
}

/// `M` rows and `N` vectors of columns.
///
/// # Safety
/// All numbers of the tile must be there: `c[i * c_stride ..][.. N vectors]`, `a[i * row + k * step]` and `b[k * b_stride ..][.. N vectors]` for `i`
/// below `M` and `k` below `depth`.
#[inline(always)]
#[allow(unsafe_code)] // Without checks of every index; the sums stay in registers.
#[allow(clippy::too_many_arguments)]
unsafe fn tile<F: Lanes, S: Simd, const M: usize, const N: usize>(
    simd: S,
    depth: usize,
    a: *const F,
    [row, step]: [usize; 2],
    b: *const F,
    b_stride: usize,
    c: *mut F,
    c_stride: usize,
    add: bool,
) {
    // SAFETY: see above; vectors are read and written without alignment.
    unsafe {
        let mut sums = [[F::ZERO.splat(simd); N]; M];
        let (mut a, mut b) = (a, b);
        for _ in 0..depth {
            let vectors: [F::Vector<S>; N] =
                std::array::from_fn(|place| b.cast::<F::Vector<S>>().add(place).read_unaligned());
            for (place, sums) in sums.iter_mut().enumerate() {
                let number = (*a.add(place * row)).splat(simd);
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = F::multiply_add(simd, number, vector, *sum);
                }
            }
            (a, b) = (a.add(step), b.add(b_stride));
        }
        for (place, sums) in sums.into_iter().enumerate() {
            let c = c.add(place * c_stride).cast::<F::Vector<S>>();
            for (place, sum) in sums.into_iter().enumerate() {
                let c = c.add(place);
                c.write_unaligned(if add { F::sum(simd, c.read_unaligned(), sum) } else { sum });
            }
        }
    }
}
