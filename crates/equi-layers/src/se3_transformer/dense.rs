//! Padded tensors, whose neighbours the network chooses itself.

use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::SE3Transformer;
use super::fibre::FibreFeatures;
use super::model::embed;
use crate::error::{LayerError, Result};
use crate::graph::{EdgeList, Graph, Padding};

/// Graphs in padded tensors, as `se3-transformer-pytorch` takes them.
#[derive(Clone, Debug)]
pub struct DenseInputs {
    /// Features by degree, each `[batch, places, channels, 2 l + 1]`; empty where there are tokens.
    pub features: Vec<(usize, Tensor<4>)>,
    /// Tokens, `[batch, places]`.
    pub tokens: Option<Tensor<2, Int>>,
    /// Positions, `[batch, places, 3]`.
    pub positions: Tensor<3>,
    /// True where there is a node, `[batch, places]`; everywhere if none.
    pub mask: Option<Tensor<2, Bool>>,
    /// True between bonded places, `[batch, place, place]`.
    pub adjacency: Option<Tensor<3, Bool>>,
    /// Features of edges, `[batch, receiving place, sending place, edge_dim]`.
    pub edges: Option<Tensor<4>>,
    /// Tokens of edges, `[batch, receiving place, sending place]`.
    pub edge_tokens: Option<Tensor<3, Int>>,
    /// True where a place may be a neighbour without a bond, `[batch, receiving place, sending place]`.
    pub neighbour_mask: Option<Tensor<3, Bool>>,
    /// Features of whole graphs, `[batch, any number, global_feats_dim]`.
    pub global: Option<Tensor<3>>,
}

impl DenseInputs {
    /// Scalars `[batch, places, channels]` and positions `[batch, places, 3]`.
    pub fn new(scalars: Tensor<3>, positions: Tensor<3>) -> Self {
        Self { features: vec![(0, scalars.unsqueeze_dim(3))], ..Self::empty(positions) }
    }

    /// Tokens `[batch, places]` and positions `[batch, places, 3]`.
    pub fn of_tokens(tokens: Tensor<2, Int>, positions: Tensor<3>) -> Self {
        Self { tokens: Some(tokens), ..Self::empty(positions) }
    }

    fn empty(positions: Tensor<3>) -> Self {
        Self {
            features: Vec::new(),
            tokens: None,
            positions,
            mask: None,
            adjacency: None,
            edges: None,
            edge_tokens: None,
            neighbour_mask: None,
            global: None,
        }
    }

    /// The same with features of another degree, `[batch, places, channels, 2 l + 1]`.
    pub fn with_degree(mut self, degree: usize, features: Tensor<4>) -> Self {
        self.features.push((degree, features));
        self
    }

    /// The same with a mask.
    pub fn with_mask(mut self, mask: Tensor<2, Bool>) -> Self {
        self.mask = Some(mask);
        self
    }

    /// The same with bonds.
    pub fn with_adjacency(mut self, adjacency: Tensor<3, Bool>) -> Self {
        self.adjacency = Some(adjacency);
        self
    }

    /// The same with features of edges.
    pub fn with_edges(mut self, edges: Tensor<4>) -> Self {
        self.edges = Some(edges);
        self
    }

    /// The same with tokens of edges.
    pub fn with_edge_tokens(mut self, tokens: Tensor<3, Int>) -> Self {
        self.edge_tokens = Some(tokens);
        self
    }

    /// The same with a mask of neighbours.
    pub fn with_neighbour_mask(mut self, mask: Tensor<3, Bool>) -> Self {
        self.neighbour_mask = Some(mask);
        self
    }

    /// The same with features of whole graphs.
    pub fn with_global(mut self, global: Tensor<3>) -> Self {
        self.global = Some(global);
        self
    }
}

/// The features of the nodes, to be had in their places or as means over graphs.
#[derive(Clone, Debug)]
pub struct DenseOutput {
    features: FibreFeatures,
    padding: Padding,
}

impl DenseOutput {
    /// The features of a degree, `[batch, places, channels, 2 l + 1]`; zero where there is no node.
    pub fn degree(&self, degree: usize) -> Option<Tensor<4>> {
        let features = self.features.degrees.get(&degree)?;
        let [rows, components, channels] = features.dims();
        let padded = self.padding.pad(features.clone().reshape([rows, components * channels]));
        let [batch, places, _] = padded.dims();
        Some(padded.reshape([batch, places, components, channels]).swap_dims(2, 3))
    }

