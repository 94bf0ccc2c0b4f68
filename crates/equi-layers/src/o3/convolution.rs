//! The equivariant convolution of points,
//!
//! ```text
//! x_i' = S x_i + 1/sqrt(N) sum_j  B ( A x_j  (x)_w(r_ij)  Y(x_i - x_j) )
//! ```
//!
//! with linear maps `A`, `B`, `S`, spherical harmonics `Y` of the direction from the sender `j` to the receiver `i`, and a tensor product
//! whose weights are functions `w` of their distance. Isometries and permutations of the nodes commute with every part.
//!
//! Thomas et al.: Tensor field networks, 2018; Batzner et al.: E(3)-equivariant graph neural networks (NequIP), Nature Communications 2022.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::o3::{Irreps, MulIrrep};
use equi_core::ops::harmonic_messages;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::edge_embedding::EdgeFeatures;
use super::{
    ConnectionMode, Instruction, IrrepsLinear, IrrepsLinearConfig, RadialMlp, RadialMlpConfig, TensorProduct,
    TensorProductConfig,
};
use crate::error::{LayerError, Result};
use crate::graph::Graph;
use crate::planar::Nonlinearity;

/// Configuration of a [`PointConvolution`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointConvolutionConfig {
    /// Features of a node.
    pub irreps_in: Irreps,
    /// What the harmonics of an edge are.
    pub irreps_edge: Irreps,
    /// Features of a node in the output.
    pub irreps_out: Irreps,
    /// Functions of the distance that an edge comes with.
    pub radial_functions: usize,
    /// Hidden features of the network from these functions to the weights of the product, layer by layer.
    pub radial_hidden: Vec<usize>,
    /// `N`, how many neighbours a node has in the mean.
    pub neighbours: f64,
    /// Features of a node that the self-connection is multiplied by, `S (x_i, c_i)`; none for a linear `S`.
    pub node_attributes: Irreps,
    /// Whether a node hears itself, `S x_i`.
    pub self_connection: bool,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

impl PointConvolutionConfig {
    /// From these features, harmonics and functions of the distance to those features, with 64 hidden features for the weights of the
    /// product, and `N = 1`: see [`with_neighbours`](Self::with_neighbours).
    pub fn new(irreps_in: Irreps, irreps_edge: Irreps, irreps_out: Irreps, radial_functions: usize) -> Self {
        Self {
            irreps_in,
            irreps_edge,
            irreps_out,
            radial_functions,
            radial_hidden: vec![64],
            neighbours: 1.0,
            node_attributes: Irreps::default(),
            self_connection: true,
            seed: None,
        }
    }

    /// The same with other hidden features between the functions of the distance and the weights.
    pub fn with_radial_hidden(mut self, widths: impl Into<Vec<usize>>) -> Self {
        self.radial_hidden = widths.into();
        self
    }

    /// The same for nodes with this many neighbours in the mean: edges over nodes.
    pub fn with_neighbours(mut self, neighbours: f64) -> Self {
        self.neighbours = neighbours;
        self
    }

    /// The same with attributes of nodes.
    pub fn with_node_attributes(mut self, attributes: Irreps) -> Self {
        self.node_attributes = attributes;
        self
    }

    /// The same without self-connection: a node without neighbours is given zero.
    pub fn without_self_connection(mut self) -> Self {
        self.self_connection = false;
        self
    }

    /// The same with weights that depend on nothing but the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for irreps without columns, an output that neither a product with the harmonics nor the
    /// self-connection reaches, attributes without self-connection, a number of neighbours that is not positive, and a width of zero.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<PointConvolution> {
        let options = options.into();
        let mut seed = seeds(self.seed);
        if !(self.neighbours.is_finite() && self.neighbours > 0.0) {
            return Err(LayerError::InvalidConfig(format!(
                "a node has {} neighbours in the mean; give the number of edges over that of nodes, which is positive",
                self.neighbours
            )));
        }
        if self.node_attributes.dim() > 0 && !self.self_connection {
            return Err(LayerError::InvalidConfig(format!(
                "attributes of nodes, {}, enter by the self-connection, and there is none; leave one of them out",
                self.node_attributes
            )));
        }
        let product = self.product()?.init(options.clone())?;
        let mut linear = |from: &Irreps, to: &Irreps| {
            let config = IrrepsLinearConfig::new(from.clone(), to.clone()).with_unreached_outputs();
            IrrepsLinearConfig { seed: seed(), ..config }.init(options.clone())
        };
        let send = linear(&self.irreps_in, &self.irreps_in)?;
        let receive = linear(product.irreps_out(), &self.irreps_out)?;
        let widths = [&[self.radial_functions], self.radial_hidden.as_slice(), &[product.weight_numel()]].concat();
        let mut radial = RadialMlpConfig::new(widths, Nonlinearity::Silu);
        radial.seed = seed();
        let radial = radial.init(options.clone())?;
        let self_connection = self.self_connection(seed(), options)?;

