//! Gated non-linearities, `f_i -> sigmoid(s_i - b_i) f_i` with a scalar field `s_i`, the gate, for every field.
//!
//! Gates are invariant, so scaling by them commutes with the action, for every representation and exactly.
//!
//! Weiler et al.: 3D Steerable CNNs, NeurIPS 2018.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorCreationOptions, activation};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::repr::Representation;

use super::by_size::{BySize, Channels};
use super::init::resolve;
use crate::error::{LayerError, Result};

/// Configuration of a [`GatedNonLinearity`].
#[derive(Clone, Debug)]
pub struct GatedNonLinearityConfig {
    input: FieldType,
    gates: Option<Vec<usize>>,
}

impl GatedNonLinearityConfig {
    /// The first half of the fields are the gates of the second half.
    pub fn new(input: &FieldType) -> Self {
        Self { input: input.clone(), gates: None }
    }

    /// The numbers of the fields that are gates; all others are gated.
    pub fn with_gates(mut self, gates: &[usize]) -> Self {
        let mut gates = gates.to_vec();
        gates.sort_unstable();
        self.gates = Some(gates);
        self
    }

    /// Builds the layer; the biases start as standard normal noise from the device's random numbers, as in escnn.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] unless there are as many gates as gated fields and each gate is a single trivial
    /// channel.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<GatedNonLinearity> {
        let fields = self.input.fields();
        let gates = self.gates.clone().unwrap_or_else(|| (0..fields.len() / 2).collect());
        let gated: Vec<usize> = (0..fields.len()).filter(|i| !gates.contains(i)).collect();
        self.check(&gates, &gated)?;
        let (device, dtype) = resolve(options);
        let starts: Vec<usize> = self.input.offsets().map(|(start, _)| start).collect();
        let channels = |numbers: &[usize]| -> Vec<usize> {
            numbers.iter().flat_map(|&i| starts[i]..starts[i] + fields[i].size()).collect()
        };
        let output = FieldType::new(gated.iter().map(|&i| fields[i].clone()).collect())?;
        let sizes: Vec<usize> = output.fields().iter().map(Representation::size).collect();
        let noise = Tensor::random([gates.len()], Distribution::Normal(0.0, 1.0), (&device, dtype));
        Ok(GatedNonLinearity {
            bias: Param::from_tensor(noise),
            gates: Channels::new(&channels(&gates), &device),
            gated: Channels::new(&channels(&gated), &device),
            fields: BySize::new(&sizes, &device),
            input: self.input.clone(),
            output,
        })
    }

    fn check(&self, gates: &[usize], gated: &[usize]) -> Result<()> {
        let fields = self.input.fields();
        if let Some(pair) = gates.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(LayerError::InvalidConfig(format!(
                "field {} is listed twice as a gate; list it once",
                pair[0]
            )));
        }
        if let Some(&missing) = gates.iter().find(|&&i| i >= fields.len()) {
            return Err(LayerError::InvalidConfig(format!(
                "field {missing} cannot be a gate: {} has {} fields, numbered from 0",
                self.input,
                fields.len()
            )));
        }
        if gates.len() != gated.len() || gates.is_empty() {
            return Err(LayerError::InvalidConfig(format!(
                "{} gates for {} gated fields in {}: every gated field needs one gate; put one trivial field per gated field \
                 before them",
                gates.len(),
                gated.len(),
                self.input
            )));
        }
        match gates.iter().find(|&&i| !(fields[i].is_trivial() && fields[i].size() == 1)) {
            None => Ok(()),
            Some(&i) => Err(LayerError::InvalidConfig(format!(
                "field {i}, {}, cannot be a gate, as it is not invariant: gates are trivial fields; name them with `with_gates`",
                fields[i]
            ))),
        }
    }
}

/// Scales every gated field by its gate, `f_i -> sigmoid(s_i - b_i) f_i`, and drops the gates `s_i`; see
/// [`GatedNonLinearityConfig`]. Exactly equivariant, for every representation.
///
/// As in escnn, gates and biases are dealt out to the gated fields **smallest field first** (fields of one size in their
/// order): with mixed sizes the first gate need not belong to the first gated field.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct GatedNonLinearity {
    /// One for every gate, in their order, `[gates]`.
    pub bias: Param<Tensor<1>>,
    gates: Channels,
    gated: Channels,
    fields: BySize,
    #[module(skip)]
    input: FieldType,
    #[module(skip)]
    output: FieldType,
}

impl GatedNonLinearity {
    /// Applies the gates.
    ///
    /// # Shapes
    /// - `features`: `[batch, input_type.size(), height, width]`
    /// - output: `[batch, output_type.size(), height, width]`, without the gates
    ///
    /// # Panics
    /// If the channels are not those of the input type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        self.input.assert_channels("GatedNonLinearity", channels);
        let count = self.output.len();
        let bias = self.bias.val().reshape([1, count, 1, 1]);
        let gates = activation::sigmoid(self.gates.take(features.clone()) - bias);
        let gates = gates.reshape([batch, count, 1, height, width]);
        let mut next = 0;
        let scale = |part: Tensor<5>| {
            let fields = part.dims()[1];
            next += fields;
            part * gates.clone().narrow(1, next - fields, fields)
        };
        self.fields.join(self.fields.split(self.gated.take(features)).into_iter().map(scale).collect())
    }
}

impl FieldMap for GatedNonLinearity {
    fn input_type(&self) -> FieldType {
        self.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        GatedNonLinearity::forward(self, features)
    }

    fn options(&self) -> (Device, DType) {
        (self.bias.device(), self.bias.dtype())
    }
}

impl ModuleDisplay for GatedNonLinearity {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("GatedNonLinearity({} -> {})", self.input, self.output)).optional()
    }
}
