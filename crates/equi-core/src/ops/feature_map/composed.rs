//! The operations, composed of what every backend has: for backends and precisions without kernels of ours.

use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{IntDType, TensorData};

use super::{BatchNorm, ChannelBlocks, PoolWindow};

pub(in crate::ops) fn elu<B: Backend>(x: FloatTensor<B>, alpha: f64) -> FloatTensor<B> {
    let above = B::float_clamp_min(x.clone(), 0.0.into());
    let below = B::float_add_scalar(B::float_exp(B::float_clamp_max(x, 0.0.into())), (-1.0).into());
    B::float_add(above, B::float_mul_scalar(below, alpha.into()))
}

pub(in crate::ops) fn elu_gradient<B: Backend>(
    x: FloatTensor<B>,
    alpha: f64,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let positive = B::float_sign(B::float_clamp_min(x.clone(), 0.0.into()));
    let other = B::float_add_scalar(B::float_neg(positive.clone()), 1.0.into());
    let below = B::float_mul_scalar(B::float_exp(B::float_clamp_max(x, 0.0.into())), alpha.into());
    B::float_mul(gradient, B::float_add(positive, B::float_mul(other, below)))
}

pub(in crate::ops) fn maximum_over_windows<B: Backend>(x: FloatTensor<B>, window: PoolWindow) -> FloatTensor<B> {
    let (size, stride, padding) = ([window.kernel_size; 2], [window.stride; 2], [window.padding; 2]);
    <B as ModuleOps<B>>::max_pool2d(x, size, stride, padding, [1; 2], false)
}

pub(in crate::ops) fn maximum_over_windows_gradient<B: Backend>(
    x: FloatTensor<B>,
    window: PoolWindow,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let (size, stride, padding) = ([window.kernel_size; 2], [window.stride; 2], [window.padding; 2]);
    let dtype = IntDType::I32;
    let found =
        <B as ModuleOps<B>>::max_pool2d_with_indices(x.clone(), size, stride, padding, [1; 2], false, dtype).indices;
    <B as ModuleOps<B>>::max_pool2d_with_indices_backward(x, size, stride, padding, [1; 2], false, gradient, found)
        .x_grad
}

pub(in crate::ops) fn channel_moments<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let channels = x.shape()[1];
    let mean = mean_of_channels::<B>(x.clone());
    let centred = B::float_sub(x, mean.clone());
    let variance = mean_of_channels::<B>(B::float_mul(centred.clone(), centred));
    let row = |x| B::float_reshape(x, [1, channels].into());
    B::float_cat(vec![row(mean), row(variance)], 0)
}

pub(in crate::ops) fn channel_moments_gradient<B: Backend>(
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = x.shape();
    let samples = (shape[0] * shape[2] * shape[3]) as f64;
    let row = |x: &FloatTensor<B>, row: usize| per_channel::<B>(row_of::<B>(x.clone(), row));
    let centred = B::float_sub(x, row(&moments, 0));
    let by_variance = B::float_mul_scalar(row(&gradient, 1), (2.0 / samples).into());
    let by_mean = B::float_mul_scalar(row(&gradient, 0), samples.recip().into());
    B::float_add(B::float_mul(centred, by_variance), by_mean)
}

pub(in crate::ops) fn channel_affine<B: Backend>(
    x: FloatTensor<B>,
    mean: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
) -> FloatTensor<B> {
    let centred = B::float_sub(x, per_channel::<B>(mean));
    B::float_add(B::float_mul(centred, per_channel::<B>(scale)), per_channel::<B>(shift))
}

pub(in crate::ops) fn channel_affine_gradient<B: Backend>(
    x: FloatTensor<B>,
    mean: FloatTensor<B>,
    scale: FloatTensor<B>,
    gradient: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let channels = x.shape()[1];
    let sum = |x: FloatTensor<B>| {
        let sum = [3, 2, 0].into_iter().fold(x, |sum, dim| B::float_sum_dim(sum, dim));
        B::float_reshape(sum, [1, channels].into())
    };
    let centred = B::float_sub(x, per_channel::<B>(mean));
    let by_scale = sum(B::float_mul(centred, gradient.clone()));
    let by_both = B::float_cat(vec![by_scale, sum(gradient.clone())], 0);
    (B::float_mul(gradient, per_channel::<B>(scale)), by_both)
}

pub(in crate::ops) fn batch_norm<B: Backend>(
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    norm: BatchNorm,
) -> FloatTensor<B> {
    let [mean, inverse] = mean_and_inverse::<B>(moments, norm.epsilon);
    let [mean, scale, shift] =
        [mean, B::float_mul(gamma, inverse), beta].map(|of_block| spread::<B>(of_block, &norm.blocks));
    let y = channel_affine::<B>(x, mean, scale, shift);
    match norm.elu {
        None => y,
        Some(alpha) => elu::<B>(y, alpha),
    }
}

