//! Checkpoints of the EGNN's reference implementation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, TensorCreationOptions, TensorData};

use super::architecture::{Architecture, Variant};
use super::differences::{Difference, Differences, differences};
use super::error::{ImportError, Result};
use super::mapping::{self, parameter};
use super::qm9::Qm9Egnn;
use super::saved;
use super::state_dict::{StateDict, list};
use crate::error::LayerError;
use crate::graph::{Aggregation, Egnn, EgnnConfig, Normalization};

/// How the model was called in Python, as far as its state dict does not tell. The defaults are the reference's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgnnOptions {
    /// `residual` of `egnn_clean`, true by default there; `recurrent` of `n_body_system`, which has no default here, because its class
    /// has `False` and its training script `True`.
    pub residual: Option<bool>,
    /// `normalize` of `egnn_clean`, `norm_diff` of `n_body_system`.
    pub normalize: bool,
    /// `tanh`.
    pub tanh: bool,
    /// `coords_agg='sum'` of `egnn_clean`.
    pub sum_coordinates: bool,
    /// Whether a model of [`Variant::Positions`] was given `act_fn=nn.SiLU()`, which is the default of all others.
    pub silu: bool,
}

impl EgnnOptions {
    /// The reference's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// States `residual` or `recurrent`.
    pub fn with_residual(mut self, residual: bool) -> Self {
        self.residual = Some(residual);
        self
    }

    /// States `normalize` or `norm_diff`.
    pub fn with_normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// States `tanh`.
    pub fn with_tanh(mut self, tanh: bool) -> Self {
        self.tanh = tanh;
        self
    }

    /// States `coords_agg='sum'`.
    pub fn with_sum_coordinates(mut self, sum: bool) -> Self {
        self.sum_coordinates = sum;
        self
    }

    /// States `act_fn=nn.SiLU()`.
    pub fn with_silu(mut self, silu: bool) -> Self {
        self.silu = silu;
        self
    }
}

/// A trained model of the reference implementation of EGNN, <https://github.com/vgsatorras/egnn>: its state dict, known to be complete
/// and consistent, and what it tells about the model.
#[derive(Clone, Debug)]
pub struct EgnnCheckpoint {
    architecture: Architecture,
    dict: StateDict,
}

