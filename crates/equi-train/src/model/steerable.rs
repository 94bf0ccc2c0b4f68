//! The equivariant network: the layout of the [plain one](super::PlainCnn), with steerable convolutions.
//!
//! ```text
//! conv 7 -> BN -> ELU -> pool -> conv 5 -> BN -> ELU -> pool -> conv 5 -> BN -> ELU -> maximum -> linear
//! 29 x 29                        15 x 15                        8 x 8
//! scalar -> regular              regular -> regular             regular -> scalars
//! ```
//!
//! Regular fields have one channel for every element of the group: a feature in all its orientations. The last convolution
//! relates them to each other and gives scalars, which turn with the image but keep their values; their maximum over all
//! pixels is invariant, so `f(g . x) = f(x)`: to floating point for quarter turns and flips of the group, and as well as the pixel
//! grid allows for its other elements.

use std::fmt;

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use equi_core::FieldType;
use equi_core::check::{FieldFn, FieldMap, NamedLayer, chain};
use equi_core::group::Group;
use equi_layers::planar::{
    FoldedR2Conv, Initializer, InnerBatchNorm, InnerBatchNormConfig, Nonlinearity, Pointwise, PointwiseMaxPool,
    PointwiseMaxPoolConfig, R2Conv, R2ConvConfig,
};
use equi_layers::{LayerError, Result};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::plain::one;
use crate::cost::linear_flops;
use crate::fit::Classifier;
use crate::seed::{Purpose, stream};

/// Kernel sizes of the three convolutions.
const KERNELS: [usize; 3] = [7, 5, 5];

/// Configuration of [`SteerableCnn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SteerableCnnConfig {
    /// The symmetry, finite.
    pub group: Group,
    /// Regular fields after the first convolution; the second has twice as many, the third as many channels as the second.
    pub fields: usize,
    /// Classes to tell apart.
    pub classes: usize,
    /// Channels of the images, which are scalars: they turn with the image and keep their values.
    #[serde(default = "one")]
    pub channels: usize,
}

/// A small steerable network; see the [module documentation](self).
#[derive(Module, Debug)]
pub struct SteerableCnn {
    blocks: Vec<Block>,
    /// `[scalars, classes]`
    head: Linear,
}

/// Steerable convolution, batch norm, ELU, and pooling except in the last block.
#[derive(Module, Debug)]
struct Block {
    conv: R2Conv,
    norm: InnerBatchNorm,
    activation: Pointwise,
    pool: Option<PointwiseMaxPool>,
}

impl SteerableCnnConfig {
    /// A network with `fields` regular fields of `group` that tells `classes` classes of grey images apart.
    pub fn new(group: Group, fields: usize, classes: usize) -> Self {
        Self { group, fields, classes, channels: one() }
    }

    /// The same for images of `channels` channels.
    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    fn types(&self) -> Result<[FieldType; 4]> {
        let regular = |count| FieldType::regular(self.group, count).map_err(LayerError::from);
        let wide = regular(2 * self.fields)?;
        let scalars = FieldType::trivial(self.group, wide.size());
        Ok([FieldType::trivial(self.group, self.channels), regular(self.fields)?, wide, scalars])
    }