pub(in crate::ops) fn batch_norm_gradient<B: Backend>(
    x: FloatTensor<B>,
    moments: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    norm: BatchNorm,
    gradient: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = x.shape();
    let blocks = &norm.blocks;
    let [mean, inverse] = mean_and_inverse::<B>(moments, norm.epsilon);
    let scale = B::float_mul(gamma, inverse.clone());
    let mean = spread::<B>(mean, blocks);
    let gradient = match norm.elu {
        None => gradient,
        Some(alpha) => {
            let y = channel_affine::<B>(
                x.clone(),
                mean.clone(),
                spread::<B>(scale.clone(), blocks),
                spread::<B>(beta, blocks),
            );
            elu_gradient::<B>(y, alpha, gradient)
        }
    };
    let (by_x, by_both) =
        channel_affine_gradient::<B>(x.clone(), mean.clone(), spread::<B>(scale.clone(), blocks), gradient);
    let [products, sums] = [0, 1].map(|row| block_sums::<B>(row_of::<B>(by_both.clone(), row), blocks));
    // Numbers of a block.
    let pixels = (shape[0] * shape[2] * shape[3]) as f64;
    let counts = blocks.sizes().iter().map(|&size| (size as f64 * pixels).recip()).collect();
    let part = B::float_mul(scale, vector::<B>(counts, &x));
    let slope =
        B::float_mul(B::float_mul(part.clone(), products.clone()), B::float_mul(inverse.clone(), inverse.clone()));
    let shift = B::float_mul(part, sums.clone());
    let through = channel_affine::<B>(x, mean, spread::<B>(slope, blocks), spread::<B>(shift, blocks));
    let count = blocks.sizes().len();
    let row = |x| B::float_reshape(x, [1, count].into());
    let by_both = B::float_cat(vec![row(B::float_mul(products, inverse)), row(sums)], 0);
    (B::float_sub(by_x, through), by_both)
}

/// Mean and `1 / sqrt(variance + epsilon)` of every block.
fn mean_and_inverse<B: Backend>(moments: FloatTensor<B>, epsilon: f64) -> [FloatTensor<B>; 2] {
    let variance = B::float_add_scalar(row_of::<B>(moments.clone(), 1), epsilon.into());
    [row_of::<B>(moments, 0), B::float_recip(B::float_sqrt(variance))]
}

/// `[blocks]` to `[channels]`: the same number for every channel of a block.
fn spread<B: Backend>(of_blocks: FloatTensor<B>, blocks: &ChannelBlocks) -> FloatTensor<B> {
    let (count, channels) = (blocks.sizes().len(), blocks.channels());
    let all = match blocks.uniform() {
        Some(size) => B::float_expand(B::float_reshape(of_blocks, [count, 1].into()), [count, size].into()),
        None => {
            let members = vector::<B>(blocks.members(), &of_blocks);
            let row = B::float_reshape(of_blocks, [1, count].into());
            B::float_sum_dim(B::float_mul(B::float_reshape(members, [channels, count].into()), row), 1)
        }
    };
    B::float_reshape(all, [channels].into())
}

/// `[channels]` to `[blocks]`: the sum over each block.
fn block_sums<B: Backend>(of_channels: FloatTensor<B>, blocks: &ChannelBlocks) -> FloatTensor<B> {
    let (count, channels) = (blocks.sizes().len(), blocks.channels());
    let sums = match blocks.uniform() {
        Some(size) => B::float_sum_dim(B::float_reshape(of_channels, [count, size].into()), 1),
        None => {
            let members = vector::<B>(blocks.members(), &of_channels);
            let column = B::float_reshape(of_channels, [channels, 1].into());
            B::float_sum_dim(B::float_mul(B::float_reshape(members, [channels, count].into()), column), 0)
        }
    };
    B::float_reshape(sums, [count].into())
}

/// Numbers like those of `like`.
fn vector<B: Backend>(numbers: Vec<f64>, like: &FloatTensor<B>) -> FloatTensor<B> {
    let count = numbers.len();
    let data = TensorData::new::<f64, _>(numbers, [count]).convert_dtype(like.dtype());
    B::float_from_data(data, &like.device())
}

/// The mean over batch and space, `[1, channels, 1, 1]`: of means over rows first, whose sums are short.
fn mean_of_channels<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    [3, 2, 0].into_iter().fold(x, |mean, dim| B::float_mean_dim(mean, dim))
}

/// `[channels]`, to be broadcast over a feature map.
fn per_channel<B: Backend>(vector: FloatTensor<B>) -> FloatTensor<B> {
    let channels = vector.shape()[0];
    B::float_reshape(vector, [1, channels, 1, 1].into())
}

/// A row of a matrix.
pub(in crate::ops) fn row_of<B: Backend>(matrix: FloatTensor<B>, row: usize) -> FloatTensor<B> {
    let columns = matrix.shape()[1];
    let part = B::float_slice(matrix, &[(row..row + 1).into(), (0..columns).into()]);
    B::float_reshape(part, [columns].into())
}
