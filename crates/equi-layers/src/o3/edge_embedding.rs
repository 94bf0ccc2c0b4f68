//! What an edge knows: harmonics of its direction and functions of its length.

use burn::tensor::Tensor;
use equi_core::o3::{Irreps, RadialBasis, RadialFunction, SphericalHarmonics};

use crate::error::{LayerError, Result};
use crate::graph::Graph;
use crate::length::root;

/// Harmonics `Y(x_i - x_j)` of the direction from the sender `j` to the receiver `i`, and functions of the distance that vanish, with
/// all derivatives, at the cut-off and where points coincide.
///
/// So nothing jumps when a neighbour comes or goes, nor when one point passes another.
#[derive(Clone, Debug)]
pub struct EdgeEmbedding {
    harmonics: SphericalHarmonics,
    basis: RadialBasis,
}

/// What a [`PointConvolution`](super::PointConvolution) is told of the edges, in the order of the graph.
#[derive(Clone, Debug)]
pub struct EdgeFeatures {
    /// Harmonics of the directions, `[edges, irreps_edge.dim()]`.
    pub harmonics: Tensor<2>,
    /// Functions of the distances, `[edges, radial_functions]`.
    pub radial: Tensor<2>,
    /// What the harmonics are of, if that is known.
    pub directions: Option<EdgeDirections>,
}

/// Vectors along edges, of which [`EdgeFeatures::harmonics`] are the harmonics: products of high degrees are quicker with them.
#[derive(Clone, Debug)]
pub struct EdgeDirections {
    /// From the sender to the receiver, `[edges, 3]`.
    pub vectors: Tensor<2>,
    /// Which harmonics.
    pub harmonics: SphericalHarmonics,
}

impl EdgeFeatures {
    /// Harmonics `[edges, irreps_edge.dim()]`, whatever they are of, and functions of the distances `[edges, radial_functions]`.
    pub fn new(harmonics: Tensor<2>, radial: Tensor<2>) -> Self {
        Self { harmonics, radial, directions: None }
    }
}

impl EdgeEmbedding {
    /// Harmonics of all degrees up to `lmax`, and `functions` smooth bumps between 0 and `cutoff`; both of mean square about 1.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for a cut-off that is not a positive number; [`LayerError::Core`] for no functions.
    pub fn new(lmax: usize, functions: usize, cutoff: f64) -> Result<Self> {
        if !(cutoff.is_finite() && cutoff > 0.0) {
            return Err(LayerError::InvalidConfig(format!(
                "the cut-off is the distance from which nothing is heard and must be positive and finite, but it is {cutoff}"
            )));
        }
        let basis = RadialBasis::new(RadialFunction::SmoothFinite, 0.0..cutoff, functions, true)?;
        Ok(Self { harmonics: SphericalHarmonics::up_to(lmax), basis })
    }

    /// What the harmonics are.
    pub fn irreps(&self) -> Irreps {
        self.harmonics.irreps()
    }

    /// The features of the edges between nodes at these positions, across the borders of a periodic cell where the graph has one.
    ///
    /// # Shapes
    /// - `positions`: `[nodes, 3]`
    ///
    /// # Panics
    /// If there are not as many rows as nodes, or not three columns.
    pub fn forward(&self, graph: &Graph, positions: Tensor<2>) -> EdgeFeatures {
        if graph.edges() == 0 {
            let zeros = |columns| Tensor::zeros([0, columns], (&positions.device(), positions.dtype()));
            return EdgeFeatures::new(zeros(self.irreps().dim()), zeros(self.basis.number()));
        }
        let directions = graph.displacements(positions);
        let distances = root(directions.clone().square().sum_dim(1));
        // The squares of all functions sum to about 1.
        let radial = self.basis.forward(distances) * (self.basis.number() as f64).sqrt();
        let harmonics = self.harmonics.forward(directions.clone());
        let directions = EdgeDirections { vectors: directions, harmonics: self.harmonics.clone() };
        EdgeFeatures { harmonics, radial, directions: Some(directions) }
    }
}
