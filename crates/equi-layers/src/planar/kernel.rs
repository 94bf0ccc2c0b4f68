//! What convolution and transposed convolution share: the description of a steerable kernel, and building it.

use burn::module::Param;
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::kernel_basis::{Cutoff, KernelGrid};
use std::sync::Arc;

use super::expansion::{Expansion, UploadedExpansion};
use super::init::{self, Initializer};
use crate::error::{LayerError, Result};

/// A steerable kernel and how it moves over the image.
#[derive(Clone, Debug)]
pub(super) struct KernelConfig {
    pub input: FieldType,
    pub output: FieldType,
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
    pub groups: usize,
    pub padding: usize,
    pub bias: bool,
    pub rings: Option<Vec<f64>>,
    pub sigma: Option<Vec<f64>>,
    pub cutoff: Cutoff,
    pub even: bool,
    pub initializer: Initializer,
}

/// The parameters and constants of a kernel.
pub(super) struct Kernel {
    pub weights: Param<Tensor<1>>,
    pub bias: Option<Param<Tensor<1>>>,
    pub bias_expansion: Option<Tensor<2>>,
    pub expansion: UploadedExpansion,
    pub plan: Arc<Expansion>,
}

impl KernelConfig {
    pub fn new(input: &FieldType, output: &FieldType, size: usize) -> Self {
        Self {
            input: input.clone(),
            output: output.clone(),
            size,
            stride: 1,
            dilation: 1,
            groups: 1,
            padding: 0,
            bias: true,
            rings: None,
            sigma: None,
            cutoff: Cutoff::default(),
            even: false,
            initializer: Initializer::default(),
        }
    }

    /// Builds the kernel from `input` to `output`, one of which may be a single group's part of this configuration's.
    pub fn build(
        &self,
        input: &FieldType,
        output: &FieldType,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Kernel> {
        let (device, dtype) = init::resolve(options);
        let (rings, sigma) = (self.rings.as_deref(), self.sigma.as_deref());
        let grid = KernelGrid::new(self.size, self.dilation, rings, sigma, self.cutoff)?;
        let plan = Expansion::new(input, output, &grid)?;
        let bias_expansion = init::bias_expansion(&self.output, &device, dtype).filter(|_| self.bias);
        let trivials = bias_expansion.as_ref().map(|expansion| expansion.dims()[1]);
        Ok(Kernel {
            weights: self.initializer.weights(&plan, &device, dtype),
            bias: trivials.map(|count| Param::from_tensor(Tensor::zeros([count], (&device, dtype)))),
            bias_expansion,
            expansion: plan.upload(&device, dtype),
            plan: Arc::new(plan),
        })
    }

    /// Refuses what cannot be built.
    pub fn check(&self) -> Result<()> {
        if self.size.is_multiple_of(2) && self.size > 0 && !self.even {
            return Err(LayerError::InvalidConfig(format!(
                "kernel size {size} is even: its outputs lie half a pixel off the input's pixels and no padding keeps the \
                 size; use {} or {}, or allow it with `with_even_kernel()`",
                self.size - 1,
                self.size + 1,
                size = self.size
            )));
        }
        if self.stride == 0 || self.groups == 0 {
            return Err(LayerError::InvalidConfig(format!(
                "stride {} and groups {} must both be at least 1",
                self.stride, self.groups
            )));
        }
        if self.input.group() != self.output.group() {
            let (left, right) = (format!("{:?}", self.input), format!("{:?}", self.output));
            return Err(equi_core::Error::GroupMismatch { left, right }.into());
        }
        Ok(())
    }

    /// The fields of one of the equal groups, of the input and of the output.
    pub fn group_parts(&self) -> Result<[FieldType; 2]> {
        let part = |field_type: &FieldType, side: &str| {
            let fields = field_type.fields();
            let part = fields.len() / self.groups;
            if !fields.len().is_multiple_of(self.groups)
                || fields.iter().enumerate().any(|(i, f)| *f != fields[i % part])
            {
                return Err(LayerError::InvalidConfig(format!(
                    "the {side} {field_type} does not split into {} equal groups of fields; repeat the same fields in each",
                    self.groups
                )));
            }
            Ok(FieldType::new(fields[..part].to_vec())?)
        };
        Ok([part(&self.input, "input")?, part(&self.output, "output")?])
    }
}

impl std::fmt::Display for KernelConfig {
    /// `3 x trivial -> 8 x regular[C8], k=5`, and whatever differs from the default.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}, k={}", self.input, self.output, self.size)?;
        let optional = [
            ("stride", self.stride, 1),
            ("dilation", self.dilation, 1),
            ("groups", self.groups, 1),
            ("padding", self.padding, 0),
        ];
        optional.iter().filter(|(_, value, default)| value != default).try_for_each(|(n, v, _)| write!(f, ", {n}={v}"))
    }
}

/// `[out, trivials] x [trivials]` to `[out]`.
pub(super) fn expand_bias(bias: &Option<Param<Tensor<1>>>, expansion: &Option<Tensor<2>>) -> Option<Tensor<1>> {
    let (bias, expansion) = (bias.as_ref()?, expansion.as_ref()?);
    Some((expansion.clone() * bias.val().unsqueeze_dim(0)).sum_dim(1).squeeze_dim(1))
}

/// The options of a kernel, for configurations with a field `kernel: KernelConfig`.
macro_rules! kernel_options {
    () => {
        /// Pixels from one placement of the kernel to the next.
        pub fn with_stride(mut self, stride: usize) -> Self {
            self.kernel.stride = stride;
            self
        }

        /// Pixels between kernel points.
        pub fn with_dilation(mut self, dilation: usize) -> Self {
            self.kernel.dilation = dilation;
            self
        }

        /// Splits both types into this many equal parts that do not see each other.
        pub fn with_groups(mut self, groups: usize) -> Self {
            self.kernel.groups = groups;
            self
        }

        /// Pixels added to every side of the input of a convolution, or cut from the output of a transposed one.
        pub fn with_padding(mut self, padding: usize) -> Self {
            self.kernel.padding = padding;
            self
        }

        /// Whether to add a bias to the trivial irreps of the output.
        pub fn with_bias(mut self, bias: bool) -> Self {
            self.kernel.bias = bias;
            self
        }

        /// Radii of the Gaussian rings of the kernel, in pixels.
        pub fn with_rings(mut self, radii: &[f64]) -> Self {
            self.kernel.rings = Some(radii.to_vec());
            self
        }

        /// Widths of the rings, in pixels.
        pub fn with_sigma(mut self, sigma: &[f64]) -> Self {
            self.kernel.sigma = Some(sigma.to_vec());
            self
        }

        /// How high a frequency each ring carries.
        pub fn with_cutoff(mut self, cutoff: equi_core::kernel_basis::Cutoff) -> Self {
            self.kernel.cutoff = cutoff;
            self
        }

        /// Allows an even kernel, whose outputs lie between the pixels of the input.
        pub fn with_even_kernel(mut self) -> Self {
            self.kernel.even = true;
            self
        }

        /// How the weights start.
        pub fn with_initializer(mut self, initializer: $crate::planar::Initializer) -> Self {
            self.kernel.initializer = initializer;
            self
        }
    };
}

pub(super) use kernel_options;