        let mut reached = receive.output_mask();
        let heard = match &self_connection {
            None => vec![false; reached.len()],
            Some(SelfConnection::Linear(linear)) => linear.output_mask(),
            Some(SelfConnection::Product(product)) => product.output_mask(),
        };
        reached.iter_mut().zip(heard).for_each(|(reached, heard)| *reached |= heard);
        for (block, columns) in self.irreps_out.blocks().iter().zip(self.irreps_out.slices()) {
            if columns.clone().any(|column| !reached[column]) {
                return Err(LayerError::InvalidConfig(format!(
                    "nothing reaches {block} of the output: no product of {} with the harmonics {} contains it; leave it out, or take \
                     harmonics of higher degrees",
                    self.irreps_in, self.irreps_edge
                )));
            }
        }
        Ok(PointConvolution { send, radial, product, receive, self_connection, config: self.clone() })
    }

    /// Every copy of the input with every harmonic to whatever their product has in common with the output.
    fn product(&self) -> Result<TensorProductConfig> {
        let (mut blocks, mut instructions) = (Vec::new(), Vec::new());
        for (in1, a) in self.irreps_in.blocks().iter().enumerate() {
            for (in2, b) in self.irreps_edge.blocks().iter().enumerate() {
                for irrep in a.irrep.product(b.irrep).filter(|&irrep| self.irreps_out.count(irrep) > 0) {
                    instructions.push(Instruction::new(in1, in2, blocks.len(), ConnectionMode::Uvu));
                    blocks.push(MulIrrep::new(a.mul, irrep));
                }
            }
        }
        if blocks.iter().all(|block| block.mul == 0) {
            return Err(LayerError::InvalidConfig(format!(
                "no product of {} with the harmonics {} contains any of {}: no message can be sent",
                self.irreps_in, self.irreps_edge, self.irreps_out
            )));
        }
        let (irreps_in, irreps_edge) = (self.irreps_in.clone(), self.irreps_edge.clone());
        Ok(TensorProductConfig::sorted(irreps_in, irreps_edge, blocks, instructions).without_weights())
    }

    /// What a node hears from itself; none if it has nothing to say, since input and output have no irrep in common.
    fn self_connection(&self, seed: Option<u64>, options: TensorCreationOptions) -> Result<Option<SelfConnection>> {
        let (from, to) = (self.irreps_in.clone(), self.irreps_out.clone());
        let common = from.blocks().iter().any(|block| block.mul > 0 && to.count(block.irrep) > 0);
        Ok(match (self.self_connection, self.node_attributes.dim() > 0) {
            (true, true) => {
                let config = TensorProductConfig::fully_connected(from, self.node_attributes.clone(), to);
                let config = TensorProductConfig { seed, ..config.with_unreached_outputs() };
                Some(SelfConnection::Product(config.init(options)?))
            }
            (true, false) if common => {
                let config = IrrepsLinearConfig::new(from, to).with_unreached_outputs();
                Some(SelfConnection::Linear(IrrepsLinearConfig { seed, ..config }.init(options)?))
            }
            _ => None,
        })
    }
}

/// A seed for every part, from the one of the whole.
pub(super) fn seeds(seed: Option<u64>) -> impl FnMut() -> Option<u64> {
    let mut rng = seed.map(ChaCha8Rng::seed_from_u64);
    move || rng.as_mut().map(|rng| rng.random())
}

