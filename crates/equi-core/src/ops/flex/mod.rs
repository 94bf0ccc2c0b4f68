//! The operations on flex.

mod activation;
mod float;
mod memory;
mod segments;
mod simd;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::extension::{BackendSegments, RowOps};

/// Calls a kernel in the precision of a tensor.
macro_rules! in_precision {
    ($tensor:expr, $($kernel:ident)::+, ($($argument:expr),*)) => {
        match $tensor.dtype() {
            DType::F32 => $($kernel)::+::<f32>($($argument),*),
            DType::F64 => $($kernel)::+::<f64>($($argument),*),
            other => panic!("this operation is there in f32 and f64 on flex; it was given {other:?}"),
        }
    };
}

impl RowOps for Flex {
    fn swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, activation::swish, (x))
    }

    fn swish_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, activation::swish_gradient, (x, gradient))
    }

    fn bias_swish(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, activation::bias_swish, (x, bias))
    }

    fn bias_swish_gradient(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(x, activation::bias_swish_gradient, (x, bias, gradient))
    }

    fn gather_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        in_precision!(values, segments::gather, (values, &segments.host))
    }

    fn sum_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        in_precision!(values, segments::sum, (values, &segments.host))
    }
}