    /// The network, with weights that depend on nothing but `seed`.
    ///
    /// # Errors
    /// If the group is infinite, which has no regular fields.
    pub fn init(&self, seed: u64, options: impl Into<TensorCreationOptions>) -> Result<SteerableCnn> {
        let options = options.into();
        let mut rng = stream(seed, Purpose::Weights, 0);
        let types = self.types()?;
        let blocks = KERNELS
            .iter()
            .enumerate()
            .map(|(i, &kernel)| {
                let output = &types[i + 1];
                Ok(Block {
                    conv: R2ConvConfig::new(&types[i], output, kernel)
                        .with_same_padding()
                        .with_bias(false)
                        .with_initializer(Initializer::Seeded(rng.next_u64()))
                        .init(options.clone())?,
                    norm: InnerBatchNormConfig::new(output).init(options.clone())?,
                    activation: Pointwise::new(output, Nonlinearity::Elu(1.0))?,
                    pool: (i + 1 < KERNELS.len())
                        .then(|| PointwiseMaxPoolConfig::new(output, 3).with_stride(2).with_padding(1).init())
                        .transpose()?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let features = types[3].len();
        let dtype = blocks[0].conv.weights.dtype();
        let deviation = 1.0 / (features as f64).sqrt();
        let normal = StandardNormal.sample_iter(rng).map(|z: f64| z * deviation);
        let weight: Vec<f64> = normal.take(features * self.classes).collect();
        let mut head = LinearConfig::new(features, self.classes).init(&options.device);
        let upload = |values, shape: [usize; 2]| {
            Tensor::<2>::from_data(
                TensorData::new::<f64, _>(values, shape).convert_dtype(dtype),
                (&options.device, dtype),
            )
        };
        head.weight = Param::from_tensor(upload(weight, [features, self.classes]));
        head.bias = Some(Param::from_tensor(upload(vec![0.0; self.classes], [1, self.classes]).squeeze_dim(0)));
        for pair in blocks.windows(2) {
            chain(&[&pair[0].conv, &pair[0].norm, &pair[0].activation, &pair[1].conv])?;
        }
        Ok(SteerableCnn { blocks, head })
    }
}

impl fmt::Display for SteerableCnnConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, fields, classes, channels } = self;
        let scalars = 2 * fields * group.order().unwrap_or(1);
        let wide = 2 * fields;
        write!(f, "SteerableCnn({channels} -> {fields} -> {wide} regular[{group}] -> {scalars} -> {classes}, k=7,5,5)")
    }
}

impl SteerableCnn {
    /// Checks that quarter turns and flips of the group stay exact on images of this size.
    ///
    /// # Errors
    /// If a pooling is off centre, with sizes that are not.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let mut size = [height, width];
        for block in &self.blocks {
            block.conv.check_size(size[0], size[1])?;
            if let Some(pool) = &block.pool {
                pool.check_size(size[0], size[1])?;
                size = size.map(|side| side.div_ceil(2));
            }
        }
        Ok(())
    }

    /// Operations of one forward pass of one image of `height * width` pixels, with the filters expanded.
    pub fn flops(&self, height: usize, width: usize) -> u64 {
        let [features, classes] = self.head.weight.dims();
        let mut size = [height, width];
        let mut flops = linear_flops(features, classes);
        for block in &self.blocks {
            flops += block.conv.flops(size[0], size[1]);
            size = size.map(|side| side.div_ceil(2));
        }
        flops
    }

