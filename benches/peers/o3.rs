//! Spherical harmonics and tensor products beside `o3.py`: our side of `benches/peers/run.py o3`. With `--test`, small ones are compared
//! with what e3nn gave (`tests/golden/o3_peer`).

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi::core::o3::{Irreps, MulIrrep, SphericalHarmonics};
use equi::core::ops::inner_product;
use equi::layers::import::StateDict;
use equi::layers::o3::{ConnectionMode, Instruction, TensorProduct, TensorProductConfig};

mod serve;

use serve::{Failure, Named, Workload, finish, unknown};

/// What every second input of a product is.
const DEGREES: &str = "0e+1o+2e";

/// The small ones: name, and the largest difference in f32 relative to the largest value.
const SMALL: [(&str, f64); 4] = [("harmonics3", 1e-6), ("harmonics6", 1e-5), ("uvu2", 1e-6), ("connected2", 1e-6)];

enum Layer {
    Harmonics(SphericalHarmonics),
    Product(Box<TensorProduct>),
}

fn channels(count: usize) -> Result<Irreps, Failure> {
    Ok(Irreps::new(
        Irreps::parse(DEGREES)?.blocks().iter().map(|block| MulIrrep::new(count, block.irrep)).collect::<Vec<_>>(),
    ))
}

/// Every path into 0e, 1o or 2e; each has its own outputs, sorted.
fn uvu(count: usize) -> Result<TensorProductConfig, Failure> {
    let (first, second) = (channels(count)?, Irreps::parse(DEGREES)?);
    let (mut blocks, mut instructions) = (Vec::new(), Vec::new());
    for (in1, a) in first.blocks().iter().enumerate() {
        for (in2, b) in second.blocks().iter().enumerate() {
            for irrep in a.irrep.product(b.irrep).filter(|&irrep| second.count(irrep) > 0) {
                instructions.push(Instruction::new(in1, in2, blocks.len(), ConnectionMode::Uvu));
                blocks.push(MulIrrep::new(count, irrep));
            }
        }
    }
    let sorted = Irreps::new(blocks).sort();
    for instruction in &mut instructions {
        instruction.out = sorted.permutation[instruction.out];
    }
    instructions.sort_by_key(|instruction| instruction.out);
    Ok(TensorProductConfig::new(first, second, sorted.irreps, instructions).without_weights())
}

impl Layer {
    /// By the name of the workload: a kind, and a number of degrees or channels.
    fn new(name: &str, device: &Device) -> Result<Self, Failure> {
        let digits = name.find(|c: char| c.is_ascii_digit()).ok_or_else(|| format!("no workload is called {name}"))?;
        let (kind, count) = name.split_at(digits);
        let count = count.parse()?;
        let config = match kind {
            "harmonics" => return Ok(Self::Harmonics(SphericalHarmonics::up_to(count))),
            "uvu" => uvu(count)?,
            "connected" => {
                let features = channels(count)?;
                TensorProductConfig::fully_connected(features.clone(), Irreps::parse(DEGREES)?, features)
                    .without_weights()
            }
            _ => return Err(format!("no workload is called {name}").into()),
        };
        Ok(Self::Product(Box::new(config.init(device)?)))
    }

    /// `inputs` by name, in alphabetical order.
    fn forward(&self, inputs: &[(String, Tensor<2>)]) -> Tensor<2> {
        let input = |name: &str| inputs.iter().find(|input| input.0 == name).expect("the peer writes it").1.clone();
        match self {
            Self::Harmonics(harmonics) => harmonics.forward(input("points")),
            Self::Product(product) => product.forward_with(input("first"), input("second"), input("weights")),
        }
    }
}

/// A layer, and the gradients of `sum(out * cotangent)` of all inputs.
struct Loaded {
    layer: Layer,
    plain: Vec<(String, Tensor<2>)>,
    leaves: Vec<(String, Tensor<2>)>,
    cotangent: Tensor<2>,
}

impl Loaded {
    fn new(name: &str, file: &StateDict) -> Result<Self, Failure> {
        let device = Device::default();
        let recorded = device.clone().autodiff();
        let tensor = |data: &TensorData, device: &Device| -> Result<Tensor<2>, Failure> {
            let columns = *data.shape().last().ok_or("an input is a number")?;
            let data = data.clone().convert_dtype(DType::F32);
            Ok(Tensor::from_data(
                TensorData::new(data.try_to_vec::<f32>()?, [data.num_elements() / columns, columns]),
                device,
            ))
        };
        let inputs = file.part("in")?;
        let all = |device: &Device| -> Result<Vec<_>, Failure> {
            inputs.iter().map(|(name, data)| Ok((name.to_owned(), tensor(data, device)?))).collect()
        };
        let leaves = all(&recorded)?.into_iter().map(|(name, leaf)| (name, leaf.require_grad())).collect();
        let cotangent = tensor(file.get("cotangent").ok_or("there is no cotangent")?, &recorded)?;
        Ok(Self { layer: Layer::new(name, &device)?, plain: all(&device)?, leaves, cotangent })
    }

    fn gradients(&self) -> Vec<(String, Tensor<2>)> {
        let gradients = inner_product(self.layer.forward(&self.leaves), self.cotangent.clone()).backward();
        let gradient = |leaf: &Tensor<2>| leaf.grad(&gradients).expect("the output depends on all inputs");
        self.leaves.iter().map(|(name, leaf)| (name.clone(), gradient(leaf))).collect()
    }
}

impl Workload for Loaded {
    fn parameters(&self) -> usize {
        0
    }

    fn act(&mut self, action: &str) -> Result<(), Failure> {
        match action {
            "forward" => finish(self.layer.forward(&self.plain)),
            "backward" => self.gradients().into_iter().for_each(|(_, gradient)| finish(gradient)),
            _ => return Err(unknown(action)),
        }
        Ok(())
    }

    fn results(&self) -> Named {
        let gradients = self.gradients().into_iter().map(|(name, gradient)| (format!("grad.{name}"), gradient));
        let all = gradients.chain([("out".to_owned(), self.layer.forward(&self.plain))]);
        all.map(|(name, tensor)| (name, tensor.into_data())).collect()
    }
}

fn load(name: &str, path: &Path) -> Result<Box<dyn Workload>, Failure> {
    Ok(Box::new(Loaded::new(name, &StateDict::open(path)?)?))
}

fn test() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/o3_peer");
    for (name, limit) in SMALL {
        let file = StateDict::open(folder.join(format!("{name}.safetensors")))?;
        let found = Loaded::new(name, &file)?.results();
        for (tensor, theirs) in file.part("results")?.iter() {
            let ours: Vec<f64> = found[tensor].clone().convert_dtype(DType::F64).iter().collect();
            let theirs: Vec<f64> = theirs.iter().collect();
            let scale = theirs.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
            assert_eq!(ours.len(), theirs.len(), "{name}: {tensor}");
            let gap = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
            assert!(gap <= limit, "{name}: {tensor} differs by {gap:.1e}");
            println!("{name}: {tensor} agrees to {gap:.1e}");
        }
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    serve::run(load, test)
}
