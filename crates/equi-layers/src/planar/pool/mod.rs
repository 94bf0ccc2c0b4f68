//! Pooling over space, channel by channel or field by field.
//!
//! A window commutes with quarter turns and flips if the grid of its places has the same centre as the image: `check_size`
//! says so for a given size, and which size would do. `forward` pools any size.

mod adaptive;
mod antialiased;
mod average;
mod max;
mod norm_max;

pub use adaptive::PointwiseAdaptiveAvgPool;
pub use antialiased::{
    PointwiseAvgPoolAntialiased, PointwiseAvgPoolAntialiasedConfig, PointwiseMaxPoolAntialiased,
    PointwiseMaxPoolAntialiasedConfig,
};
pub use average::{PointwiseAvgPool, PointwiseAvgPoolConfig};
pub use max::{PointwiseMaxPool, PointwiseMaxPoolConfig};
pub use norm_max::{NormMaxPool, NormMaxPoolConfig};

use equi_core::FieldType;

use super::grid::Window;
use crate::error::{LayerError, Result};

/// Why a maximum of each channel needs permutations, and what to use where there are none.
const MAXIMUM: [&str; 2] = ["takes the maximum of each channel", "NormMaxPool, or PointwiseAvgPoolAntialiased"];

/// A field type and the window that moves over it.
#[derive(Clone, Debug)]
struct Pooling {
    field_type: FieldType,
    window: Window,
}

impl Pooling {
    fn new(field_type: &FieldType, kernel: usize) -> Self {
        Self { field_type: field_type.clone(), window: Window { kernel, stride: kernel, padding: 0, dilation: 1 } }
    }

    fn check(&self, layer: &str) -> Result<()> {
        let Window { kernel, stride, padding, .. } = self.window;
        if kernel == 0 || stride == 0 {
            return Err(LayerError::InvalidConfig(format!(
                "{layer}: kernel and stride are {kernel} and {stride} pixels, but must be at least 1"
            )));
        }
        if padding > kernel / 2 {
            return Err(LayerError::InvalidConfig(format!(
                "{layer}: with padding {padding} some windows of {kernel} pixels lie outside of the image; use at most {}",
                kernel / 2
            )));
        }
        Ok(())
    }
}

/// The configuration of a pooling with a window.
macro_rules! pooling_config {
    ($(#[$doc:meta])* $config:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $config(Pooling);

        impl $config {
            /// A square window of `kernel_size` pixels that moves by its own size, without padding.
            pub fn new(field_type: &FieldType, kernel_size: usize) -> Self {
                Self(Pooling::new(field_type, kernel_size))
            }

            /// By how many pixels the window moves.
            pub fn with_stride(mut self, stride: usize) -> Self {
                self.0.window.stride = stride;
                self
            }

            /// How many pixels to add on every side.
            pub fn with_padding(mut self, padding: usize) -> Self {
                self.0.window.padding = padding;
                self
            }
        }
    };
}
use pooling_config;

/// What the checks need to know of a layer that keeps its field type, and how it prints.
macro_rules! pooling_traits {
    ($layer:ident) => {
        impl FieldMap for $layer {
            fn input_type(&self) -> FieldType {
                self.pooling.field_type.clone()
            }

            fn output_type(&self) -> FieldType {
                self.pooling.field_type.clone()
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
                let Pooling { field_type, window } = &self.pooling;
                content.set_top_level_type(&format!("{}({field_type}, {window})", stringify!($layer))).optional()
            }
        }

        impl $layer {
            /// Whether the symmetry stays exact on inputs of this size.
            ///
            /// # Errors
            /// If the sampled grid is off centre, with a size that works.
            pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
                let Pooling { field_type, window } = &self.pooling;
                let layer = format!("{}({window})", stringify!($layer));
                check_window(&layer, field_type.group(), [height, width], *window)
            }
        }
    };
}
use pooling_traits;
