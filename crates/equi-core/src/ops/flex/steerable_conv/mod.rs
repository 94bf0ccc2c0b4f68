//! The convolution on flex, in single and double precision.

mod butterfly;
mod conv;
mod gemm;
mod grid;
mod lanes;
mod pack;
mod places;
mod planes;
mod project;
mod shared;
mod tile;
mod weights;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use self::conv::Geometry;
use self::lanes::Lanes;
use super::feature_map::channels;
use super::float::Float;
use super::memory::{contiguous, numbers, pooled};
use crate::ops::steerable_conv::{ConvSteps, ConvSymmetry, SteerableConvOps, composed};

impl SteerableConvOps for Flex {
    fn steerable_conv2d(
        input: FloatTensor<Self>,
        filter: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
        symmetry: ConvSymmetry,
    ) -> FloatTensor<Self> {
        match input.dtype() {
            DType::F32 => forward::<f32>([input, filter, bias], steps, &symmetry),
            DType::F64 => forward::<f64>([input, filter, bias], steps, &symmetry),
            _ => composed::steerable_conv2d::<Self>(input, filter, bias, steps),
        }
    }

    fn steerable_conv2d_gradient(
        input: FloatTensor<Self>,
        filter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        steps: ConvSteps,
        symmetry: ConvSymmetry,
        needed: [bool; 2],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) {
        match input.dtype() {
            DType::F32 => backward::<f32>([input, filter, gradient], steps, &symmetry, needed),
            DType::F64 => backward::<f64>([input, filter, gradient], steps, &symmetry, needed),
            _ => composed::steerable_conv2d_gradient::<Self>(input, filter, gradient, steps, needed),
        }
    }

    fn sum_of_channels(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        match gradient.dtype() {
            DType::F32 => channels::sums::<f32>(gradient),
            DType::F64 => channels::sums::<f64>(gradient),
            _ => composed::sum_of_channels::<Self>(gradient),
        }
    }
}

fn geometry(input: &FloatTensor<Flex>, filter: &FloatTensor<Flex>, steps: ConvSteps) -> Geometry {
    let [batch, _, height, width] = input.layout().shape().dims();
    let [_, _, kernel, _] = filter.layout().shape().dims();
    let ConvSteps { stride, padding, dilation } = steps;
    Geometry { batch, input: [height, width], kernel, stride, padding, dilation, side: None }
}

fn forward<F: Float + Lanes>(
    tensors: [FloatTensor<Flex>; 3],
    steps: ConvSteps,
    symmetry: &ConvSymmetry,
) -> FloatTensor<Flex> {
    let [input, filter, bias] = tensors.map(contiguous);
    let geometry = geometry(&input, &filter, steps);
    let [plan, _] = symmetry.plans();
    let output = conv::forward::<F>(plan, geometry, numbers(&input), numbers(&filter), numbers(&bias));
    let [height, width] = geometry.output();
    pooled::<F>(output, [geometry.batch, plan.output_channels(), height, width])
}

fn backward<F: Float + Lanes>(
    tensors: [FloatTensor<Flex>; 3],
    steps: ConvSteps,
    symmetry: &ConvSymmetry,
    needed: [bool; 2],
) -> (Option<FloatTensor<Flex>>, Option<FloatTensor<Flex>>) {
    let [input, filter, gradient] = tensors.map(contiguous);
    let geometry = geometry(&input, &filter, steps);
    let [plan, adjoint] = symmetry.plans();
    let (x, k, g) = (numbers::<F>(&input), numbers(&filter), numbers(&gradient));
    let [by_input, by_filter] = conv::backward(plan, adjoint, geometry, x, k, g, needed);
    let like = |of: &FloatTensor<Flex>, numbers| pooled::<F>(numbers, of.layout().shape().clone());
    (by_input.map(|numbers| like(&input, numbers)), by_filter.map(|numbers| like(&filter, numbers)))
}

#[cfg(test)]
mod tests;
