//! The SE(3)-Transformer beside `se3_transformer.py`: our side of `benches/peers/run.py se3_transformer`. With `--test`, a small network
//! is compared with what the peer gave (`tests/golden/se3_peer`).

use std::path::Path;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};
use equi::core::ops::release_memory;
use equi::layers::import::{SE3Checkpoint, StateDict};
use equi::layers::se3_transformer::{DenseInputs, SE3Transformer, SE3TransformerConfig};

mod derivatives;
mod serve;

use derivatives::Derivatives;
use serve::{Failure, Named, Workload, finish, unknown};

/// Networks whose gradients are compared number by number; of others, their norms.
const SMALL: [&str; 2] = ["tiny", "small"];

/// Of Adam.
const RATE: f64 = 1e-3;

/// Largest difference in f32, relative to the largest value.
const LIMIT: f64 = 1e-5;

/// `NETWORKS` of the peer says the same.
fn config(name: &str) -> Result<SE3TransformerConfig, Failure> {
    let small = |dim| SE3TransformerConfig::new(dim).with_heads(2).with_num_degrees(3).with_output_degrees(2);
    let large = || SE3TransformerConfig::new(32).with_heads(4).with_num_degrees(3);
    Ok(match name {
        "tiny" => small(4).with_dim_head(2).with_depth(1).with_num_neighbors(Some(4)).with_radial_hidden(8),
        "small" => small(8).with_dim_head(4).with_num_neighbors(Some(5)),
        "points32" => SE3TransformerConfig::new(64).with_depth(4).with_valid_radius(10.0),
        "points128" => large().with_num_neighbors(Some(12)),
        "points1000" => large().with_num_neighbors(Some(32)),
        _ => return Err(format!("no workload is called {name}").into()),
    })
}

/// Features `[1, points, channels]` and positions `[1, points, 3]`.
#[derive(Clone)]
struct Inputs([Tensor<3>; 2]);

impl Inputs {
    fn new(inputs: &StateDict, device: &Device) -> Result<Self, Failure> {
        let tensor = |name: &str| -> Result<Tensor<3>, Failure> {
            let data = inputs.get(name).ok_or_else(|| format!("there is no in.{name}"))?;
            let data = data.clone().convert_dtype(DType::F32);
            Ok(Tensor::<2>::from_data(data, device).unsqueeze())
        };
        Ok(Self([tensor("feats")?, tensor("coors")?]))
    }
}

/// `[points, channels of all degrees]`
fn output(network: &SE3Transformer, inputs: &Inputs) -> Tensor<2> {
    let Inputs([features, positions]) = inputs.clone();
    let found = network.forward_dense(DenseInputs::new(features, positions)).expect("finite positions");
    found.rows().clone().into_irreps()
}

/// Forward passes, the gradients of the mean square of the outputs, and steps of Adam.
struct Loaded {
    small: bool,
    bases: StateDict,
    /// With autodiff.
    network: SE3Transformer,
    inputs: Inputs,
    /// Without.
    valid: SE3Transformer,
    plain: Inputs,
    /// The network that is trained.
    training: Option<(SE3Transformer, ModuleOptimizer)>,
}

impl Loaded {
    fn new(name: &str, file: StateDict) -> Result<Self, Failure> {
        let device = Device::default();
        let recorded = device.clone().autodiff();
        let [state, bases, inputs] = [file.part("state")?, file.part("basis")?, file.part("in")?];
        drop(file); // The memory of what is measured should not hold it.
        let network = SE3Checkpoint::new(state, bases.clone()).to_model(&config(name)?, &recorded)?;
        let (plain, inputs) = (Inputs::new(&inputs, &device)?, Inputs::new(&inputs, &recorded)?);
        // Nor what reading it has left.
        release_memory();
        Ok(Self { small: SMALL.contains(&name), bases, valid: network.valid(), network, inputs, plain, training: None })
    }

    fn gradients(&self, network: &SE3Transformer) -> Gradients {
        output(network, &self.inputs).powi_scalar(2).mean().backward()
    }

    fn step(&mut self) {
        let start = || (self.network.clone(), AdamConfig::new().with_epsilon(1e-8).init());
        let (network, mut optimizer) = self.training.take().unwrap_or_else(start);
        let gradients = GradientsParams::from_grads(self.gradients(&network), &network);
        self.training = Some((optimizer.step(RATE, network, gradients), optimizer));
    }
}

impl Workload for Loaded {
    fn parameters(&self) -> usize {
        self.valid.num_params()
    }

    fn act(&mut self, action: &str) -> Result<(), Failure> {
        match action {
            "forward" => finish(output(&self.valid, &self.plain)),
            "backward" => {
                let _kept = self.gradients(&self.network);
                finish(self.plain.0[0].clone());
            }
            "step" => {
                self.step();
                finish(self.plain.0[0].clone());
            }
            _ => return Err(unknown(action)),
        }
        Ok(())
    }

    fn results(&self) -> Named {
        let gradients = self.network.clone().map(&mut Derivatives(&self.gradients(&self.network)));
        let named = SE3Checkpoint::of_model(&gradients, self.bases.clone()).expect("what came from the peer");
        let gradients = named.state_dict().iter();
        let mut all: Named = if self.small {
            gradients.map(|(name, gradient)| (format!("grad.{name}"), gradient.clone())).collect()
        } else {
            let norm = |gradient: &TensorData| gradient.iter::<f64>().map(|x| x * x).sum::<f64>().sqrt();
            let norms: Vec<f64> = gradients.map(|(_, gradient)| norm(gradient)).collect();
            let shape = [norms.len()];
            Named::from([("grad_norms".into(), TensorData::new(norms, shape))])
        };
        let output = output(&self.valid, &self.plain);
        all.insert("loss".into(), output.clone().powi_scalar(2).mean().into_data());
        all.insert("out".into(), output.into_data());
        all
    }
}

fn load(name: &str, path: &Path) -> Result<Box<dyn Workload>, Failure> {
    Ok(Box::new(Loaded::new(name, StateDict::open(path)?)?))
}

fn test() -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/se3_peer/tiny.safetensors");
    let file = StateDict::open(path)?;
    let theirs = file.part("results")?;
    let mut loaded = Loaded::new("tiny", file)?;
    let found = loaded.results();
    assert!(found.keys().map(String::as_str).eq(theirs.names()), "other tensors than the peer's");
    for (name, theirs) in theirs.iter() {
        let ours: Vec<f64> = found[name].clone().convert_dtype(DType::F64).iter().collect();
        let theirs: Vec<f64> = theirs.iter().collect();
        let scale = theirs.iter().fold(1e-300, |largest: f64, value| largest.max(value.abs()));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let gap = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
        assert!(gap <= LIMIT, "{name} differs by {gap:.1e}");
    }
    println!("tiny: {} tensors agree", found.len());
    ["forward", "backward", "step"].into_iter().try_for_each(|action| loaded.act(action))
}

fn main() -> Result<(), Failure> {
    serve::run(load, test)
}
