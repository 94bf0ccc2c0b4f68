//! Our own files: a model's weights as safetensors, with its configuration in the header.
//!
//! The names of the tensors are the paths of the parameters in the module, such as `layers.0.edge_receiver.weight`; shapes are Burn's.
//! Any safetensors reader opens the file. The metadata has one entry, `equi`: `{"format": 1, "model": "Egnn", "config": {...}}`.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use burn::module::Module;
use burn::store::burn_pack::AtomicFile;
use burn::store::{ModuleSnapshot, bridge};
use burn::tensor::{DType, TensorCreationOptions, TensorData};
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::differences::{Differences, differences};
use super::error::{ImportError, Result};
use super::qm9::Qm9Egnn;
use super::state_dict::StateDict;
use crate::graph::{Egnn, EgnnConfig};

/// The entry of the metadata.
const ENTRY: &str = "equi";
/// The version of the format.
const FORMAT: u32 = 1;

/// What a file of ours says about its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedModel {
    /// Version of the format.
    format: u32,
    /// The type of the model, `Egnn` or `Qm9Egnn`.
    pub model: String,
    /// The options it was built with.
    pub config: EgnnConfig,
}

/// What the header of a file says about its model; the weights are not read.
///
/// # Errors
/// If the file is not one of ours, or of a later version.
pub fn inspect(path: impl AsRef<Path>) -> Result<SavedModel> {
    let path = path.as_ref();
    let unreadable = |error: std::io::Error| ImportError::Read { path: path.into(), reason: error.to_string() };
    let foreign = |reason: String| ImportError::NotAStateDict { path: path.into(), reason };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(|_| foreign("it is shorter than a safetensors header".into()))?;
    let length = u64::from_le_bytes(head);
    if length > size.saturating_sub(8) {
        return Err(foreign("it is no safetensors file".into()));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(unreadable)?;
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<HashMap<String, String>>,
    }
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let header: Header = serde_json::from_slice(&header).map_err(|error| foreign(format!("its header: {error}")))?;
    let entry = header.metadata.and_then(|mut metadata| metadata.remove(ENTRY)).ok_or_else(|| {
        foreign("its header has no entry `equi`, so another library wrote it; `equi convert` may import it".into())
    })?;
    let damaged = |error: serde_json::Error| ImportError::Malformed {
        path: path.into(),
        reason: format!("the entry `equi` of its header: {error}"),
    };
    let version: Version = serde_json::from_str(&entry).map_err(damaged)?;
    if version.format != FORMAT {
        return Err(ImportError::Unsupported(format!(
            "{} has format {}, this library reads {FORMAT}: use the version that wrote it, or a later one",
            path.display(),
            version.format
        )));
    }
    serde_json::from_str(&entry).map_err(damaged)
}

macro_rules! save_and_load {
    ($($model:ident: $init:expr;)*) => {$(
        impl $model {
            /// Writes weights and configuration to one safetensors file, all at once or not at all; replaces one that is there.
            ///
            /// # Errors
            /// [`ImportError::Write`] if the file cannot be written.
            pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
                write(self, stringify!($model), self.config(), path.as_ref(), true)
            }

            /// As [`save`](Self::save), but never replaces a file.
            ///
            /// # Errors
            /// [`ImportError::Write`] if there is a file, or it cannot be written.
            pub fn save_new(&self, path: impl AsRef<Path>) -> Result<()> {
                write(self, stringify!($model), self.config(), path.as_ref(), false)
            }

            /// Builds the model that [`save`](Self::save) wrote, with its weights in their own precision, or in that of `options`.
            ///
            /// # Errors
            /// If the file cannot be read, is damaged, or holds another model; all differences are listed.
            pub fn load(path: impl AsRef<Path>, options: impl Into<TensorCreationOptions>) -> Result<Self> {
                read(path.as_ref(), stringify!($model), options.into(), $init)
            }
        }
    )*};
}

save_and_load! {
    Egnn: |config, options| Ok(config.init(options)?);
    Qm9Egnn: |config, options| Ok(Qm9Egnn::around(config.init(options.clone())?, &options));
}

