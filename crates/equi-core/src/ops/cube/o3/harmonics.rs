//! Spherical harmonics, a thread for every point.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::super::{addresses, contiguous, grid, unwritten};
use crate::o3::SHORTEST;
use crate::ops::HarmonicRecursion;

/// [`HarmonicRecursion`] as a part of a kernel's name: numbers are the bits of those in f32.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Recursion {
    normalize: bool,
    /// The highest degree that is computed.
    lmax: usize,
    /// The component of every column.
    components: Vec<usize>,
    first: [u32; 2],
    rise: Vec<Vec<u32>>,
    lower: Vec<Vec<u32>>,
    ends: Vec<u32>,
    /// Of every column and axis, the components below and their factors.
    slopes: Vec<[Vec<(usize, u32)>; 3]>,
}

fn bits(value: f64) -> u32 {
    (value as f32).to_bits()
}

impl Recursion {
    fn new(recursion: &HarmonicRecursion, lmax: usize) -> Self {
        let all =
            |values: &[Vec<f64>]| values.iter().map(|values| values.iter().copied().map(bits).collect()).collect();
        let slopes = recursion.components().map(|component| {
            let of_component = &recursion.slopes[component];
            [&of_component.x[..], std::slice::from_ref(&of_component.y), &of_component.z[..]].map(|terms| {
                let present = terms.iter().filter(|(_, factor)| *factor != 0.0);
                present.map(|&(place, factor)| (place, bits(factor))).collect()
            })
        });
        Self {
            normalize: recursion.normalize,
            lmax,
            components: recursion.components().collect(),
            first: recursion.first.map(bits),
            rise: all(&recursion.rise),
            lower: all(&recursion.lower),
            ends: recursion.ends.iter().copied().map(bits).collect(),
            slopes: slopes.collect(),
        }
    }
}

