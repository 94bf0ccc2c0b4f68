//! One path of a tensor product for one edge, along the copies: `z_k = w sum_i M_ki x_i` with `M_ki = c sum_j C_ijk y_j`.

use std::ops::Range;

use pulp::Simd;

use super::planes::{Plane, Planes};
use super::vector::{Vector, width};
use super::weights::WeightLanes;
use crate::ops::o3::Couplings;

/// Couplings in the precision and for the vectors of a kernel.
pub(super) struct Table<F> {
    pub first: Planes,
    pub out: Planes,
    pub paths: Vec<Path>,
    /// `c C` of path after path, `[j, k, i]`, every `j` filled up to whole vectors.
    coefficients: Vec<F>,
    /// What is not zero of it: `(k i, value)`, in the order of `j`.
    terms: Vec<(usize, F)>,
    /// Numbers of the matrices `M`, each filled up to whole vectors.
    pub matrices: usize,
    pub columns: [usize; 3],
    pub weights: WeightLanes,
    /// Numbers in a vector.
    pub width: usize,
}

/// A path, and where its parts are.
pub(super) struct Path {
    pub first: Plane,
    /// The first column of its block of the second input.
    second: usize,
    pub out: Plane,
    /// The block of the output.
    pub block: usize,
    /// The first of its weights, as they come.
    pub weights: usize,
    /// The first of its weights, every path filled up.
    pub lane: usize,
    /// Whether no path before it adds to the same block.
    pub opens: bool,
    /// Whether `M` is a multiple of the identity.
    diagonal: bool,
    matrix: Range<usize>,
    coefficients: usize,
    /// The terms of every `j`.
    terms: Vec<Range<usize>>,
}

impl Path {
    /// The columns of a copy of the second input.
    #[inline(always)]
    pub fn second_copy(&self, copy: usize) -> Range<usize> {
        let components = self.terms.len();
        let start = self.second + copy * components;
        start..start + components
    }
}

/// A kernel for matrices of its size where there is one, and the one for all sizes.
macro_rules! of_size {
    ($path:ident, $name:ident::<$float:ident, $simd:ident>($($argument:expr),* $(,)?), $any:expr) => {
        match ($path.first.components, $path.out.components) {
            (1, 1) => $name::<$float, $simd, 1, 1>($($argument),*),
            (1, 3) => $name::<$float, $simd, 1, 3>($($argument),*),
            (1, 5) => $name::<$float, $simd, 1, 5>($($argument),*),
            (1, 7) => $name::<$float, $simd, 1, 7>($($argument),*),
            (3, 1) => $name::<$float, $simd, 3, 1>($($argument),*),
            (3, 3) => $name::<$float, $simd, 3, 3>($($argument),*),
            (3, 5) => $name::<$float, $simd, 3, 5>($($argument),*),
            (3, 7) => $name::<$float, $simd, 3, 7>($($argument),*),
            (5, 1) => $name::<$float, $simd, 5, 1>($($argument),*),
            (5, 3) => $name::<$float, $simd, 5, 3>($($argument),*),
            (5, 5) => $name::<$float, $simd, 5, 5>($($argument),*),
            (5, 7) => $name::<$float, $simd, 5, 7>($($argument),*),
            (7, 1) => $name::<$float, $simd, 7, 1>($($argument),*),
            (7, 3) => $name::<$float, $simd, 7, 3>($($argument),*),
            (7, 5) => $name::<$float, $simd, 7, 5>($($argument),*),
            (7, 7) => $name::<$float, $simd, 7, 7>($($argument),*),
            _ => $any,
        }
    };
}

impl<F: Vector> Table<F> {
    pub fn new(couplings: &Couplings) -> Self {
        let width = width::<F>();
        let (first, out) = (Planes::new(&couplings.first, width), Planes::new(&couplings.out, width));
        let mut table = Self {
            first,
            out,
            paths: vec![],
            coefficients: vec![],
            terms: vec![],
            matrices: 0,
            columns: couplings.columns(),
            weights: WeightLanes::new(couplings, width),
            width,
        };
        for (number, path) in couplings.paths.iter().enumerate() {
            let (a, b, c) = (couplings.first[path.first], couplings.second[path.second], couplings.out[path.out]);
            let [d1, d2, d3] = [a, b, c].map(|block| block.components);
            let value = |i: usize, j: usize, k: usize| path.coefficients[(i * d2 + j) * d3 + k];
            let diagonal = d2 == 1 && d1 > 1;
            let numbers = if diagonal { 1 } else { d1 * d3 };
            let (coefficients, mut terms) = (table.coefficients.len(), Vec::with_capacity(d2));
            for j in 0..d2 {
                let first = table.terms.len();
                for place in 0..numbers.next_multiple_of(width) {
                    let value = if place < numbers { value(place % d1, j, place / d1) } else { 0.0 };
                    if value != 0.0 {
                        table.terms.push((place, F::from_elem(value)));
                    }
                    table.coefficients.push(F::from_elem(value));
                }
                terms.push(first..table.terms.len());
            }
            let matrix = table.matrices..table.matrices + numbers.next_multiple_of(width);
            table.matrices = matrix.end;
            table.paths.push(Path {
                first: table.first.blocks[path.first],
                second: b.start,
                out: table.out.blocks[path.out],
                block: path.out,
                weights: path.weights,
                lane: table.weights.lane(number),
                opens: table.paths.iter().all(|other| other.block != path.out),
                diagonal,
                matrix,
                coefficients,
                terms,
            });
        }
        table
    }