fn write<M: Module>(module: &M, model: &str, config: &EgnnConfig, path: &Path, replace: bool) -> Result<()> {
    let failed = |reason: String| ImportError::Write { path: path.into(), reason };
    if !replace && fs::symlink_metadata(path).is_ok() {
        return Err(failed("it is there already".into()));
    }
    let saved = SavedModel { format: FORMAT, model: model.into(), config: config.clone() };
    let entry = serde_json::to_string(&saved).map_err(|error| failed(error.to_string()))?;
    let mut tensors = Vec::new();
    for tensor in module.collect(None, None, false) {
        let data = bridge::to_data(&tensor).map_err(|error| failed(error.to_string()))?;
        tensors.push((tensor.name.clone(), data));
    }
    let mut views = Vec::new();
    for (name, data) in &tensors {
        let dtype = match data.dtype() {
            DType::F64 => safetensors::Dtype::F64,
            DType::F32 | DType::Flex32 => safetensors::Dtype::F32,
            DType::F16 => safetensors::Dtype::F16,
            DType::BF16 => safetensors::Dtype::BF16,
            other => return Err(failed(format!("parameter {name} has the type {other:?}, which is not written"))),
        };
        let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes()).map_err(|e| failed(e.to_string()))?;
        views.push((name, view));
    }
    // One entry: the order of several would be that of a hash map, and files of equal models would differ.
    let metadata = HashMap::from([(ENTRY.to_owned(), entry)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| failed(error.to_string()))?;
    let (unfinished, mut file) = AtomicFile::create(path).map_err(|error| failed(error.to_string()))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|error| failed(error.to_string()))?;
    drop(file);
    let done = if replace { unfinished.commit() } else { unfinished.commit_new() };
    done.map_err(|error| failed(error.to_string()))
}

/// Fewer parameters than this no network of such a configuration has. So no header makes the memory run out.
fn fewest_parameters(config: &EgnnConfig) -> usize {
    let EgnnConfig { in_features, hidden, out_features, edge_features, node_attributes, layers, .. } = *config;
    let rows = [hidden, hidden, edge_features, hidden, hidden, hidden, node_attributes, hidden];
    let layer = rows.into_iter().fold(0, usize::saturating_add);
    let rows = layer.saturating_mul(layers).saturating_add(in_features).saturating_add(out_features.unwrap_or(0));
    rows.saturating_mul(hidden)
}

fn read<M: Module>(
    path: &Path,
    model: &str,
    mut options: TensorCreationOptions,
    init: impl FnOnce(EgnnConfig, TensorCreationOptions) -> Result<M>,
) -> Result<M> {
    let saved = inspect(path)?;
    if saved.model != model {
        return Err(ImportError::Unsupported(format!(
            "{} holds a model of the type {}, not {model}: use `{}::load`",
            path.display(),
            saved.model,
            saved.model
        )));
    }
    let dict = StateDict::open(path)?;
    let values: usize = dict.iter().map(|(_, data)| data.num_elements()).sum();
    if fewest_parameters(&saved.config) > values {
        let reason = format!("its header describes a model with more parameters than the {values} that it holds");
        return Err(ImportError::Malformed { path: path.into(), reason });
    }
    let double = dict.iter().any(|(_, data)| data.dtype() == DType::F64);
    let dtype = *options.dtype.get_or_insert(if double { DType::F64 } else { DType::F32 });
    let mut module = init(saved.config, options)?;
    let expected: BTreeMap<_, _> = module
        .collect(None, None, false)
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor.shape.to_vec()))
        .collect();
    let differences = differences(&dict, &expected);
    if !differences.is_empty() {
        let architecture = format!("the {model} that its header describes");
        return Err(ImportError::Architecture(Box::new(Differences { architecture, differences, advice: None })));
    }
    let tensors = dict
        .iter()
        .map(|(name, data): (&str, &TensorData)| {
            bridge::from_data(data.clone().convert_dtype(dtype), name.to_owned(), None)
        })
        .collect();
    let applied = module.apply(tensors, None, None, false);
    if applied.errors.is_empty() && applied.missing.is_empty() {
        return Ok(module);
    }
    Err(ImportError::Malformed { path: path.into(), reason: applied.to_string() })
}
