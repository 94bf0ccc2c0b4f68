//! Pooling over the group: one number for each field, which no element changes.
//!
//! [`GroupPooling`], `y = max_c x_c`: the group only permutes the channels, so their maximum stays.
//! [`NormPool`], `y = |x|`: an orthogonal representation keeps the norm.
//!
//! Cohen and Welling: Group Equivariant Convolutional Networks, ICML 2016; Worrall et al.: Harmonic Networks, CVPR 2017.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use equi_core::FieldType;
use equi_core::check::FieldMap;

use super::fields::{Run, map_runs, require_permutations, runs};
use crate::error::Result;
use crate::length::root;

/// The maximum over the channels of each field, which does not change when the group permutes them.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct GroupPooling {
    #[module(skip)]
    runs: Vec<Run>,
    #[module(skip)]
    field_type: FieldType,
}

impl GroupPooling {
    /// Pools every field.
    ///
    /// # Errors
    /// If the group does not permute the channels of every field.
    pub fn new(field_type: &FieldType) -> Result<Self> {
        let why = "takes the maximum over the channels of a field";
        require_permutations("GroupPooling", field_type, why, "NormPool")?;
        Ok(Self { runs: runs(field_type), field_type: field_type.clone() })
    }

    /// Pools.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, fields, height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        self.field_type.assert_channels("GroupPooling", channels);
        map_runs(features, &self.runs, |part| {
            let fields = part.dims()[1];
            part.max_dim(2).reshape([batch, fields, height, width])
        })
    }
}

/// The Euclidean norm of each field, which orthogonal representations keep.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct NormPool {
    #[module(skip)]
    runs: Vec<Run>,
    #[module(skip)]
    field_type: FieldType,
}

impl NormPool {
    /// Pools every field.
    pub fn new(field_type: &FieldType) -> Self {
        Self { runs: runs(field_type), field_type: field_type.clone() }
    }

    /// Pools. The gradient of the norm of a zero vector is zero.
    ///
    /// # Shapes
    /// - `features`: `[batch, field_type.size(), height, width]`
    /// - output: `[batch, fields, height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the field type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        self.field_type.assert_channels("NormPool", channels);
        map_runs(features, &self.runs, |part| {
            let fields = part.dims()[1];
            norm(part).reshape([batch, fields, height, width])
        })
    }
}

/// `[batch, fields, size, pixels]` to `[batch, fields, 1, pixels]`, with a finite gradient everywhere.
fn norm(vectors: Tensor<4>) -> Tensor<4> {
    root((vectors.clone() * vectors).sum_dim(2))
}

macro_rules! invariant_traits {
    ($layer:ident) => {
        impl FieldMap for $layer {
            fn input_type(&self) -> FieldType {
                self.field_type.clone()
            }

            fn output_type(&self) -> FieldType {
                FieldType::trivial(self.field_type.group(), self.field_type.len())
            }

            fn forward(&self, features: Tensor<4>) -> Tensor<4> {
                $layer::forward(self, features)
            }
        }

        impl ModuleDisplay for $layer {
            fn custom_settings(&self) -> Option<DisplaySettings> {
                DisplaySettings::new().with_new_line_after_attribute(false).optional()
            }

            fn custom_content(&self, content: Content) -> Option<Content> {
                content.set_top_level_type(&format!("{}({})", stringify!($layer), self.field_type)).optional()
            }
        }
    };
}

invariant_traits!(GroupPooling);
invariant_traits!(NormPool);