    /// The matrix of a path for a copy of the second input, in its place.
    #[inline(always)]
    pub fn matrix<S: Simd>(&self, simd: S, path: &Path, y: &[F], matrices: &mut [F]) {
        let matrix = F::vectors_mut::<S>(&mut matrices[path.matrix.clone()]);
        let size = matrix.len();
        let coefficients = &F::vectors::<S>(&self.coefficients[path.coefficients..])[..size * path.terms.len()];
        for (place, matrix) in matrix.iter_mut().enumerate() {
            let mut sum = F::times(simd, F::splat(simd, y[0]), coefficients[place]);
            for (j, &y) in y.iter().enumerate().take(path.terms.len()).skip(1) {
                sum = F::fma(simd, F::splat(simd, y), coefficients[j * size + place], sum);
            }
            *matrix = sum;
        }
    }

    /// The path's part of the output, in `z` or added to it; components of `z` are `stride` apart, and `x` is a row with its components apart.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn multiply<S: Simd>(
        &self,
        simd: S,
        path: &Path,
        matrices: &[F],
        x: &[F],
        w: Option<&[F]>,
        z: &mut [F],
        stride: usize,
        add: bool,
    ) {
        let matrix = &matrices[path.matrix.clone()];
        let x = F::vectors::<S>(&x[path.first.numbers()]);
        let w = w.map(F::vectors::<S>);
        let z = F::vectors_mut::<S>(z);
        let stride = stride / F::width::<S>();
        if path.diagonal {
            return scale::<F, S>(simd, path.out.components, matrix[0], x, w, z, stride, add);
        }
        of_size!(
            path,
            couple::<F, S>(simd, matrix, x, w, z, stride, add),
            couple_any::<F, S>(simd, [path.first.components, path.out.components], matrix, x, w, z, stride, add)
        );
    }

    /// The gradients that one by the output, `by_z`, has by the path's arguments: those by `x` and `w` are added, those by the matrix are put down,
    /// a vector of sums for each of its numbers. What there is no room for is left out.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn gradient<S: Simd>(
        &self,
        simd: S,
        path: &Path,
        matrices: &[F],
        x: &[F],
        w: Option<&[F]>,
        by_z: &[F],
        stride: usize,
        by_x: &mut [F],
        by_w: &mut [F],
        by_matrices: &mut [F],
    ) {
        let matrix = &matrices[path.matrix.clone()];
        let width = F::width::<S>();
        let x = F::vectors::<S>(&x[path.first.numbers()]);
        let w = w.map(F::vectors::<S>);
        let (by_z, stride) = (F::vectors::<S>(by_z), stride / width);
        let by_x = F::vectors_mut::<S>(if by_x.is_empty() { by_x } else { &mut by_x[path.first.numbers()] });
        let by_w = F::vectors_mut::<S>(by_w);
        let by_matrix = if by_matrices.is_empty() {
            by_matrices
        } else {
            &mut by_matrices[path.matrix.start * width..path.matrix.end * width]
        };
        let by_matrix = F::vectors_mut::<S>(by_matrix);
        if path.diagonal {
            let components = path.out.components;
            return scale_gradient::<F, S>(simd, components, matrix[0], x, w, by_z, stride, by_x, by_w, by_matrix);
        }
        of_size!(
            path,
            couple_gradient::<F, S>(simd, matrix, x, w, by_z, stride, by_x, by_w, by_matrix),
            couple_gradient_any::<F, S>(
                simd,
                [path.first.components, path.out.components],
                matrix,
                x,
                w,
                by_z,
                stride,
                by_x,
                by_w,
                by_matrix
            )
        );
    }

    /// Adds the gradients by the path's copy of the second input, a vector of sums for each of its columns, that those by its matrix have.
    #[inline(always)]
    pub fn matrix_gradient<S: Simd>(&self, simd: S, path: &Path, by_matrices: &[F], by_y: &mut [F]) {
        let width = F::width::<S>();
        let by_matrix = F::vectors::<S>(&by_matrices[path.matrix.start * width..path.matrix.end * width]);
        for (terms, by_y) in path.terms.iter().zip(F::vectors_mut::<S>(by_y)) {
            let mut sum = *by_y;
            for &(place, coefficient) in &self.terms[terms.clone()] {
                sum = F::fma(simd, F::splat(simd, coefficient), by_matrix[place], sum);
            }
            *by_y = sum;
        }
    }
}