    /// The features of degree 0, `[batch, places, channels]`.
    ///
    /// # Panics
    /// If there are none.
    pub fn scalars(&self) -> Tensor<3> {
        self.padding.pad(self.features.clone().into_scalars())
    }

    /// The mean over the nodes of every graph, one row each; zero for a graph without nodes.
    pub fn pooled(&self) -> FibreFeatures {
        self.features.pooled(self.padding.graph().members())
    }

    /// The features of the nodes, one row each.
    pub fn rows(&self) -> &FibreFeatures {
        &self.features
    }

    /// The graph that was used.
    pub fn graph(&self) -> &Graph {
        self.padding.graph()
    }
}

impl SE3Transformer {
    /// The features of the nodes after the network, whose neighbours are chosen by the options: see
    /// [`SE3TransformerConfig::neighbours`](super::SE3TransformerConfig::neighbours).
    ///
    /// # Errors
    /// [`LayerError::Graph`] for tensors that do not fit each other, tokens beside features, an adjacency that no option uses, more places than `num_positions`, positions that are not finite, or bonds that
    /// are missing though the options use them; [`LayerError::Core`] for more nodes or edges than an index of 32 bits can number.
    ///
    /// # Panics
    /// As [`forward`](Self::forward) does.
    pub fn forward_dense(&self, inputs: DenseInputs) -> Result<DenseOutput> {
        let [batch, places, dimensions] = inputs.positions.dims();
        check_shapes(&inputs, [batch, places, dimensions])?;
        if let Some(most) = self.config.num_positions.filter(|&most| places > most) {
            return Err(LayerError::Graph(format!("there are {places} places, and num_positions is {most}: raise it")));
        }
        if inputs.adjacency.is_some() && !(self.config.attend_sparse_neighbors || self.config.adj_dim > 0) {
            return Err(LayerError::Graph(
                "no option uses the adjacency: set attend_sparse_neighbors or adj_dim, or leave it out".to_string(),
            ));
        }
        let device = inputs.positions.device();
        let real: Vec<bool> = match &inputs.mask {
            Some(mask) => read(mask.clone()),
            None => vec![true; batch * places],
        };
        let positions: Vec<f64> = inputs.positions.to_data().iter::<f64>().collect();
        let (adjacency, allowed) = (inputs.adjacency.map(read), inputs.neighbour_mask.map(read));
        let (mut graphs, mut hops, mut sequence) = (Vec::new(), Vec::new(), Vec::new());
        for graph in 0..batch {
            let nodes: Vec<usize> = (0..places).filter(|place| real[graph * places + place]).collect();
            let pair = |i: usize, j: usize| (graph * places + nodes[i]) * places + nodes[j];
            let pairs = || (0..nodes.len()).flat_map(|i| (0..nodes.len()).map(move |j| (i, j)));
            let at = |&place: &usize| std::array::from_fn(|axis| positions[(graph * places + place) * 3 + axis]);
            let points: Vec<[f64; 3]> = nodes.iter().map(at).collect();
            let bonds = adjacency.as_ref().map(|adjacency| {
                let bonded = pairs().filter(|&(i, j)| i != j && adjacency[pair(i, j)]);
                let (receivers, senders) = bonded.unzip();
                EdgeList::new(nodes.len(), receivers, senders)
            });
            let allowed: Option<Vec<bool>> =
                allowed.as_ref().map(|allowed| pairs().map(|(i, j)| allowed[pair(i, j)]).collect());
            let chosen = self.config.neighbours(&points, bonds.transpose()?.as_ref(), allowed.as_deref())?;
            hops.extend(chosen.hops.into_iter().map(|hops| hops as i64));
            graphs.push(chosen.edges);
            sequence.extend(nodes.into_iter().map(|place| place as i64));
        }
        let all = |_: ()| Tensor::<2>::ones([batch, places], &device.clone().without_autodiff()).greater_elem(0.5);
        let mask = inputs.mask.unwrap_or_else(|| all(()));
        let padding = Padding::new(mask, &graphs)?;
        let features = match (inputs.tokens, &self.token_embedding) {
            (Some(tokens), Some(embedding)) => {
                let embedded = embed(embedding, tokens.reshape([batch * places]));
                let channels = embedded.dims()[1];
                FibreFeatures::scalars(padding.pack(embedded.reshape([batch, places, channels])))
            }
            (None, None) => inputs.features.into_iter().fold(FibreFeatures::default(), |features, (degree, dense)| {
                let [_, _, channels, components] = dense.dims();
                let rows = padding.pack(dense.reshape([batch, places, channels * components]));
                let nodes = rows.dims()[0];
                features.with_degree(degree, rows.reshape([nodes, channels, components]))
            }),
            (Some(_), None) => panic!("this network takes features of nodes, not tokens"),
            (None, Some(_)) => panic!("this network takes tokens of nodes, not features"),
        };
        let edges = match (inputs.edge_tokens, &self.edge_embedding) {
            (Some(tokens), Some(embedding)) => {
                let embedded = embed(embedding, tokens.reshape([batch * places * places]));
                let channels = embedded.dims()[1];
                Some(padding.pack_edges(embedded.reshape([batch, places, places, channels])))
            }
            (None, None) => inputs.edges.map(|edges| padding.pack_edges(edges)),
            (Some(_), None) => panic!("this network takes no tokens of edges"),
            (None, Some(_)) => panic!("this network takes tokens of edges"),
        };
        let upload = |values: Vec<i64>| {
            let shape = [values.len()];
            Tensor::<1, Int>::from_data(TensorData::new(values, shape), &device)
        };
        let positions = padding.pack(inputs.positions);
        let (hops, sequence) = (Some(upload(hops)), Some(upload(sequence)));
        let layers = self.all_layers();
        let features = self.run(&layers, padding.graph(), features, positions, edges, hops, sequence, inputs.global);
        Ok(DenseOutput { features, padding })
    }
}

