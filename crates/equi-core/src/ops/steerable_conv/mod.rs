//! Planar convolution with filters that commute with the symmetries of the pixel grid.

mod autodiff;
pub(super) mod composed;
mod extension;
#[cfg(feature = "flex")]
pub(super) mod fourier;
#[cfg(feature = "flex")]
pub(super) mod functions;
#[cfg(feature = "flex")]
pub(super) mod orbits;
#[cfg(feature = "flex")]
pub(super) mod plan;
#[cfg(feature = "flex")]
pub(super) mod symmetry;

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use extension::SteerableConvOps;

use crate::field::FieldType;

/// How the quarter turns and flips that a group contains act on the channels of a convolution.
///
/// Made once for a layer; cheap to clone.
#[derive(Clone, Debug)]
pub struct ConvSymmetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    channels: [usize; 2],
    kernel_size: usize,
    /// Of the convolution, and of its adjoint.
    #[cfg(feature = "flex")]
    plans: [plan::Plan; 2],
}

impl ConvSymmetry {
    /// The symmetry of a convolution from `input` to `output` with `kernel_size * kernel_size` points.
    ///
    /// Fields whose channels a quarter turn mixes in other ways than by exchanging them and changing signs have none that this can use.
    /// Regular and quotient fields and irreps exchange theirs.
    ///
    /// # Panics
    /// If the types belong to different groups, or the kernel has no point.
    pub fn new(input: &FieldType, output: &FieldType, kernel_size: usize) -> Self {
        Self::with_functions(input, output, kernel_size, &[])
    }

    /// The same for filters that are, between any two channels, combinations of some functions on the points of the kernel, such as those of
    /// [`KernelGrid::functions`](crate::kernel_basis::KernelGrid::functions), and of what quarter turns and flips make of these. On flex, patches are taken to
    /// these functions first where that is cheaper. Without functions, filters are any.
    ///
    /// # Panics
    /// As [`Self::new`], and if a function has another number of points.
    pub fn with_functions(input: &FieldType, output: &FieldType, kernel_size: usize, functions: &[Vec<f64>]) -> Self {
        assert!(
            input.group() == output.group() && kernel_size > 0,
            "a convolution goes between fields of one group, with a point at least; it was given {input:?}, {output:?} and {kernel_size}"
        );
        let points = kernel_size * kernel_size;
        if let Some(other) = functions.iter().find(|function| function.len() != points) {
            panic!("a function on the points of a kernel has {points} numbers; it was given one with {}", other.len());
        }
        #[cfg(feature = "flex")]
        let functions = functions::KernelFunctions::new(kernel_size, functions);
        Self(Arc::new(Inner {
            channels: [input.size(), output.size()],
            kernel_size,
            #[cfg(feature = "flex")]
            plans: {
                let fewer = (1..points).contains(&functions.len()).then(|| Arc::new(functions));
                plan::Plan::pair(input, output, kernel_size, fewer.as_ref())
            },
        }))
    }

    /// The plan of the convolution, and that of its adjoint.
    #[cfg(feature = "flex")]
    pub(super) fn plans(&self) -> &[plan::Plan; 2] {
        &self.0.plans
    }
}

/// How a kernel moves over an image: the same along both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSteps {
    /// Pixels from one placement to the next.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// Pixels from one point of the kernel to the next.
    pub dilation: usize,
}

impl Default for ConvSteps {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1 }
    }
}

/// `y(p) = b + sum_q K(q) x(p + q)`, the convolution of Burn and PyTorch, for filters `K(h q) = rho_out(h) K(q) rho_in(h)^-1` for all quarter turns and
/// flips `h` of the symmetry.
///
/// On flex, patches and filter are taken to Fourier components of these turns and flips, in which most of the filter is zero (Schur's lemma): a
/// part of the multiplications of the dense convolution is left.
///
/// | the group contains | multiplications |
/// |---|---|
/// | quarter turns and flips (`D4`, `D8`, `O(2)`) | 0.1875 |
/// | quarter turns (`C4`, `C8`, `SO(2)`) | 0.3125 |
/// | half turns and flips (`D2`, `D6`) | 0.25 |
/// | half turns, or a flip (`C2`, `C6`, `D1`, `D3`) | 0.5 |
/// | none of these (`C1`, `C3`) | 1 |
///
/// for fields whose channels all are exchanged, such as regular ones; numbers of copies of an irrep in the output are rounded up to a multiple of 8
/// (of 4 in double precision).
///
/// Where filters are combinations of few functions ([`ConvSymmetry::with_functions`]), as steerable ones are, patches are taken to these first if that is
/// cheaper: with 11 functions on the 25 points of a 5 x 5 kernel, 11 / 25 of the above are left, and 54 multiplications for every channel.
///
/// The filter must commute with the symmetry, and be such a combination, as one expanded in equivariant kernels does: of any other, flex sees the part
/// that does (unless the layer is so small that the dense product is cheaper), and other backends all. So is the gradient by the filter: on flex it is
/// that part of it, which is all that reaches the coefficients of kernels.
///
/// # Shapes
/// - `input`: `[batch, channels in, height, width]`
/// - `filter`: `[channels out, channels in, kernel_size, kernel_size]`
/// - `bias`: `[channels out]`
/// - output: `[batch, channels out, height', width']` with `height' = (height + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1`
///
/// # Panics
/// If the shapes are not those of the symmetry, the stride or dilation is zero, or the padded image is smaller than the kernel.
pub fn steerable_conv2d(
    input: Tensor<4>,
    filter: Tensor<4>,
    bias: Option<Tensor<1>>,
    steps: ConvSteps,
    symmetry: &ConvSymmetry,
) -> Tensor<4> {
    let ([from, to], size) = (symmetry.0.channels, symmetry.0.kernel_size);
    let [_, channels, height, width] = input.dims();
    let biases = bias.as_ref().map_or(to, |bias| bias.dims()[0]);
    assert!(
        channels == from && filter.dims() == [to, from, size, size] && biases == to,
        "steerable_conv2d from {from} to {to} channels takes a filter {:?}, and a bias [{to}]; it was given {channels} channels, {:?} and [{biases}]",
        [to, from, size, size],
        filter.dims()
    );
    let extent = steps.dilation * (size - 1) + 1;
    assert!(
        steps.stride > 0 && steps.dilation > 0 && height.min(width) + 2 * steps.padding >= extent,
        "a kernel of {extent} x {extent} pixels with {steps:?} does not fit into an image of {height} x {width}"
    );
    let bias = bias.unwrap_or_else(|| Tensor::zeros([to], (&input.device(), input.dtype())));
    Tensor::from_dispatch(<Dispatch as SteerableConvOps>::steerable_conv2d(
        input.into_dispatch(),
        filter.into_dispatch(),
        bias.into_dispatch(),
        steps,
        symmetry.clone(),
    ))
}
