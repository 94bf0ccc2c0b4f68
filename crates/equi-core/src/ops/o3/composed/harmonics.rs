//! Spherical harmonics.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::{constant, rows};
use crate::o3::SHORTEST;
use crate::ops::o3::HarmonicRecursion;

/// Coordinates, a row each, so that every operation runs along the points.
struct Coordinates<B: Backend> {
    /// `[3, points]`
    points: FloatTensor<B>,
    /// `r^2`, `[1, points]`: 1, or 0 without direction, where directions are taken.
    squares: FloatTensor<B>,
    /// One over the lengths, where directions are taken; zero where there is none.
    inverse: Option<FloatTensor<B>>,
}

impl<B: Backend> Coordinates<B> {
    fn new(points: FloatTensor<B>, normalize: bool) -> Self {
        let points = B::float_transpose(points);
        let squares = B::float_sum_dim(B::float_mul(points.clone(), points.clone()), 0);
        if !normalize {
            return Self { points, squares, inverse: None };
        }
        // One where there is a direction, else zero.
        let shortest = SHORTEST * SHORTEST;
        let longer = B::float_add_scalar(squares.clone(), (-shortest).into());
        let present = B::float_sign(B::float_clamp_min(longer, 0.0.into()));
        let roots = B::float_sqrt(B::float_clamp_min(squares, shortest.into()));
        let (inverse, squares) = (B::float_mul(B::float_recip(roots), present.clone()), present);
        Self { points: B::float_mul(points, inverse.clone()), squares, inverse: Some(inverse) }
    }

    /// The harmonics of degrees up to `lmax`, `[2 l + 1, points]` each.
    fn harmonics(&self, recursion: &HarmonicRecursion, lmax: usize) -> Vec<FloatTensor<B>> {
        let (device, dtype) = (self.points.device(), self.points.dtype());
        let count = self.points.shape()[1];
        let [x, y, z] = [0, 1, 2].map(|axis| rows::<B>(&self.points, axis..axis + 1));
        let factors = |values: &[f64]| constant::<B, 2>(values.to_vec(), [values.len(), 1], &device, dtype);
        let zeroth = B::float_expand(factors(&recursion.first[..1]), [1, count].into());
        let mut harmonics = vec![zeroth];
        if lmax > 0 {
            harmonics.push(B::float_mul(self.points.clone(), factors(&recursion.first[1..])));
        }
        let (mut sine, mut cosine) = (x.clone(), z.clone());
        for l in 2..=lmax {
            let mul = |a: &FloatTensor<B>, b: &FloatTensor<B>| B::float_mul(a.clone(), b.clone());
            (sine, cosine) =
                (B::float_add(mul(&z, &sine), mul(&x, &cosine)), B::float_sub(mul(&z, &cosine), mul(&x, &sine)));
            let risen = B::float_mul(mul(&harmonics[l - 1], &factors(&recursion.rise[l - 2])), y.clone());
            let lowered = mul(&harmonics[l - 2], &factors(&recursion.lower[l - 2]));
            let lowered = B::float_mul(lowered, self.squares.clone());
            let end = factors(&recursion.ends[l - 2..l - 1]);
            let parts = vec![
                mul(&sine, &end),
                rows::<B>(&risen, 0..1),
                B::float_sub(rows::<B>(&risen, 1..2 * l - 2), lowered),
                rows::<B>(&risen, 2 * l - 2..2 * l - 1),
                mul(&cosine, &end),
            ];
            harmonics.push(B::float_cat(parts, 0));
        }
        harmonics
    }
}

pub(in crate::ops) fn harmonics<B: Backend>(
    points: FloatTensor<B>,
    recursion: Arc<HarmonicRecursion>,
) -> FloatTensor<B> {
    let coordinates = Coordinates::<B>::new(points, recursion.normalize);
    let harmonics = coordinates.harmonics(&recursion, recursion.lmax());
    let wanted = recursion.degrees.iter().map(|&l| harmonics[l].clone());
    B::float_transpose(B::float_cat(wanted.collect(), 0))
}

pub(in crate::ops) fn harmonics_gradient<B: Backend>(
    points: FloatTensor<B>,
    gradient: FloatTensor<B>,
    recursion: Arc<HarmonicRecursion>,
) -> FloatTensor<B> {
    let coordinates = Coordinates::<B>::new(points, recursion.normalize);
    let below = B::float_cat(coordinates.harmonics(&recursion, recursion.lmax().saturating_sub(1)), 0);
    let gradient = B::float_transpose(gradient);
    let components = below.shape()[0];
    let by_axis = |axis: usize| {
        let mut slopes = vec![0.0; recursion.columns() * components];
        for (row, component) in slopes.chunks_exact_mut(components).zip(recursion.components()) {
            let of_component = &recursion.slopes[component];
            let terms = [&of_component.x[..], std::slice::from_ref(&of_component.y), &of_component.z[..]][axis];
            terms.iter().for_each(|&(place, factor)| row[place] += factor);
        }
        let shape = [recursion.columns(), components];
        let slopes = constant::<B, 2>(slopes, shape, &gradient.device(), gradient.dtype());
        B::float_sum_dim(B::float_mul(B::float_matmul(slopes, below.clone()), gradient.clone()), 0)
    };
    let by_points = B::float_cat([0, 1, 2].map(by_axis).to_vec(), 0);
    let by_points = match coordinates.inverse {
        Some(inverse) => {
            let along = B::float_sum_dim(B::float_mul(by_points.clone(), coordinates.points.clone()), 0);
            B::float_mul(B::float_sub(by_points, B::float_mul(coordinates.points, along)), inverse)
        }
        None => by_points,
    };
    B::float_transpose(by_points)
}