    /// A network of plain Burn modules with the same logits: filters expanded, batch norms folded into them.
    ///
    /// Folding is exact because a batch norm in evaluation is the same affine map for all channels of a field.
    ///
    /// # Errors
    /// None for networks built by [`SteerableCnnConfig`].
    pub fn export(&self) -> Result<ExportedCnn> {
        let convs =
            self.blocks.iter().map(|block| block.conv.export_folded(&block.norm)).collect::<Result<Vec<_>>>()?;
        Ok(ExportedCnn {
            convs,
            pool: MaxPool2dConfig::new([3, 3])
                .with_strides([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(),
            head: self.head.clone(),
        })
    }

    /// The network for inference on the CPU: as [`export`](Self::export), but with convolutions that know their symmetry and take a part of the
    /// multiplications.
    ///
    /// # Errors
    /// None for networks built by [`SteerableCnnConfig`].
    pub fn fold(&self) -> Result<FoldedCnn> {
        let convs = self.blocks.iter().map(|block| block.conv.fold_norm(&block.norm)).collect::<Result<Vec<_>>>()?;
        let pools = self.blocks.iter().filter_map(|block| block.pool.clone()).collect();
        Ok(FoldedCnn { convs, pools, head: self.head.clone() })
    }

    /// The network as maps of feature fields, for [`check::layers`](equi_core::check::layers): which of them breaks the symmetry? The maxima over all pixels and
    /// the linear map are the last one.
    pub fn layers(&self) -> Vec<NamedLayer<'_>> {
        let mut layers: Vec<NamedLayer> = Vec::new();
        for (number, block) in (1..).zip(&self.blocks) {
            let mut add = |name: &str, layer| layers.push((format!("{name} {number}"), layer));
            add("convolution", Box::new(&block.conv));
            add("batch norm", Box::new(&block.norm));
            add("ELU", Box::new(&block.activation));
            if let Some(pool) = &block.pool {
                add("pooling", Box::new(pool));
            }
        }
        let scalars = self.blocks[self.blocks.len() - 1].conv.output_type();
        layers.push(readout(scalars, &self.head));
        layers
    }

    /// Where and in which precision it computes.
    pub fn options(&self) -> (Device, DType) {
        (self.head.weight.device(), self.head.weight.dtype())
    }
}

impl Classifier for SteerableCnn {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut features = images;
        for block in &self.blocks {
            features = block.norm.forward_activated(block.conv.forward(features), &block.activation);
            if let Some(pool) = &block.pool {
                features = pool.forward(features);
            }
        }
        self.head.forward(maximum_over_pixels(features))
    }

    fn field_layers(&self, _group: Group) -> Vec<NamedLayer<'_>> {
        self.layers()
    }
}

/// A [`SteerableCnn`] for inference, made of plain Burn modules; see [`SteerableCnn::export`].
#[derive(Module, Debug)]
pub struct ExportedCnn {
    convs: Vec<Conv2d>,
    pool: MaxPool2d,
    /// `[fields, classes]`
    head: Linear,
}

impl Classifier for ExportedCnn {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let convs = self.convs.iter().map(|conv| |x| conv.forward(x));
        self.head.forward(maximum_over_pixels(infer(images, convs, |x| self.pool.forward(x))))
    }
}

/// A [`SteerableCnn`] for inference that keeps its symmetry; see [`SteerableCnn::fold`].
#[derive(Module, Debug)]
pub struct FoldedCnn {
    convs: Vec<FoldedR2Conv>,
    pools: Vec<PointwiseMaxPool>,
    /// `[fields, classes]`
    head: Linear,
}

impl Classifier for FoldedCnn {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let convs = self.convs.iter().map(|conv| |x| conv.forward(x));
        let mut pools = self.pools.iter();
        let pool = |x| pools.next().expect("a pooling after every convolution but the last").forward(x);
        self.head.forward(maximum_over_pixels(infer(images, convs, pool)))
    }
}

/// Convolutions with folded batch norms, ELU, and pooling except after the last.
fn infer<F: FnOnce(Tensor<4>) -> Tensor<4>>(
    images: Tensor<4>,
    convs: impl ExactSizeIterator<Item = F>,
    mut pool: impl FnMut(Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    let last = convs.len() - 1;
    convs.enumerate().fold(images, |features, (i, conv)| {
        let features = Nonlinearity::Elu(1.0).apply(conv(features));
        if i < last { pool(features) } else { features }
    })
}

/// The end of a classifier of images as a map of scalar fields: the maximum of every channel over all pixels, then `head`. Its output has one pixel.
pub(super) fn readout(scalars: FieldType, head: &Linear) -> NamedLayer<'_> {
    let [_, classes] = head.weight.dims();
    let logits = FieldType::trivial(scalars.group(), classes);
    let (device, dtype) = (head.weight.device(), head.weight.dtype());
    let map = |features| head.forward(maximum_over_pixels(features)).unsqueeze_dims(&[2, 3]);
    ("maximum and linear".to_string(), Box::new(FieldFn::new(scalars, logits, &device, dtype, map)))
}

