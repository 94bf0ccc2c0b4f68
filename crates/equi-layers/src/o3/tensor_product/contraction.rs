//! The coefficients of a path as matrices, and the products with them.

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use equi_core::o3::wigner_3j;

use super::ConnectionMode;
use super::path::Path;
use crate::error::Result;
use crate::weights::Weights;

/// Which copies of two inputs are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// Every copy of the first with the only one of the second.
    One,
    /// Every copy of the first with every one of the second.
    All,
    /// Every copy of the first with that of the same number of the second.
    Same,
    /// Every copy of the first with those of higher numbers of the second.
    Below,
}

/// `z_k = c sum_ij C_ijk x_i y_j` for the copies of one path that meet.
#[derive(Module, Debug)]
pub(super) struct Contraction {
    /// `c C`, its sides joined in the order in which they are summed; none if one of the inputs is a scalar, so that `c C` is `scale`
    /// times the identity.
    coefficients: Option<Tensor<2>>,
    /// The copies of either input that meet, for [`Meeting::Below`].
    first: Option<Tensor<1, Int>>,
    second: Option<Tensor<1, Int>>,
    scale: f64,
    components: usize,
    #[module(skip)]
    meeting: Meeting,
}

impl Contraction {
    pub(super) fn new(path: &Path, weights: &Weights) -> Result<Self> {
        let [a, b, out] = path.blocks;
        let meeting = match path.instruction.mode {
            ConnectionMode::Uvw | ConnectionMode::Uvuv if b.mul == 1 => Meeting::One,
            ConnectionMode::Uvw | ConnectionMode::Uvuv => Meeting::All,
            // Weights are multiplied by the copies that are summed first, which leaves one for each of the others.
            ConnectionMode::Uvu if b.mul == 1 || path.weights.is_empty() => Meeting::One,
            ConnectionMode::Uvv if a.mul == 1 || path.weights.is_empty() => Meeting::All,
            ConnectionMode::Uvu | ConnectionMode::Uvv | ConnectionMode::Uuu | ConnectionMode::Uuw => Meeting::Same,
            ConnectionMode::UvuLtV | ConnectionMode::ULtVw => Meeting::Below,
        };
        let table = wigner_3j(a.irrep.l, b.irrep.l, out.irrep.l)?;
        let [d1, d2, d] = path.blocks.map(|block| block.irrep.dim());
        let at = |place: usize, i: usize, j: usize, k: usize| (place, path.coefficient * table.get(i, j, k));
        let entries = |place: &dyn Fn(usize, usize, usize) -> usize| {
            let mut values = vec![0.0; d1 * d2 * d];
            for (i, j, k, _) in table.nonzeros() {
                let (place, value) = at(place(i, j, k), i, j, k);
                values[place] = value;
            }
            values
        };
        let coefficients = (d1 > 1 && d2 > 1).then(|| match meeting {
            Meeting::One => weights.constant(entries(&|i, j, k| (j * d1 + i) * d + k), [d2, d1 * d]),
            Meeting::All => weights.constant(entries(&|i, j, k| (i * d + k) * d2 + j), [d1, d * d2]),
            Meeting::Same | Meeting::Below => weights.constant(entries(&|i, j, k| (i * d2 + j) * d + k), [d1 * d2, d]),
        });
        let pairs = |pick: fn(usize, usize) -> usize| {
            let places: Vec<i64> = (0..a.mul).flat_map(|u| (u + 1..a.mul).map(move |v| pick(u, v) as i64)).collect();
            let count = places.len();
            (meeting == Meeting::Below && count > 0)
                .then(|| Tensor::from_data(TensorData::new(places, [count]), weights.device()))
        };
        Ok(Self {
            coefficients,
            first: pairs(|u, _| u),
            second: pairs(|_, v| v),
            scale: path.coefficient * table.get(0, 0, 0),
            components: d,
            meeting,
        })
    }

    /// The products of the copies that meet. `copies_last` says in which order they are wanted in memory; where they lie is a matter of
    /// speed only.
    ///
    /// # Shapes
    /// - `x`: `[rows, copies, 2 l1 + 1]`
    /// - `y`: `[rows, copies, 2 l2 + 1]`
    /// - output: `[rows, pairs, 2 l + 1]`
    pub(super) fn forward(&self, x: Tensor<3>, y: Tensor<3>, copies_last: bool) -> Tensor<3> {
        let ([rows, mul1, d1], [_, mul2, d2], d) = (x.dims(), y.dims(), self.components);
        let (x, y) = match (&self.first, &self.second) {
            (Some(first), Some(second)) => (x.select(1, first.clone()), y.select(1, second.clone())),
            _ => (x, y),
        };
        let Some(coefficients) = &self.coefficients else {
            // The smaller of the two is scaled.
            let (x, y) = if mul1 * d1 < mul2 * d2 { (x * self.scale, y) } else { (x, y * self.scale) };
            return match self.meeting {
                Meeting::One if d1 == 1 && d2 > 1 => match copies_last {
                    true => y.swap_dims(1, 2).matmul(x.swap_dims(1, 2)).swap_dims(1, 2),
                    false => x.matmul(y),
                },
                Meeting::All => {
                    let (x, y) = (x.reshape([rows, mul1, 1, d1]), y.reshape([rows, 1, mul2, d2]));
                    (x * y).reshape([rows, mul1 * mul2, d])
                }
                Meeting::One | Meeting::Same | Meeting::Below => x * y,
            };
        };
        let coefficients = coefficients.clone();
        match self.meeting {
            Meeting::One => {
                let turned = y.reshape([rows, d2]).matmul(coefficients).reshape([rows, d1, d]);
                match copies_last {
                    true => turned.swap_dims(1, 2).matmul(x.swap_dims(1, 2)).swap_dims(1, 2),
                    false => x.matmul(turned),
                }
            }
            Meeting::All => {
                let turned = x.reshape([rows * mul1, d1]).matmul(coefficients).reshape([rows, mul1, d, d2]);
                let turned = turned.swap_dims(1, 2).reshape([rows, d * mul1, d2]);
                turned.matmul(y.swap_dims(1, 2)).reshape([rows, d, mul1 * mul2]).swap_dims(1, 2)
            }
            Meeting::Same | Meeting::Below => {
                let pairs = x.dims()[1];
                let products = x.reshape([rows * pairs, d1, 1]) * y.reshape([rows * pairs, 1, d2]);
                products.reshape([rows * pairs, d1 * d2]).matmul(coefficients).reshape([rows, pairs, d])
            }
        }
    }
}
