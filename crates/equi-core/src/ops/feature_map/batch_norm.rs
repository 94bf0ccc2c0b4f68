//! Batch norm of blocks of channels.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{Tensor, TensorData};

use super::{FeatureMapOps, channel_moments};

/// The channels of a feature map in blocks of neighbours, such as fields. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBlocks(Arc<[usize]>);

impl ChannelBlocks {
    /// Blocks of these sizes, one after the other.
    ///
    /// # Panics
    /// If a block is empty.
    pub fn new(sizes: impl IntoIterator<Item = usize>) -> Self {
        let sizes: Arc<[usize]> = sizes.into_iter().collect();
        assert!(sizes.iter().all(|&size| size > 0), "blocks of channels are not empty: {sizes:?}");
        Self(sizes)
    }

    /// Channels of each block.
    pub fn sizes(&self) -> &[usize] {
        &self.0
    }

    /// Channels of all blocks.
    pub fn channels(&self) -> usize {
        self.0.iter().sum()
    }

    /// The size of all blocks, where they have one.
    pub(super) fn uniform(&self) -> Option<usize> {
        let size = *self.0.first()?;
        self.0.iter().all(|other| *other == size).then_some(size)
    }

    /// 1 where the channel lies in the block, `[channels, blocks]`.
    pub(super) fn members(&self) -> Vec<f64> {
        let row = |block: usize| (0..self.0.len()).map(move |other| f64::from(u8::from(other == block)));
        let rows = self.0.iter().enumerate().flat_map(|(block, &size)| std::iter::repeat_n(block, size).flat_map(row));
        rows.collect()
    }
}

/// How [`batch_norm`] normalises.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// What has a mean and a variance.
    pub blocks: ChannelBlocks,
    /// Added to the variance.
    pub epsilon: f64,
    /// The `alpha` of an [`elu`](super::elu) that follows.
    pub elu: Option<f64>,
}

/// `y = f(gamma_b (x - mean_b) / sqrt(variance_b + epsilon) + beta_b)` for every block `b` of channels, with its mean and (biased) variance over batch, space
/// and its channels, and with an ELU or nothing for `f`. Also gives mean and variance, without gradients.
///
/// With `z = (x - mean_b) / sqrt(variance_b + epsilon)` and `g` the gradient by `gamma_b z + beta_b`, the gradients are
/// `gamma_b (g - <g> - z <g z>) / sqrt(variance_b + epsilon)` by `x`, with means `<.>` over the block, and the sums of `g z` and of `g` by `gamma_b` and `beta_b`.
/// Ioffe and Szegedy: Batch Normalization, ICML 2015.
///
/// # Shapes
/// - `x`, output: `[batch, channels, height, width]`
/// - `gamma`, `beta`, mean, variance: `[blocks]`
///
/// # Panics
/// If there is no sample, no channel or no pixel, or the shapes do not fit.
pub fn batch_norm(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, norm: &BatchNorm) -> (Tensor<4>, [Tensor<1>; 2]) {
    let (channels, count) = (norm.blocks.channels(), norm.blocks.sizes().len());
    let given = (x.dims()[1], [gamma.dims(), beta.dims()]);
    assert!(
        given == (channels, [[count]; 2]) && x.shape().num_elements() > 0,
        "batch_norm of {channels} channels in {count} blocks takes as many numbers of both, and a pixel at least; it was given {:?} and {:?}",
        x.dims(),
        given.1
    );
    let (mean, variance) = block_moments(x.clone().detach(), &norm.blocks);
    let moments = Tensor::stack::<2>(vec![mean.clone(), variance.clone()], 0);
    let y = Tensor::from_dispatch(<Dispatch as FeatureMapOps>::normalise_blocks(
        x.into_dispatch(),
        moments.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        norm.clone(),
    ));
    (y, [mean, variance])
}

/// Of a block: the mean of the means of its channels, and of their variances and squared distances from it.
fn block_moments(x: Tensor<4>, blocks: &ChannelBlocks) -> (Tensor<1>, Tensor<1>) {
    let (means, variances) = channel_moments(x);
    let (count, channels) = (blocks.sizes().len(), blocks.channels());
    if let Some(size) = blocks.uniform() {
        let rows = |x: Tensor<1>| x.reshape([count, size]);
        let mean = rows(means.clone()).mean_dim(1);
        let distance = rows(means) - mean.clone();
        let variance = (rows(variances) + distance.clone() * distance).mean_dim(1);
        return (mean.squeeze_dim(1), variance.squeeze_dim(1));
    }
    let upload = |numbers: Vec<f64>, shape: [usize; 2]| {
        let data = TensorData::new::<f64, _>(numbers, shape).convert_dtype(means.dtype());
        Tensor::<2>::from_data(data, (&means.device(), means.dtype()))
    };
    let members = upload(blocks.members(), [channels, count]);
    let shares = upload(blocks.sizes().iter().map(|&size| (size as f64).recip()).collect(), [1, count]);
    let column = |x: Tensor<1>| x.reshape([channels, 1]);
    let mean_of = |x: Tensor<2>| (x * members.clone()).sum_dim(0) * shares.clone();
    let mean = mean_of(column(means.clone()));
    let distance = column(means.clone()) - (mean.clone() * members.clone()).sum_dim(1);
    let variance = mean_of(column(variances) + distance.clone() * distance);
    (mean.squeeze_dim(0), variance.squeeze_dim(0))
}