impl EgnnCheckpoint {
    /// Reads a `.pt` or `.safetensors` file; see [`StateDict::open`].
    ///
    /// # Errors
    /// As [`StateDict::open`] and [`new`](Self::new).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if let Ok(saved) = saved::inspect(path) {
            let message = format!(
                "{} is a model of this library already: load it with `{}::load(path, &device)`",
                path.display(),
                saved.model
            );
            return Err(ImportError::Unsupported(message));
        }
        Self::new(StateDict::open(path)?)
    }

    /// Recognises the model. All keys may share a prefix, such as the `module.` of `DataParallel`.
    ///
    /// # Errors
    /// [`ImportError::Architecture`] if a key is missing, unknown or misshaped, or values are not finite; it lists every difference to the
    /// model that the keys resemble most. [`ImportError::Unsupported`] if there are several models.
    pub fn new(dict: StateDict) -> Result<Self> {
        let prefix = match prefixes(&dict).as_slice() {
            [] => String::new(),
            [prefix] => prefix.clone(),
            several => {
                let names: Vec<_> = several.iter().map(|prefix| prefix.trim_end_matches('.')).collect();
                let message = format!("there are several EGNNs, under {}: choose one of these parts", list(&names));
                return Err(ImportError::Unsupported(message));
            }
        };
        let inside = |(name, data): (&str, &TensorData)| Some((name.strip_prefix(&prefix)?.to_owned(), data.clone()));
        let inner: StateDict = dict.iter().filter_map(inside).collect();
        let architecture = Architecture::infer(&inner).ok_or_else(|| no_egnn(&dict))?;
        let expected: BTreeMap<_, _> =
            architecture.keys().into_iter().map(|(key, shape)| (format!("{prefix}{key}"), shape)).collect();
        let differences = differences(&dict, &expected);
        if differences.is_empty() {
            return Ok(Self { architecture, dict: inner });
        }
        let advice = advice(&dict, &inner, &prefix);
        Err(ImportError::Architecture(Box::new(Differences {
            architecture: architecture.to_string(),
            differences,
            advice,
        })))
    }

    /// What the state dict tells about the model.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The state dict, without a common prefix.
    pub fn state_dict(&self) -> &StateDict {
        &self.dict
    }

    /// The precision that holds every weight exactly: f64 if one is f64, else f32.
    pub fn dtype(&self) -> DType {
        let double = self.dict.iter().any(|(_, data)| data.dtype() == DType::F64);
        if double { DType::F64 } else { DType::F32 }
    }

    /// The configuration of our network that computes what the model did. Its fields are public, for a model that was changed.
    ///
    /// # Errors
    /// [`ImportError::Unstated`] if an option has to be stated, [`ImportError::Unsupported`] for options that the model does not have.
    pub fn config(&self, options: &EgnnOptions) -> Result<EgnnConfig> {
        let Architecture { variant, layers, in_features, edge_features, node_attributes, attention, .. } =
            self.architecture;
        let residual = self.residual(options)?;
        let refuse = |stated: bool, option: &str| {
            if stated {
                let message = format!("{} has no option `{option}`; leave it out", variant.name());
                return Err(ImportError::Unsupported(message));
            }
            Ok(())
        };
        let mut config = EgnnConfig::new(in_features, self.architecture.width())
            .with_layers(layers)
            .with_edge_features(edge_features)
            .with_node_attributes(node_attributes)
            .with_attention(attention)
            .with_residual(residual)
            .with_tanh(options.tanh);
        config.out_features = self.architecture.out_features;
        let divisor = match variant {
            Variant::Clean | Variant::Layer => Normalization::Unit,
            _ => Normalization::Shifted,
        };
        if options.normalize {
            config = config.with_normalization(divisor);
        }
        match variant {
            Variant::Clean | Variant::Layer => {
                if options.sum_coordinates {
                    config = config.with_coordinate_aggregation(Aggregation::Sum);
                }
            }
            Variant::Velocity => {
                refuse(options.sum_coordinates, "coords_agg")?;
                config = config.with_velocity();
            }
            Variant::Positions => {
                refuse(options.sum_coordinates, "coords_agg")?;
                config = config.with_coordinate_clamp(Some(CLAMP));
            }
            Variant::Qm9 => {
                refuse(options.sum_coordinates, "coords_agg")?;
                refuse(options.normalize, "norm_diff")?;
                refuse(options.tanh, "tanh")?;
                refuse(!residual, "recurrent")?;
                config = config.invariant();
            }
        }
        if variant == Variant::Positions && !options.silu {
            return Err(ImportError::Unstated(format!(
                "{} has `act_fn=nn.LeakyReLU(0.2)` unless it is told otherwise, and only SiLU is known here; if it was given \
                 `act_fn=nn.SiLU()`, state that (`with_silu(true)`, `--silu`)",
                variant.name()
            )));
        }
        Ok(config)
    }

    fn residual(&self, options: &EgnnOptions) -> Result<bool> {
        let Architecture { variant, in_features, out_features, .. } = self.architecture;
        // `h + update` needs as many features after the layer as before it.
        let possible = variant != Variant::Layer || out_features == Some(in_features);
        match (variant, options.residual) {
            (_, Some(true)) if !possible => Err(ImportError::Unsupported(format!(
                "a layer from {in_features} to {} features has no residual connection: leave `residual` out",
                out_features.unwrap_or_default()
            ))),
            (Variant::Layer, None) => Ok(possible),
            (_, Some(residual)) => Ok(residual),
            (Variant::Clean | Variant::Qm9 | Variant::Positions, None) => Ok(true),
            (Variant::Velocity, None) => Err(ImportError::Unstated(
                "no state dict tells whether EGNN_vel has `recurrent=True`, as main_nbody.py trains it, or the class's default \
                 `recurrent=False`: state it (`with_residual(true)`, `--residual yes`)"
                    .to_owned(),
            )),
        }
    }

    /// Our network with the weights of the checkpoint, in the precision of `options` or else of the device.
    ///
    /// # Errors
    /// [`ImportError::Layer`] for a configuration of another shape than the checkpoint's; [`ImportError::Unsupported`] for a
    /// [`Variant::Qm9`], which is [more than an `Egnn`](Self::to_qm9).
    pub fn to_egnn(&self, config: &EgnnConfig, options: impl Into<TensorCreationOptions>) -> Result<Egnn> {
        if self.architecture.variant == Variant::Qm9 {
            return Err(ImportError::Unsupported(format!(
                "{} ends in a readout of whole graphs, which an `Egnn` has not: use `to_qm9`",
                Variant::Qm9.name()
            )));
        }
        self.body(config, &options.into())
    }

    /// Our network and readout with the weights of a [`Variant::Qm9`], in the precision of `options` or else of the device.
    ///
    /// # Errors
    /// [`ImportError::Layer`] for a configuration of another shape than the checkpoint's; [`ImportError::Unsupported`] for any other
    /// variant.
    pub fn to_qm9(&self, config: &EgnnConfig, options: impl Into<TensorCreationOptions>) -> Result<Qm9Egnn> {
        let variant = self.architecture.variant;
        if variant != Variant::Qm9 {
            return Err(ImportError::Unsupported(format!(
                "{} has no readout of whole graphs: use `to_egnn`",
                variant.name()
            )));
        }
        let options = options.into();
        let mut model = Qm9Egnn::around(self.body(config, &options)?, &options);
        let dtype = model.dtype();
        model.decoders().into_iter().for_each(|counterpart| counterpart.read(&self.dict, &options.device, dtype));
        Ok(model)
    }

    fn body(&self, config: &EgnnConfig, options: &TensorCreationOptions) -> Result<Egnn> {
        self.check(config)?;
        let mut egnn = config.init(options.clone())?;
        let (device, dtype) = (&options.device, egnn.embedding.weight.val().dtype());
        if self.architecture.variant == Variant::Layer {
            egnn.embedding = identity(self.architecture.in_features, config.hidden, device, dtype);
            egnn.readout =
                self.architecture.out_features.map(|features| identity(config.hidden, features, device, dtype));
        }
        mapping::counterparts(&self.architecture, &mut egnn)
            .into_iter()
            .for_each(|counterpart| counterpart.read(&self.dict, device, dtype));
        Ok(egnn)
    }

    /// Everything that has to do with the shapes of the weights must be as the checkpoint has it.
    fn check(&self, config: &EgnnConfig) -> Result<()> {
        let Architecture {
            variant, layers, in_features, out_features, edge_features, node_attributes, attention, ..
        } = self.architecture;
        let expected = EgnnConfig {
            in_features,
            hidden: self.architecture.width(),
            out_features,
            edge_features,
            node_attributes,
            layers,
            attention,
            velocity: variant == Variant::Velocity,
            update_positions: variant != Variant::Qm9,
            ..config.clone()
        };
        if expected == *config {
            return Ok(());
        }
        let message =
            format!("the checkpoint is of {}; these options ask for other weights: {config:?}", self.architecture);
        Err(LayerError::InvalidConfig(message).into())
    }
}

