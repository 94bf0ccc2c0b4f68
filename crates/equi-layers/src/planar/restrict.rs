//! Restriction to a subgroup, `rho -> rho|_H`, and disentangling, `rho = P (rho_1 (+) ... (+) rho_m) P^T` with a permutation `P`.
//!
//! A feature map that is equivariant to `G` is equivariant to `H < G`: restriction changes no number, only the symmetry
//! that later layers keep. The restricted fields may split into smaller ones; disentangling brings the channels of each
//! together.
//!
//! Weiler and Cesa: General E(2)-Equivariant Steerable CNNs, NeurIPS 2019.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{Device, Int, Tensor};
use equi_core::FieldType;
use equi_core::check::FieldMap;
use equi_core::group::{Rotation, Subgroup};
use equi_core::repr::Representation;
use std::collections::HashMap;

use super::by_size::indices;
use crate::error::{LayerError, Result};

/// Forgets the elements outside a subgroup, `rho -> rho|_H`; no number changes.
///
/// Exactly equivariant to the subgroup, which is the symmetry that the layers after it keep.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct RestrictionModule {
    #[module(skip)]
    input: FieldType,
    #[module(skip)]
    output: FieldType,
}

impl RestrictionModule {
    /// Restricts the fields of `input` to a subgroup of their group.
    ///
    /// # Errors
    /// [`LayerError::Core`] if the subgroup lies in another group, [`LayerError::Unsupported`] if its reflection axis is not
    /// that of the group, since the layers after it would flip about the wrong axis.
    pub fn new(input: &FieldType, subgroup: &Subgroup) -> Result<Self> {
        if subgroup.axis() != Rotation::ZERO {
            return Err(LayerError::Unsupported(format!(
                "{subgroup} has another reflection axis than the left-right flip, which is the flip of every field type: restrict \
                 to the subgroup with that flip, `Subgroup::new`"
            )));
        }
        Ok(Self { input: input.clone(), output: input.restrict(subgroup)? })
    }

    /// Returns its input.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, input_type.size(), height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the input type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.input.assert_channels("RestrictionModule", features.dims()[1]);
        features
    }
}

impl FieldMap for RestrictionModule {
    fn input_type(&self) -> FieldType {
        self.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        RestrictionModule::forward(self, features)
    }
}

impl ModuleDisplay for RestrictionModule {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("RestrictionModule({:?} -> {:?})", self.input, self.output)).optional()
    }
}

/// Splits every field into the smallest fields that share no channel, and brings the channels of each together.
///
/// A permutation of the channels, exactly equivariant. It follows a [`RestrictionModule`], after which fields may split.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct DisentangleModule {
    /// Where each channel of the output comes from, `[size]`; `None` if no channel moves.
    sources: Option<Tensor<1, Int>>,
    #[module(skip)]
    input: FieldType,
    #[module(skip)]
    output: FieldType,
}

impl DisentangleModule {
    /// Splits the fields of `input` by [`Representation::disentangle`].
    pub fn new(input: &FieldType, device: &Device) -> Self {
        let mut known: HashMap<&Representation, Vec<(Representation, Vec<usize>)>> = HashMap::new();
        let (mut fields, mut sources) = (Vec::new(), Vec::new());
        for (start, field) in input.offsets() {
            for (part, channels) in known.entry(field).or_insert_with(|| field.disentangle()) {
                fields.push(part.clone());
                sources.extend(channels.iter().map(|channel| start + channel));
            }
        }
        let moved = !sources.is_sorted();
        Self {
            sources: moved.then(|| indices(&sources, device)),
            input: input.clone(),
            output: FieldType::new(fields).expect("the parts of a field belong to its group"),
        }
    }

    /// Brings the channels of each field together.
    ///
    /// # Shapes
    /// - `features`, output: `[batch, input_type.size(), height, width]`
    ///
    /// # Panics
    /// If the channels are not those of the input type.
    pub fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.input.assert_channels("DisentangleModule", features.dims()[1]);
        match &self.sources {
            Some(sources) => features.select(1, sources.clone()),
            None => features,
        }
    }
}

impl FieldMap for DisentangleModule {
    fn input_type(&self) -> FieldType {
        self.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        DisentangleModule::forward(self, features)
    }
}

impl ModuleDisplay for DisentangleModule {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("DisentangleModule({} -> {})", self.input, self.output)).optional()
    }
}
