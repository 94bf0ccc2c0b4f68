//! Norm non-linearities, `f -> s(|f|) f / |f|`.
//!
//! An orthogonal representation keeps `|f|`, so scaling a field by a function of its norm commutes with the action, for
//! every representation and exactly.
//!
//! Worrall et al.: Harmonic Networks, CVPR 2017; squash: Sabour et al.: Dynamic Routing Between Capsules, NeurIPS 2017.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, activation};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::repr::Representation;
use std::fmt;

use super::by_size::BySize;
use super::init::resolve;
use crate::error::{LayerError, Result};

/// Fields this short or shorter become zero.
const SHORTEST: f64 = 1e-10;

/// The new length `s(n)` of a field of length `n`; `b` is its bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormFunction {
    /// `max(n - b, 0)`.
    Relu,
    /// `sigmoid(n - b)`.
    Sigmoid,
    /// `n / (1 + n)`, always without a bias.
    Squash,
}

impl fmt::Display for NormFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relu => "n_relu",
            Self::Sigmoid => "n_sigmoid",
            Self::Squash => "squash",
        })
    }
}

/// Configuration of a [`NormNonLinearity`].
#[derive(Clone, Debug)]
pub struct NormNonLinearityConfig {
    field_type: FieldType,
    function: NormFunction,
    bias: bool,
}

impl NormNonLinearityConfig {
    /// With a bias, unless the function is [`NormFunction::Squash`].
    pub fn new(field_type: &FieldType, function: NormFunction) -> Self {
        Self { field_type: field_type.clone(), function, bias: function != NormFunction::Squash }
    }

    /// Whether to subtract a learned bias from the norms.
    pub fn with_bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// Builds the layer; every bias starts at 1.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for squash with a bias.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<NormNonLinearity> {
        if self.bias && self.function == NormFunction::Squash {
            return Err(LayerError::InvalidConfig(
                "squash of a norm minus a bias could be negative or infinite: use `with_bias(false)`, or n_relu"
                    .to_owned(),
            ));
        }
        let (device, dtype) = resolve(options);
        let sizes: Vec<usize> = self.field_type.fields().iter().map(Representation::size).collect();
        let zeros = || Param::from_tensor(Tensor::zeros([sizes.len()], (&device, dtype)));
        Ok(NormNonLinearity {
            log_bias: self.bias.then(zeros),
            fields: BySize::new(&sizes, &device),
            field_type: self.field_type.clone(),
            function: self.function,
        })
    }
}

/// Changes the length of every field and keeps its direction, `f -> s(|f|) f / |f|`; see [`NormNonLinearityConfig`]. Exactly
/// equivariant, for every representation.
///
/// Fields of length at most `1e-10` become zero, with the gradient zero.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct NormNonLinearity {
    /// Logarithms of the biases, `[fields]`, **smallest fields first** (fields of one size in their order), as in escnn.
    pub log_bias: Option<Param<Tensor<1>>>,
    fields: BySize,
    #[module(skip)]
    field_type: FieldType,
    #[module(skip)]
    function: NormFunction,
}

impl NormNonLinearity {
    /// Changes the lengths.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, field_type.size(), height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.field_type.assert_channels("NormNonLinearity", features.dims()[1]);
        let bias = self.log_bias.as_ref().map(|log_bias| log_bias.val().exp());
        let mut next = 0;
        let scale = |part: Tensor<5>| {
            let fields = part.dims()[1];
            let bias = bias.clone().map(|b| b.narrow(0, next, fields).reshape([1, fields, 1, 1, 1]));
            next += fields;
            self.scale(part, bias)
        };
        self.fields.join(self.fields.split(features).into_iter().map(scale).collect())
    }

    /// # Shapes
    /// - `part`, output: `[batch, fields, size, height, width]`
    /// - `bias`: `[1, fields, 1, 1, 1]`
    fn scale(&self, part: Tensor<5>, bias: Option<Tensor<5>>) -> Tensor<5> {
        let squared = part.clone().square().sum_dim(2);
        // The root has no derivative at zero: there it is taken of 1, and the result is masked.
        let short = squared.clone().lower_equal_elem(SHORTEST * SHORTEST);
        let norm = squared.mask_fill(short.clone(), 1.0).sqrt();
        let shifted = |norm: Tensor<5>| match bias {
            Some(bias) => norm - bias,
            None => norm,
        };
        let factor = match self.function {
            NormFunction::Relu => activation::relu(shifted(norm.clone())) / norm,
            NormFunction::Sigmoid => activation::sigmoid(shifted(norm.clone())) / norm,
            NormFunction::Squash => (norm + 1.0).recip(),
        };
        part * factor.mask_fill(short, 0.0)
    }
}

impl FieldMap for NormNonLinearity {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        NormNonLinearity::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        self.log_bias.as_ref().map_or((Device::default(), DType::F32), |b| (b.device(), b.dtype()))
    }
}

impl ModuleDisplay for NormNonLinearity {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let bias = if self.log_bias.is_some() { "" } else { ", no bias" };
        content
            .set_top_level_type(&format!("NormNonLinearity({}, {}{bias})", self.field_type, self.function))
            .optional()
    }
}
