//! EGNN beside `egnn.py`: our side of `benches/peers/run.py egnn`.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi::layers::graph::{EdgeList, Egnn, Graph, Points};
use equi::layers::import::{Architecture, EgnnCheckpoint, EgnnOptions, Qm9Egnn, StateDict};

mod derivatives;
mod serve;
mod workload;

use derivatives::Derivatives;
use serve::{Failure, Named, Workload, finish, unknown};
use workload::{Batch, Network, Training};

/// A network whose parameters have names in the reference.
trait Reference: Network {
    fn state_dict(&self, architecture: &Architecture) -> Named;
}

fn named(dict: &StateDict) -> Named {
    dict.iter().map(|(name, data)| (name.to_owned(), data.clone())).collect()
}

impl Reference for Egnn {
    fn state_dict(&self, architecture: &Architecture) -> Named {
        named(&architecture.state_dict(self))
    }
}

impl Reference for Qm9Egnn {
    fn state_dict(&self, architecture: &Architecture) -> Named {
        named(&architecture.qm9_state_dict(self))
    }
}

/// One workload, loaded.
struct Loaded<N> {
    architecture: Architecture,
    /// With autodiff.
    network: N,
    training: Training<N>,
    batch: Batch,
    /// Without.
    valid: N,
    plain: Batch,
    rate: f64,
}

impl<N: Reference> Loaded<N> {
    fn new(architecture: Architecture, network: N, [plain, batch]: [Batch; 2], rate: f64) -> Self {
        let training = Training::new(network.clone(), rate);
        Self { architecture, valid: network.valid(), network, training, batch, plain, rate }
    }
}

impl<N: Reference> Workload for Loaded<N> {
    /// As the reference counts them: the parts of a split layer make up one.
    fn parameters(&self) -> usize {
        self.valid.state_dict(&self.architecture).values().map(|data| data.num_elements()).sum()
    }

    fn act(&mut self, action: &str) -> Result<(), Failure> {
        match action {
            "forward" => finish(self.valid.predict(&self.plain)),
            "step" => finish(self.training.step(&self.batch)),
            _ => return Err(unknown(action)),
        }
        Ok(())
    }

    fn results(&self) -> Named {
        let loss = self.network.loss(&self.batch);
        let gradients = self.network.clone().map(&mut Derivatives(&loss.backward()));
        let mut all: Named = gradients
            .state_dict(&self.architecture)
            .into_iter()
            .map(|(name, gradient)| (format!("grad.{name}"), gradient))
            .collect();
        all.insert("out".into(), self.valid.predict(&self.plain).into_data());
        all.insert("loss".into(), loss.into_data());
        let mut training = Training::new(self.network.clone(), self.rate);
        let losses = (0..5).map(|_| training.step(&self.batch)).collect();
        all.insert("losses".into(), Tensor::cat(losses, 0).into_data());
        all
    }
}

/// A workload by name, with the weights and inputs of a file: `state.*`, `in.*`.
fn load(name: &str, path: &Path) -> Result<Box<dyn Workload>, Failure> {
    let file = StateDict::open(path)?;
    let checkpoint = EgnnCheckpoint::new(file.part("state")?)?;
    let (config, (graphs, nodes), rate) = match name {
        "nbody" => (workload::nbody_config(), workload::NBODY, 5e-4),
        "qm9" => (workload::qm9_config(), workload::QM9, 1e-3),
        _ => return Err(format!("no workload is called {name}").into()),
    };
    // What the state dict tells must agree with what the other bench measures.
    let options = EgnnOptions::new().with_residual(true);
    if checkpoint.config(&options)? != config {
        return Err(format!("the weights are of {}", checkpoint.architecture()).into());
    }
    let device = Device::default();
    let inputs = file.part("in")?;
    let batches = [batch(&inputs, graphs, nodes, &device)?, batch(&inputs, graphs, nodes, &device.clone().autodiff())?];
    let architecture = *checkpoint.architecture();
    let device = device.autodiff();
    Ok(match name {
        "nbody" => Box::new(Loaded::new(architecture, checkpoint.to_egnn(&config, &device)?, batches, rate)),
        _ => Box::new(Loaded::new(architecture, checkpoint.to_qm9(&config, &device)?, batches, rate)),
    })
}

fn batch(inputs: &StateDict, graphs: usize, nodes: usize, device: &Device) -> Result<Batch, Failure> {
    let floats = |name: &str, data: &TensorData| -> Result<Tensor<2>, Failure> {
        let rows = *data.shape().first().ok_or_else(|| format!("in.{name} is a number"))?;
        let data = data.clone().convert_dtype(DType::F32);
        Ok(Tensor::from_data(TensorData::new(data.try_to_vec::<f32>()?, [rows, data.num_elements() / rows]), device))
    };
    let optional = |name: &str| inputs.get(name).map(|data| floats(name, data)).transpose();
    let tensor = |name: &str| -> Result<Tensor<2>, Failure> {
        Ok(optional(name)?.ok_or_else(|| format!("there is no in.{name}"))?)
    };

    let index = inputs.get("edge_index").ok_or("there is no in.edge_index")?;
    let index: Vec<usize> = index.iter::<i64>().map(usize::try_from).collect::<Result<_, _>>()?;
    let (receivers, senders) = index.split_at(index.len() / 2);
    let mut edges = vec![(Vec::new(), Vec::new()); graphs];
    for (receiver, sender) in receivers.iter().zip(senders) {
        let graph = edges.get_mut(receiver / nodes).ok_or("an edge of a graph that is not there")?;
        graph.0.push(receiver % nodes);
        graph.1.push(sender.checked_sub(receiver / nodes * nodes).ok_or("an edge between graphs")?);
    }
    let edges = edges.into_iter().map(|(receivers, senders)| EdgeList::new(nodes, receivers, senders));
    let graph = Graph::batch(&edges.collect::<Result<Vec<_>, _>>()?, device)?;
    let mut points = Points::new(tensor("h")?, tensor("x")?);
    if let Some(velocities) = optional("v")? {
        points = points.with_velocities(velocities);
    }
    let edges = optional("edge_attr")?.map(|features| graph.arrange(features));
    Ok(Batch { graph, points, edges, target: tensor("target")? })
}

fn main() -> Result<(), Failure> {
    // `cargo bench --bench egnn -- --test` tests the same.
    serve::run(load, || Ok(()))
}
