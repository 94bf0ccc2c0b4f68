//! The devices and precisions that every layer is tested on.

#![allow(dead_code)] // Each test binary uses a part of it.

use burn::tensor::{DType, Device, Tensor};
use equi_core::assert_equivariant;
use equi_core::check::{FieldMap, fibres};
use equi_core::group::{C1, C4, C8, D1, D4, Group};

/// A device, a precision, and the relative error that exact arithmetic may show there.
pub struct Setting {
    /// For messages.
    pub name: &'static str,
    /// The device.
    pub device: Device,
    /// The precision.
    pub dtype: DType,
    /// Bound on the relative error of an equivariant layer: about a hundred roundings.
    pub tolerance: f64,
}

/// Groups of every kind.
pub const GROUPS: [Group; 10] =
    [C1, C4, C8, Group::Cyclic(3), Group::Cyclic(6), D1, D4, Group::Dihedral(3), Group::SO2, Group::O2];

impl Setting {
    /// The groups that layers are tested with: all on flex. On a GPU the same operations take other numbers of channels with every group, for each of which
    /// kernels are compiled, so it is tested with few, cyclic, dihedral and continuous, unless `EQUI_EVERY_CASE` asks for all.
    pub fn groups(&self) -> Vec<Group> {
        let all = self.name.starts_with("flex") || std::env::var_os("EQUI_EVERY_CASE").is_some();
        if all { GROUPS.into() } else { vec![C8, Group::Dihedral(3), Group::O2] }
    }
}

/// Flex in f32 and f64; wgpu in f32 when the feature is on (WGSL has no f64).
pub fn settings() -> Vec<Setting> {
    #[allow(unused_mut)] // wgpu adds one.
    let mut settings = vec![
        Setting { name: "flex f32", device: Device::flex(), dtype: DType::F32, tolerance: 1e-5 },
        Setting { name: "flex f64", device: Device::flex(), dtype: DType::F64, tolerance: 1e-12 },
    ];
    #[cfg(feature = "wgpu")]
    settings.push(Setting {
        name: "wgpu f32",
        device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        dtype: DType::F32,
        tolerance: 1e-5,
    });
    settings
}

/// Asserts the equivariance of a layer that treats space the same for all channels: outputs and gradients under the grid
/// symmetries, or, for a group that has none (C3), the outputs under all elements with the pixels left in place.
pub fn assert_layer(layer: &impl FieldMap, group: Group, tolerance: f64, input: Tensor<4>) {
    if group == Group::trivial() || group.grid_symmetries().len() > 1 {
        assert_equivariant!(layer, group, tolerance, input);
    } else {
        fibres(layer, group, input).assert_exact("fibres", tolerance);
    }
}
