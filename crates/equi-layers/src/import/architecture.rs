//! What the keys and shapes of an EGNN's state dict tell about it.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::mapping;
use super::qm9::Qm9Egnn;
use super::state_dict::StateDict;
use crate::graph::Egnn;

/// The models of the reference implementation, `github.com/vgsatorras/egnn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `EGNN` of `models/egnn_clean/egnn_clean.py`: features and positions in and out.
    Clean,
    /// `E_GCL` of the same file, one layer on its own.
    Layer,
    /// `EGNN_vel` of `n_body_system/model.py`: velocities in, positions out.
    Velocity,
    /// `EGNN` of `n_body_system/model.py`: as [`Velocity`](Self::Velocity) without velocities.
    Positions,
    /// `EGNN` of `qm9/models.py`: positions stay, and the features of all nodes become one number.
    Qm9,
}

impl Variant {
    /// The class and its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "EGNN of models/egnn_clean/egnn_clean.py",
            Self::Layer => "E_GCL of models/egnn_clean/egnn_clean.py",
            Self::Velocity => "EGNN_vel of n_body_system/model.py",
            Self::Positions => "EGNN of n_body_system/model.py",
            Self::Qm9 => "EGNN of qm9/models.py",
        }
    }

    /// The first layer of the features.
    pub(super) fn embedding(self) -> &'static str {
        if self == Self::Clean { "embedding_in" } else { "embedding" }
    }

    fn recognise(dict: &StateDict) -> Self {
        let any = |wanted: &[&str]| dict.names().any(|name| name.split('.').any(|part| wanted.contains(&part)));
        if any(&["node_dec", "graph_dec"]) {
            Self::Qm9
        } else if any(&["coord_mlp_vel"]) {
            Self::Velocity
        } else if any(&["embedding_in", "embedding_out"]) {
            Self::Clean
        } else {
            Self::Positions
        }
    }
}

/// A model of the reference as far as its state dict tells: everything but the switches without parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Which of the models.
    pub variant: Variant,
    /// `n_layers`.
    pub layers: usize,
    /// `hidden_nf`.
    pub hidden: usize,
    /// `in_node_nf`.
    pub in_features: usize,
    /// `out_node_nf`, where the model has such an output.
    pub out_features: Option<usize>,
    /// `in_edge_nf`.
    pub edge_features: usize,
    /// Features of the nodes that every layer is shown afresh (`node_attr`).
    pub node_attributes: usize,
    /// `attention`.
    pub attention: bool,
}

impl Architecture {
    /// Infers from `dict`, whose keys carry no prefix. Where shapes contradict each other the majority decides, so that the exception is
    /// what differs. `None` if the keys are not those of an EGNN.
    pub(super) fn infer(dict: &StateDict) -> Option<Self> {
        let layers = dict.names().filter_map(|name| layer_index(name, dict.len())).max();
        match layers {
            Some(last) => Self::infer_model(dict, last + 1),
            None => Self::infer_layer(dict),
        }
    }

    fn infer_model(dict: &StateDict, layers: usize) -> Option<Self> {
        let variant = Variant::recognise(dict);
        let layered =
            |key: &'static str, axis| (0..layers).filter_map(move |i| size(dict, &format!("gcl_{i}.{key}"), axis));
        let embedding = variant.embedding();
        let hidden = most_frequent(
            size(dict, &format!("{embedding}.bias"), 0)
                .into_iter()
                .chain(layered("edge_mlp.2.weight", 0))
                .chain(layered("edge_mlp.2.weight", 1))
                .chain(layered("node_mlp.2.weight", 0)),
        )?;
        let beyond = |key, known: usize| most_frequent(layered(key, 1)).map_or(0, |all| all.saturating_sub(known));
        Some(Self {
            variant,
            layers,
            hidden,
            in_features: size(dict, &format!("{embedding}.weight"), 1).unwrap_or(1),
            out_features: (variant == Variant::Clean).then(|| size(dict, "embedding_out.weight", 0).unwrap_or(1)),
            edge_features: beyond("edge_mlp.0.weight", hidden.saturating_mul(2).saturating_add(1)),
            node_attributes: beyond("node_mlp.0.weight", hidden.saturating_mul(2)),
            attention: attention(dict),
        })
    }

    fn infer_layer(dict: &StateDict) -> Option<Self> {
        let hidden = size(dict, "edge_mlp.2.weight", 0)?;
        let in_features = size(dict, "node_mlp.0.weight", 1)?.saturating_sub(hidden).max(1);
        let inputs = size(dict, "edge_mlp.0.weight", 1)?;
        Some(Self {
            variant: Variant::Layer,
            layers: 1,
            hidden,
            in_features,
            out_features: Some(size(dict, "node_mlp.2.weight", 0)?),
            edge_features: inputs.saturating_sub(in_features.saturating_mul(2).saturating_add(1)),
            node_attributes: 0,
            attention: attention(dict),
        })
    }

    /// Features of a node before and after a layer.
    pub(super) fn layer_features(&self) -> [usize; 2] {
        match (self.variant, self.out_features) {
            (Variant::Layer, Some(out_features)) => [self.in_features, out_features],
            _ => [self.hidden; 2],
        }
    }

    /// The width of our network: the reference's, or where a single layer has several, the largest.
    pub(super) fn width(&self) -> usize {
        self.layer_features().into_iter().fold(self.hidden, usize::max)
    }

