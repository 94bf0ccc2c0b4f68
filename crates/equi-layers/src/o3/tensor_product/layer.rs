//! The layer.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::Tensor;
use equi_core::o3::{Irreps, SphericalHarmonics};
use equi_core::ops::{
    HarmonicCouplings, MessageForm, Segments, gather, segment_sum, uvu_messages, uvu_product, uvw_product,
};
use std::sync::Arc;

use super::contraction::Contraction;
use super::fused::Fused;
use super::{ConnectionMode, Path, TensorProductConfig};
use crate::o3::columns::{join, mix, split};

/// `z = sum over paths c W C x y` of two features of O(3); see [`TensorProductConfig`].
///
/// Where all paths are of mode `uvu` with one copy in the second input, and have weights, the product is one operation,
/// [`uvu_product`]; where all are of mode `uvw` and the weights are the same for all rows, [`uvw_product`]. Others are composed
/// of tensor operations: coefficients are dense small matrices, and products of copies that a weight mixes are mixed for all paths to an
/// output at once. Paths without copies do not count.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct TensorProduct {
    /// `[weight_numel]`: path after path, each row-major in the shape of its mode; none if there are none, or every call gives them.
    pub weight: Option<Param<Tensor<1>>>,
    /// None where no call needs them.
    contractions: Vec<Contraction>,
    #[module(skip)]
    fused: Option<Fused>,
    #[module(skip)]
    paths: Vec<Path>,
    #[module(skip)]
    config: TensorProductConfig,
}

/// What paths add to a block of the output.
#[derive(Default)]
struct Arriving {
    /// Products whose pairs of copies are to be mixed, `[rows, 2 l + 1, pairs]`.
    products: Vec<Tensor<3>>,
    /// The weights that mix them, `[1 or rows, pairs, copies]`.
    weights: Vec<Tensor<3>>,
    /// What needs no mixing, `[rows, copies, 2 l + 1]`.
    terms: Vec<Tensor<3>>,
}

impl Arriving {
    /// All of it, `[rows, copies, 2 l + 1]`; none if nothing arrives.
    fn sum(mut self) -> Option<Tensor<3>> {
        if !self.products.is_empty() {
            self.terms.push(mix(self.products, self.weights));
        }
        self.terms.into_iter().reduce(|a, b| a + b)
    }
}

impl TensorProduct {
    pub(super) fn new(
        weight: Option<Param<Tensor<1>>>,
        contractions: Vec<Contraction>,
        fused: Option<Fused>,
        paths: Vec<Path>,
        config: TensorProductConfig,
    ) -> Self {
        Self { weight, contractions, fused, paths, config }
    }

    /// Multiplies with its own weights, if it takes any.
    ///
    /// # Shapes
    /// - `x1`: `[rows, irreps_in1.dim()]`
    /// - `x2`: `[rows, irreps_in2.dim()]`
    /// - output: `[rows, irreps_out.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps, rows differ, or it takes weights and has none.
    pub fn forward(&self, x1: Tensor<2>, x2: Tensor<2>) -> Tensor<2> {
        self.multiply(x1, x2, self.own_weight())
    }

    /// Multiplies with given weights, the same for all rows or others for each.
    ///
    /// # Shapes
    /// - `x1`: `[rows, irreps_in1.dim()]`
    /// - `x2`: `[rows, irreps_in2.dim()]`
    /// - `weight`: `[1, weight_numel]` or `[rows, weight_numel]`
    /// - output: `[rows, irreps_out.dim()]`
    ///
    /// # Panics
    /// If a shape is another.
    pub fn forward_with(&self, x1: Tensor<2>, x2: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        self.multiply(x1, x2, Some(weight))
    }

    /// What the nodes of a graph receive: the sum over its edges of the product of the sender's features with those of the edge, with given
    /// weights. By [`uvu_messages`] where the product is [`uvu_product`]; else every edge's product is taken, then summed.
    ///
    /// # Shapes
    /// - `x1`: `[nodes that send, irreps_in1.dim()]`
    /// - `x2`: `[edges, irreps_in2.dim()]`
    /// - `weight`: `[1, weight_numel]` or `[edges, weight_numel]`
    /// - output: `[nodes that receive, irreps_out.dim()]`
    ///
    /// # Panics
    /// If a shape is another.
    pub fn messages(
        &self,
        x1: Tensor<2>,
        x2: Tensor<2>,
        weight: Tensor<2>,
        senders: &Segments,
        receivers: &Segments,
    ) -> Tensor<2> {
        match &self.fused {
            Some(Fused::Uvu(couplings)) => uvu_messages(x1, x2, weight, couplings, senders, receivers),
            _ => segment_sum(self.forward_with(gather(x1, senders), x2, weight), receivers),
        }
    }

    /// The couplings of [`messages`](Self::messages) with these harmonics, if messages cost less in the frames of their vectors.
    pub(in crate::o3) fn aligned_couplings(&self, harmonics: &SphericalHarmonics) -> Option<Arc<HarmonicCouplings>> {
        let Some(Fused::Uvu(couplings)) = &self.fused else { return None };
        let couplings = HarmonicCouplings::new(couplings.clone(), harmonics).ok()?;
        (couplings.form() == MessageForm::Aligned).then(|| Arc::new(couplings))
    }

