//! Reading the golden tensors.

#![allow(dead_code)] // Each test binary uses a part of it.

use equi_core::group::{Group, Rotation, Subgroup};
use equi_core::kernel_basis::{Cutoff, KernelGrid};
use equi_core::repr::{Irrep, Representation};
use serde_json::Value;
use std::path::PathBuf;

/// A dense array of f64 with its shape.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    /// Largest absolute difference to `other`, relative to the largest absolute value.
    pub fn relative_error(&self, other: &[f64]) -> f64 {
        assert_eq!(self.values.len(), other.len(), "lengths differ");
        let scale = self.values.iter().fold(1e-300_f64, |m, v| m.max(v.abs()));
        let worse = |m: f64, d: f64| if d.is_nan() { f64::INFINITY } else { m.max(d) };
        self.values.iter().zip(other).fold(0.0, |m, (a, b)| worse(m, (a - b).abs())) / scale
    }
}

/// A safetensors file.
pub struct Tensors(Vec<u8>);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|p| p.join("tests/golden").is_dir())
        .unwrap()
        .join("tests/golden")
}

/// A JSON manifest, by its path under `tests/golden`.
pub fn manifest(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(path)).unwrap()).unwrap()
}

impl Tensors {
    /// A file, by its path under `tests/golden`.
    pub fn open(path: &str) -> Self {
        Self(std::fs::read(folder().join(path)).unwrap())
    }

    /// A tensor by key, if it is there.
    pub fn get(&self, key: &str) -> Option<Array> {
        let tensors = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        let view = tensors.tensor(key).ok()?;
        let bytes = view.data();
        let values = match view.dtype() {
            safetensors::Dtype::F64 => bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            safetensors::Dtype::F32 => {
                bytes.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            safetensors::Dtype::I64 => {
                bytes.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
            }
            safetensors::Dtype::U8 | safetensors::Dtype::BOOL => bytes.iter().map(|&b| f64::from(b)).collect(),
            safetensors::Dtype::I32 => {
                bytes.chunks(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            other => panic!("{key}: unexpected dtype {other:?}"),
        };
        Some(Array { shape: view.shape().to_vec(), values })
    }

    /// A tensor by key.
    pub fn tensor(&self, key: &str) -> Array {
        self.get(key).unwrap_or_else(|| panic!("no tensor {key}"))
    }
}

/// The group that a manifest names.
pub fn group(name: &str) -> Group {
    match name {
        "SO2" => Group::SO2,
        "O2" => Group::O2,
        "net" => Group::Cyclic(8),
        _ => {
            let n = name[1..].parse().unwrap();
            if name.starts_with('C') { Group::Cyclic(n) } else { Group::Dihedral(n) }
        }
    }
}

/// The irrep with the numbers of an escnn identifier.
pub fn irrep(id: &[u32]) -> Irrep {
    if id.len() == 1 { Irrep::rotation(id[0]) } else { Irrep::with_flip(id[0], id[1]) }
}

/// The representation that a manifest names: `triv`, `reg`, `irr:1,2`, `quo:2`; or `regular`, `irrep(1,2)`, `spectral(3)`, ...
pub fn field(group: Group, name: &str) -> Representation {
    let (kind, rest) = name.split_once([':', '(']).unwrap_or((name, ""));
    let arguments: Vec<&str> = rest.trim_end_matches(')').split(',').map(str::trim).collect();
    let numbers = || arguments.iter().map(|a| a.parse().unwrap()).collect::<Vec<u32>>();
    match kind {
        "triv" | "trivial" => Representation::trivial(group),
        "reg" | "regular" => Representation::regular(group).unwrap(),
        "irr" | "irrep" => Representation::irrep(group, irrep(&numbers())).unwrap(),
        "spectral" => Representation::spectral(group, numbers()[0]).unwrap(),
        "quo" | "quotient" => {
            let subgroup = match arguments[..] {
                [n] => Subgroup::new(group, Group::Cyclic(n.parse().unwrap())),
                ["None", n] => Subgroup::new(group, Group::Cyclic(n.parse().unwrap())),
                [axis, n] => Subgroup::with_axis(
                    group,
                    Group::Dihedral(n.parse().unwrap()),
                    Rotation::turns(axis.parse().unwrap(), group.rotations().unwrap()),
                ),
                _ => panic!("{name}"),
            };
            Representation::quotient(&subgroup.unwrap()).unwrap()
        }
        _ => panic!("unknown field {name}"),
    }
}

/// The strings of a JSON list.
pub fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// The numbers of a JSON list.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The cases of a manifest that satisfy a predicate; at least one.
pub fn cases(path: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let found: Vec<Value> = manifest(path)["cases"].as_array().unwrap().iter().filter(|c| wanted(c)).cloned().collect();
    assert!(!found.is_empty(), "{path} has no such case");
    found
}

/// The kernel grid of a case.
pub fn kernel_grid(size: &Value, options: &Value) -> KernelGrid {
    let list = |name: &str| options.get(name).map(numbers);
    let factor = options.get("frequencies_cutoff").and_then(Value::as_f64);
    let cutoff = factor.map_or(Cutoff::Standard, Cutoff::Proportional);
    let dilation = options.get("dilation").map_or(1, |d| d.as_u64().unwrap() as usize);
    KernelGrid::new(
        size.as_u64().unwrap() as usize,
        dilation,
        list("rings").as_deref(),
        list("sigma").as_deref(),
        cutoff,
    )
    .unwrap()
}
