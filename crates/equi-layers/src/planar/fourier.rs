//! Fourier non-linearities, `c -> F s(F^-1 c)`: a band-limited function on the group, given by its Fourier coefficients `c`, is
//! sampled, put through a pointwise function `s`, and projected back.
//!
//! `s` of a band-limited function is band-limited no more, and the grid sees its high frequencies as low ones. So the layer is
//! exactly equivariant to the elements that map the grid onto itself (every element of a finite group, and the multiples of
//! `2 pi / samples` in SO(2) and O(2)) and **approximately** to all others, with an error that falls as samples are added.
//!
//! de Haan et al.: Gauge Equivariant Mesh CNNs, ICLR 2021; Cesa et al.: A Program to Build E(N)-Equivariant Steerable CNNs,
//! ICLR 2022.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::group::{Group, Subgroup};
use equi_core::repr::FourierGrid;

use super::init::{from_f64, resolve};
use super::nonlinearity::Nonlinearity;
use crate::error::{LayerError, Result};

/// Configuration of a [`FourierPointwise`].
#[derive(Clone, Debug)]
pub struct FourierPointwiseConfig {
    group: Group,
    subgroup: Option<Subgroup>,
    frequency: u32,
    channels: usize,
    function: Nonlinearity,
    samples: Option<u32>,
    normalise: bool,
}

impl FourierPointwiseConfig {
    /// `channels` fields [`Representation::spectral(group, frequency)`](equi_core::repr::Representation::spectral): functions
    /// on the group. The function is ELU (then escnn calls the layer `FourierELU`).
    pub fn new(group: Group, frequency: u32, channels: usize) -> Self {
        Self {
            group,
            subgroup: None,
            frequency,
            channels,
            function: Nonlinearity::Elu(1.0),
            samples: None,
            normalise: true,
        }
    }

    /// `channels` fields
    /// [`Representation::spectral_quotient(subgroup, frequency)`](equi_core::repr::Representation::spectral_quotient):
    /// functions on the cosets of a subgroup. The function is ELU (then escnn calls the layer `QuotientFourierELU`).
    pub fn quotient(subgroup: &Subgroup, frequency: u32, channels: usize) -> Self {
        Self { subgroup: Some(*subgroup), ..Self::new(subgroup.parent(), frequency, channels) }
    }

    /// What is applied to the samples.
    pub fn with_function(mut self, function: Nonlinearity) -> Self {
        self.function = function;
        self
    }

    /// The number of evenly spaced rotations at which functions on SO(2) and O(2) are sampled (in O(2), their flips too), by
    /// default `4 (frequency + 1)`. Quarter turns stay exact if 4 divides it. Finite groups are sampled on all elements.
    pub fn with_samples(mut self, rotations: u32) -> Self {
        self.samples = Some(rotations);
        self
    }

    /// Whether samples are scaled so that unit coefficients give samples of order 1 (the default), or as the values of the
    /// function itself.
    pub fn with_normalisation(mut self, normalise: bool) -> Self {
        self.normalise = normalise;
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// If there are no channels, too few samples for the frequency, a number of samples for a finite group, or no frequency
    /// that high in it.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<FourierPointwise> {
        let samples = self.rotations()?;
        let grid = match &self.subgroup {
            None => FourierGrid::on_group(self.group, self.frequency, samples, self.normalise)?,
            Some(subgroup) => FourierGrid::on_cosets(subgroup, self.frequency, samples, self.normalise)?,
        };
        let (device, dtype) = resolve(options);
        let upload = |row_major: &[f64], shape| from_f64(row_major.to_vec(), &device, dtype).reshape(shape);
        let (points, size) = grid.samples().shape();
        Ok(FourierPointwise {
            samples: upload(grid.samples().transpose().as_slice(), [1, points, size]),
            coefficients: upload(grid.coefficients().transpose().as_slice(), [1, size, points]),
            field_type: FieldType::repeat(self.channels, grid.representation()),
            function: self.function,
            rotations: samples,
        })
    }

    fn rotations(&self) -> Result<u32> {
        if self.channels == 0 {
            return Err(LayerError::InvalidConfig("a Fourier non-linearity needs at least one field".to_owned()));
        }
        if let Some(n) = self.group.rotations() {
            return match self.samples {
                Some(samples) if samples != n => Err(LayerError::InvalidConfig(format!(
                    "functions on {} are sampled on its {n} rotations, not on {samples}: leave `with_samples` out",
                    self.group
                ))),
                _ => Ok(n),
            };
        }
        let samples = self.samples.unwrap_or(4 * (self.frequency + 1));
        if samples <= 2 * self.frequency {
            return Err(LayerError::InvalidConfig(format!(
                "{samples} samples do not determine a function of frequency {}: use at least {}",
                self.frequency,
                2 * self.frequency + 1
            )));
        }
        Ok(samples)
    }
}

/// Takes fields for the Fourier coefficients of band-limited functions on the group, samples them, applies a function and
/// projects back; see [`FourierPointwiseConfig`].
///
/// **Exactly** equivariant to the elements that map the sampling grid onto itself: all of a finite group, and the multiples of
/// `2 pi / samples` (and their flips) in SO(2) and O(2). **Approximately** to the others: the function raises frequencies
/// that the grid cannot tell from low ones. For ELU on frequencies up to 2, the error of a rotation by 0.1 is 1e-2 with 8
/// samples, 2e-3 with 16 and 4e-4 with 32.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct FourierPointwise {
    /// `[1, points, size]`
    samples: Tensor<3>,
    /// `[1, size, points]`
    coefficients: Tensor<3>,
    #[module(skip)]
    field_type: FieldType,
    #[module(skip)]
    function: Nonlinearity,
    rotations: u32,
}

impl FourierPointwise {
    /// Applies the function in the group domain.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, channels * size, height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        self.field_type.assert_channels("FourierPointwise", channels);
        let fields = self.field_type.len();
        let coefficients = features.reshape([batch * fields, channels / fields, height * width]);
        let samples = self.function.apply(self.samples.clone().matmul(coefficients));
        self.coefficients.clone().matmul(samples).reshape([batch, channels, height, width])
    }

    /// From the coefficients of a field to its samples, `[points, size]`.
    pub fn samples(&self) -> Tensor<2> {
        self.samples.clone().squeeze_dim(0)
    }

    /// From samples to coefficients, `[size, points]`.
    pub fn coefficients(&self) -> Tensor<2> {
        self.coefficients.clone().squeeze_dim(0)
    }
}

impl FieldMap for FourierPointwise {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        FourierPointwise::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.samples.device(), self.samples.dtype())
    }
}

impl ModuleDisplay for FourierPointwise {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let exact = match self.field_type.group() {
            group @ (Group::SO2 | Group::O2) => {
                format!("{} rotations of {group}, approximate between them", self.rotations)
            }
            group => format!("all of {group}"),
        };
        content
            .set_top_level_type(&format!("FourierPointwise({}, {} on {exact})", self.field_type, self.function))
            .optional()
    }
}