#[inline(always)]
fn place<F: Vector, S: Simd>(simd: S, sum: F::Lanes<S>, w: Option<F::Lanes<S>>, add: bool, to: &mut F::Lanes<S>) {
    *to = match (w, add) {
        (Some(w), true) => F::fma(simd, sum, w, *to),
        (Some(w), false) => F::times(simd, sum, w),
        (None, true) => F::plus(simd, sum, *to),
        (None, false) => sum,
    };
}

/// The vectors of all components of some copies.
#[inline(always)]
fn components<F: Vector, S: Simd, const D: usize>(x: &[F::Lanes<S>], count: usize, lanes: usize) -> [F::Lanes<S>; D] {
    // `from_fn` is not inlined everywhere.
    let mut components = [x[lanes]; D];
    for (i, component) in components.iter_mut().enumerate().skip(1) {
        *component = x[i * count + lanes];
    }
    components
}

/// `z = w M x` with a matrix `[D3, D1]`.
#[inline(always)]
fn couple<F: Vector, S: Simd, const D1: usize, const D3: usize>(
    simd: S,
    matrix: &[F],
    x: &[F::Lanes<S>],
    w: Option<&[F::Lanes<S>]>,
    z: &mut [F::Lanes<S>],
    stride: usize,
    add: bool,
) {
    let matrix = &matrix.as_chunks::<D1>().0[..D3];
    let count = x.len() / D1;
    let z = &mut z[..(D3 - 1) * stride + count];
    let w = w.map(|w| &w[..count]);
    for lanes in 0..count {
        let x = components::<F, S, D1>(x, count, lanes);
        let w = w.map(|w| w[lanes]);
        for k in 0..D3 {
            let mut sum = F::times(simd, F::splat(simd, matrix[k][0]), x[0]);
            for i in 1..D1 {
                sum = F::fma(simd, F::splat(simd, matrix[k][i]), x[i], sum);
            }
            place::<F, S>(simd, sum, w, add, &mut z[k * stride + lanes]);
        }
    }
}

/// The same with a matrix of any size.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn couple_any<F: Vector, S: Simd>(
    simd: S,
    [d1, d3]: [usize; 2],
    matrix: &[F],
    x: &[F::Lanes<S>],
    w: Option<&[F::Lanes<S>]>,
    z: &mut [F::Lanes<S>],
    stride: usize,
    add: bool,
) {
    let count = x.len() / d1;
    for k in 0..d3 {
        let row = &matrix[k * d1..][..d1];
        for lanes in 0..count {
            let mut sum = F::times(simd, F::splat(simd, row[0]), x[lanes]);
            for (i, &number) in row.iter().enumerate().skip(1) {
                sum = F::fma(simd, F::splat(simd, number), x[i * count + lanes], sum);
            }
            place::<F, S>(simd, sum, w.map(|w| w[lanes]), add, &mut z[k * stride + lanes]);
        }
    }
}

