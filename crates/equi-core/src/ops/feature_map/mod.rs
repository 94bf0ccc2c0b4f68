//! Pointwise functions, maxima and moments of feature maps, which on flex run in vectors and on all threads.

mod autodiff;
mod batch_norm;
pub(super) mod composed;
mod extension;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use batch_norm::{BatchNorm, ChannelBlocks, batch_norm};
pub use extension::FeatureMapOps;

/// `x` where positive, else `alpha (exp(x) - 1)`.
///
/// The derivative is 1 where `x` is positive, else `alpha exp(x)`. Clevert, Unterthiner and Hochreiter: Fast and Accurate Deep Network Learning by
/// Exponential Linear Units, ICLR 2016.
///
/// # Shapes
/// - `x`, output: any
pub fn elu<const D: usize>(x: Tensor<D>, alpha: f64) -> Tensor<D> {
    if x.shape().num_elements() == 0 {
        return x;
    }
    Tensor::from_dispatch(<Dispatch as FeatureMapOps>::elu(x.into_dispatch(), alpha))
}

/// A square window that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolWindow {
    /// Pixels along a side.
    pub kernel_size: usize,
    /// Pixels from one placement to the next.
    pub stride: usize,
    /// Pixels by which the first placement lies beyond the border; at most half the window.
    pub padding: usize,
}

impl PoolWindow {
    /// Placements along a side of `size` pixels.
    pub(crate) fn placements(&self, size: usize) -> usize {
        (size + 2 * self.padding - self.kernel_size) / self.stride + 1
    }
}

/// The maximum of every channel over a window, of what lies within the image.
///
/// Where several pixels have it, the gradient goes to the first of them, row by row. Its position is not kept but found again. What is not a number is larger
/// than every number; of several such pixels any may be given the gradient, and on GPUs each is given those of all its windows.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - output: `[batch, channels, height', width']` with `height' = (height + 2 padding - kernel_size) / stride + 1`
///
/// # Panics
/// If the window has no pixel or does not move, its padding is more than half of it, or it does not fit into the image.
pub fn max_pool2d(x: Tensor<4>, window: PoolWindow) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let PoolWindow { kernel_size, stride, padding } = window;
    assert!(
        kernel_size > 0 && stride > 0 && 2 * padding <= kernel_size && height.min(width) + 2 * padding >= kernel_size,
        "max_pool2d with {window:?} does not fit into an image of {height} x {width}"
    );
    if batch * channels == 0 {
        let shape = [batch, channels, window.placements(height), window.placements(width)];
        return Tensor::zeros(shape, (&x.device(), x.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as FeatureMapOps>::maximum_over_windows(x.into_dispatch(), window))
}

/// The mean and the variance (biased) of every channel over batch and space.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - outputs: `[channels]` each
///
/// # Panics
/// If there is no sample, no channel or no pixel.
pub fn channel_moments(x: Tensor<4>) -> (Tensor<1>, Tensor<1>) {
    assert!(x.shape().num_elements() > 0, "channel_moments takes a pixel at least; it was given {:?}", x.dims());
    let channels = x.dims()[1];
    let moments = Tensor::<2>::from_dispatch(<Dispatch as FeatureMapOps>::channel_moments(x.into_dispatch()));
    let row = |i| moments.clone().narrow(0, i, 1).reshape([channels]);
    (row(0), row(1))
}

/// `scale_c (x_c - mean_c) + shift_c` for every channel `c`.
///
/// # Shapes
/// - `x`, output: `[batch, channels, height, width]`
/// - `mean`, `scale`, `shift`: `[channels]`
///
/// # Panics
/// If the shapes do not fit.
pub fn channel_affine(x: Tensor<4>, mean: Tensor<1>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<4> {
    let channels = x.dims()[1];
    let given = [mean.dims(), scale.dims(), shift.dims()];
    assert!(
        given == [[channels]; 3],
        "channel_affine of {channels} channels takes as many numbers; it was given {given:?}"
    );
    if x.shape().num_elements() == 0 {
        return x;
    }
    Tensor::from_dispatch(<Dispatch as FeatureMapOps>::channel_affine(
        x.into_dispatch(),
        mean.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
    ))
}
