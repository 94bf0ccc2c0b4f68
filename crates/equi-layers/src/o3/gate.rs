//! Gates, `(s, g, v) -> (f(s), h(g_1) v_1, h(g_2) v_2, ...)`: scalars through functions of their own, and every other feature times a
//! function of a scalar made for it.
//!
//! Scalars commute with rotations, and multiples by them with everything; an odd gate turns an odd feature into an even one.
//!
//! Weiler et al.: 3D Steerable CNNs, NeurIPS 2018.

use std::ops::Range;

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::Tensor;
use equi_core::o3::{Irrep, Irreps, MulIrrep, Parity};

use super::Activation;
use super::activation_function::NormalizedFunction;
use super::columns::join;
use super::copies::{Copies, check_columns, check_features};
use crate::error::{LayerError, Result};
use crate::planar::Nonlinearity;

/// Configuration of a [`Gate`]: one function for every block of scalars and of gates, once neighbouring blocks of one irrep are one.
#[derive(Clone, Debug)]
pub struct GateConfig {
    scalars: Irreps,
    scalar_functions: Vec<NormalizedFunction>,
    gates: Irreps,
    gate_functions: Vec<NormalizedFunction>,
    gated: Irreps,
}

impl GateConfig {
    /// Scalars with their functions, gates with theirs, and what is gated, with as many copies as there are gates.
    pub fn new<F>(
        scalars: &Irreps,
        scalar_functions: &[F],
        gates: &Irreps,
        gate_functions: &[F],
        gated: &Irreps,
    ) -> Self
    where
        F: Into<NormalizedFunction> + Copy,
    {
        let normalized = |functions: &[F]| functions.iter().map(|&function| function.into()).collect();
        Self {
            scalars: scalars.simplify(),
            scalar_functions: normalized(scalar_functions),
            gates: gates.simplify(),
            gate_functions: normalized(gate_functions),
            gated: gated.simplify(),
        }
    }

    /// What gives `irreps`, sorted: its scalars through SiLU if even and tanh if odd, the rest with even gates through a sigmoid.
    pub fn of(irreps: &Irreps) -> Self {
        Self::with_gates(irreps, Irrep::even(0))
    }

    /// The same with gates of one kind: odd ones go through tanh, and give gated features of the other parity.
    pub(super) fn with_gates(irreps: &Irreps, gate: Irrep) -> Self {
        let sorted = irreps.regroup();
        let (scalars, gated): (Vec<MulIrrep>, Vec<_>) = sorted.blocks().iter().partition(|block| block.irrep.l == 0);
        let (scalars, gated) = (Irreps::new(scalars), Irreps::new(gated));
        let function = |even, irrep: Irrep| if irrep.parity == Parity::Even { even } else { Nonlinearity::Tanh };
        let functions: Vec<_> =
            scalars.blocks().iter().map(|block| function(Nonlinearity::Silu, block.irrep)).collect();
        let gates = gated.copies();
        let (gates, gate_functions) = match gates {
            0 => (Irreps::default(), vec![]),
            mul => (MulIrrep::new(mul, gate).into(), vec![function(Nonlinearity::Sigmoid, gate)]),
        };
        Self::new(&scalars, &functions, &gates, &gate_functions, &gated)
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] unless there is one gate for every gated copy and one function for every block, scalars and
    /// gates have degree 0, and there are features at all; [`LayerError::Unsupported`] for a function without parity of odd scalars.
    pub fn init(&self) -> Result<Gate> {
        let Self { scalars, gates, gated, .. } = self;
        for (name, irreps) in [("scalars", scalars), ("gates", gates)] {
            if let Some(block) = irreps.blocks().iter().find(|block| block.irrep.l > 0) {
                return Err(LayerError::InvalidConfig(format!(
                    "{block} among the {name} {irreps} of a gate is not scalar: put it among the gated irreps"
                )));
            }
        }
        if gates.copies() != gated.copies() {
            return Err(LayerError::InvalidConfig(format!(
                "{} gates ({gates}) for {} gated copies ({gated}): every copy needs one",
                gates.copies(),
                gated.copies()
            )));
        }
        let functions = |functions: &[NormalizedFunction]| functions.iter().copied().map(Some).collect();
        let scalars = Activation::of_blocks(scalars, functions(&self.scalar_functions))?;
        let gates = Activation::of_blocks(gates, functions(&self.gate_functions))?;
        // The input is sorted, and every block of the three is a block of it.
        let parts = [scalars.irreps_in(), gates.irreps_in(), gated];
        let sorted = (parts[0].clone() + parts[1].clone() + parts[2].clone()).sort();
        check_columns("Gate", &sorted.irreps)?;
        let slices = sorted.irreps.slices();
        let mut place = 0;
        let columns = parts.map(|part| {
            let places = place..place + part.blocks().len();
            place = places.end;
            places.map(|block| slices[sorted.permutation[block]].clone()).collect()
        });
        Ok(Gate {
            copies: Copies::new(gated),
            input: sorted.irreps.simplify(),
            output: scalars.irreps_out().clone() + products(gated, gates.irreps_out()),
            scalars,
            gates,
            columns,
        })
    }
}