/// `z_k = w m x_k`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn scale<F: Vector, S: Simd>(
    simd: S,
    components: usize,
    factor: F,
    x: &[F::Lanes<S>],
    w: Option<&[F::Lanes<S>]>,
    z: &mut [F::Lanes<S>],
    stride: usize,
    add: bool,
) {
    let count = x.len() / components;
    let factor = F::splat(simd, factor);
    for lanes in 0..count {
        let factor = w.map_or(factor, |w| F::times(simd, factor, w[lanes]));
        for k in 0..components {
            place::<F, S>(simd, x[k * count + lanes], Some(factor), add, &mut z[k * stride + lanes]);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn couple_gradient<F: Vector, S: Simd, const D1: usize, const D3: usize>(
    simd: S,
    matrix: &[F],
    x: &[F::Lanes<S>],
    w: Option<&[F::Lanes<S>]>,
    by_z: &[F::Lanes<S>],
    stride: usize,
    by_x: &mut [F::Lanes<S>],
    by_w: &mut [F::Lanes<S>],
    by_matrix: &mut [F::Lanes<S>],
) {
    let matrix = &matrix.as_chunks::<D1>().0[..D3];
    let count = x.len() / D1;
    let by_z = &by_z[..(D3 - 1) * stride + count];
    let zero = F::splat(simd, F::ZERO);
    by_matrix.fill(zero);
    let mut by_matrix = by_matrix.as_chunks_mut::<D1>().0.get_mut(..D3);
    for lanes in 0..count {
        let x = components::<F, S, D1>(x, count, lanes);
        let w = w.map(|w| w[lanes]);
        let mut weighted = x;
        if let Some(w) = w {
            weighted.iter_mut().for_each(|x| *x = F::times(simd, *x, w));
        }
        // Without the weight, by the features.
        let mut sums = [zero; D1];
        for k in 0..D3 {
            let by_z = by_z[k * stride + lanes];
            for i in 0..D1 {
                sums[i] = F::fma(simd, F::splat(simd, matrix[k][i]), by_z, sums[i]);
            }
            if let Some(by_matrix) = &mut by_matrix {
                for i in 0..D1 {
                    by_matrix[k][i] = F::fma(simd, weighted[i], by_z, by_matrix[k][i]);
                }
            }
        }
        if !by_w.is_empty() {
            for i in 0..D1 {
                by_w[lanes] = F::fma(simd, x[i], sums[i], by_w[lanes]);
            }
        }
        if !by_x.is_empty() {
            for i in 0..D1 {
                place::<F, S>(simd, sums[i], w, true, &mut by_x[i * count + lanes]);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn couple_gradient_any<F: Vector, S: Simd>(
    simd: S,
    [d1, d3]: [usize; 2],
    matrix: &[F],
    x: &[F::Lanes<S>],
    w: Option<&[F::Lanes<S>]>,
    by_z: &[F::Lanes<S>],
    stride: usize,
    by_x: &mut [F::Lanes<S>],
    by_w: &mut [F::Lanes<S>],
    by_matrix: &mut [F::Lanes<S>],
) {
    let count = x.len() / d1;
    let zero = F::splat(simd, F::ZERO);
    by_matrix.fill(zero);
    for lanes in 0..count {
        let w = w.map(|w| w[lanes]);
        for i in 0..d1 {
            let x = x[i * count + lanes];
            let weighted = w.map_or(x, |w| F::times(simd, x, w));
            // Without the weight, by this component.
            let mut sum = zero;
            for k in 0..d3 {
                let by_z = by_z[k * stride + lanes];
                sum = F::fma(simd, F::splat(simd, matrix[k * d1 + i]), by_z, sum);
                if let Some(by_matrix) = by_matrix.get_mut(k * d1 + i) {
                    *by_matrix = F::fma(simd, weighted, by_z, *by_matrix);
                }
            }
            if !by_w.is_empty() {
                by_w[lanes] = F::fma(simd, x, sum, by_w[lanes]);
            }
            if !by_x.is_empty() {
                place::<F, S>(simd, sum, w, true, &mut by_x[i * count + lanes]);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn scale_gradient<F: Vector, S: Simd>(
    simd: S,
    components: usize,
    factor: F,
    x: &[F::Lanes<S>],
    w: Option<&[F::Lanes<S>]>,
    by_z: &[F::Lanes<S>],
    stride: usize,
    by_x: &mut [F::Lanes<S>],
    by_w: &mut [F::Lanes<S>],
    by_matrix: &mut [F::Lanes<S>],
) {
    let count = x.len() / components;
    let (zero, factor) = (F::splat(simd, F::ZERO), F::splat(simd, factor));
    let mut factor_sum = zero;
    for lanes in 0..count {
        let mut sum = zero;
        for k in 0..components {
            sum = F::fma(simd, x[k * count + lanes], by_z[k * stride + lanes], sum);
        }
        if !by_w.is_empty() {
            by_w[lanes] = F::fma(simd, factor, sum, by_w[lanes]);
        }
        factor_sum = w.map_or_else(|| F::plus(simd, sum, factor_sum), |w| F::fma(simd, sum, w[lanes], factor_sum));
        if !by_x.is_empty() {
            let factor = w.map_or(factor, |w| F::times(simd, factor, w[lanes]));
            for k in 0..components {
                let by_x = &mut by_x[k * count + lanes];
                *by_x = F::fma(simd, factor, by_z[k * stride + lanes], *by_x);
            }
        }
    }
    if let Some(by_factor) = by_matrix.first_mut() {
        *by_factor = factor_sum;
    }
}
