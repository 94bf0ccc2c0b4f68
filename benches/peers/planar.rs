//! Planar steerable layers beside `planar.py`: our side of `benches/peers/run.py planar`. With `--test`, small ones are compared with what
//! escnn gave (`tests/golden/planar_peer`).

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use equi::core::FieldType;
use equi::core::group::{C8, D4, Group};
use equi::core::ops::inner_product;
use equi::layers::import::StateDict;
use equi::layers::planar::{FoldedR2Conv, R2Conv, R2ConvConfig};
use equi::train::fit::Classifier;
use equi::train::model::{FoldedCnn, SteerableCnn, SteerableCnnConfig};

mod serve;

use serve::{Failure, Named, Workload, finish, unknown};

/// Of Adam.
const RATE: f64 = 1e-3;

/// Of the network.
const CLASSES: usize = 10;

/// The small ones, and the largest difference in f32 relative to the largest value of a tensor: escnn samples its bases in f32, 1e-6 of a
/// filter; and of the gradients of the first batch norm little is left of 54,000 terms, so that escnn itself is 1e-5 off in f32.
const SMALL: [(&str, f64); 5] =
    [("c8_small", 5e-6), ("d4_small", 5e-6), ("c6_small", 5e-6), ("c3_small", 5e-6), ("network_small", 5e-5)];

/// Tensors of a file, on a device.
struct Inputs<'a> {
    file: &'a StateDict,
    device: Device,
}

impl Inputs<'_> {
    fn get(&self, name: &str) -> Result<&TensorData, Failure> {
        Ok(self.file.get(name).ok_or_else(|| format!("there is no {name}"))?)
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<D>, Failure> {
        Ok(Tensor::from_data(self.get(name)?.clone().convert_dtype(DType::F32), &self.device))
    }
}

/// A layer, and the gradients of `sum(out * cotangent)` by its input, its weights and its bias.
struct Convolution {
    /// With autodiff.
    layer: R2Conv,
    x: Tensor<4>,
    cotangent: Tensor<4>,
    /// Without.
    valid: R2Conv,
    /// For inference.
    folded: FoldedR2Conv,
    plain: Tensor<4>,
    /// Our weights of escnn's basis elements, `[elements, elements]`; none where both have the same basis.
    basis: Option<Tensor<2>>,
}

/// A layer with `fields` regular fields before and after.
fn layer(group: Group, fields: usize, kernel: usize, device: &Device) -> Result<R2Conv, Failure> {
    let regular = FieldType::regular(group, fields)?;
    Ok(R2ConvConfig::new(&regular, &regular, kernel).with_padding(kernel / 2).init(device)?)
}

/// `[pairs * elements]` times a matrix on the elements.
fn transformed(weights: Tensor<1>, matrix: Option<Tensor<2>>) -> Tensor<1> {
    match matrix {
        None => weights,
        Some(matrix) => {
            let elements = matrix.dims()[0];
            let pairs = weights.dims()[0] / elements;
            weights.reshape([pairs, elements]).matmul(matrix).flatten(0, 1)
        }
    }
}

