//! What the networks on pieces of rows have in common.

use super::activation::add_rows;
use super::float::Float;
use super::microkernel::stride;
use super::pool::Buffer;
use super::simd::kernel;

/// `x` to its SiLU, the same number as that of [`activate`], and to the slope of that.
#[inline(always)]
pub(super) fn activate_row<F: Float, S: pulp::Simd>(values: &mut [F], slopes: &mut [F]) {
    for (value, slope) in values.iter_mut().zip(slopes) {
        let above = if *value < -F::BOUND { -F::BOUND } else { *value };
        let x = if above > F::BOUND { F::BOUND } else { above };
        let divisor = F::ONE + x.exp_neg::<S>();
        let sigmoid = F::ONE / divisor;
        *slope = sigmoid * x.mul_add::<S>(F::ONE - sigmoid, F::ONE);
        *value = above / divisor;
    }
}

kernel! {
    /// `silu(x c + b)`, with a number `c` for every row.
    fn activate<'a, F | S>(scales: &'a [F], bias: &'a [F], values: &'a mut [F]) {
        for (values, &scale) in values.chunks_exact_mut(stride(bias.len())).zip(scales) {
            for (value, &bias) in values.iter_mut().zip(bias) {
                *value = scale.mul_add::<S>(*value, bias).swish::<S>();
            }
        }
    }
}

kernel! {
    /// The same, and the slopes of the SiLU.
    fn activate_with_slopes<'a, F | S>(scales: &'a [F], bias: &'a [F], values: &'a mut [F], slopes: &'a mut [F]) {
        let rows = values.chunks_exact_mut(stride(bias.len())).zip(slopes.chunks_exact_mut(stride(bias.len())));
        for ((values, slopes), &scale) in rows.zip(scales) {
            let (values, slopes) = (&mut values[..bias.len()], &mut slopes[..bias.len()]);
            for (value, &bias) in values.iter_mut().zip(bias) {
                *value = scale.mul_add::<S>(*value, bias);
            }
            activate_row::<F, S>(values, slopes);
        }
    }
}

kernel! {
    fn back_through_silu<'a, F | S>(columns: usize, slopes: &'a [F], by_values: &'a mut [F], by_bias: &'a mut [F]) {
        for (slopes, by_values) in slopes.chunks_exact(stride(columns)).zip(by_values.chunks_exact_mut(stride(columns))) {
            for ((by_value, &slope), by_bias) in by_values.iter_mut().zip(slopes).zip(by_bias.iter_mut()) {
                *by_value *= slope;
                *by_bias += *by_value;
            }
        }
    }
}

/// One after the other.
pub(super) fn parts<F, const N: usize>(mut numbers: &mut [F], lengths: [usize; N]) -> [&mut [F]; N] {
    lengths.map(|length| numbers.split_off_mut(..length).expect("as long as all parts"))
}

/// `count` pieces of `size` numbers, or `count` empty ones of nothing.
pub(super) fn split<T>(numbers: &mut [T], size: usize, count: usize) -> Vec<&mut [T]> {
    if numbers.is_empty() { (0..count).map(|_| &mut [][..]).collect() } else { numbers.chunks_mut(size).collect() }
}

/// Out of the layout of pieces of work.
pub(super) fn matrix<F: Float>(numbers: &[F], [rows, columns]: [usize; 2]) -> Vec<F> {
    let mut all = Vec::with_capacity(rows * columns);
    numbers.chunks_exact(stride(columns)).take(rows).for_each(|row| all.extend_from_slice(&row[..columns]));
    all
}

/// Gradients by weights, of which every unit of work has its own sums.
pub(super) struct UnitSums {
    memory: Buffer,
    each: usize,
    units: usize,
}

impl UnitSums {
    /// `each` numbers for each of `units`.
    pub(super) fn new<F: Float>(each: usize, units: usize) -> Self {
        // Whole lines of the cache, so that all begin with one.
        let each = each.next_multiple_of(16);
        Self { memory: Buffer::any::<F>(each * units), each, units }
    }

    /// The sums of every unit, which may be anything before the unit clears them.
    pub(super) fn split<F: Float>(&mut self) -> impl Iterator<Item = &mut [F]> {
        self.memory.numbers_mut()[..self.each * self.units].chunks_exact_mut(self.each)
    }

    /// All of them, one after the other.
    pub(super) fn add_up<F: Float>(self) -> Vec<F> {
        let mut sum = vec![F::ZERO; self.each];
        add_rows(&self.memory.numbers()[..self.each * self.units], &mut sum);
        sum
    }
}
