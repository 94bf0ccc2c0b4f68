//! Which products are one operation.

use std::sync::Arc;

use equi_core::ops::{CoupledPath, Couplings};

use super::path::Path;
use super::{ConnectionMode, TensorProductConfig};
use crate::error::Result;

/// A product that is one operation.
#[derive(Clone, Debug)]
pub(super) enum Fused {
    /// With any weights.
    Uvu(Arc<Couplings>),
    /// With the same weights for all rows.
    Uvw(Arc<Couplings>),
}

impl Fused {
    /// The operation for these paths, if there is one.
    pub(super) fn new(config: &TensorProductConfig, paths: &[Path]) -> Result<Option<Self>> {
        let TensorProductConfig { irreps_in1, irreps_in2, irreps_out, .. } = config;
        let paths: Vec<&Path> = paths.iter().filter(|path| !path.is_empty()).collect();
        let coupled: Vec<CoupledPath> = paths
            .iter()
            .map(|path| CoupledPath {
                first: path.instruction.in1,
                second: path.instruction.in2,
                out: path.instruction.out,
                coefficient: path.coefficient,
            })
            .collect();
        let all = |rule: fn(&Path) -> bool| !paths.is_empty() && paths.iter().all(|path| rule(path));
        let uvu = |path: &Path| {
            path.instruction.mode == ConnectionMode::Uvu && path.blocks[1].mul == 1 && path.instruction.has_weight
        };
        Ok(if all(uvu) {
            Some(Self::Uvu(Arc::new(Couplings::uvu(irreps_in1, irreps_in2, irreps_out, &coupled)?)))
        } else if all(|path| path.instruction.mode == ConnectionMode::Uvw) {
            Some(Self::Uvw(Arc::new(Couplings::uvw(irreps_in1, irreps_in2, irreps_out, &coupled)?)))
        } else {
            None
        })
    }
}