impl Convolution {
    fn new(name: &str, file: &StateDict) -> Result<Self, Failure> {
        let device = Device::default();
        let (plain, recorded) = (Inputs { file, device: device.clone() }, Inputs { file, device: device.autodiff() });
        let group = match name.split('_').next() {
            Some("d4") => D4,
            Some("c6") => Group::Cyclic(6),
            Some("c3") => Group::Cyclic(3),
            _ => C8,
        };
        let kernel = if name.ends_with("_small") { 3 } else { 5 };
        let bias = recorded.tensor("state.bias")?;
        let basis = match file.get("basis") {
            None => None,
            Some(elements) => {
                let one = layer(group, 1, kernel, &plain.device)?;
                let weights = |element| Ok::<_, Failure>(one.clone().with_filter(element)?.weights.val());
                let elements = plain.tensor::<5>("basis")?.split(1, 0).into_iter().take(elements.shape()[0]);
                Some(Tensor::stack(
                    elements.map(|element| weights(element.squeeze_dim(0))).collect::<Result<_, _>>()?,
                    0,
                ))
            }
        };
        let mut layer = layer(group, bias.dims()[0], kernel, &recorded.device)?;
        let weights = transformed(plain.tensor("state.weights")?, basis.clone());
        if weights.dims() != layer.weights.dims() {
            return Err(format!("{} weights, and the layer has {}", weights.dims()[0], layer.weights.dims()[0]).into());
        }
        layer.weights = Param::from_tensor(Tensor::from_inner(weights).require_grad());
        layer.bias = Some(Param::from_tensor(bias.require_grad()));
        let (x, cotangent) = (recorded.tensor("in.x")?.require_grad(), recorded.tensor("cotangent")?);
        let valid = layer.valid();
        Ok(Self { folded: valid.fold(), valid, layer, x, cotangent, plain: plain.tensor("in.x")?, basis })
    }

    /// By the input, the weights and the bias.
    fn gradients(&self) -> (Tensor<4>, [Tensor<1>; 2]) {
        let gradients = inner_product(self.layer.forward(self.x.clone()), self.cotangent.clone()).backward();
        let bias = self.layer.bias.as_ref().expect("regular fields have one");
        let parameters =
            [&self.layer.weights, bias].map(|p| p.val().grad(&gradients).expect("the output depends on it"));
        (self.x.grad(&gradients).expect("the output depends on it"), parameters)
    }
}

impl Workload for Convolution {
    fn parameters(&self) -> usize {
        self.valid.num_params()
    }

    fn act(&mut self, action: &str) -> Result<(), Failure> {
        match action {
            "forward" => finish(self.folded.forward(self.plain.clone())),
            "backward" => {
                let (x, parameters) = self.gradients();
                finish(x);
                parameters.into_iter().for_each(finish);
            }
            _ => return Err(unknown(action)),
        }
        Ok(())
    }

    fn results(&self) -> Named {
        let (x, [weights, bias]) = self.gradients();
        let weights = transformed(weights, self.basis.clone().map(Tensor::transpose));
        Named::from([
            ("out".into(), self.folded.forward(self.plain.clone()).into_data()),
            ("grad.x".into(), x.into_data()),
            ("grad.weights".into(), weights.into_data()),
            ("grad.bias".into(), bias.into_data()),
        ])
    }
}

/// Collects gradients by the names of their parameters.
struct ByName<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Named,
}

impl ModuleVisitor for ByName<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.found.insert(self.path.join("."), gradient.into_data());
        }
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

/// Steps of Adam on the cross-entropy, and logits after export.
struct Network {
    start: SteerableCnn,
    images: Tensor<4>,
    /// `[images, 1]`
    labels: Tensor<2, Int>,
    training: (SteerableCnn, ModuleOptimizer),
    exported: FoldedCnn,
    plain: Tensor<4>,
}

impl Network {
    fn new(path: &Path) -> Result<Self, Failure> {
        let file = StateDict::open(path)?;
        let device = Device::default();
        let fields = file.get("state.blocks.0.norm.gamma").ok_or("there is no first batch norm")?.num_elements();
        let recorded = Inputs { file: &file, device: device.clone().autodiff() };
        let mut start = SteerableCnnConfig::new(C8, fields, CLASSES).init(0, &recorded.device)?;
        let mut store = SafetensorsStore::from_file(path).with_key_remapping(r"^state\.", "");
        let loaded = start.load_from(&mut store)?;
        let state = file.part("state")?.len();
        if loaded.applied.len() != state {
            return Err(format!("{state} tensors of the network: {loaded}").into());
        }
        let labels = recorded.get("in.labels")?.clone();
        let labels = Tensor::<1, Int>::from_data(labels, &recorded.device).unsqueeze_dim(1);
        let plain = Inputs { file: &file, device }.tensor("in.images")?;
        // Before anything is trained: clones share their running statistics.
        let exported = start.valid().fold()?;
        let training = (start.clone(), optimizer());
        Ok(Self { images: recorded.tensor("in.images")?, labels, training, exported, plain, start })
    }

