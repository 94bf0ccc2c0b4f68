//! Attention to neighbours.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use equi_core::ops::{gather, segment_max, segment_sum};

use super::SE3TransformerConfig;
use super::config::{AttentionScope, Keys, Skip};
use super::convolution::{ConvolutionOptions, FibreConvolution, Surroundings};
use super::fibre::{Fibre, FibreFeatures};
use super::linear::FibreLinear;
use super::norm::FibreNorm;
use super::rotary::{Rotary, rotate};
use crate::weights::Weights;

/// What attention takes beside features and edges.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    /// Features of whole graphs, one tensor `[nodes, features]` for each of them.
    pub global: Vec<Tensor<2>>,
    pub rotary: Option<Rotary>,
}

/// `x + W attention(norm(x))`, or `W [attention(norm(x)), x]`.
#[derive(Module, Debug)]
pub struct AttentionBlock {
    /// Before the attention.
    pub norm: FibreNorm,
    /// The attention.
    pub attention: FibreAttention,
    #[module(skip)]
    skip: Skip,
}

impl AttentionBlock {
    pub(super) fn new(
        fibre: &Fibre,
        config: &SE3TransformerConfig,
        options: &ConvolutionOptions,
        weights: &mut Weights,
    ) -> Self {
        Self {
            norm: FibreNorm::new(fibre, config.norm_gated_scale, weights),
            attention: FibreAttention::new(fibre, config, options, weights),
            skip: config.skip,
        }
    }

    pub(super) fn forward(&self, features: FibreFeatures, edges: &Surroundings, context: &Context) -> FibreFeatures {
        let attended = self.attention.attend(&self.norm.forward(&features), edges, context);
        match self.skip {
            Skip::Sum => self.attention.project(attended).plus(&features),
            Skip::Cat => {
                let together = attended.degrees.into_iter().map(|(degree, attended)| {
                    (degree, Tensor::cat(vec![attended, features.degrees[&degree].clone()], 2))
                });
                self.attention.project(FibreFeatures { degrees: together.collect() })
            }
        }
    }
}

/// Attention of every node to its neighbours: queries from the node, keys and values from messages of a [`FibreConvolution`]; inner products
/// do not change under rotations, so the weights do not, and sums of values turn as the values do (Fuchs et al. 2020).
///
/// ```text
/// w_ij = softmax over j of (q_i . k_ij / sqrt(channels of a head))      z_i = sum over j of w_ij v_ij
/// ```
///
/// The softmax runs over all neighbours, the node itself, a place of rest and features of the whole graph, where these are asked for. A
/// node with none of these receives zero.
#[derive(Module, Debug)]
pub struct FibreAttention {
    /// Queries.
    pub queries: FibreLinear,
    /// Values.
    pub values: FibreConvolution,
    /// Keys; none where values are keys, or keys do not depend on the edge.
    pub keys: Option<FibreConvolution>,
    /// Keys that do not depend on the edge.
    pub node_keys: Option<FibreLinear>,
    /// Keys of the node itself.
    pub own_keys: Option<FibreLinear>,
    /// Values of the node itself.
    pub own_values: Option<FibreLinear>,
    /// Key of rest, `[1, channels]` of degree 0; those of other degrees are zero, the only vector that all rotations keep.
    pub null_key: Option<Param<Tensor<2>>>,
    /// Value of rest, as the key.
    pub null_value: Option<Param<Tensor<2>>>,
    /// Keys of features of the whole graph, degree 0.
    pub global_keys: Option<Param<Tensor<2>>>,
    /// Values of features of the whole graph, degree 0.
    pub global_values: Option<Param<Tensor<2>>>,
    /// From the heads to the fibre; none where there is one head of the same width.
    pub output: Option<FibreLinear>,
    heads: usize,
    key_heads: usize,
    scale: f64,
    #[module(skip)]
    scope: AttentionScope,
}

/// Something a node attends to beside its neighbours: `[nodes, 2 l + 1, channels]` for some degrees.
struct Slot {
    keys: BTreeMap<usize, Tensor<3>>,
    values: BTreeMap<usize, Tensor<3>>,
}

