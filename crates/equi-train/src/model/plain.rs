//! The baseline: convolution, batch norm and ELU, three times, with the layout of the equivariant network.
//!
//! ```text
//! conv 7 -> BN -> ELU -> pool -> conv 5 -> BN -> ELU -> pool -> conv 5 -> BN -> ELU -> maximum -> linear
//! 29 x 29                        15 x 15                        8 x 8
//! ```
//!
//! It knows nothing about rotations. Its width is chosen so that it costs what the equivariant network costs. It computes with the same operations as that one, on
//! scalar fields of the group without symmetry, so that times compare the two and not two libraries of kernels.

use std::fmt;

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, TensorData};
use burn::{Tensor, tensor::Shape};
use equi_core::FieldType;
use equi_core::check::{FieldFn, NamedLayer};
use equi_core::group::Group;
use equi_core::ops::{ConvSteps, ConvSymmetry, steerable_conv2d};
use equi_layers::planar::{
    InnerBatchNorm, InnerBatchNormConfig, Nonlinearity, Pointwise, PointwiseMaxPool, PointwiseMaxPoolConfig,
};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use super::steerable::{maximum_over_pixels, readout};
use crate::cost::{conv2d_flops, linear_flops};
use crate::fit::Classifier;
use crate::seed::{Purpose, stream};

/// Channels of grey images.
pub(super) const fn one() -> usize {
    1
}

/// Kernel sizes of the three convolutions.
const KERNELS: [usize; 3] = [7, 5, 5];

/// Configuration of [`PlainCnn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainCnnConfig {
    /// Channels after the first convolution; the other two have twice as many.
    pub width: usize,
    /// Classes to tell apart.
    pub classes: usize,
    /// Channels of the images.
    #[serde(default = "one")]
    pub channels: usize,
}

/// A small convolutional network; see the [module documentation](self).
#[derive(Module, Debug)]
pub struct PlainCnn {
    blocks: Vec<Block>,
    /// `[2 * width, classes]`
    head: Linear,
}

/// Convolution, batch norm, ELU, and pooling except in the last block.
#[derive(Module, Debug)]
struct Block {
    /// `[channels_out, channels_in, kernel, kernel]`
    conv: Conv2d,
    /// That of the trivial group, which makes it a dense convolution.
    #[module(skip)]
    symmetry: ConvSymmetry,
    norm: InnerBatchNorm,
    activation: Pointwise,
    pool: Option<PointwiseMaxPool>,
}

impl PlainCnnConfig {
    /// A network `width` channels wide that tells `classes` classes of grey images apart.
    pub fn new(width: usize, classes: usize) -> Self {
        Self { width, classes, channels: one() }
    }

    /// The same for images of `channels` channels.
    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    /// What goes into the convolutions and what comes out.
    fn maps(&self) -> [[usize; 2]; 3] {
        let Self { width, channels, .. } = *self;
        [[channels, width], [width, 2 * width], [2 * width, 2 * width]]
    }