fn check_shapes(inputs: &DenseInputs, [batch, places, dimensions]: [usize; 3]) -> Result<()> {
    let twice =
        |what: &str| Err(LayerError::Graph(format!("there are tokens and features of {what}: leave one of them out")));
    if inputs.tokens.is_some() && !inputs.features.is_empty() {
        return twice("nodes");
    }
    if inputs.edge_tokens.is_some() && inputs.edges.is_some() {
        return twice("edges");
    }
    let pairs = [batch, places, places];
    let leading = |shape: &[usize], count: usize| shape[..count].to_vec();
    let mut tensors: Vec<(&str, Vec<usize>, Vec<usize>)> = Vec::new();
    let two = vec![batch, places];
    for (_, features) in &inputs.features {
        tensors.push(("features", leading(&features.dims(), 2), two.clone()));
    }
    let shape = |tensor: &Option<Tensor<2, Int>>| tensor.as_ref().map(|tensor| tensor.dims().to_vec());
    tensors.extend(shape(&inputs.tokens).map(|shape| ("tokens", shape, two.clone())));
    tensors.extend(inputs.mask.as_ref().map(|mask| ("the mask", mask.dims().to_vec(), two.clone())));
    let three = pairs.to_vec();
    tensors.extend(inputs.adjacency.as_ref().map(|t| ("the adjacency", t.dims().to_vec(), three.clone())));
    tensors
        .extend(inputs.neighbour_mask.as_ref().map(|t| ("the mask of neighbours", t.dims().to_vec(), three.clone())));
    tensors.extend(inputs.edge_tokens.as_ref().map(|t| ("tokens of edges", t.dims().to_vec(), three.clone())));
    tensors.extend(inputs.edges.as_ref().map(|t| ("features of edges", leading(&t.dims(), 3), three.clone())));
    if dimensions != 3 {
        return Err(LayerError::Graph(format!(
            "positions are [batch, places, 3]; these are [{batch}, {places}, {dimensions}]"
        )));
    }
    match tensors.into_iter().find(|(_, given, wanted)| given != wanted) {
        Some((name, given, wanted)) => Err(LayerError::Graph(format!(
            "positions are [{batch}, {places}, 3], so {name} must begin with {wanted:?}; they begin with {given:?}"
        ))),
        None => Ok(()),
    }
}

fn read<const D: usize>(tensor: Tensor<D, Bool>) -> Vec<bool> {
    tensor.into_data().iter::<bool>().collect()
}
