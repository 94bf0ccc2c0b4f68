//! What a network costs: parameters counted on the module, floating-point operations counted layer by layer.
//!
//! An operation is a multiplication or an addition, so a multiply-add counts 2. Convolutions and linear layers are
//! counted; normalisation, activations and pooling, a few operations per feature, are not.

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};

/// Operations of a square convolution with `kernel * kernel` taps for one sample.
pub fn conv2d_flops(channels: [usize; 2], kernel: usize, output: [usize; 2], groups: usize) -> u64 {
    2 * (channels[0] / groups * channels[1] * kernel * kernel * output[0] * output[1]) as u64
}

/// Operations of a linear layer for one sample.
pub fn linear_flops(input: usize, output: usize) -> u64 {
    2 * (input * output) as u64
}

/// Trainable parameters of `model`. Running statistics and frozen weights do not count.
pub fn parameters<M: Module>(model: &M) -> usize {
    #[derive(Default)]
    struct Trainable(usize);
    impl ModuleVisitor for Trainable {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.0 += param.lazy_shape().num_elements();
            }
        }
    }
    let mut count = Trainable::default();
    model.valid().train().visit(&mut count);
    count.0
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::nn::conv::Conv2dConfig;
    use burn::nn::{BatchNormConfig, LinearConfig};
    use burn::tensor::Device;

    #[test]
    fn running_statistics_and_frozen_weights_are_not_parameters() {
        let device = Device::flex();
        assert_eq!(parameters(&BatchNormConfig::new(8).init(&device)), 16);
        assert_eq!(parameters(&Conv2dConfig::new([3, 5], [3, 3]).init(&device)), 3 * 5 * 9 + 5);
        assert_eq!(parameters(&LinearConfig::new(4, 6).init(&device)), 30);
        assert_eq!(parameters(&LinearConfig::new(4, 6).init(&device).no_grad()), 0);
    }

    #[test]
    fn operations_are_twice_the_multiply_adds() {
        assert_eq!(conv2d_flops([3, 8], 5, [10, 12], 1), 2 * 3 * 8 * 25 * 120);
        assert_eq!(conv2d_flops([8, 8], 3, [4, 4], 8), 2 * 8 * 9 * 16);
        assert_eq!(linear_flops(64, 10), 1280);
    }
}
