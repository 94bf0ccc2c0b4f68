//! Norm activations, `x_c -> f(n_c + b_c) x_c / n_c` with `n_c = max(|x_c|, epsilon)`: the length changes, the direction stays.
//!
//! Thomas et al.: Tensor field networks, 2018; Worrall et al.: Harmonic Networks, CVPR 2017.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::o3::Irreps;

use super::copies::{Copies, check_columns, check_features};
use crate::error::{LayerError, Result};
use crate::planar::Nonlinearity;
use crate::planar::init::resolve;

/// Configuration of a [`NormActivation`].
#[derive(Clone, Debug)]
pub struct NormActivationConfig {
    irreps: Irreps,
    function: Nonlinearity,
    normalize: bool,
    bias: bool,
    epsilon: f64,
}

impl NormActivationConfig {
    /// With directions of length one, without bias, with epsilon 1e-8. The function is not scaled.
    pub fn new(irreps: &Irreps, function: Nonlinearity) -> Self {
        Self { irreps: irreps.clone(), function, normalize: true, bias: false, epsilon: 1e-8 }
    }

    /// Whether to divide by the norm; without, `x_c -> f(n_c + b_c) x_c`.
    pub fn with_normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// Whether to add a learned bias to the norms.
    pub fn with_bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// The smallest norm that is told from zero. Features below it are scaled by one factor, `f(epsilon + b) / epsilon`, which is large
    /// unless `f` is zero at the bias.
    pub fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Builds the layer; biases start at zero.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for an epsilon whose square f32 cannot hold, and for irreps without columns.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<NormActivation> {
        check_columns("NormActivation", &self.irreps)?;
        let epsilon = self.epsilon;
        if !(epsilon.is_finite() && epsilon >= 1e-18) {
            return Err(LayerError::InvalidConfig(format!(
                "NormActivation: epsilon keeps the norm of a zero feature from being zero, and its square must be one that f32 can \
                 hold, but it is {epsilon:e}; 1e-8 is usual"
            )));
        }
        let (device, dtype) = resolve(options);
        let biases = || Param::from_tensor(Tensor::zeros([self.irreps.copies()], (&device, dtype)));
        Ok(NormActivation {
            biases: self.bias.then(biases),
            copies: Copies::new(&self.irreps),
            irreps: self.irreps.clone(),
            function: self.function,
            normalize: self.normalize,
            epsilon,
        })
    }
}

/// Changes the length of every copy and keeps its direction; e3nn's `nn.NormActivation`. See [`NormActivationConfig`].
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct NormActivation {
    /// What is added to the norms, `[copies]`.
    pub biases: Option<Param<Tensor<1>>>,
    #[module(skip)]
    copies: Copies,
    #[module(skip)]
    irreps: Irreps,
    #[module(skip)]
    function: Nonlinearity,
    normalize: bool,
    epsilon: f64,
}

impl NormActivation {
    /// What it takes and gives.
    pub fn irreps(&self) -> &Irreps {
        &self.irreps
    }

    /// Changes the lengths. Zero stays zero, with a finite gradient.
    ///
    /// # Shapes
    /// - `features`, output: `[rows, irreps.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        check_features("NormActivation", &self.irreps, &features);
        let norms = self.copies.squared_norms(features.clone()).clamp_min(self.epsilon * self.epsilon).sqrt();
        let shifted = match &self.biases {
            Some(biases) => norms.clone() + biases.val().unsqueeze(),
            None => norms.clone(),
        };
        let factors = self.function.apply(shifted);
        let factors = if self.normalize { factors / norms } else { factors };
        self.copies.scale(features, factors)
    }
}

impl ModuleDisplay for NormActivation {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let bias = if self.biases.is_some() { ", bias" } else { "" };
        let normalized = if self.normalize { "" } else { ", directions not normalized" };
        content
            .set_top_level_type(&format!("NormActivation({}, {}{bias}{normalized})", self.irreps, self.function))
            .optional()
    }
}
