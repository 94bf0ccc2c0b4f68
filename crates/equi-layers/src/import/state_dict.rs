//! State dicts of PyTorch modules, read from files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use burn::store::pytorch_reader::{self, PickleValue, PytorchError, PytorchReader};
use burn::tensor::{BoolStore, DType, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::archive::without_zip64;
use super::error::{ImportError, Result};

/// Where training scripts put the state dict beside an optimiser and an epoch, in the order of preference.
const CONTAINERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// A view may repeat its elements, and weights may be tied; tensors that claim more than this many times the size of their file
/// are an attack, or a broadcast that was saved by mistake.
const LARGEST_EXPANSION: u64 = 16;

/// Named tensors, as `module.state_dict()` gives them: shape, type and values of each.
///
/// [`open`](Self::open) reads what `torch.save` has written (since 2016; a state dict, a dictionary with one inside, or a whole module)
/// and `.safetensors`. The content tells the format, not the name. No pickle is executed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDict {
    tensors: BTreeMap<String, TensorData>,
}

impl StateDict {
    /// Reads a file. Where a dictionary holds the state dict under `state_dict`, `model_state_dict`, `model` or `net`, takes that.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds no tensors.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), None)
    }

    /// Reads a file whose dictionary holds the state dict under the key `container`, such as `ema`.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if there is no such key.
    pub fn open_at(path: impl AsRef<Path>, container: &str) -> Result<Self> {
        Self::read(path.as_ref(), Some(container))
    }

    fn read(path: &Path, container: Option<&str>) -> Result<Self> {
        let file_size = check_file(path)?;
        let tensors = match opening(path)? {
            Opening::Safetensors => {
                let all = Self { tensors: read_safetensors(path)? };
                return match container {
                    Some(container) => all.part(container),
                    None => all.non_empty(path),
                };
            }
            Opening::Pytorch => match read_pytorch(path, path, container, file_size) {
                Err(ImportError::Malformed { path, reason }) => {
                    match without_zip64(&path).map_err(unreadable(&path))? {
                        Some(copy) => read_pytorch(&path, copy.path(), container, file_size)?,
                        None => return Err(ImportError::Malformed { path, reason }),
                    }
                }
                read => read?,
            },
        };
        Self { tensors }.non_empty(path)
    }

    fn non_empty(self, path: &Path) -> Result<Self> {
        if self.is_empty() {
            return Err(ImportError::NotAStateDict { path: path.into(), reason: "there is no tensor in it".into() });
        }
        Ok(self)
    }

    /// The tensors whose names begin with `prefix` and a dot, named without both.
    ///
    /// # Errors
    /// If there is none.
    pub fn part(&self, prefix: &str) -> Result<Self> {
        let inside = |name: &str| name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
        let part: Self = self.iter().filter_map(|(name, data)| Some((inside(name)?, data.clone()))).collect();
        if part.is_empty() {
            let mut heads: Vec<_> = self.names().filter_map(|name| Some(name.split_once('.')?.0)).collect();
            heads.dedup();
            let message = format!("no tensor has a name that begins with `{prefix}.`; there are {}", list(&heads));
            return Err(ImportError::NotFound(message));
        }
        Ok(part)
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<&TensorData> {
        self.tensors.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors with their names, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorData)> {
        self.tensors.iter().map(|(name, data)| (name.as_str(), data))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

impl FromIterator<(String, TensorData)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, TensorData)>>(tensors: I) -> Self {
        Self { tensors: tensors.into_iter().collect() }
    }
}

/// Names in quotes, the first few of them.
pub(super) fn list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

enum Opening {
    Safetensors,
    Pytorch,
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> ImportError {
    move |error| ImportError::Read { path: path.into(), reason: error.to_string() }
}

/// The size of the file, which must be one: neither folder nor device.
fn check_file(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    if !metadata.is_file() {
        let reason = if metadata.is_dir() { "it is a folder" } else { "it is not a regular file" };
        return Err(ImportError::Read { path: path.into(), reason: reason.into() });
    }
    Ok(metadata.len())
}

/// What the first bytes say. A safetensors file is a little-endian length and a JSON object of that length.
fn opening(path: &Path) -> Result<Opening> {
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(64).read_to_end(&mut head)).map_err(unreadable(path))?;
    let reason = match head.as_slice() {
        [] => "it is empty",
        text if text.starts_with(b"version https://git-lfs") => {
            "it is a pointer of Git LFS; run `git lfs pull` where you got it, or download the file itself"
        }
        text if text.starts_with(b"<!") || text.starts_with(b"<html") => "it is a web page; download the file itself",
        [_, _, _, _, _, _, _, _, b'{', ..] => return Ok(Opening::Safetensors),
        _ => return Ok(Opening::Pytorch),
    };
    Err(ImportError::NotAStateDict { path: path.into(), reason: reason.into() })
}

