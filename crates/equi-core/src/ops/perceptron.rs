//! Networks on rows: a linear map, and two with a SiLU between them.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType};
use burn::tensor::Tensor;

use super::extension::RowOps;
use super::message_network::OptionalTensors;

/// `x W + b`, for many rows and few channels: on flex in pieces that stay in the cache.
///
/// # Shapes
/// - `x`: `[rows, inputs]`
/// - `weight`: `[inputs, outputs]`
/// - `bias`: `[outputs]`
/// - output: `[rows, outputs]`
///
/// # Panics
/// If the shapes do not fit.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let ([rows, given], [inputs, outputs]) = (x.dims(), weight.dims());
    let width = bias.as_ref().map_or(outputs, |bias| bias.dims()[0]);
    assert!(
        given == inputs && width == outputs,
        "linear with a weight [{inputs}, {outputs}] was given rows of {given} and a bias of {width}"
    );
    if rows * inputs * outputs == 0 {
        // No rows depend on the weights all the same, as far as gradients are concerned.
        let product = match inputs * outputs {
            0 => Tensor::zeros([rows, outputs], (&x.device(), x.dtype())),
            _ => x.matmul(weight),
        };
        return bias.filter(|_| outputs > 0).map_or(product.clone(), |bias| product + bias.unsqueeze());
    }
    let bias = match bias {
        Some(bias) => OptionalTensors::One(bias.into_dispatch()),
        None => OptionalTensors::None,
    };
    Tensor::from_dispatch(<Dispatch as RowOps>::linear_rows(x.into_dispatch(), weight.into_dispatch(), bias))
}

/// The arguments of [`perceptron`].
#[derive(Clone, Debug)]
pub struct Perceptron {
    /// `x_k [rows, inputs_k]` and `W_k [inputs_k, hidden]`, one to three of them.
    pub inputs: Vec<(Tensor<2>, Tensor<2>)>,
    /// `b [hidden]`
    pub bias: Tensor<1>,
    /// `V [hidden, outputs]`
    pub output: Tensor<2>,
    /// `c [outputs]`
    pub output_bias: Option<Tensor<1>>,
    /// Whether the first input is added to the output.
    pub residual: bool,
}

/// `y = silu(sum_k x_k W_k + b) V + c`, or `x_0 + y`: a network with one hidden layer that is shown several inputs side by side. On flex no
/// tensor has its hidden values: they are made in the cache, and made again for the gradient.
///
/// # Shapes
/// Those of [`Perceptron`]; the output is `[rows, outputs]`.
///
/// # Panics
/// If the shapes do not fit, or there are other than one to three inputs.
pub fn perceptron(network: Perceptron) -> Tensor<2> {
    let [hidden, outputs] = network.output.dims();
    let rows = network.inputs.first().map_or(0, |(x, _)| x.dims()[0]);
    let first = network.inputs.first().map_or(0, |(x, _)| x.dims()[1]);
    let width = network.output_bias.as_ref().map_or(outputs, |bias| bias.dims()[0]);
    let mut fits = (1..=3).contains(&network.inputs.len()) && network.bias.dims() == [hidden] && width == outputs;
    fits &= !network.residual || first == outputs;
    for (x, weight) in &network.inputs {
        fits &= x.dims()[0] == rows && weight.dims() == [x.dims()[1], hidden];
    }
    assert!(
        fits,
        "a perceptron of {hidden} hidden values and {outputs} outputs takes one to three inputs of as many rows and their weights [inputs, {hidden}], \
         a bias [{hidden}] and one [{outputs}]; it was given inputs {:?}, biases [{}] and [{width}]",
        network.inputs.iter().map(|(x, weight)| (x.dims(), weight.dims())).collect::<Vec<_>>(),
        network.bias.dims()[0],
    );
    let empty = network.inputs.iter().any(|(x, _)| x.dims()[1] == 0);
    if rows * hidden * outputs == 0 || empty {
        return step_by_step(network);
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::perceptron(network.into()))
}