impl FibreAttention {
    fn new(fibre: &Fibre, config: &SE3TransformerConfig, options: &ConvolutionOptions, weights: &mut Weights) -> Self {
        let (heads, width) = (config.heads, config.dim_head);
        let key_heads = if config.one_headed_key_values { 1 } else { heads };
        let hidden = fibre.map(|_| heads * width);
        let shared = fibre.map(|_| key_heads * width);
        let rest = || [1, key_heads * width];
        let global = config.global_feats_dim;
        let projects = heads > 1 || config.skip == Skip::Cat || fibre.iter().any(|(_, channels)| channels != width);
        let from = match config.skip {
            Skip::Sum => hidden.clone(),
            Skip::Cat => Fibre::new(fibre.iter().map(|(degree, channels)| (degree, heads * width + channels))),
        };
        let global_weight = |weights: &mut Weights| {
            global.map(|dim| weights.normal_with([dim, key_heads * width], 1.0 / (dim as f64).sqrt()))
        };
        Self {
            queries: FibreLinear::new(fibre, &hidden, weights),
            values: FibreConvolution::new(fibre, &shared, false, options, weights),
            keys: (config.keys == Keys::Convolved)
                .then(|| FibreConvolution::new(fibre, &shared, false, options, weights)),
            node_keys: (config.keys == Keys::Linear).then(|| FibreLinear::new(fibre, &shared, weights)),
            own_keys: config.attend_self.then(|| FibreLinear::new(fibre, &shared, weights)),
            own_values: config.attend_self.then(|| FibreLinear::new(fibre, &shared, weights)),
            null_key: config.use_null_kv.then(|| weights.full(rest(), 0.0)),
            null_value: config.use_null_kv.then(|| weights.full(rest(), 0.0)),
            global_keys: global_weight(weights),
            global_values: global_weight(weights),
            output: projects.then(|| FibreLinear::new(&from, fibre, weights)),
            heads,
            key_heads,
            scale: match config.attention_scope {
                AttentionScope::EachDegree => 1.0 / (width as f64).sqrt(),
                AttentionScope::AllDegrees => 1.0 / (hidden.irreps().dim() as f64).sqrt(),
            },
            scope: config.attention_scope,
        }
    }

    fn project(&self, attended: FibreFeatures) -> FibreFeatures {
        match &self.output {
            Some(output) => output.forward(&attended),
            None => attended,
        }
    }

    /// What arrives at the heads, before it is brought back to the fibre.
    fn attend(&self, features: &FibreFeatures, edges: &Surroundings, context: &Context) -> FibreFeatures {
        let (receivers, senders) = (edges.graph.receivers(), edges.graph.senders());
        let mut queries = self.queries.forward(features);
        let mut values = self.values.messages(features, edges);
        let mut keys = match (&self.keys, &self.node_keys) {
            (Some(keys), _) => keys.messages(features, edges),
            (None, Some(keys)) => keys.forward(features).gathered(senders),
            (None, None) => values.clone(),
        };
        let mut slots = Vec::new();
        if let (Some(keys), Some(values)) = (&self.own_keys, &self.own_values) {
            slots.push(Slot { keys: keys.forward(features).degrees, values: values.forward(features).degrees });
        }
        if let Some(rotary) = &context.rotary {
            let turn = |features: &mut BTreeMap<usize, Tensor<3>>, angles, heads| {
                if let Some(scalars) = features.get_mut(&0) {
                    *scalars = rotate(scalars.clone(), angles, heads);
                }
            };
            turn(&mut queries.degrees, &rotary.nodes, self.heads);
            turn(&mut keys.degrees, &rotary.edges, self.key_heads);
            turn(&mut values.degrees, &rotary.edges, self.key_heads);
            for slot in &mut slots {
                turn(&mut slot.keys, &rotary.nodes, self.key_heads);
                turn(&mut slot.values, &rotary.nodes, self.key_heads);
            }
        }
        if let (Some(key), Some(value)) = (&self.null_key, &self.null_value) {
            let of = |scalar: &Param<Tensor<2>>| {
                let shape = |degree: &usize, like: &Tensor<3>| {
                    let [rows, components, _] = like.dims();
                    let width = scalar.dims()[1];
                    match degree {
                        0 => scalar.val().unsqueeze_dim::<3>(1).expand([rows, components, width]),
                        _ => Tensor::zeros([rows, components, width], (&like.device(), like.dtype())),
                    }
                };
                queries.degrees.iter().map(|(degree, like)| (*degree, shape(degree, like))).collect()
            };
            slots.push(Slot { keys: of(key), values: of(value) });
        }
        if let (Some(keys), Some(values)) = (&self.global_keys, &self.global_values) {
            for global in &context.global {
                let of = |weight: &Param<Tensor<2>>| {
                    BTreeMap::from([(0, global.clone().matmul(weight.val()).unsqueeze_dim::<3>(1))])
                };
                slots.push(Slot { keys: of(keys), values: of(values) });
            }
        }

        let logits = |degree: usize| self.inner(gathered(&queries.degrees[&degree], receivers), &keys.degrees[&degree]);
        let own = |slot: &Slot, degree: usize| {
            slot.keys.get(&degree).map(|keys| self.inner(queries.degrees[&degree].clone(), keys))
        };
        let weigh = |logits: Tensor<2>, own: Vec<Tensor<2>>| Weighing::new(logits, own, receivers);
        let mut attended = BTreeMap::new();
        match self.scope {
            AttentionScope::EachDegree => {
                for (&degree, values) in &values.degrees {
                    let seen: Vec<_> = slots.iter().filter_map(|slot| Some((slot, own(slot, degree)?))).collect();
                    let weighing = weigh(logits(degree), seen.iter().map(|(_, logits)| logits.clone()).collect());
                    let others = seen.iter().map(|(slot, _)| slot.values.get(&degree)).collect();
                    attended.insert(degree, self.sum(&weighing, values, others, edges));
                }
            }
            AttentionScope::AllDegrees => {
                let total = |each: Vec<Tensor<2>>| each.into_iter().reduce(|a, b| a + b).expect("a degree");
                let all: Vec<usize> = values.degrees.keys().copied().collect();
                let of_slots = slots
                    .iter()
                    .map(|slot| total(all.iter().filter_map(|&degree| own(slot, degree)).collect()))
                    .collect();
                let weighing = weigh(total(all.iter().map(|&degree| logits(degree)).collect()), of_slots);
                for (&degree, values) in &values.degrees {
                    let others = slots.iter().map(|slot| slot.values.get(&degree)).collect();
                    attended.insert(degree, self.sum(&weighing, values, others, edges));
                }
            }
        }
        FibreFeatures { degrees: attended }
    }