fn read_safetensors(path: &Path) -> Result<BTreeMap<String, TensorData>> {
    let bytes = fs::read(path).map_err(unreadable(path))?;
    let malformed = |reason: String| ImportError::Malformed { path: path.into(), reason };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let dtype = safetensors_dtype(view.dtype()).ok_or_else(|| {
            ImportError::Unsupported(format!(
                "the tensor `{name}` of {} has the type {}; save it as float32 or float64",
                path.display(),
                view.dtype()
            ))
        })?;
        let data = TensorData::try_from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype)
            .map_err(|error| malformed(format!("tensor `{name}`: {error}")))?;
        tensors.insert(name.to_owned(), data);
    }
    Ok(tensors)
}

fn safetensors_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// Reads `file`, which is called `path` in messages.
fn read_pytorch(
    path: &Path,
    file: &Path,
    container: Option<&str>,
    file_size: u64,
) -> Result<BTreeMap<String, TensorData>> {
    let malformed = |reason: String| ImportError::Malformed { path: path.into(), reason };
    let refused = |error: PytorchError| match error {
        PytorchError::InvalidFormat(reason) => ImportError::NotAStateDict { path: path.into(), reason },
        error => malformed(error.to_string()),
    };
    let root = PytorchReader::read_pickle_data(file, None).map_err(refused)?;
    let reader = match find_container(&root, container) {
        Some(key) => PytorchReader::with_top_level_key(file, key).map_err(refused)?,
        None if container.is_none() => PytorchReader::new(file).map_err(refused)?,
        None => {
            let message = format!(
                "{} has no `{}` with tensors; there are {}",
                path.display(),
                container.unwrap_or_default(),
                list(&keys(&root))
            );
            return Err(ImportError::NotFound(message));
        }
    };
    let claimed: u64 = reader.tensors().values().map(|tensor| tensor.byte_len() as u64).fold(0, u64::saturating_add);
    if claimed > file_size.saturating_mul(LARGEST_EXPANSION) {
        return Err(malformed(format!(
            "its tensors claim {claimed} bytes, but the file has {file_size}; if they are expanded views, save `tensor.clone()`"
        )));
    }
    let read = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let bytes = tensor.read().map_err(|error| malformed(error.to_string()))?;
        let data = TensorData::try_from_bytes_vec(bytes, tensor.shape().to_vec(), pytorch_dtype(tensor.dtype()))
            .map_err(|error| malformed(format!("tensor `{name}`: {error}")))?;
        Ok((name, data))
    };
    reader.into_tensors().into_iter().map(read).collect()
}

fn pytorch_dtype(dtype: pytorch_reader::DType) -> DType {
    use pytorch_reader::DType as Stored;
    match dtype {
        Stored::F64 => DType::F64,
        Stored::F32 => DType::F32,
        Stored::F16 => DType::F16,
        Stored::BF16 => DType::BF16,
        Stored::I64 => DType::I64,
        Stored::I32 => DType::I32,
        Stored::I16 => DType::I16,
        Stored::I8 => DType::I8,
        Stored::U64 => DType::U64,
        Stored::U32 => DType::U32,
        Stored::U16 => DType::U16,
        Stored::U8 => DType::U8,
        Stored::Bool => DType::Bool(BoolStore::Native),
    }
}

/// The entry of the outermost dictionary that is the state dict: the one asked for, or else the first usual one that is a dictionary.
/// A state dict itself has tensors as entries, however they are called.
fn find_container<'a>(root: &PickleValue, asked: Option<&'a str>) -> Option<&'a str> {
    let PickleValue::Dict(entries) = root else {
        return None;
    };
    let holds = |key: &&str| matches!(entries.get(*key), Some(PickleValue::Dict(inner)) if !inner.is_empty());
    match asked {
        Some(key) => Some(key).filter(holds),
        None => CONTAINERS.into_iter().find(holds),
    }
}

fn keys(root: &PickleValue) -> Vec<String> {
    let PickleValue::Dict(entries) = root else {
        return Vec::new();
    };
    let mut keys: Vec<_> = entries.keys().cloned().collect();
    keys.sort();
    keys
}
