//! From weights to filters: `filter = sum_b w_b K_b` over the equivariant kernels `K_b`, block by block.
//!
//! A block holds all pairs of fields with the same two representations. Weights follow escnn: blocks by the names of input
//! and output representation, then output fields, input fields, basis elements.

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use equi_core::FieldType;
use equi_core::kernel_basis::{BasisElement, KernelBasis, KernelGrid};
use equi_core::repr::{Irrep, Representation};
use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::error::{LayerError, Result};

/// The kernel bases of all pairs of representations of two field types.
#[derive(Clone, Debug)]
pub(super) struct Expansion {
    blocks: Vec<Block>,
    input: Side,
    output: Side,
    grid: KernelGrid,
}

/// One pair of representations.
#[derive(Clone, Debug)]
struct Block {
    basis: Arc<KernelBasis>,
    /// Positions in the lists of distinct representations.
    input: usize,
    output: usize,
    start: usize,
}

/// One side of the convolution: its distinct representations, and where their fields are.
#[derive(Clone, Debug)]
struct Side {
    representations: Vec<Representation>,
    /// The first channel of each field of each representation.
    fields: Vec<Vec<usize>>,
    channels: usize,
}

impl Side {
    fn new(field_type: &FieldType) -> Self {
        let mut by_name: BTreeMap<&str, (&Representation, Vec<usize>)> = BTreeMap::new();
        for (start, field) in field_type.offsets() {
            by_name.entry(field.name()).or_insert((field, Vec::new())).1.push(start);
        }
        let (representations, fields) = by_name.into_values().map(|(r, starts)| (r.clone(), starts)).unzip();
        Self { representations, fields, channels: field_type.size() }
    }

    /// For each channel, its position when the fields are gathered by representation; `None` if they already are.
    fn scattered(&self) -> Option<Vec<i64>> {
        let mut positions = vec![0; self.channels];
        let mut next = 0;
        for (representation, starts) in self.representations.iter().zip(&self.fields) {
            for start in starts {
                for channel in 0..representation.size() {
                    positions[start + channel] = next;
                    next += 1;
                }
            }
        }
        (positions.iter().enumerate().any(|(i, p)| i as i64 != *p)).then_some(positions)
    }
}

impl Expansion {
    pub(super) fn new(input: &FieldType, output: &FieldType, grid: &KernelGrid) -> Result<Self> {
        let (in_side, out_side) = (Side::new(input), Side::new(output));
        for (field_type, side) in [(input, &in_side), (output, &out_side)] {
            // Blocks are told apart by name, so two representations must not share one.
            if let Some(other) = field_type.fields().iter().find(|f| !side.representations.contains(f)) {
                return Err(LayerError::InvalidConfig(format!(
                    "{field_type} has two different representations named {}, which escnn's weight order cannot tell apart; use one \
                     of them for all these fields",
                    other.name()
                )));
            }
        }
        let mut blocks = Vec::new();
        let mut start = 0;
        for (i, in_repr) in in_side.representations.iter().enumerate() {
            for (o, out_repr) in out_side.representations.iter().enumerate() {
                let basis = KernelBasis::new(in_repr, out_repr, grid)?;
                if basis.is_empty() {
                    continue;
                }
                let weights = basis.len() * in_side.fields[i].len() * out_side.fields[o].len();
                blocks.push(Block { basis, input: i, output: o, start });
                start += weights;
            }
        }
        if blocks.is_empty() {
            return Err(equi_core::Error::EmptyBasis {
                input: input.to_string(),
                output: output.to_string(),
                kernel_size: grid.size(),
            }
            .into());
        }
        Ok(Self { blocks, input: in_side, output: out_side, grid: grid.clone() })
    }

    /// Functions on the points of the kernel that all filters are combinations of, between any two channels.
    pub(super) fn functions(&self) -> Vec<Vec<f64>> {
        let elements = self.blocks.iter().flat_map(|block| block.basis.elements());
        let frequencies: HashSet<u32> = elements.map(|element| element.frequency).collect();
        self.grid.functions(|frequency| frequencies.contains(&frequency))
    }