    /// The matrices by which `x2` multiplies, `forward(x1, x2) = x1 right(x2)` in every row.
    ///
    /// # Shapes
    /// - `x2`: `[rows, irreps_in2.dim()]`
    /// - output: `[rows, irreps_in1.dim(), irreps_out.dim()]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn right(&self, x2: Tensor<2>) -> Tensor<3> {
        self.matrices(x2, self.own_weight())
    }

    /// The same with given weights, as in [`forward_with`](Self::forward_with).
    ///
    /// # Panics
    /// As [`forward_with`](Self::forward_with).
    pub fn right_with(&self, x2: Tensor<2>, weight: Tensor<2>) -> Tensor<3> {
        self.matrices(x2, Some(weight))
    }

    /// Every unit vector in the place of `x1`.
    fn matrices(&self, x2: Tensor<2>, weight: Option<Tensor<2>>) -> Tensor<3> {
        let ([rows, columns], units) = (x2.dims(), self.config.irreps_in1.dim());
        let for_each_unit = |x: Tensor<2>, rows: usize, columns: usize| {
            x.unsqueeze_dim::<3>(1).expand([rows, units, columns]).reshape([rows * units, columns])
        };
        let x1 = Tensor::<2>::eye(units, &x2.device()).cast(x2.dtype());
        let x1 = x1.unsqueeze::<3>().expand([rows, units, units]).reshape([rows * units, units]);
        let weight = weight.map(|weight| match weight.dims() {
            [1, _] => weight,
            [rows, numel] => for_each_unit(weight, rows, numel),
        });
        let out = self.multiply(x1, for_each_unit(x2, rows, columns), weight);
        out.reshape([rows, units, self.config.irreps_out.dim()])
    }

    fn own_weight(&self) -> Option<Tensor<2>> {
        let own = self.weight.as_ref().map(|weight| weight.val().unsqueeze());
        assert!(
            own.is_some() || self.weight_numel() == 0,
            "a product without weights of its own is called by `forward_with` or `right_with`"
        );
        own
    }

    fn multiply(&self, x1: Tensor<2>, x2: Tensor<2>, weight: Option<Tensor<2>>) -> Tensor<2> {
        let TensorProductConfig { irreps_in1, irreps_in2, irreps_out, .. } = &self.config;
        let ([rows, columns1], [rows2, columns2]) = (x1.dims(), x2.dims());
        assert!(
            columns1 == irreps_in1.dim() && columns2 == irreps_in2.dim() && rows == rows2,
            "TensorProduct takes as many rows of {irreps_in1} as of {irreps_in2}, not [{rows}, {columns1}] and [{rows2}, {columns2}]"
        );
        let weight = match (&self.fused, weight) {
            (Some(Fused::Uvu(couplings)), Some(weight)) => {
                self.check_weights(&weight, rows);
                return uvu_product(x1, x2, weight, couplings);
            }
            (Some(Fused::Uvw(couplings)), Some(weight)) if weight.dims()[0] == 1 => {
                self.check_weights(&weight, rows);
                return uvw_product(x1, x2, weight, couplings);
            }
            (_, weight) => weight,
        };
        let options = (&x1.device(), x1.dtype());
        let weights = match weight {
            Some(weight) => self.split_weights(weight, rows),
            None => vec![None; self.paths.len()],
        };
        let (x1, x2) = (blocks(x1, irreps_in1), blocks(x2, irreps_in2));
        let mut arriving: Vec<Arriving> = irreps_out.blocks().iter().map(|_| Arriving::default()).collect();
        for ((path, contraction), weight) in self.paths.iter().zip(&self.contractions).zip(weights) {
            let place = path.instruction;
            // Blocks are none where a path has no terms.
            if let (Some(x), Some(y), false) = (&x1[place.in1], &x2[place.in2], path.is_empty()) {
                arrive(&mut arriving[place.out], path, contraction, x.clone(), y.clone(), weight);
            }
        }
        let outputs = irreps_out.blocks().iter().zip(arriving).filter(|(block, _)| block.mul > 0);
        let shaped = outputs.map(|(block, arriving)| match arriving.sum() {
            Some(sum) => sum.reshape([rows, block.dim()]),
            None => Tensor::zeros([rows, block.dim()], options),
        });
        join(shaped.collect(), 1)
    }

    /// The weights of every path, `[1 or rows, path.weights.len()]`.
    fn split_weights(&self, weight: Tensor<2>, rows: usize) -> Vec<Option<Tensor<2>>> {
        self.check_weights(&weight, rows);
        let widths: Vec<usize> = self.paths.iter().map(|path| path.weights.len()).collect();
        split(weight, &widths)
    }

    fn check_weights(&self, weight: &Tensor<2>, rows: usize) {
        let [batch, numel] = weight.dims();
        assert!(
            numel == self.weight_numel() && (batch == 1 || batch == rows),
            "TensorProduct takes {} weights, the same or others for each of {rows} rows, not [{batch}, {numel}]",
            self.weight_numel()
        );
    }

    /// What it is made of.
    pub fn config(&self) -> &TensorProductConfig {
        &self.config
    }

    /// What it gives.
    pub fn irreps_out(&self) -> &Irreps {
        &self.config.irreps_out
    }

    /// Its paths, in the order of their weights.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// How many weights it takes.
    pub fn weight_numel(&self) -> usize {
        self.paths.last().map_or(0, |path| path.weights.end)
    }

    /// Its own weights of a path, in the shape of its mode.
    ///
    /// # Panics
    /// If there is no such path, it has no weights, or `D` is not the number of dimensions of [`Path::shape`].
    pub fn weight_view<const D: usize>(&self, path: usize) -> Tensor<D> {
        let Path { weights, shape, .. } = &self.paths[path];
        let weight = self.weight.as_ref().filter(|_| !weights.is_empty());
        let weight = weight.unwrap_or_else(|| panic!("path {path}, {}, has no weights here", self.paths[path]));
        let shape: [usize; D] = shape
            .as_slice()
            .try_into()
            .unwrap_or_else(|_| panic!("weights of path {path} are {shape:?}, not of {D} dimensions"));
        weight.val().narrow(0, weights.start, weights.len()).reshape(shape)
    }

    /// For every column of the output, whether a path reaches it.
    pub fn output_mask(&self) -> Vec<bool> {
        let blocks = self.config.irreps_out.blocks().iter().enumerate();
        let reached = |out: usize| self.paths.iter().any(|path| path.reaches(out));
        blocks.flat_map(|(out, block)| std::iter::repeat_n(reached(out), block.dim())).collect()
    }
}