    /// The inner products of every head, `[rows, heads]`.
    fn inner(&self, queries: Tensor<3>, keys: &Tensor<3>) -> Tensor<2> {
        let [rows, components, width] = queries.dims();
        let channels = width / self.heads;
        let queries = queries.reshape([rows, components, self.heads, channels]);
        let keys = keys.clone().reshape([rows, components, self.key_heads, channels]);
        let products = (queries * keys).sum_dim(3).sum_dim(1);
        products.reshape([rows, self.heads]) * self.scale
    }

    /// The values weighed, `[nodes, 2 l + 1, heads * channels]`.
    fn sum(
        &self,
        weighing: &Weighing,
        values: &Tensor<3>,
        others: Vec<Option<&Tensor<3>>>,
        edges: &Surroundings,
    ) -> Tensor<3> {
        let [_, components, width] = values.dims();
        let width = width / self.key_heads * self.heads;
        let sum = segment_sum(self.weighed(values, &weighing.edges), edges.graph.receivers());
        let own = weighing.own.iter().zip(others).filter_map(|(weights, values)| Some(self.weighed(values?, weights)));
        let sum = own.fold(sum, |sum, own| sum + own);
        let nodes = sum.dims()[0];
        let total = weighing.total.clone().reshape([nodes, 1, self.heads, 1]);
        let by_head = sum.reshape([nodes, components, self.heads, width / self.heads]) / total;
        by_head.reshape([nodes, components, width])
    }

    /// `[rows, (2 l + 1) * heads * channels]`.
    fn weighed(&self, values: &Tensor<3>, weights: &Tensor<2>) -> Tensor<2> {
        let [rows, components, width] = values.dims();
        let channels = width / self.key_heads;
        let values = values.clone().reshape([rows, components, self.key_heads, channels]);
        let weights = weights.clone().reshape([rows, 1, self.heads, 1]);
        (values * weights).reshape([rows, components * self.heads * channels])
    }
}

/// A softmax before it is divided by its sum.
struct Weighing {
    /// `[edges, heads]`
    edges: Tensor<2>,
    /// What a node attends to beside its neighbours, each `[nodes, heads]`.
    own: Vec<Tensor<2>>,
    /// `[nodes, heads]`; not zero.
    total: Tensor<2>,
}

impl Weighing {
    fn new(logits: Tensor<2>, own: Vec<Tensor<2>>, receivers: &equi_core::ops::Segments) -> Self {
        let highest = segment_max(logits.clone().detach(), receivers);
        let highest = match own.iter().map(|own| own.clone().detach()).reduce(Tensor::max_pair) {
            Some(own) => {
                // The maximum over no neighbours is given as zero, which is not one of the logits.
                let alone = receivers.sizes(&highest).equal_scalar(0.0).repeat_dim(1, highest.dims()[1]);
                highest.max_pair(own.clone()).mask_where(alone, own)
            }
            None => highest,
        };
        let edges = (logits - gather(highest.clone(), receivers)).exp();
        let own: Vec<_> = own.into_iter().map(|logits| (logits - highest.clone()).exp()).collect();
        let sum = segment_sum(edges.clone(), receivers);
        let sum = own.iter().fold(sum, |sum, own| sum + own.clone());
        // Zero only where there is nothing to attend to, and then everything weighed is zero.
        let nothing = sum.clone().equal_scalar(0.0);
        Self { edges, own, total: sum.mask_fill(nothing, 1.0) }
    }
}

fn gathered(features: &Tensor<3>, segments: &equi_core::ops::Segments) -> Tensor<3> {
    let [rows, components, channels] = features.dims();
    let gathered = gather(features.clone().reshape([rows, components * channels]), segments);
    let rows = gathered.dims()[0];
    gathered.reshape([rows, components, channels])
}