    /// The number of weights.
    pub(super) fn weights(&self) -> usize {
        self.blocks.iter().map(|b| self.pairs(b) * b.basis.len()).sum()
    }

    fn pairs(&self, block: &Block) -> usize {
        self.input.fields[block.input].len() * self.output.fields[block.output].len()
    }

    /// Standard deviations of escnn's generalised He initialisation, one per weight.
    ///
    /// `1 / sqrt(n_in n_basis)`: `n_in` distinct input irreps reach the output irrep, each through `n_basis` elements, over
    /// all input fields (Weiler and Cesa, 2019).
    pub(super) fn he_deviations(&self) -> Vec<f64> {
        let mut reaching: HashMap<(usize, usize), HashSet<Irrep>> = HashMap::new();
        let mut elements: HashMap<(usize, usize, Irrep), usize> = HashMap::new();
        for block in &self.blocks {
            for e in block.basis.elements() {
                let target = (block.output, e.output_position);
                reaching.entry(target).or_default().insert(e.input);
                *elements.entry((target.0, target.1, e.input)).or_default() += self.input.fields[block.input].len();
            }
        }
        let deviation = |block: &Block, e: &BasisElement| {
            let inputs = reaching[&(block.output, e.output_position)].len();
            let count = elements[&(block.output, e.output_position, e.input)];
            1.0 / ((inputs * count) as f64).sqrt()
        };
        let mut deviations = Vec::with_capacity(self.weights());
        for block in &self.blocks {
            let one_pair: Vec<f64> = block.basis.elements().iter().map(|e| deviation(block, e)).collect();
            (0..self.pairs(block)).for_each(|_| deviations.extend(&one_pair));
        }
        deviations
    }

    /// The weights whose filter is nearest to `filter`, `[out, in, k, k]` row-major, and its relative distance.
    pub(super) fn project(&self, filter: &[f64]) -> (Vec<f64>, f64) {
        let points = self.grid.size() * self.grid.size();
        let at = |row: usize, column: usize, p: usize| (row * self.input.channels + column) * points + p;
        let mut weights = Vec::with_capacity(self.weights());
        let mut residual: Vec<f64> = filter.to_vec();
        for block in &self.blocks {
            let (basis, rows, columns) = (&block.basis, block.basis.output().size(), block.basis.input().size());
            let width = rows * columns * points;
            let elements = DMatrix::from_column_slice(width, basis.len(), basis.values());
            let inverse = elements.clone().pseudo_inverse(1e-9).expect("a positive threshold");
            for &row in &self.output.fields[block.output] {
                for &column in &self.input.fields[block.input] {
                    let indices: Vec<usize> = (0..width)
                        .map(|i| at(row + i / (columns * points), column + i / points % columns, i % points))
                        .collect();
                    let target = DVector::from_iterator(width, indices.iter().map(|&i| filter[i]));
                    let solution = &inverse * target;
                    for (i, value) in indices.iter().zip((&elements * &solution).iter()) {
                        residual[*i] -= value;
                    }
                    weights.extend(solution.iter());
                }
            }
        }
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        (weights, norm(&residual) / norm(filter).max(f64::MIN_POSITIVE))
    }

    /// The constants on a device.
    pub(super) fn upload(&self, device: &Device, dtype: DType) -> UploadedExpansion {
        let indices = |positions: Vec<i64>| {
            let count = positions.len();
            Tensor::<1, Int>::from_data(TensorData::new(positions, [count]), device)
        };
        UploadedExpansion {
            bases: self.blocks.iter().map(|b| b.basis.tensor(device, dtype)).collect(),
            rows: self.output.scattered().map(indices),
            columns: self.input.scattered().map(indices),
        }
    }
}

/// The constants of an [`Expansion`] on a device.
#[derive(Module, Debug)]
pub(super) struct UploadedExpansion {
    /// `[elements, out * in * k * k]` per block.
    bases: Vec<Tensor<2>>,
    rows: Option<Tensor<1, Int>>,
    columns: Option<Tensor<1, Int>>,
}