/// What a node hears from itself.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // There is one for every layer of a network.
pub enum SelfConnection {
    /// `S x_i`.
    Linear(IrrepsLinear),
    /// `S (x_i, c_i)` with the attributes `c_i`.
    Product(TensorProduct),
}

/// The convolution of tensor field networks and of NequIP; see [`PointConvolutionConfig`].
///
/// Directions point from the sender to the receiver. A node without neighbours hears itself only; edges without a direction, between
/// coincident points, carry harmonics of degree 0 only. Values and gradients are finite.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct PointConvolution {
    /// `A`.
    pub send: IrrepsLinear,
    /// `w`, from the functions of the distance to the weights of the product.
    pub radial: RadialMlp,
    /// Of the sender with the harmonics.
    pub product: TensorProduct,
    /// `B`.
    pub receive: IrrepsLinear,
    /// `S`.
    pub self_connection: Option<SelfConnection>,
    #[module(skip)]
    config: PointConvolutionConfig,
}

impl PointConvolution {
    /// The options it was built with.
    pub fn config(&self) -> &PointConvolutionConfig {
        &self.config
    }

    /// Convolves.
    ///
    /// # Shapes
    /// - `features`: `[nodes, irreps_in.dim()]`
    /// - `attributes`: `[nodes, node_attributes.dim()]`, or none
    /// - `edges`: `[edges, irreps_edge.dim()]` and `[edges, radial_functions]`, in the order of the graph
    /// - output: `[nodes, irreps_out.dim()]`
    ///
    /// # Panics
    /// If a shape is not the one that the options and the graph ask for.
    pub fn forward(
        &self,
        graph: &Graph,
        features: Tensor<2>,
        attributes: Option<Tensor<2>>,
        edges: &EdgeFeatures,
    ) -> Tensor<2> {
        let config = &self.config;
        check("features of nodes", Some(&features), [graph.nodes(), config.irreps_in.dim()]);
        check("attributes of nodes", attributes.as_ref(), [graph.nodes(), config.node_attributes.dim()]);
        check("harmonics of edges", Some(&edges.harmonics), [graph.edges(), config.irreps_edge.dim()]);
        check("functions of distances", Some(&edges.radial), [graph.edges(), config.radial_functions]);
        let received = if graph.edges() == 0 {
            let columns = self.product.irreps_out().dim();
            Tensor::zeros([graph.nodes(), columns], (&features.device(), features.dtype()))
        } else {
            let (sent, weights) = (self.send.forward(features.clone()), self.radial.forward(edges.radial.clone()));
            let (senders, receivers) = (graph.senders(), graph.receivers());
            let aligned = edges.directions.as_ref().and_then(|directions| {
                let couplings = self.product.aligned_couplings(&directions.harmonics)?;
                Some((directions.vectors.clone(), couplings))
            });
            let received = match aligned {
                Some((vectors, couplings)) => harmonic_messages(sent, vectors, weights, &couplings, senders, receivers),
                // All layers share the harmonics.
                None => self.product.messages(sent, edges.harmonics.clone(), weights, senders, receivers),
            };
            received * config.neighbours.sqrt().recip()
        };
        let received = self.receive.forward(received);
        match (&self.self_connection, attributes) {
            (Some(SelfConnection::Linear(linear)), _) => received + linear.forward(features),
            (Some(SelfConnection::Product(product)), Some(attributes)) => {
                received + product.forward(features, attributes)
            }
            _ => received,
        }
    }
}

/// Panics unless `tensor` is there exactly where `shape` has columns, with this shape.
pub(super) fn check(what: &str, tensor: Option<&Tensor<2>>, shape: [usize; 2]) {
    match tensor {
        None => assert_eq!(shape[1], 0, "PointConvolution takes {what} {shape:?}; none were given"),
        Some(tensor) => assert_eq!(
            tensor.dims(),
            shape,
            "PointConvolution takes {what} {shape:?} on this graph; it was given {:?}",
            tensor.dims()
        ),
    }
}

impl ModuleDisplay for PointConvolution {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let PointConvolutionConfig { irreps_in, irreps_edge, irreps_out, .. } = &self.config;
        content.set_top_level_type(&format!("PointConvolution({irreps_in} x {irreps_edge} -> {irreps_out})")).optional()
    }
}
