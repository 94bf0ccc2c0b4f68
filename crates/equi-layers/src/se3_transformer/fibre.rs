//! Fibres: what a node carries, degree by degree.

use std::collections::BTreeMap;
use std::fmt;

use burn::tensor::Tensor;
use equi_core::o3::{Irrep, Irreps, MulIrrep};
use equi_core::ops::{Segments, gather, segment_mean};
use serde::{Deserialize, Serialize};

/// How many channels there are of every degree `l`. A channel of degree `l` has `2 l + 1` components and turns with the Wigner matrix
/// `D_l`: degree 0 are scalars, degree 1 vectors `(x, y, z)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fibre {
    channels: BTreeMap<usize, usize>,
}

impl Fibre {
    /// From pairs of a degree and its number of channels. Degrees without channels are left out.
    pub fn new(channels: impl IntoIterator<Item = (usize, usize)>) -> Self {
        Self { channels: channels.into_iter().filter(|&(_, channels)| channels > 0).collect() }
    }

    /// As many channels for each of the degrees below `degrees`.
    pub fn uniform(degrees: usize, channels: usize) -> Self {
        Self::new((0..degrees).map(|degree| (degree, channels)))
    }

    /// Pairs of a degree and its number of channels, by degree.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.channels.iter().map(|(&degree, &channels)| (degree, channels))
    }

    /// The number of channels of a degree; none of one that the fibre does not have.
    pub fn channels(&self, degree: usize) -> usize {
        self.channels.get(&degree).copied().unwrap_or(0)
    }

    /// The highest degree.
    pub fn highest(&self) -> Option<usize> {
        self.channels.keys().next_back().copied()
    }

    /// The fibre as irreps: of parity `(-1)^l`, as polynomials of positions and velocities have it.
    pub fn irreps(&self) -> Irreps {
        let blocks: Vec<MulIrrep> =
            self.iter().map(|(degree, mul)| MulIrrep { mul, irrep: Irrep::spherical_harmonic(degree) }).collect();
        Irreps::new(blocks)
    }

    /// The same with other numbers of channels.
    pub(super) fn map(&self, channels: impl Fn(usize) -> usize) -> Self {
        Self::new(self.iter().map(|(degree, old)| (degree, channels(old))))
    }
}

impl fmt::Display for Fibre {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (degree, channels)) in self.iter().enumerate() {
            write!(f, "{}{channels}x{degree}", if place == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

/// What all nodes carry: for every degree `l` a tensor `[nodes, channels, 2 l + 1]`, components in the order of e3nn (`x, y, z` for degree 1).
#[derive(Clone, Debug, Default)]
pub struct FibreFeatures {
    /// `[rows, 2 l + 1, channels]`: linear maps of channels act on the last dimension.
    pub(super) degrees: BTreeMap<usize, Tensor<3>>,
}

impl FibreFeatures {
    /// Scalars only, `[nodes, channels]`.
    pub fn scalars(scalars: Tensor<2>) -> Self {
        Self { degrees: BTreeMap::from([(0, scalars.unsqueeze_dim(1))]) }
    }

    /// The same with features of another degree, `[nodes, channels, 2 l + 1]`.
    ///
    /// # Panics
    /// If there are not `2 l + 1` components.
    pub fn with_degree(mut self, degree: usize, features: Tensor<3>) -> Self {
        let shape = features.dims();
        assert_eq!(
            shape[2],
            2 * degree + 1,
            "features of degree {degree} are [nodes, channels, 2 l + 1], not {shape:?}"
        );
        self.degrees.insert(degree, features.swap_dims(1, 2));
        self
    }

    /// The features of a degree, `[nodes, channels, 2 l + 1]`.
    pub fn degree(&self, degree: usize) -> Option<Tensor<3>> {
        self.degrees.get(&degree).map(|features| features.clone().swap_dims(1, 2))
    }

    /// The features of degree 0, `[nodes, channels]`.
    ///
    /// # Panics
    /// If there are none.
    pub fn into_scalars(self) -> Tensor<2> {
        self.degrees.get(&0).expect("features of degree 0").clone().squeeze_dim(1)
    }

    /// How many channels there are of every degree.
    pub fn fibre(&self) -> Fibre {
        Fibre::new(self.degrees.iter().map(|(&degree, features)| (degree, features.dims()[2])))
    }

    /// The mean over the nodes of every graph; zero for a graph without nodes.
    pub fn pooled(&self, members: &Segments) -> Self {
        self.mapped_rows(|features| segment_mean(features, members))
    }

    /// Every row of a segment with the features of the segment.
    pub(super) fn gathered(&self, segments: &Segments) -> Self {
        self.mapped_rows(|features| gather(features, segments))
    }

    /// As irreps side by side, `[nodes, irreps.dim()]`, in the layout of e3nn.
    pub fn into_irreps(self) -> Tensor<2> {
        let blocks = self.degrees.into_values().map(|features| {
            let [rows, components, channels] = features.dims();
            features.swap_dims(1, 2).reshape([rows, components * channels])
        });
        Tensor::cat(blocks.collect(), 1)
    }

    /// From irreps side by side, `[nodes, irreps.dim()]`, in the layout of e3nn.
    ///
    /// # Panics
    /// If the columns are not those of the fibre.
    pub fn from_irreps(features: Tensor<2>, fibre: &Fibre) -> Self {
        let [rows, columns] = features.dims();
        let dim = fibre.irreps().dim();
        assert_eq!(columns, dim, "a fibre {fibre} has {dim} columns, not {columns}");
        let mut start = 0;
        let degrees = fibre.iter().map(|(degree, channels)| {
            let width = channels * (2 * degree + 1);
            start += width;
            let block = features.clone().narrow(1, start - width, width);
            (degree, block.reshape([rows, channels, 2 * degree + 1]).swap_dims(1, 2))
        });
        Self { degrees: degrees.collect() }
    }

    /// Zero for all nodes.
    pub(super) fn zeros(fibre: &Fibre, nodes: usize, like: &Tensor<2>) -> Self {
        let options = (&like.device(), like.dtype());
        let zeros = |(degree, channels)| (degree, Tensor::zeros([nodes, 2 * degree + 1, channels], options));
        Self { degrees: fibre.iter().map(zeros).collect() }
    }

    /// The same, with a parameter that takes part in nothing: where no layer has added anything, there is something to differentiate.
    pub(super) fn tied_to(self, parameter: Tensor<1>) -> Self {
        let nothing: Tensor<3> = parameter.sum().reshape([1, 1, 1]) * 0.0;
        let tied = |(degree, features)| (degree, features + nothing.clone());
        Self { degrees: self.degrees.into_iter().map(tied).collect() }
    }

    pub(super) fn mapped_rows(&self, map: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        let degrees = self.degrees.iter().map(|(&degree, features)| {
            let [rows, components, channels] = features.dims();
            let mapped = map(features.clone().reshape([rows, components * channels]));
            let rows = mapped.dims()[0];
            (degree, mapped.reshape([rows, components, channels]))
        });
        Self { degrees: degrees.collect() }
    }

    /// Degree by degree the sum, where both have the degree.
    pub(super) fn plus(mut self, other: &Self) -> Self {
        for (degree, features) in &mut self.degrees {
            if let Some(more) = other.degrees.get(degree) {
                *features = features.clone() + more.clone();
            }
        }
        self
    }
}
