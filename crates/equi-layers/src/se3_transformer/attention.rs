//! Attention to neighbours.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use equi_core::ops::{Segments, gather, head_products, head_sums, segment_highest, segment_sum};

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
    fn attend(&self, features: &FibreFeatures, surroundings: &Surroundings, context: &Context) -> FibreFeatures {
        let graph = surroundings.graph;
        let receivers = graph.receivers();
        let mut queries = self.queries.forward(features);
        let mut messages = surroundings.edges.as_ref().map(|edges| {
            let values = self.values.messages(features, graph, edges);
            let keys = match (&self.keys, &self.node_keys) {
                (Some(keys), _) => keys.messages(features, graph, edges),
                (None, Some(keys)) => keys.forward(features).gathered(graph.senders()),
                (None, None) => values.clone(),
            };
            Slot { keys: keys.degrees, values: values.degrees }
        });
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
            if let (Some(messages), Some(angles)) = (&mut messages, &rotary.edges) {
                turn(&mut messages.keys, angles, self.key_heads);
                turn(&mut messages.values, angles, self.key_heads);
            }
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

        let logits = |degree: usize| {
            let keys = &messages.as_ref()?.keys[&degree];
            let queries = &queries.degrees[&degree];
            if self.key_heads == self.heads {
                let scaled = queries.clone() * self.scale;
                return Some(head_products(scaled, keys.clone(), receivers, self.heads));
            }
            Some(self.inner(gathered(queries, receivers), keys))
        };
        let own = |slot: &Slot, degree: usize| {
            slot.keys.get(&degree).map(|keys| self.inner(queries.degrees[&degree].clone(), keys))
        };
        let values = |degree: usize| messages.as_ref().map(|messages| &messages.values[&degree]);
        let mut attended = BTreeMap::new();
        match self.scope {
            AttentionScope::EachDegree => {
                for (&degree, queries) in &queries.degrees {
                    let seen: Vec<_> = slots.iter().filter_map(|slot| Some((slot, own(slot, degree)?))).collect();
                    let of_slots = seen.iter().map(|(_, logits)| logits.clone()).collect();
                    let weighing = Weighing::new(logits(degree), of_slots, receivers);
                    let others = seen.iter().map(|(slot, _)| slot.values.get(&degree)).collect();
                    attended.insert(degree, self.sum(&weighing, values(degree), others, queries, receivers));
                }
            }
            AttentionScope::AllDegrees => {
                let all: Vec<usize> = queries.degrees.keys().copied().collect();
                let of_slots = slots.iter().map(|slot| {
                    let each = all.iter().filter_map(|&degree| own(slot, degree));
                    each.reduce(|a, b| a + b).expect("a degree")
                });
                let of_edges = all.iter().filter_map(|&degree| logits(degree)).reduce(|a, b| a + b);
                let weighing = Weighing::new(of_edges, of_slots.collect(), receivers);
                for (&degree, queries) in &queries.degrees {
                    let others = slots.iter().map(|slot| slot.values.get(&degree)).collect();
                    attended.insert(degree, self.sum(&weighing, values(degree), others, queries, receivers));
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

    /// The values weighed, of the shape of the queries, `[nodes, 2 l + 1, heads * channels]`.
    fn sum(
        &self,
        weighing: &Weighing,
        values: Option<&Tensor<3>>,
        others: Vec<Option<&Tensor<3>>>,
        queries: &Tensor<3>,
        receivers: &Segments,
    ) -> Tensor<3> {
        let [nodes, components, width] = queries.dims();
        let heard = values.zip(weighing.edges.as_ref());
        let heard = heard.map(|(values, weights)| match self.key_heads == self.heads {
            true => {
                let sums = head_sums(values.clone(), weights.clone(), receivers);
                sums.reshape([nodes, components * width])
            }
            false => segment_sum(self.weighed(values, weights), receivers),
        });
        let own = weighing.own.iter().zip(others).filter_map(|(weights, values)| Some(self.weighed(values?, weights)));
        let Some((sum, total)) = heard.into_iter().chain(own).reduce(|a, b| a + b).zip(weighing.total.clone()) else {
            return Tensor::zeros([nodes, components, width], (&queries.device(), queries.dtype()));
        };
        let total = total.reshape([nodes, 1, self.heads, 1]);
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
    /// `[edges, heads]`; none where there is no edge.
    edges: Option<Tensor<2>>,
    /// What a node attends to beside its neighbours, each `[nodes, heads]`.
    own: Vec<Tensor<2>>,
    /// `[nodes, heads]`; not zero. None where no node has anything to attend to.
    total: Option<Tensor<2>>,
}

impl Weighing {
    fn new(logits: Option<Tensor<2>>, own: Vec<Tensor<2>>, receivers: &Segments) -> Self {
        let highest_own = own.iter().map(|own| own.clone().detach()).reduce(Tensor::max_pair);
        let highest_edge = logits.as_ref().map(|logits| segment_highest(logits.clone(), receivers));
        let highest = match (highest_edge, highest_own) {
            (Some(highest), Some(own)) => {
                // The maximum over no neighbours is given as zero, which is not one of the logits.
                let alone = receivers.sizes(&highest).equal_scalar(0.0).repeat_dim(1, highest.dims()[1]);
                highest.max_pair(own.clone()).mask_where(alone, own)
            }
            (Some(highest), None) | (None, Some(highest)) => highest,
            (None, None) => return Self { edges: None, own, total: None },
        };
        let edges = logits.map(|logits| (logits - gather(highest.clone(), receivers)).exp());
        let own: Vec<_> = own.into_iter().map(|logits| (logits - highest.clone()).exp()).collect();
        let sum = edges.as_ref().map(|edges| segment_sum(edges.clone(), receivers));
        let sum = sum.into_iter().chain(own.iter().cloned()).reduce(|a, b| a + b);
        let total = sum.map(|sum| {
            // Zero only where there is nothing to attend to, and then everything weighed is zero.
            let nothing = sum.clone().equal_scalar(0.0);
            sum.mask_fill(nothing, 1.0)
        });
        Self { edges, own, total }
    }
}

fn gathered(features: &Tensor<3>, segments: &Segments) -> Tensor<3> {
    let [rows, components, channels] = features.dims();
    let gathered = gather(features.clone().reshape([rows, components * channels]), segments);
    let rows = gathered.dims()[0];
    gathered.reshape([rows, components, channels])
}