/// Where something is empty.
fn step_by_step(network: Perceptron) -> Tensor<2> {
    let Perceptron { inputs, bias, output, output_bias, residual } = network;
    let ([hidden, outputs], rows) = (output.dims(), inputs[0].0.dims()[0]);
    let options = (&output.device(), output.dtype());
    if outputs == 0 {
        return Tensor::zeros([rows, outputs], options);
    }
    let first = inputs[0].0.clone();
    let sums = inputs.into_iter().filter(|(x, _)| x.dims()[1] * hidden > 0);
    let sum = sums.fold(Tensor::zeros([rows, hidden], options), |sum, (x, weight)| sum + x.matmul(weight));
    let mut y = match hidden {
        0 => Tensor::zeros([rows, outputs], options),
        _ => burn::tensor::activation::silu(sum + bias.unsqueeze()).matmul(output),
    };
    if let Some(bias) = output_bias {
        y = y + bias.unsqueeze();
    }
    if residual { first + y } else { y }
}

/// [`Perceptron`] as a backend sees it.
#[derive(Clone, Debug, ExtensionType)]
pub struct BackendPerceptron<B: Backend> {
    /// `x_0`
    pub x: FloatTensor<B>,
    /// `W_0`
    pub weight: FloatTensor<B>,
    /// `x_1` and `W_1`.
    #[extension_type]
    pub second: OptionalTensors<B>,
    /// `x_2` and `W_2`.
    #[extension_type]
    pub third: OptionalTensors<B>,
    /// `b`
    pub bias: FloatTensor<B>,
    /// `V`
    pub output: FloatTensor<B>,
    /// `c`
    #[extension_type]
    pub output_bias: OptionalTensors<B>,
    /// Whether `x_0` is added.
    pub residual: bool,
}

/// The number of arguments in [`BackendPerceptron::tensors`].
pub(super) const ARGUMENTS: usize = 9;

impl<B: Backend> BackendPerceptron<B> {
    /// `x_0`, `W_0`, `x_1`, `W_1`, `x_2`, `W_2`, `b`, `V`, `c`.
    pub(super) fn tensors(&self) -> [Option<&FloatTensor<B>>; ARGUMENTS] {
        let ([a, a_weight, _], [b, b_weight, _]) = (self.second.tensors(), self.third.tensors());
        let [c, ..] = self.output_bias.tensors();
        let [x, weight, bias, output] = [&self.x, &self.weight, &self.bias, &self.output].map(Some);
        [x, weight, a, a_weight, b, b_weight, bias, output, c]
    }

    /// The same on another backend.
    pub(super) fn map<C: Backend>(self, mut to: impl FnMut(FloatTensor<B>) -> FloatTensor<C>) -> BackendPerceptron<C> {
        BackendPerceptron {
            x: to(self.x),
            weight: to(self.weight),
            second: self.second.map(&mut to),
            third: self.third.map(&mut to),
            bias: to(self.bias),
            output: to(self.output),
            output_bias: self.output_bias.map(&mut to),
            residual: self.residual,
        }
    }
}

impl From<Perceptron> for BackendPerceptron<Dispatch> {
    fn from(network: Perceptron) -> Self {
        let mut inputs = network.inputs.into_iter().map(|(x, weight)| (x.into_dispatch(), weight.into_dispatch()));
        let (x, weight) = inputs.next().expect("checked");
        let mut next = || inputs.next().map_or(OptionalTensors::None, |(x, weight)| OptionalTensors::Two(x, weight));
        Self {
            x,
            weight,
            second: next(),
            third: next(),
            bias: network.bias.into_dispatch(),
            output: network.output.into_dispatch(),
            output_bias: match network.output_bias {
                Some(bias) => OptionalTensors::One(bias.into_dispatch()),
                None => OptionalTensors::None,
            },
            residual: network.residual,
        }
    }
}