/// The largest shift of the layers in `models/gcl.py`.
const CLAMP: f64 = 100.0;

/// What comes before the keys of an EGNN: `module.` in `module.gcl_0.edge_mlp.0.weight`. A single layer has no `gcl_0`.
fn prefixes(dict: &StateDict) -> Vec<String> {
    let before = |wanted: &dyn Fn(&[&str]) -> bool| -> Vec<String> {
        let prefix = |name: &str| {
            let parts: Vec<_> = name.split('.').collect();
            let place = (0..parts.len()).find(|place| wanted(&parts[*place..]))?;
            Some(parts[..place].iter().map(|part| format!("{part}.")).collect::<String>())
        };
        dict.names().filter_map(prefix).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let numbered = |part: &str| part.strip_prefix("gcl_").is_some_and(|i| i.parse::<usize>().is_ok());
    // First by what every layer has, so that a stray key is no second model.
    let models = [
        before(&|parts| parts.len() > 1 && numbered(parts[0]) && parts[1] == "edge_mlp"),
        before(&|parts| numbered(parts[0])),
        before(&|parts| parts[0] == "edge_mlp"),
    ];
    models.into_iter().find(|prefixes| !prefixes.is_empty()).unwrap_or_default()
}

fn no_egnn(dict: &StateDict) -> ImportError {
    let unknown = |(key, data): (&str, &TensorData)| Difference::Unknown {
        key: key.to_owned(),
        shape: data.shape().to_vec(),
        dtype: data.dtype(),
    };
    ImportError::Architecture(Box::new(Differences {
        architecture:
            "an EGNN, which has keys such as `embedding.weight`, `gcl_0.edge_mlp.0.weight`, `gcl_0.node_mlp.0.weight`"
                .to_owned(),
        differences: dict.iter().map(unknown).collect(),
        advice: None,
    }))
}

/// What to do about a state dict that is close to one of an EGNN.
fn advice(dict: &StateDict, inner: &StateDict, prefix: &str) -> Option<String> {
    let any = |wanted: &str| inner.names().any(|name| name.split('.').any(|part| part == wanted));
    if any("decoder") && !any("coord_mlp") {
        return Some("it resembles GNN of n_body_system/model.py, which is not equivariant and is not imported".into());
    }
    if any("phi") {
        return Some("it resembles RF_vel of n_body_system/model.py, the radial field, which is not imported".into());
    }
    (inner.len() < dict.len() && !prefix.is_empty()).then(|| {
        let part = prefix.trim_end_matches('.');
        format!("to take the part of `{part}` alone: `StateDict::part(\"{part}\")`, `--part {part}`")
    })
}

/// The linear map that copies as many features as there are in both, and makes the others zero.
fn identity(input: usize, output: usize, device: &Device, dtype: DType) -> Linear {
    let values = (0..input * output).map(|i| if i / output == i % output { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
    let weight: Param<_> = parameter(TensorData::new(values, [input, output]), device, dtype);
    let bias = parameter(TensorData::new(vec![0.0; output], [output]), device, dtype);
    Linear { weight, bias: Some(bias) }
}
