//! What can be checked.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::fmt;

use crate::action::space::PointField;
use crate::group::Permutation;
use crate::o3::Irreps;

/// A kind of symmetry of nodes in space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Motion {
    /// Rotations about the origin.
    Rotation,
    /// Isometries that fix the origin and reverse orientation: reflections, and rotations after them.
    Reflection,
    /// Translations.
    Translation,
    /// Permutations of the nodes of a graph.
    Permutation,
}

impl Motion {
    /// Those of E(3) and permutations.
    pub const ALL: [Self; 4] = [Self::Rotation, Self::Reflection, Self::Translation, Self::Permutation];
    /// Those of SE(3) and permutations: the claim of a map that tells left hands from right ones.
    pub const PROPER: [Self; 3] = [Self::Rotation, Self::Translation, Self::Permutation];
}

impl fmt::Display for Motion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rotation => "rotation",
            Self::Reflection => "reflection",
            Self::Translation => "translation",
            Self::Permutation => "permutation",
        })
    }
}

/// What the rows of a feature are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row for every node.
    Nodes,
    /// One row for every graph.
    Graphs,
}

/// What an input or output of a [`PointMap`] holds: `[rows, field.size() * channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PointFeature {
    /// How it transforms.
    pub field: PointField,
    /// How many of them lie side by side.
    pub channels: usize,
    /// What it belongs to.
    pub rows: Rows,
}

impl PointFeature {
    /// Features of every node.
    pub const fn per_node(field: PointField, channels: usize) -> Self {
        Self { field, channels, rows: Rows::Nodes }
    }

    /// Features of every graph.
    pub const fn per_graph(field: PointField, channels: usize) -> Self {
        Self { field, channels, rows: Rows::Graphs }
    }

    /// Irreps of every node, block by block: of features `[nodes, irreps.dim()]` the columns of [`Irreps::slices`], without empty blocks.
    pub fn of_irreps(irreps: &Irreps) -> Vec<Self> {
        let blocks = irreps.blocks().iter().filter(|block| block.mul > 0);
        blocks.map(|block| Self::per_node(PointField::Irrep(block.irrep), block.mul)).collect()
    }

    /// The shape in a batch of graphs with these numbers of nodes.
    pub(super) fn shape(&self, graphs: &[usize]) -> [usize; 2] {
        let rows = match self.rows {
            Rows::Nodes => graphs.iter().sum(),
            Rows::Graphs => graphs.len(),
        };
        [rows, self.field.size() * self.channels]
    }
}

impl fmt::Display for PointFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = match self.rows {
            Rows::Nodes => "node",
            Rows::Graphs => "graph",
        };
        write!(f, "{} x {} per {rows}", self.channels, self.field)
    }
}

/// A map of features of nodes in space that claims to be equivariant.
pub trait PointMap {
    /// What it takes.
    fn inputs(&self) -> Vec<PointFeature>;

    /// What it gives.
    fn outputs(&self) -> Vec<PointFeature>;

    /// The numbers of nodes of the graphs, whose nodes follow one another in the rows.
    fn graphs(&self) -> Vec<usize>;

    /// The features of [`outputs`](Self::outputs) from those of [`inputs`](Self::inputs).
    ///
    /// Node `i` is in row `order.image(i)`. A map that keeps a graph rebuilds it: its edge from `i` to `j` now joins row
    /// `order.image(i)` to row `order.image(j)`, and attributes of edges go with their edge. Other maps have no use for the order.
    fn forward(&self, features: &[Tensor<2>], order: &Permutation) -> Vec<Tensor<2>>;

    /// The motions to which it claims to be equivariant: all of them, unless it says less.
    fn claims(&self) -> Vec<Motion> {
        Motion::ALL.to_vec()
    }

    /// Where and in which precision it computes.
    fn options(&self) -> (Device, DType) {
        (Device::default(), DType::F32)
    }
}

impl<M: PointMap + ?Sized> PointMap for &M {
    fn inputs(&self) -> Vec<PointFeature> {
        (**self).inputs()
    }

    fn outputs(&self) -> Vec<PointFeature> {
        (**self).outputs()
    }

    fn graphs(&self) -> Vec<usize> {
        (**self).graphs()
    }

    fn forward(&self, features: &[Tensor<2>], order: &Permutation) -> Vec<Tensor<2>> {
        (**self).forward(features, order)
    }

    fn claims(&self) -> Vec<Motion> {
        (**self).claims()
    }

    fn options(&self) -> (Device, DType) {
        (**self).options()
    }
}

/// Any closure as a [`PointMap`], for example a user's own module with its graph.
pub struct PointFn<F> {
    function: F,
    inputs: Vec<PointFeature>,
    outputs: Vec<PointFeature>,
    graphs: Vec<usize>,
    claims: Vec<Motion>,
    options: (Device, DType),
}

impl<F: Fn(&[Tensor<2>], &Permutation) -> Vec<Tensor<2>>> PointFn<F> {
    /// A closure on a batch of graphs with these numbers of nodes that claims to map `inputs` to `outputs` equivariantly;
    /// see [`PointMap::forward`] for what it is given.
    pub fn new(
        graphs: &[usize],
        inputs: &[PointFeature],
        outputs: &[PointFeature],
        device: &Device,
        dtype: DType,
        function: F,
    ) -> Self {
        Self {
            function,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            graphs: graphs.to_vec(),
            claims: Motion::ALL.to_vec(),
            options: (device.clone(), dtype),
        }
    }

    /// Claims these motions only, for example [`Motion::PROPER`].
    pub fn claiming(mut self, motions: &[Motion]) -> Self {
        self.claims = motions.to_vec();
        self
    }
}

impl<F: Fn(&[Tensor<2>], &Permutation) -> Vec<Tensor<2>>> PointMap for PointFn<F> {
    fn inputs(&self) -> Vec<PointFeature> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<PointFeature> {
        self.outputs.clone()
    }

    fn graphs(&self) -> Vec<usize> {
        self.graphs.clone()
    }

    fn forward(&self, features: &[Tensor<2>], order: &Permutation) -> Vec<Tensor<2>> {
        (self.function)(features, order)
    }

    fn claims(&self) -> Vec<Motion> {
        self.claims.clone()
    }

    fn options(&self) -> (Device, DType) {
        self.options.clone()
    }
}

/// Standard normal noise for every input of a map, the same for the same seed.
pub fn probe(map: &impl PointMap, seed: u64) -> Vec<Tensor<2>> {
    let (device, dtype) = map.options();
    normal(&map.inputs(), &map.graphs(), &device, dtype, seed)
}

/// Standard normal noise, drawn on the host so that it is the same on every device.
pub(super) fn normal(
    features: &[PointFeature],
    graphs: &[usize],
    device: &Device,
    dtype: DType,
    seed: u64,
) -> Vec<Tensor<2>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |feature: &PointFeature| {
        let shape = feature.shape(graphs);
        let values: Vec<f64> = StandardNormal.sample_iter(&mut rng).take(shape.iter().product()).collect();
        Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
    };
    features.iter().map(&mut draw).collect()
}