    fn loss(&self, network: &SteerableCnn) -> Tensor<1> {
        -log_softmax(network.forward(self.images.clone()), 1).gather(1, self.labels.clone()).mean()
    }

    /// The loss before it.
    fn step(
        &self,
        (network, mut optimizer): (SteerableCnn, ModuleOptimizer),
    ) -> (Tensor<1>, (SteerableCnn, ModuleOptimizer)) {
        let loss = self.loss(&network);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        (loss, (optimizer.step(RATE, network, gradients), optimizer))
    }
}

/// With PyTorch's defaults.
fn optimizer() -> ModuleOptimizer {
    AdamConfig::new().with_epsilon(1e-8).init()
}

impl Workload for Network {
    fn parameters(&self) -> usize {
        equi::train::cost::parameters(&self.start)
    }

    fn act(&mut self, action: &str) -> Result<(), Failure> {
        match action {
            "exported" => finish(self.exported.forward(self.plain.clone())),
            "step" => {
                let (loss, training) = self.step(self.training.clone());
                self.training = training;
                finish(loss);
            }
            _ => return Err(unknown(action)),
        }
        Ok(())
    }

    fn results(&self) -> Named {
        let gradients = self.loss(&self.start).backward();
        let mut visitor = ByName { gradients: &gradients, path: vec!["grad".into()], found: Named::new() };
        self.start.visit(&mut visitor);
        let mut all = visitor.found;
        let mut training = (self.start.clone(), optimizer());
        let mut losses = Vec::new();
        for _ in 0..5 {
            let (loss, next) = self.step(training);
            losses.push(loss);
            training = next;
        }
        all.insert("losses".into(), Tensor::cat(losses, 0).into_data());
        all.insert("logits".into(), self.start.forward(self.images.clone()).into_data());
        all.insert("out".into(), self.exported.forward(self.plain.clone()).into_data());
        all
    }
}

fn load(name: &str, path: &Path) -> Result<Box<dyn Workload>, Failure> {
    Ok(match name.split('_').next() {
        Some("c8" | "d4" | "c6" | "c3") => Box::new(Convolution::new(name, &StateDict::open(path)?)?),
        Some("network") => Box::new(Network::new(path)?),
        _ => return Err(format!("no workload is called {name}").into()),
    })
}

fn test() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/planar_peer");
    for (name, limit) in SMALL {
        let path = folder.join(format!("{name}.safetensors"));
        let theirs = StateDict::open(&path)?.part("results")?;
        let mut loaded = load(name, &path)?;
        let found = loaded.results();
        assert!(
            found.keys().map(String::as_str).eq(theirs.names()),
            "{name}: other tensors than the peer's: {:?}",
            found.keys()
        );
        let mut worst = (0.0, "");
        for (tensor, theirs) in theirs.iter() {
            let ours: Vec<f64> = found[tensor].clone().convert_dtype(DType::F64).iter().collect();
            let theirs: Vec<f64> = theirs.iter().collect();
            let scale = theirs.iter().fold(1e-300, |largest: f64, value| largest.max(value.abs()));
            assert_eq!(ours.len(), theirs.len(), "{name}: {tensor}");
            let gap = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
            assert!(gap <= limit, "{name}: {tensor} differs by {gap:.1e}");
            worst = if gap > worst.0 { (gap, tensor) } else { worst };
        }
        println!("{name}: {} tensors agree to {:.1e} ({})", found.len(), worst.0, worst.1);
        let actions = if name.starts_with("network") { ["step", "exported"] } else { ["forward", "backward"] };
        actions.into_iter().try_for_each(|action| loaded.act(action))?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    serve::run(load, test)
}