/// The blocks of rows, `[rows, copies, 2 l + 1]`.
fn blocks(x: Tensor<2>, irreps: &Irreps) -> Vec<Option<Tensor<3>>> {
    let rows = x.dims()[0];
    let widths: Vec<usize> = irreps.blocks().iter().map(|block| block.dim()).collect();
    let shaped = split(x, &widths).into_iter().zip(irreps.blocks());
    shaped.map(|(x, block)| Some(x?.reshape([rows, block.mul, block.irrep.dim()]))).collect()
}

/// Adds what a path gives.
fn arrive(
    to: &mut Arriving,
    path: &Path,
    contraction: &Contraction,
    x: Tensor<3>,
    y: Tensor<3>,
    weight: Option<Tensor<2>>,
) {
    let [mul1, mul2, mul_out] = path.blocks.map(|block| block.mul);
    let Some(weight) = weight else {
        to.terms.push(match path.instruction.mode {
            ConnectionMode::Uvu => contraction.forward(x, y.sum_dim(1), false),
            ConnectionMode::Uvv => contraction.forward(x.sum_dim(1), y, false),
            ConnectionMode::Uuw => contraction.forward(x, y, false).sum_dim(1),
            _ => contraction.forward(x, y, false),
        });
        return;
    };
    let batch = weight.dims()[0];
    // Copies last, as `mix` takes them.
    let last = |x: Tensor<3>| x.swap_dims(1, 2);
    to.terms.push(match path.instruction.mode {
        ConnectionMode::Uvw | ConnectionMode::Uuw | ConnectionMode::ULtVw => {
            let products = contraction.forward(x, y, true);
            to.weights.push(weight.reshape([batch, products.dims()[1], mul_out]));
            to.products.push(last(products));
            return;
        }
        ConnectionMode::Uvu if mul2 > 1 => {
            let summed = mix(vec![last(y)], vec![last(weight.reshape([batch, mul1, mul2]))]);
            contraction.forward(x, summed, false)
        }
        ConnectionMode::Uvv if mul1 > 1 => {
            let summed = mix(vec![last(x)], vec![weight.reshape([batch, mul1, mul2])]);
            contraction.forward(summed, y, false)
        }
        // Weights go where fewer components are.
        ConnectionMode::Uvu | ConnectionMode::Uuu if y.dims()[2] == 1 => {
            contraction.forward(x, y * weight.reshape([batch, mul1, 1]), false)
        }
        ConnectionMode::Uvu | ConnectionMode::Uuu if x.dims()[2] <= path.blocks[2].irrep.dim() => {
            contraction.forward(x * weight.reshape([batch, mul1, 1]), y, false)
        }
        _ => contraction.forward(x, y, false) * weight.reshape([batch, mul_out, 1]),
    });
}

impl ModuleDisplay for TensorProduct {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let TensorProductConfig { irreps_in1, irreps_in2, irreps_out, .. } = &self.config;
        let (paths, weights) = (self.paths.len(), self.weight_numel());
        let name =
            format!("TensorProduct({irreps_in1} x {irreps_in2} -> {irreps_out}, {paths} paths, {weights} weights)");
        content.set_top_level_type(&name).optional()
    }
}
