//! What the machine can do: the speed of a matrix product and of memory, measured.

use std::fmt;
use std::process::Command;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use serde_json::{Value, json};

pub struct Machine {
    /// Operations a second of a large matrix product, in f32.
    pub flops: f64,
    /// Bytes a second, read or written.
    pub bandwidth: f64,
    device: String,
    processor: String,
    threads: usize,
    date: String,
    commit: String,
}

/// The shortest of some runs, in seconds.
fn shortest(runs: usize, mut action: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        action();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(once).fold(f64::INFINITY, f64::min)
}

/// Of a matrix product on the device.
fn flops(device: &Device, size: usize) -> f64 {
    let random = || Tensor::<2>::random([size, size], Distribution::Normal(0.0, 1.0), device);
    let (a, b) = (random(), random());
    let seconds = shortest(6, || {
        let _product = a.clone().matmul(b.clone());
        device.sync().expect("the device computes");
    });
    2.0 * (size as f64).powi(3) / seconds
}

/// Of a sum of a tensor and a number on the device, or of copies by all threads of the host, whatever is faster: where the device is the
/// host, its operations may run on one thread.
fn bandwidth(device: &Device, numbers: usize, threads: usize) -> f64 {
    let x = Tensor::<1>::random([numbers], Distribution::Normal(0.0, 1.0), device);
    let on_device = shortest(6, || {
        let _sum = x.clone() + 1.0;
        device.sync().expect("the device computes");
    });
    let (from, mut to) = (vec![1.0_f32; numbers], vec![0.0_f32; numbers]);
    let part = numbers.div_ceil(threads);
    let on_host = shortest(6, || {
        std::thread::scope(|scope| {
            for (from, to) in from.chunks(part).zip(to.chunks_mut(part)) {
                scope.spawn(|| to.copy_from_slice(from));
            }
        });
        std::hint::black_box(&to);
    });
    let host = format!("{device:?}").contains("Flex");
    8.0 * numbers as f64 / if host { on_device.min(on_host) } else { on_device }
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.ok().filter(|output| output.status.success()).and_then(|o| String::from_utf8(o.stdout).ok());
    text.map_or_else(|| "unknown".into(), |text| text.trim().to_owned())
}

impl Machine {
    pub fn measured(device: &Device, test: bool) -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok()).unwrap_or(available);
        let (side, numbers) = if test { (64, 1 << 12) } else { (2048, 1 << 26) };
        Self {
            flops: flops(device, side),
            bandwidth: bandwidth(device, numbers, threads),
            device: format!("{device:?}"),
            processor: model.map_or(std::env::consts::ARCH, |(_, model)| model).to_owned(),
            threads,
            date: said_by("date", &["-u", "+%Y-%m-%d"]),
            commit: said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "date": self.date, "commit": self.commit, "processor": self.processor, "threads": self.threads, "device": self.device,
            "gflops": self.flops / 1e9, "gigabytes_per_second": self.bandwidth / 1e9,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { flops, bandwidth, device, processor, threads, date, commit } = self;
        write!(
            f,
            "{date}, {processor}, {threads} threads, {device}, f32, commit {commit}: a matrix product runs at {:.0} GFLOP/s, memory at \
             {:.1} GB/s",
            flops / 1e9,
            bandwidth / 1e9
        )
    }
}