/// The blocks of `gated`, cut where those of `gates` end, with the parity of the products.
fn products(gated: &Irreps, gates: &Irreps) -> Irreps {
    let mut gates = gates.blocks().to_vec().into_iter();
    let mut gate = gates.next();
    let mut blocks = Vec::new();
    for block in gated.blocks() {
        let mut left = block.mul;
        while left > 0 {
            let current = gate.as_mut().expect("a gate for every copy");
            let mul = left.min(current.mul);
            if mul > 0 {
                let product = block.irrep.product(current.irrep).next().expect("a product with a scalar");
                blocks.push(MulIrrep::new(mul, product));
            }
            (left, current.mul) = (left - mul, current.mul - mul);
            if current.mul == 0 {
                gate = gates.next();
            }
        }
    }
    Irreps::new(blocks)
}

/// Activates scalars and multiplies the rest by activated scalars; e3nn's `nn.Gate`. See [`GateConfig`].
///
/// It takes scalars, gates and gated features together, **sorted**: build the layer before it with [`irreps_in`](Self::irreps_in).
/// Scalars come first and gates after them in a block that they share.
///
/// ```
/// use equi_layers::o3::GateConfig;
///
/// let gate = GateConfig::of(&"16x0e+8x1o+4x2e".parse()?).init()?;
/// assert_eq!(gate.irreps_in().to_string(), "28x0e+8x1o+4x2e");
/// assert_eq!(gate.irreps_out().to_string(), "16x0e+8x1o+4x2e");
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Gate {
    scalars: Activation,
    gates: Activation,
    #[module(skip)]
    copies: Copies,
    /// Where the blocks of scalars, gates and gated features are in the input.
    #[module(skip)]
    columns: [Vec<Range<usize>>; 3],
    #[module(skip)]
    input: Irreps,
    #[module(skip)]
    output: Irreps,
}

impl Gate {
    /// What it takes: scalars, gates and gated features, sorted.
    pub fn irreps_in(&self) -> &Irreps {
        &self.input
    }

    /// What it gives: scalars and gated features, in the order in which they were named.
    pub fn irreps_out(&self) -> &Irreps {
        &self.output
    }

    /// Applies the gates.
    ///
    /// # Shapes
    /// - `features`: `[rows, irreps_in.dim()]`
    /// - output: `[rows, irreps_out.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        check_features("Gate", &self.input, &features);
        let [scalars, gates, gated] = &self.columns;
        let mut output = self.scalars.parts(&features, scalars);
        let gates = self.gates.parts(&features, gates);
        if !gates.is_empty() {
            let gated = gated.iter().filter(|columns| !columns.is_empty());
            let gated = gated.map(|columns| features.clone().narrow(1, columns.start, columns.len()));
            output.push(self.copies.scale(join(gated.collect(), 1), join(gates, 1)));
        }
        join(output, 1)
    }
}

impl ModuleDisplay for Gate {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        content.set_top_level_type(&format!("Gate({} -> {})", self.input, self.output)).optional()
    }
}