impl UploadedExpansion {
    /// `[weights]` to the filter `[out, in, k, k]`.
    pub(super) fn filter(&self, plan: &Expansion, weights: Tensor<1>) -> Tensor<4> {
        let points = plan.grid.size() * plan.grid.size();
        let mut expanded: HashMap<(usize, usize), Tensor<3>> = HashMap::new();
        for (block, basis) in plan.blocks.iter().zip(&self.bases) {
            let (inputs, outputs) = (plan.input.fields[block.input].len(), plan.output.fields[block.output].len());
            let (columns, rows) = (block.basis.input().size(), block.basis.output().size());
            let (pairs, elements) = (inputs * outputs, block.basis.len());
            let filter = weights
                .clone()
                .narrow(0, block.start, pairs * elements)
                .reshape([pairs, elements])
                .matmul(basis.clone())
                .reshape([outputs, inputs, rows, columns, points])
                .swap_dims(1, 2)
                .reshape([outputs * rows, inputs * columns, points]);
            expanded.insert((block.output, block.input), filter);
        }
        let channels = |side: &Side, r: usize| side.fields[r].len() * side.representations[r].size();
        let rows = (0..plan.output.representations.len())
            .map(|o| {
                let row = (0..plan.input.representations.len())
                    .map(|i| {
                        expanded.remove(&(o, i)).unwrap_or_else(|| {
                            let shape = [channels(&plan.output, o), channels(&plan.input, i), points];
                            Tensor::zeros(shape, (&weights.device(), weights.dtype()))
                        })
                    })
                    .collect();
                concatenate(row, 1)
            })
            .collect();
        let mut filter = concatenate(rows, 0);
        if let Some(rows) = &self.rows {
            filter = filter.select(0, rows.clone());
        }
        if let Some(columns) = &self.columns {
            filter = filter.select(1, columns.clone());
        }
        filter.reshape([plan.output.channels, plan.input.channels, plan.grid.size(), plan.grid.size()])
    }
}

fn concatenate(mut parts: Vec<Tensor<3>>, dim: usize) -> Tensor<3> {
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, dim) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use equi_core::group::C8;

    /// 3 scalars to a regular field of C8, k = 5: the rings 0, 1, 2 carry frequency 0, and the rings 1 and 2 frequencies 1 and 2
    /// with two solutions each. So the trivial irrep of the output is reached by 3 x 3 elements, those of frequency 1 and 2 by
    /// 3 x 4, all through one input irrep.
    #[test]
    fn deviations_count_inputs_and_elements() {
        let (scalars, regular) = (FieldType::trivial(C8, 3), FieldType::regular(C8, 1).unwrap());
        let plan = Expansion::new(&scalars, &regular, &KernelGrid::standard(5).unwrap()).unwrap();
        let one_field: Vec<f64> = [1.0 / 3.0; 3].into_iter().chain([1.0 / 12.0_f64.sqrt(); 8]).collect();
        let expected: Vec<f64> = one_field.repeat(3);
        let actual = plan.he_deviations();
        assert_eq!(actual.len(), expected.len());
        assert!(actual.iter().zip(&expected).all(|(a, e)| (a - e).abs() < 1e-12), "{actual:?}");
    }

    /// A second input representation with the same irrep adds to its elements; one with another irrep adds an input.
    #[test]
    fn deviations_see_all_blocks_of_an_output() {
        let mixed = (&FieldType::trivial(C8, 1) + &FieldType::regular(C8, 1).unwrap()).unwrap();
        let plan = Expansion::new(&mixed, &FieldType::trivial(C8, 1), &KernelGrid::standard(5).unwrap()).unwrap();
        // Frequencies 0, 1 and 2 of the regular field reach the scalar: three input irreps. The trivial one comes through
        // 3 rings from each field, the others through 2 rings with 2 solutions.
        let (trivial, other) = (1.0 / (3.0 * 6.0_f64).sqrt(), 1.0 / (3.0 * 4.0_f64).sqrt());
        let expected: Vec<f64> = [trivial; 6].into_iter().chain([other; 8]).collect();
        let actual = plan.he_deviations();
        assert_eq!(actual.len(), expected.len());
        assert!(actual.iter().zip(&expected).all(|(a, e)| (a - e).abs() < 1e-12), "{actual:?}");
    }
}