#[allow(unsafe_code)]
pub(super) fn values(points: CubeTensor, recursion: &HarmonicRecursion) -> CubeTensor {
    let [points] = contiguous([points]);
    let rows = points.shape()[0];
    let output = unwritten(&points, [rows, recursion.columns()]);
    let (count, dim) = grid(&points, rows);
    // SAFETY: threads beyond `rows` end at once, and rows have the columns that the recursion names.
    unsafe {
        values_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses([&points, &output]),
            points.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            rows,
            Recursion::new(recursion, recursion.lmax()),
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn values_kernel(points: &[f32], output: &mut [f32], rows: usize, #[comptime] recursion: Recursion) {
    if ABSOLUTE_POS >= rows {
        terminate!();
    }
    let mut point = Array::<f32>::new(3usize);
    let (square, _) = load(points, &mut point, recursion.normalize);
    let mut values = Array::<f32>::new(comptime!((recursion.lmax + 1) * (recursion.lmax + 1)));
    recur(&point, square, &mut values, recursion.clone());
    let columns = comptime!(recursion.components.len());
    #[unroll]
    for column in 0..columns {
        output[ABSOLUTE_POS * columns + column] = values[comptime!(recursion.components[column])];
    }
}

/// The point of this thread, or its direction; its square, 1 or 0 for a direction; and one over its length, or 1.
#[cube]
fn load(points: &[f32], point: &mut Array<f32>, #[comptime] normalize: bool) -> (f32, f32) {
    let mut square = 0.0f32;
    #[unroll]
    for axis in 0..3 {
        let value = points[ABSOLUTE_POS * 3 + axis];
        point[axis] = value;
        square += value * value;
    }
    let mut inverse = 1.0f32;
    if comptime!(normalize) {
        inverse = 0.0f32;
        if square > comptime!((SHORTEST * SHORTEST) as f32) {
            inverse = 1.0f32 / square.sqrt();
            square = 1.0f32;
        } else {
            square = 0.0f32;
        }
        #[unroll]
        for axis in 0..3 {
            point[axis] *= inverse;
        }
    }
    (square, inverse)
}

/// The harmonics of all degrees up to the highest.
#[cube]
fn recur(point: &Array<f32>, square: f32, values: &mut Array<f32>, #[comptime] recursion: Recursion) {
    let (x, y, z) = (point[0], point[1], point[2]);
    values[0] = comptime!(f32::from_bits(recursion.first[0])).runtime();
    if comptime!(recursion.lmax > 0) {
        #[unroll]
        for axis in 0..3 {
            values[axis + 1] = point[axis] * comptime!(f32::from_bits(recursion.first[1]));
        }
    }
    let mut sine = x;
    let mut cosine = z;
    #[unroll]
    for degree in 2..comptime!(recursion.lmax + 1) {
        let risen = z * sine + x * cosine;
        cosine = z * cosine - x * sine;
        sine = risen;
        let (own, below, lower) =
            comptime!((degree * degree, (degree - 1) * (degree - 1), (degree - 2) * (degree - 2)));
        let end = comptime!(f32::from_bits(recursion.ends[degree - 2]));
        values[own] = sine * end;
        #[unroll]
        for order in 0..comptime!(2 * degree - 1) {
            let factor = comptime!(f32::from_bits(recursion.rise[degree - 2][order]));
            let mut value = values[below + order] * factor * y;
            if comptime!(order > 0 && order < 2 * degree - 2) {
                let place = comptime!(order - 1);
                let factor = comptime!(f32::from_bits(recursion.lower[degree - 2][place]));
                value -= values[lower + place] * factor * square;
            }
            values[own + 1 + order] = value;
        }
        values[own + 2 * degree] = cosine * end;
    }
}

#[allow(unsafe_code)]
pub(super) fn gradient(points: CubeTensor, gradient: CubeTensor, recursion: &HarmonicRecursion) -> CubeTensor {
    let [points, gradient] = contiguous([points, gradient]);
    let rows = points.shape()[0];
    let output = unwritten(&points, [rows, 3]);
    let (count, dim) = grid(&points, rows);
    // SAFETY: threads beyond `rows` end at once, and rows have the columns that the recursion names.
    unsafe {
        gradient_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses([&points, &gradient]),
            points.into_buffer_arg(),
            gradient.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            rows,
            Recursion::new(recursion, recursion.lmax().saturating_sub(1)),
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gradient_kernel(
    points: &[f32],
    gradient: &[f32],
    output: &mut [f32],
    rows: usize,
    #[comptime] recursion: Recursion,
) {
    if ABSOLUTE_POS >= rows {
        terminate!();
    }
    let mut point = Array::<f32>::new(3usize);
    let (square, inverse) = load(points, &mut point, recursion.normalize);
    let mut values = Array::<f32>::new(comptime!((recursion.lmax + 1) * (recursion.lmax + 1)));
    recur(&point, square, &mut values, recursion.clone());
    let mut by_point = Array::<f32>::new(3usize);
    #[unroll]
    for axis in 0..3 {
        by_point[axis] = 0.0f32;
    }
    let columns = comptime!(recursion.slopes.len());
    #[unroll]
    for column in 0..columns {
        let by_value = gradient[ABSOLUTE_POS * columns + column];
        #[unroll]
        for axis in 0..3 {
            #[unroll]
            for term in 0..comptime!(recursion.slopes[column][axis].len()) {
                let (place, factor) = comptime!(recursion.slopes[column][axis][term]);
                by_point[axis] += by_value * (values[place] * comptime!(f32::from_bits(factor)));
            }
        }
    }
    let mut along = 0.0f32;
    if comptime!(recursion.normalize) {
        #[unroll]
        for axis in 0..3 {
            along += by_point[axis] * point[axis];
        }
    }
    #[unroll]
    for axis in 0..3 {
        output[ABSOLUTE_POS * 3 + axis] = (by_point[axis] - point[axis] * along) * inverse;
    }
}
