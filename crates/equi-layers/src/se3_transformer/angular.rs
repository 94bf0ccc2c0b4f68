//! The angular part of kernels.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use equi_core::o3::{Normalization, SphericalHarmonics, wigner_3j};

use super::fibre::Fibre;
use crate::error::Result;
use crate::weights::Weights;

/// The degrees `J` whose harmonics lead from degree `from` to degree `to`; with reflections, only those whose parity does.
pub(super) fn couplings(from: usize, to: usize, reflections: bool) -> impl Iterator<Item = usize> {
    (from.abs_diff(to)..=from + to).filter(move |j| !reflections || (from + to + j).is_multiple_of(2))
}

/// The kernels `B_J = sum over M of C_J[q, p, M] Y_JM(r / |r|)` from degree to degree, with Clebsch-Gordan coefficients of Frobenius norm 1 and
/// orthonormal harmonics: every equivariant kernel is a sum of them with coefficients that depend on `|r|` alone.
///
/// All are linear in the harmonics, so one matrix product makes them all.
#[derive(Module, Debug)]
pub(super) struct AngularKernels {
    /// `[harmonics, numbers of all kernels]`
    coefficients: Tensor<2>,
    #[module(skip)]
    layout: Arc<Layout>,
}

#[derive(Debug)]
struct Layout {
    harmonics: SphericalHarmonics,
    /// From and to which degree, where the kernels begin, and their shape `[q, p F]`.
    blocks: BTreeMap<(usize, usize), (usize, [usize; 2])>,
}

impl AngularKernels {
    /// For all pairs of a degree of the first fibre and one of the second.
    pub(super) fn new(pairs: &[(&Fibre, &Fibre)], reflections: bool, weights: &Weights) -> Result<Self> {
        let degrees: BTreeMap<(usize, usize), ()> = pairs
            .iter()
            .flat_map(|(from, to)| from.iter().flat_map(move |(p, _)| to.iter().map(move |(q, _)| ((p, q), ()))))
            .collect();
        let highest = degrees.keys().map(|(p, q)| p + q).max().unwrap_or(0);
        let harmonics = SphericalHarmonics::up_to(highest).with_normalization(Normalization::Integral);
        let rows = harmonics.dim();
        let (mut blocks, mut columns): (_, Vec<Vec<f64>>) = (BTreeMap::new(), Vec::new());
        for &(from, to) in degrees.keys() {
            let (p, q) = (2 * from + 1, 2 * to + 1);
            let tables = couplings(from, to, reflections)
                .map(|j| Ok((j, wigner_3j(to, from, j)?)))
                .collect::<Result<Vec<_>>>()?;
            blocks.insert((from, to), (columns.len(), [q, p * tables.len()]));
            for (out, component) in (0..q).flat_map(|out| (0..p).map(move |component| (out, component))) {
                for (j, table) in &tables {
                    let mut column = vec![0.0; rows];
                    for m in 0..2 * j + 1 {
                        column[j * j + m] = table.get(out, component, m);
                    }
                    columns.push(column);
                }
            }
        }
        let values: Vec<f64> = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        Ok(Self {
            coefficients: weights.constant(values, [rows, columns.len()]),
            layout: Arc::new(Layout { harmonics, blocks }),
        })
    }

    pub(super) fn dtype(&self) -> burn::tensor::DType {
        self.coefficients.dtype()
    }

    /// The kernels along the vectors `[edges, 3]`: from and to every degree `[edges, q, p * F]`.
    pub(super) fn along(&self, vectors: Tensor<2>) -> BTreeMap<(usize, usize), Tensor<3>> {
        let edges = vectors.dims()[0];
        let all = self.layout.harmonics.forward(vectors).matmul(self.coefficients.clone());
        let block = |(&pair, &(start, [q, width])): (&(usize, usize), &(usize, [usize; 2]))| {
            (pair, all.clone().narrow(1, start, q * width).reshape([edges, q, width]))
        };
        self.layout.blocks.iter().map(block).collect()
    }
}