/// `[batch, channels, height, width]` to `[batch, channels]`.
pub(super) fn maximum_over_pixels(features: Tensor<4>) -> Tensor<2> {
    features.flatten::<3>(2, 3).max_dim(2).squeeze_dim(2)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::compare::probe::image::exact_error;
    use crate::cost::parameters;
    use burn::optim::{AdamConfig, GradientsParams};
    use equi_core::check::{layers, probe};
    use equi_core::group::{C4, C8, D4, D8};

    const CLASSES: usize = 10;
    /// Quarter turns and flips only exchange pixels; what remains is rounding, in f32 and in f64.
    const TOLERANCES: [(DType, f64); 2] = [(DType::F32, 1e-5), (DType::F64, 1e-12)];

    fn images(dtype: DType, device: &Device) -> Tensor<4> {
        of_channels(1, dtype, device)
    }

    fn of_channels(channels: usize, dtype: DType, device: &Device) -> Tensor<4> {
        let scalars = FieldType::trivial(C4, channels);
        probe(&FieldFn::new(scalars.clone(), scalars, device, dtype, |x| x), [4, 29, 29], 3)
    }

    /// A few steps of Adam on an arbitrary loss: moves every weight and every running statistic.
    fn trained(config: SteerableCnnConfig, dtype: DType) -> SteerableCnn {
        let device = Device::flex().autodiff();
        let mut model = config.init(1, (&device, dtype)).unwrap();
        let mut optimizer = AdamConfig::new().init();
        for _ in 0..5 {
            let logits = model.forward(of_channels(config.channels, dtype, &device));
            let targets = logits.clone().detach().flip([1]);
            let gradients = (logits - targets).powi_scalar(2).mean().backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = optimizer.step(1e-2, model, gradients);
        }
        model.valid()
    }

    #[test]
    fn quarter_turns_and_flips_are_exact_before_and_after_training() {
        for (dtype, tolerance) in TOLERANCES {
            let x = images(dtype, &Device::flex());
            for group in [C4, C8, D4, D8] {
                let config = SteerableCnnConfig::new(group, 1, CLASSES);
                let untrained = config.init(1, (&Device::flex(), dtype)).unwrap();
                let before = exact_error(|x| untrained.forward(x), group, &x).unwrap();
                assert!(before < tolerance, "{group} {dtype:?} untrained: {before:e}");
                let model = trained(config, dtype);
                let after = exact_error(|x| model.forward(x), group, &x).unwrap();
                assert!(after < tolerance, "{group} {dtype:?} trained: {after:e}");
            }
        }
    }

    #[test]
    fn images_of_three_channels_are_as_exact() {
        for (dtype, tolerance) in TOLERANCES {
            let config = SteerableCnnConfig::new(C8, 1, CLASSES).with_channels(3);
            let model = trained(config, dtype);
            let x = of_channels(3, dtype, &Device::flex());
            let error = exact_error(|x| model.forward(x), C8, &x).unwrap();
            assert!(error < tolerance, "{dtype:?}: {error:e}");
            // Every channel counts.
            let logits = model.forward(x.clone());
            for channel in 0..3 {
                let nothing = x.zeros_like().narrow(1, 0, 1);
                let without = x.clone().slice_assign([0..4, channel..channel + 1, 0..29, 0..29], nothing);
                let change = (model.forward(without) - logits.clone()).abs().max().into_scalar::<f64>();
                assert!(change > 1e-3, "channel {channel}: {change:e}");
            }
        }
    }

    #[test]
    fn every_layer_is_exact_alone_and_their_end_is_the_network() {
        let model = trained(SteerableCnnConfig::new(C8, 1, CLASSES), DType::F64);
        let x = images(DType::F64, &Device::flex());
        let end = model.layers().iter().fold(x.clone(), |features, (_, layer)| layer.forward(features));
        let logits = model.forward(x.clone());
        let difference = (end.flatten::<2>(1, 3) - logits).abs().max().into_scalar::<f64>();
        assert!(difference < 1e-12, "{difference:e}");
        let reports = layers(&model.layers(), C8, x);
        assert_eq!(reports.0.len(), 3 * 3 + 2 + 1);
        for layer in &reports.0 {
            assert!(layer.own.exact_error() < 1e-12 && layer.accumulated.exact_error() < 1e-12, "{reports}");
        }
        assert!(reports.0[0].own.interpolated_error() > 1e-3, "turns by 45 degrees resample: {reports}");
    }

    #[test]
    fn a_rotation_group_does_not_know_flips() {
        let x = images(DType::F32, &Device::flex());
        let model = SteerableCnnConfig::new(C8, 1, CLASSES).init(1, &Device::flex()).unwrap();
        assert!(exact_error(|x| model.forward(x), D4, &x).unwrap() > 1e-2);
    }

    #[test]
    fn the_exported_and_the_folded_network_give_the_same_logits() {
        for (dtype, tolerance) in TOLERANCES {
            let model = trained(SteerableCnnConfig::new(C8, 2, CLASSES), dtype);
            let x = images(dtype, &Device::flex());
            let (exported, folded) = (model.export().unwrap(), model.fold().unwrap());
            let norm = |x: Tensor<2>| x.powi_scalar(2).sum().into_scalar::<f64>().sqrt();
            let expected = model.forward(x.clone());
            for logits in [exported.forward(x.clone()), folded.forward(x)] {
                let error = norm(logits - expected.clone()) / norm(expected.clone());
                assert!(error < tolerance, "{dtype:?}: {error:e}");
            }
        }
    }

    /// 18 elements lift a scalar through a kernel of size 7; with size 5, 88 connect regular fields of C8, and 11 lead from a
    /// regular field to a scalar.
    #[test]
    fn parameters_and_operations_are_those_of_the_layers() {
        let model = SteerableCnnConfig::new(C8, 2, CLASSES).init(0, &Device::flex()).unwrap();
        let norms = 2 * (2 + 4 + 32);
        assert_eq!(parameters(&model), 18 * 2 + 88 * 2 * 4 + 11 * 4 * 32 + norms + 32 * CLASSES + CLASSES);
        let conv = 49 * 16 * 29 * 29 + 16 * 32 * 25 * 15 * 15 + 32 * 32 * 25 * 8 * 8;
        assert_eq!(model.flops(29, 29), 2 * (conv + 32 * CLASSES as u64));
        let config = SteerableCnnConfig::new(C8, 2, CLASSES).with_channels(3);
        let colour = config.init(0, &Device::flex()).unwrap();
        assert_eq!(parameters(&colour) - parameters(&model), 2 * 18 * 2);
        assert_eq!(colour.flops(29, 29) - model.flops(29, 29), 2 * 2 * 49 * 16 * 29 * 29);
        assert!(config.to_string().starts_with("SteerableCnn(3 -> 2 -> 4 regular[C8] -> 32 -> 10"), "{config}");
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let weights = |seed| {
            let model = SteerableCnnConfig::new(C8, 1, CLASSES).init(seed, &Device::flex()).unwrap();
            model.blocks[1].conv.weights.val().into_data().try_to_vec::<f32>().unwrap()
        };
        assert_eq!(weights(1), weights(1));
        assert_ne!(weights(1), weights(2));
    }

    #[test]
    fn sizes_that_break_the_symmetry_are_refused_with_sizes_that_do_not() {
        let model = SteerableCnnConfig::new(C8, 1, CLASSES).init(0, &Device::flex()).unwrap();
        model.check_size(29, 29).unwrap();
        let message = model.check_size(28, 28).unwrap_err().to_string();
        assert!(message.contains("27 or 29"), "{message}");
    }

    #[test]
    fn infinite_groups_are_refused() {
        let error = SteerableCnnConfig::new(Group::SO2, 1, CLASSES).init(0, &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("infinite"), "{error}");
    }
}
