//! The process that `benches/peers/run.py` starts with `--serve`: it reads a request a line and answers with a line, as `serve` of `peer.py`
//! does on the other side.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::tensor::TensorView;

pub type Failure = Box<dyn Error>;

/// Tensors by the names that the peer gives them.
pub type Named = BTreeMap<String, TensorData>;

/// A workload with its weights and inputs.
pub trait Workload {
    /// As the peer counts them.
    fn parameters(&self) -> usize;

    /// What is timed.
    fn act(&mut self, action: &str) -> Result<(), Failure>;

    /// What is compared.
    fn results(&self) -> Named;
}

/// Waits for a result.
pub fn finish<const D: usize>(tensor: Tensor<D>) {
    tensor.device().sync().expect("the device computes");
}

/// The error for an action that a workload does not have.
pub fn unknown(action: &str) -> Failure {
    format!("unknown action {action}").into()
}

fn write(tensors: Named, path: &Path) -> Result<(), Failure> {
    let floats = |data: TensorData| data.convert_dtype(DType::F64).iter::<f64>().flat_map(f64::to_le_bytes).collect();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> =
        tensors.into_iter().map(|(name, data)| (name, data.shape().to_vec(), floats(data))).collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(safetensors::Dtype::F64, shape.clone(), bytes)?)));
    let views: Vec<_> = views.collect::<Result<_, Failure>>()?;
    Ok(safetensors::serialize_to_file(views, None, path)?)
}

/// A workload by its name, from its file.
pub type Load = fn(&str, &Path) -> Result<Box<dyn Workload>, Failure>;

/// Answers until there are no more requests.
pub fn serve(load: Load) -> Result<(), Failure> {
    let mut loaded: BTreeMap<String, Box<dyn Workload>> = BTreeMap::new();
    let mut answer = |request: &str| -> Result<String, Failure> {
        let words: Vec<&str> = request.split_whitespace().collect();
        let missing = |name: &str| format!("{name} is not loaded");
        match words[..] {
            ["version"] => {
                let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or("all".into());
                let device = Device::default();
                Ok(format!("equi {} on Burn 0.22.1, {device:?}, {threads} threads", env!("CARGO_PKG_VERSION")))
            }
            ["load", name, path] => {
                let workload = load(name, Path::new(path))?;
                let parameters = workload.parameters();
                loaded.insert(name.to_owned(), workload);
                Ok(format!("{parameters} parameters"))
            }
            ["results", name, path] => {
                write(loaded.get(name).ok_or_else(|| missing(name))?.results(), Path::new(path))?;
                Ok("written".into())
            }
            [action, name, count] => {
                let workload = loaded.get_mut(name).ok_or_else(|| missing(name))?;
                let mut seconds = Vec::new();
                for _ in 0..count.parse()? {
                    let start = Instant::now();
                    workload.act(action)?;
                    seconds.push(format!("{:.9}", start.elapsed().as_secs_f64()));
                }
                Ok(seconds.join(" "))
            }
            _ => Err(format!("unknown request {request:?}").into()),
        }
    };
    let mut output = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&line?);
        writeln!(output, "{}", answer.unwrap_or_else(|error| format!("error: {error}").replace('\n', " ")))?;
        output.flush()?;
    }
    Ok(())
}

/// Serves with `--serve`, tests with `--test`, and else says who drives this.
pub fn run(load: Load, test: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let given = |name: &str| std::env::args().any(|argument| argument == name);
    if given("--serve") {
        serve(load)
    } else if given("--test") {
        test()
    } else {
        println!("benches/peers/run.sh drives this");
        Ok(())
    }
}
