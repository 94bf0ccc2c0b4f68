//! A network of functions of distances, `x -> W_n f(... f(W_2 f(W_1 x)))`, without biases: what is zero at the cut-off stays zero, if
//! `f(0) = 0`.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::{Tensor, TensorCreationOptions};

use super::activation_function::NormalizedFunction;
use crate::error::{LayerError, Result};
use crate::weights::Weights;

/// Configuration of a [`RadialMlp`].
#[derive(Clone, Debug)]
pub struct RadialMlpConfig {
    widths: Vec<usize>,
    function: NormalizedFunction,
    pub(super) seed: Option<u64>,
}

impl RadialMlpConfig {
    /// The numbers of inputs, of hidden features layer by layer, and of outputs.
    pub fn new(widths: impl Into<Vec<usize>>, function: impl Into<NormalizedFunction>) -> Self {
        Self { widths: widths.into(), function: function.into(), seed: None }
    }

    /// The same with weights that depend on nothing but the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the network; weights are standard normal.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for fewer than two widths, or a width of zero.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<RadialMlp> {
        let widths = &self.widths;
        if widths.len() < 2 || widths.contains(&0) {
            return Err(LayerError::InvalidConfig(format!(
                "RadialMlp takes the numbers of its inputs and outputs, and of hidden features between them, all at least 1: {widths:?} \
                 are not"
            )));
        }
        let mut weights = Weights::new(self.seed, options);
        let layers = widths.windows(2).map(|pair| weights.normal([pair[0], pair[1]])).collect();
        Ok(RadialMlp { layers, widths: widths.clone(), function: self.function })
    }
}

/// Linear maps with a function of second moment one between them; e3nn's `nn.FullyConnectedNet`. See [`RadialMlpConfig`].
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct RadialMlp {
    /// `[width, next width]` each. They are divided by the root of the width when they are used.
    pub layers: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    widths: Vec<usize>,
    #[module(skip)]
    function: NormalizedFunction,
}

impl RadialMlp {
    /// Applies the network.
    ///
    /// # Shapes
    /// - `x`: `[rows, first width]`
    /// - output: `[rows, last width]`
    ///
    /// # Panics
    /// If the columns are not the first width.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (columns, width) = (x.dims()[1], self.widths[0]);
        assert_eq!(columns, width, "RadialMlp takes [rows, {width}]; it was given {:?}", x.dims());
        let linear = |x: Tensor<2>, (weight, &width): (&Param<Tensor<2>>, &usize)| {
            // Not a quotient, whose gradient Burn takes in f32.
            x.matmul(weight.val() * (width as f64).sqrt().recip())
        };
        let mut layers = self.layers.iter().zip(&self.widths);
        let first = linear(x, layers.next().expect("a layer"));
        layers.fold(first, |x, layer| linear(self.function.apply(x), layer))
    }
}

impl ModuleDisplay for RadialMlp {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let widths = self.widths.iter().map(usize::to_string).collect::<Vec<_>>().join(" -> ");
        content.set_top_level_type(&format!("RadialMlp({widths}, {})", self.function)).optional()
    }
}