    /// The network, with weights that depend on nothing but `seed`: He-normal convolutions, drawn on the host.
    pub fn init(&self, seed: u64, device: &Device) -> PlainCnn {
        let mut rng = stream(seed, Purpose::Weights, 0);
        let blocks = self
            .maps()
            .into_iter()
            .zip(KERNELS)
            .enumerate()
            .map(|(place, (channels, kernel))| {
                let mut conv = Conv2dConfig::new(channels, [kernel, kernel])
                    .with_padding(PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2))
                    .with_bias(false)
                    .init(device);
                let fan_in = channels[0] * kernel * kernel;
                conv.weight = normal([channels[1], channels[0], kernel, kernel], 2.0 / fan_in as f64, &mut rng, device);
                let [input, output] = channels.map(|channels| FieldType::trivial(Group::trivial(), channels));
                let pool = || PointwiseMaxPoolConfig::new(&output, 3).with_stride(2).with_padding(1).init();
                Block {
                    conv,
                    symmetry: ConvSymmetry::new(&input, &output, kernel),
                    norm: InnerBatchNormConfig::new(&output).init(device).expect(SCALARS),
                    activation: Pointwise::new(&output, Nonlinearity::Elu(1.0)).expect(SCALARS),
                    pool: (place + 1 < KERNELS.len()).then(|| pool().expect(SCALARS)),
                }
            })
            .collect();
        let features = 2 * self.width;
        let mut head = LinearConfig::new(features, self.classes).init(device);
        head.weight = normal([features, self.classes], 1.0 / features as f64, &mut rng, device);
        head.bias = Some(Param::from_tensor(Tensor::zeros([self.classes], device)));
        PlainCnn { blocks, head }
    }

    /// Trainable parameters, without building the network.
    pub fn parameters(&self) -> usize {
        let blocks: usize = self
            .maps()
            .into_iter()
            .zip(KERNELS)
            .map(|([input, output], kernel)| output * (input * kernel * kernel + 2))
            .sum();
        blocks + (2 * self.width + 1) * self.classes
    }

    /// Operations of one forward pass of one image of `height * width` pixels.
    pub fn flops(&self, height: usize, width: usize) -> u64 {
        let mut size = [height, width];
        let mut flops = linear_flops(2 * self.width, self.classes);
        for (channels, kernel) in self.maps().into_iter().zip(KERNELS) {
            flops += conv2d_flops(channels, kernel, size, 1);
            size = size.map(|side| side.div_ceil(2));
        }
        flops
    }
}

impl fmt::Display for PlainCnnConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, classes, channels } = self;
        write!(f, "PlainCnn({channels} -> {width} -> {0} -> {0} -> {classes}, k=7,5,5)", 2 * width)
    }
}

/// Why layers of scalar fields can be built.
const SCALARS: &str = "scalars take every layer";

impl Block {
    fn convolve(&self, features: Tensor<4>) -> Tensor<4> {
        let [.., kernel] = self.conv.weight.dims();
        let steps = ConvSteps { padding: kernel / 2, ..ConvSteps::default() };
        steerable_conv2d(features, self.conv.weight.val(), None, steps, &self.symmetry)
    }
}

impl PlainCnn {
    /// The network as maps of scalar fields of `group`, for [`check::layers`](equi_core::check::layers): how far is each from commuting with it?
    pub fn layers<'a>(&'a self, group: Group) -> Vec<NamedLayer<'a>> {
        let options = (self.head.weight.device(), self.head.weight.dtype());
        let scalars = |channels| FieldType::trivial(group, channels);
        let mut layers: Vec<NamedLayer> = Vec::new();
        for (number, block) in (1..).zip(&self.blocks) {
            let [output, input, ..] = block.conv.weight.dims();
            let mut add = |name: &str, given, map: Box<dyn Fn(Tensor<4>) -> Tensor<4> + 'a>| {
                let layer = FieldFn::new(scalars(given), scalars(output), &options.0, options.1, map);
                layers.push((format!("{name} {number}"), Box::new(layer)));
            };
            add("convolution", input, Box::new(|x| block.convolve(x)));
            add("batch norm", output, Box::new(|x| block.norm.forward(x)));
            add("ELU", output, Box::new(|x| block.activation.forward(x)));
            if let Some(pool) = &block.pool {
                add("pooling", output, Box::new(|x| pool.forward(x)));
            }
        }
        let features = self.head.weight.dims()[0];
        layers.push(readout(scalars(features), &self.head));
        layers
    }
}

impl Classifier for PlainCnn {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut features = images;
        for block in &self.blocks {
            features = block.norm.forward_activated(block.convolve(features), &block.activation);
            if let Some(pool) = &block.pool {
                features = pool.forward(features);
            }
        }
        self.head.forward(maximum_over_pixels(features))
    }

    fn field_layers(&self, group: Group) -> Vec<NamedLayer<'_>> {
        self.layers(group)
    }
}