    /// The keys of the state dict with their shapes.
    pub fn keys(&self) -> BTreeMap<String, Vec<usize>> {
        let Self { variant, hidden, .. } = *self;
        let mut keys = Keys::default();
        if variant == Variant::Layer {
            self.layer_keys("", &mut keys);
            return keys.0;
        }
        keys.linear(variant.embedding(), self.in_features, hidden);
        for i in 0..self.layers {
            self.layer_keys(&format!("gcl_{i}."), &mut keys);
        }
        if let Some(out_features) = self.out_features {
            keys.linear("embedding_out", hidden, out_features);
        }
        if variant == Variant::Qm9 {
            keys.linear("node_dec.0", hidden, hidden);
            keys.linear("node_dec.2", hidden, hidden);
            keys.linear("graph_dec.0", hidden, hidden);
            keys.linear("graph_dec.2", hidden, 1);
        }
        keys.0
    }

    fn layer_keys(&self, prefix: &str, keys: &mut Keys) {
        let Self { variant, hidden, edge_features, node_attributes, .. } = *self;
        let [received, updated] = self.layer_features();
        let at = |key: &str| format!("{prefix}{key}");
        keys.linear(&at("edge_mlp.0"), 2 * received + 1 + edge_features, hidden);
        keys.linear(&at("edge_mlp.2"), hidden, hidden);
        keys.linear(&at("node_mlp.0"), received + hidden + node_attributes, hidden);
        keys.linear(&at("node_mlp.2"), hidden, updated);
        if variant != Variant::Qm9 {
            keys.linear(&at("coord_mlp.0"), hidden, hidden);
            keys.weight(&at("coord_mlp.2"), hidden, 1);
        }
        if variant == Variant::Velocity {
            keys.linear(&at("coord_mlp_vel.0"), hidden, hidden);
            keys.linear(&at("coord_mlp_vel.2"), hidden, 1);
        }
        if self.attention {
            keys.linear(&at("att_mlp.0"), hidden, 1);
        }
    }

    /// Number of parameters of the reference.
    pub fn parameters(&self) -> usize {
        self.keys().values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// The state dict that the model of the reference would have with the weights of `egnn`, in the precision of these. What
    /// [`EgnnCheckpoint`](super::EgnnCheckpoint) reads comes back bit for bit.
    ///
    /// # Panics
    /// If `egnn` is not of this architecture, or this is a [`Variant::Qm9`], which is [more than an `Egnn`](Self::qm9_state_dict).
    pub fn state_dict(&self, egnn: &Egnn) -> StateDict {
        let mut egnn = egnn.clone();
        self.complete(mapping::written(mapping::counterparts(self, &mut egnn)))
    }

    /// As [`state_dict`](Self::state_dict), for a [`Variant::Qm9`].
    ///
    /// # Panics
    /// If `model` is not of this architecture.
    pub fn qm9_state_dict(&self, model: &Qm9Egnn) -> StateDict {
        let mut model = model.clone();
        let mut egnn = model.egnn.clone();
        let mut counterparts = mapping::counterparts(self, &mut egnn);
        counterparts.extend(model.decoders());
        self.complete(mapping::written(counterparts))
    }

    fn complete(&self, dict: StateDict) -> StateDict {
        let shapes: BTreeMap<_, _> = dict.iter().map(|(key, data)| (key.to_owned(), data.shape().to_vec())).collect();
        assert!(shapes == self.keys(), "the network is no {self}");
        dict
    }
}

impl Display for Architecture {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = vec![counted(self.layers, "layer"), format!("width {}", self.hidden)];
        parts.push(counted(self.in_features, "node feature"));
        parts.push(counted(self.edge_features, "edge feature"));
        parts.extend((self.node_attributes > 0).then(|| counted(self.node_attributes, "node attribute")));
        parts.extend(self.out_features.map(|out| counted(out, "output feature")));
        parts.extend(self.attention.then(|| "attention".to_owned()));
        write!(f, "{} ({})", self.variant.name(), parts.join(", "))
    }
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The keys of layers as `torch.nn.Linear` names and shapes them.
#[derive(Default)]
struct Keys(BTreeMap<String, Vec<usize>>);

impl Keys {
    fn weight(&mut self, name: &str, input: usize, output: usize) {
        self.0.insert(format!("{name}.weight"), vec![output, input]);
    }

    fn linear(&mut self, name: &str, input: usize, output: usize) {
        self.weight(name, input, output);
        self.0.insert(format!("{name}.bias"), vec![output]);
    }
}

/// The size of a tensor along an axis. A tensor without values tells nothing: its other axes may be of any size.
fn size(dict: &StateDict, key: &str, axis: usize) -> Option<usize> {
    let data = dict.get(key).filter(|data| !data.bytes().is_empty())?;
    data.shape().get(axis).copied()
}

fn attention(dict: &StateDict) -> bool {
    dict.names().any(|name| name.split('.').any(|part| part == "att_mlp"))
}

/// The `i` of `gcl_i.`; a number above that of all tensors is none, so that no file makes up a million missing layers.
fn layer_index(name: &str, tensors: usize) -> Option<usize> {
    name.strip_prefix("gcl_")?.split_once('.')?.0.parse().ok().filter(|index| *index < tensors)
}

/// The most frequent number; of equals, the smallest.
fn most_frequent(numbers: impl Iterator<Item = usize>) -> Option<usize> {
    let mut counts = BTreeMap::<usize, usize>::new();
    numbers.for_each(|number| *counts.entry(number).or_default() += 1);
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(number, _)| number)
}
