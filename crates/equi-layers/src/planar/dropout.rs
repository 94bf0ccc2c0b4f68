//! Field dropout, `f_i -> m_i f_i / (1 - p)` with `m_i` zero with probability `p`, else one.
//!
//! A field is kept or dropped whole, at all pixels of a sample, so for any draw of the `m_i` the layer commutes with the
//! action. Dropping single channels or pixels does so only on average; of fields that permute their channels, Burn's
//! `Dropout` does that.
//!
//! Srivastava et al.: Dropout, JMLR 2014.

use burn::module::{Content, DisplaySettings, Flag, Module, ModuleDisplay, Param};
use burn::tensor::{Device, Distribution, Int, Tensor};
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::by_size::indices;
use crate::error::{LayerError, Result};

/// In training drops whole fields, with probability `p` each, and scales the others by `1 / (1 - p)`.
///
/// A field is dropped at all pixels of a sample, so the layer is exactly equivariant for any draw. Of fields that permute
/// their channels, Burn's `Dropout` drops single numbers; that is equivariant only on average.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct FieldDropout {
    /// Whether to behave as during training; cleared by [`freeze`](Module::freeze).
    pub training: Param<Flag>,
    /// The field of every channel, `[size]`.
    field_of_channel: Tensor<1, Int>,
    probability: f64,
    #[module(skip)]
    field_type: FieldType,
}

impl FieldDropout {
    /// Drops fields with `probability`.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] unless `0 <= probability < 1`.
    pub fn new(field_type: &FieldType, probability: f64, device: &Device) -> Result<Self> {
        if !(0.0..1.0).contains(&probability) {
            return Err(LayerError::InvalidConfig(format!(
                "fields cannot be dropped with probability {probability}: use one from 0 to below 1"
            )));
        }
        let owners: Vec<usize> =
            field_type.fields().iter().enumerate().flat_map(|(i, field)| vec![i; field.size()]).collect();
        Ok(Self {
            training: Param::from_bool(true),
            field_of_channel: indices(&owners, device),
            probability,
            field_type: field_type.clone(),
        })
    }

    /// Drops fields if the input is on an autodiff device and [`training`](Self::training) is on; else returns its input.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, field_type.size(), height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, _, _] = features.dims();
        self.field_type.assert_channels("FieldDropout", channels);
        if !features.is_autodiff() || !self.training.is_enabled() || self.probability == 0.0 {
            return features;
        }
        let keep = 1.0 - self.probability;
        let options = (&features.device(), features.dtype());
        let kept = Tensor::<2>::random([batch, self.field_type.len()], Distribution::Bernoulli(keep), options);
        // The mask has no gradient, so repeated indices cost nothing.
        let kept = kept.select(1, self.field_of_channel.clone()) / keep;
        features * kept.reshape([batch, channels, 1, 1])
    }
}

impl FieldMap for FieldDropout {
    fn input_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn output_type(&self) -> FieldType {
        self.field_type.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        FieldDropout::forward(self, features)
    }
}

impl ModuleDisplay for FieldDropout {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("FieldDropout({}, p={})", self.field_type, self.probability)).optional()
    }
}