/// A parameter drawn from a normal distribution with mean 0.
fn normal<const D: usize>(shape: [usize; D], variance: f64, rng: &mut ChaCha8Rng, device: &Device) -> Param<Tensor<D>> {
    let distribution = Normal::new(0.0, variance.sqrt()).expect("a fan-in is positive");
    let values: Vec<f32> = (0..Shape::from(shape).num_elements()).map(|_| distribution.sample(rng) as f32).collect();
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::cost::parameters;
    use burn::tensor::DType;
    use equi_core::check::{layers, probe};
    use equi_core::group::C4;

    #[test]
    fn the_parameter_formula_agrees_with_the_module() {
        for (width, channels) in [(1, 1), (5, 1), (16, 1), (5, 3)] {
            let config = PlainCnnConfig::new(width, 10).with_channels(channels);
            assert_eq!(config.parameters(), parameters(&config.init(0, &Device::flex())));
        }
    }

    #[test]
    fn operations_follow_the_sizes_of_the_maps() {
        let config = PlainCnnConfig::new(4, 10);
        let conv = 49 * 4 * 29 * 29 + 4 * 8 * 25 * 15 * 15 + 8 * 8 * 25 * 8 * 8;
        assert_eq!(config.flops(29, 29), 2 * (conv + 8 * 10));
        let images = Tensor::<4>::ones([2, 1, 29, 29], &Device::flex());
        assert_eq!(config.init(0, &Device::flex()).forward(images).dims(), [2, 10]);
        let colour = config.with_channels(3);
        assert_eq!(colour.flops(29, 29) - config.flops(29, 29), 2 * 2 * 49 * 4 * 29 * 29);
        let images = Tensor::<4>::ones([2, 3, 29, 29], &Device::flex());
        assert_eq!(colour.init(0, &Device::flex()).forward(images).dims(), [2, 10]);
    }

    #[test]
    fn its_convolutions_break_the_symmetry_and_nothing_else_does() {
        let model = PlainCnnConfig::new(3, 10).init(0, &Device::flex()).valid();
        let scalar = FieldType::trivial(C4, 1);
        let identity = FieldFn::new(scalar.clone(), scalar, &Device::flex(), DType::F32, |x| x);
        let images = probe(&identity, [2, 29, 29], 3);
        let end = model.layers(C4).iter().fold(images.clone(), |features, (_, layer)| layer.forward(features));
        let logits = model.forward(images.clone());
        assert!((end.flatten::<2>(1, 3) - logits).abs().max().into_scalar::<f32>() < 1e-5);
        let reports = layers(&model.layers(C4), C4, images);
        for layer in &reports.0 {
            let error = layer.own.exact_error();
            assert!(if layer.name.starts_with("convolution") { error > 0.1 } else { error < 1e-5 }, "{reports}");
        }
        assert!(reports.0.iter().all(|layer| layer.accumulated.exact_error() > 1e-2), "{reports}");
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let weights = |seed| {
            let model = PlainCnnConfig::new(3, 10).init(seed, &Device::flex());
            model.blocks[1].conv.weight.val().into_data().try_to_vec::<f32>().unwrap()
        };
        assert_eq!(weights(1), weights(1));
        assert_ne!(weights(1), weights(2));
    }

    #[test]
    fn display_is_the_chain_of_channels() {
        let config = PlainCnnConfig::new(12, 10);
        assert_eq!(config.to_string(), "PlainCnn(1 -> 12 -> 24 -> 24 -> 10, k=7,5,5)");
        assert_eq!(config.with_channels(3).to_string(), "PlainCnn(3 -> 12 -> 24 -> 24 -> 10, k=7,5,5)");
    }

    #[test]
    fn configurations_without_channels_are_of_grey_images() {
        let old: PlainCnnConfig = serde_json::from_str(r#"{"width":12,"classes":10}"#).unwrap();
        assert_eq!(old, PlainCnnConfig::new(12, 10));
        let colour = old.with_channels(3);
        assert_eq!(serde_json::from_str::<PlainCnnConfig>(&serde_json::to_string(&colour).unwrap()).unwrap(), colour);
    }
}
