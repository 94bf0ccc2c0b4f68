//! The layers of the network, one by one.

use super::SE3Transformer;
use super::attention::{AttentionBlock, Context};
use super::convolution::{FibreConvolution, Surroundings};
use super::egnn::EgnnBlock;
use super::feed_forward::FeedForwardBlock;
use super::fibre::{Fibre, FibreFeatures};
use super::linear::FibreLinear;
use super::model::{PreConvolution, SE3Inputs};
use super::norm::FibreNorm;
use crate::graph::Graph;

/// A layer of the network, with its name and what nodes carry before and after it.
pub(super) struct Layer<'a> {
    pub name: String,
    pub before: Fibre,
    pub after: Fibre,
    pub kind: Kind<'a>,
}

/// What a layer is.
pub(super) enum Kind<'a> {
    Input(&'a FibreConvolution),
    PreConvolution(&'a PreConvolution),
    Attention(&'a AttentionBlock),
    FeedForward(&'a FeedForwardBlock),
    Egnn(&'a EgnnBlock),
    Output(&'a FibreConvolution),
    Norm(&'a FibreNorm),
    Reduction(&'a FibreLinear),
}

impl Layer<'_> {
    pub fn forward(&self, features: FibreFeatures, edges: &Surroundings, context: &Context) -> FibreFeatures {
        match self.kind {
            Kind::Input(convolution) | Kind::Output(convolution) => convolution.forward(&features, edges),
            Kind::PreConvolution(layer) => layer.convolution.forward(&layer.norm.forward(&features), edges),
            Kind::Attention(block) => block.forward(features, edges, context),
            Kind::FeedForward(block) => block.forward(features),
            Kind::Egnn(block) => block.forward(features, edges),
            Kind::Norm(norm) => norm.forward(&features),
            Kind::Reduction(linear) => linear.forward(&features),
        }
    }
}

impl SE3Transformer {
    /// All layers, in order.
    pub(super) fn all_layers(&self) -> Vec<Layer<'_>> {
        let config = self.config();
        let (input, hidden) = (config.fibre_in(), config.fibre_hidden());
        let (unreduced, output) = (config.fibre_unreduced(), config.fibre_out());
        let inside = |name: String, kind| Layer { name, before: hidden.clone(), after: hidden.clone(), kind };
        let mut layers = vec![Layer {
            name: "input convolution".to_string(),
            before: input,
            after: hidden.clone(),
            kind: Kind::Input(&self.input),
        }];
        for (place, layer) in self.pre_convolutions.iter().enumerate() {
            layers.push(inside(format!("convolution {}", place + 1), Kind::PreConvolution(layer)));
        }
        for (place, block) in self.blocks.iter().enumerate() {
            layers.push(inside(format!("attention {}", place + 1), Kind::Attention(&block.attention)));
            if let Some(block) = &block.feed_forward {
                layers.push(inside(format!("feed-forward {}", place + 1), Kind::FeedForward(block)));
            }
        }
        for (place, block) in self.egnn.iter().enumerate() {
            layers.push(inside(format!("EGNN block {}", place + 1), Kind::Egnn(block)));
        }
        let mut push = |name: &str, before: &Fibre, after: &Fibre, kind| {
            layers.push(Layer { name: name.to_string(), before: before.clone(), after: after.clone(), kind });
        };
        if let Some(convolution) = &self.output {
            push("output convolution", &hidden, &unreduced, Kind::Output(convolution));
        }
        if let Some(norm) = &self.norm {
            push("norm", &unreduced, &unreduced, Kind::Norm(norm));
        }
        if let Some(linear) = &self.reduction {
            push("reduction", &unreduced, &output, Kind::Reduction(linear));
        }
        layers
    }

    /// The names of the layers in order, and what nodes carry after each of them.
    pub fn layers(&self) -> Vec<(String, Fibre)> {
        self.all_layers().into_iter().map(|layer| (layer.name, layer.after)).collect()
    }

    /// One layer alone, the one at `place` in [`layers`](Self::layers): what nodes carry after it.
    ///
    /// `inputs.nodes` are what nodes carry before it; all else is as for the whole network. So every layer after the one before it is
    /// [`forward`](Self::forward).
    ///
    /// # Panics
    /// As [`forward`](Self::forward), or if there is no such layer.
    pub fn forward_layer(&self, place: usize, graph: &Graph, inputs: SE3Inputs) -> FibreFeatures {
        let layers = self.all_layers();
        let count = layers.len();
        assert!(place < count, "this network has {count} layers, numbered from 0; there is no layer {place}");
        self.through(&layers[place..=place], graph, inputs)
    }
}
