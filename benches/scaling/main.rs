//! `cargo bench --bench scaling`: how cost grows with edges, channels, degrees and image size, beside what the machine allows.
//!
//! ```text
//! cargo bench --bench scaling                     writes docs/scaling: scaling.json, README.md and a plot for every quantity
//! cargo bench --bench scaling -- --out FOLDER     elsewhere
//! cargo bench --bench scaling -- --test           the smallest sizes, as a test
//! ```
//!
//! The limit of a forward pass is the larger of two times: its operations at the speed of the largest matrix product here, and the bytes
//! it must at least move at the bandwidth of memory. Operations are those of the layer as its documentation has it; bytes are its inputs,
//! weights and outputs, each once.

use std::error::Error;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use equi::core::ops::retain_memory;

mod cost;
mod curve;
mod machine;
mod plot;
mod works;

use curve::{Curve, slope};
use machine::Machine;
use works::{PLOTS, Plot};

/// Seconds that a measurement takes at least, if a single run is not longer.
const PATIENCE: f64 = 0.3;

fn curves(plot: &Plot, machine: &Machine, test: bool) -> Vec<Curve> {
    let sizes = if test { &plot.sizes[..2] } else { plot.sizes };
    let measured = plot.works.iter().map(|work| {
        let points = sizes.iter().map(|&size| work.measure(size, machine, if test { 0.0 } else { PATIENCE }));
        Curve { plot: plot.name, name: work.name, axis: plot.axis, points: points.collect() }
    });
    measured
        .inspect(|curve| {
            for point in &curve.points {
                println!("{:<10} {:<28} {point}", curve.plot, curve.name);
            }
        })
        .collect()
}

/// Writes everything, and gives what it wrote.
fn run(folder: &Path, test: bool) -> Result<Vec<Curve>, Box<dyn Error>> {
    retain_memory();
    let device = Device::default();
    let machine = Machine::measured(&device, test);
    println!("{machine}");
    let curves: Vec<Curve> = PLOTS.iter().flat_map(|plot| curves(plot, &machine, test)).collect();
    std::fs::create_dir_all(folder)?;
    for plot in &PLOTS {
        let drawn: Vec<&Curve> = curves.iter().filter(|curve| curve.plot == plot.name).collect();
        std::fs::write(folder.join(format!("{}.svg", plot.name)), plot::draw(&drawn)?)?;
    }
    std::fs::write(folder.join("scaling.json"), serde_json::to_string_pretty(&curve::json(&machine, &curves))? + "\n")?;
    std::fs::write(folder.join("README.md"), curve::page(&machine, &PLOTS, &curves))?;
    Ok(curves)
}

/// What must hold on every machine.
fn test() -> Result<(), Box<dyn Error>> {
    cost::test();
    let cubic = [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 5.0 * x.powi(3)));
    assert!((slope(&cubic) - 3.0).abs() < 1e-12, "{}", slope(&cubic));
    let folder = tempfile::tempdir()?;
    let curves = run(folder.path(), true)?;
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("scaling.json"))?)?;
    assert_eq!(json["curves"].as_array().map(Vec::len), Some(curves.len()));
    for curve in &curves {
        for pair in curve.points.windows(2) {
            assert!(pair[0].flops < pair[1].flops && pair[0].bytes < pair[1].bytes, "{}: more costs more", curve.name);
        }
        let svg = std::fs::read_to_string(folder.path().join(format!("{}.svg", curve.plot)))?;
        assert!(svg.contains(curve.name), "{} is not in the plot", curve.name);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return test();
    }
    let out = arguments.iter().position(|argument| argument == "--out").and_then(|place| arguments.get(place + 1));
    let folder = out.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scaling"), PathBuf::from);
    run(&folder, false)?;
    println!("written: {}", folder.display());
    Ok(())
}
