//! `equi compare`.

use std::path::PathBuf;

use clap::Args;
use equi_train::compare::{self, ARMS, CompareError, Request, TASKS};
use equi_train::device::VARIABLE;
use equi_train::report;
use equi_train::stop::{INTERRUPTED, Stop};

use super::{Failure, Outcome, print};

/// Train the same task with and without symmetry built in, and report which pays off.
///
/// Every finished model is kept at once: after Ctrl-C, a crash or a power cut, the same command with `--resume` goes on
/// and ends with the same results.
#[derive(Debug, Args)]
#[command(after_help = contestants())]
pub struct Compare {
    /// What to compare on: mnist-rot, nbody, or a TOML file that describes images or points of your own
    task: String,
    /// How much work: quick (minutes on two cores), standard, paper; smoke is for tests, its numbers mean nothing
    /// [default: quick]
    #[arg(long)]
    preset: Option<String>,
    /// Contestants, separated by commas [default: the preset's]
    #[arg(long, value_delimiter = ',')]
    arms: Option<Vec<String>>,
    /// Numbers of training samples, separated by commas [default: the preset's]
    #[arg(long, value_delimiter = ',')]
    sizes: Option<Vec<usize>>,
    /// How often every cell is repeated with other random numbers [default: the preset's]
    #[arg(long)]
    seeds: Option<u64>,
    /// What the networks have in common: flops, params or time (of a training step, measured here) [default: flops]
    #[arg(long = "match")]
    matched_by: Option<String>,
    /// Network of the equivariant arm, where the task has several: egnn, radial-field, se3-transformer or tensor-field
    /// [default: the first]
    #[arg(long)]
    model: Option<String>,
    /// Symmetry of the equivariant network on images, such as C4, C8, C16 or D8 [default: the task's]
    #[arg(long)]
    group: Option<String>,
    /// Probability of each flip (left-right, up-down) in the augmentation [default: the task's]
    #[arg(long, allow_negative_numbers = true)]
    flips: Option<f64>,
    /// Peak learning rate of all arms [default: the preset's, of each]
    #[arg(long, allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// Trials of learning rate, weight decay, width and augmentation for every arm, chosen by validation [default: the preset's]
    #[arg(long, value_name = "TRIALS")]
    tune: Option<usize>,
    /// Processes that train networks side by side, each on a share of the processors
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// auto, flex, wgpu, vulkan, metal, webgpu, cuda, rocm or ndarray
    #[arg(long, default_value = "auto")]
    device: String,
    /// Folder of the data set [default: where the task keeps it]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Output folder [default: runs/TASK-PRESET]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on with the unfinished run in the output folder
    #[arg(long)]
    resume: bool,
    /// Keep the trained weights in the output folder, for `equi check`
    #[arg(long)]
    keep_weights: bool,
}

impl Compare {
    pub fn run(self) -> Outcome {
        let stop = Stop::on_signal().map_err(|error| Failure { message: error.to_string(), code: 1 })?;
        let request = Request {
            task: self.task,
            preset: self.preset,
            arms: self.arms,
            sizes: self.sizes,
            seeds: self.seeds,
            matched_by: self.matched_by,
            model: self.model,
            group: self.group,
            flips: self.flips,
            learning_rate: self.learning_rate,
            tuning_trials: self.tune,
            jobs: usize::from(self.jobs),
            device: Some(self.device),
            data: self.data,
            out: self.out,
            resume: self.resume,
            keep_weights: self.keep_weights,
            version: env!("EQUI_VERSION").to_string(),
        };
        let study = compare::compare(&request, &stop)?;
        let out = study.out.display();
        let mut text = String::new();
        if study.found_finished {
            text += &format!(
                "This comparison was finished before; {out} was left as it is. To run it again, choose another --out.\n\n"
            );
        }
        text += &format!("{}\n{}\n\n", report::table(&study.results), study.results.verdict);
        text += &format!("Written to {out}: report.html, learning-curves.svg, results.csv, results.json\n");
        print(&text)?;

        match report::lost(&study.results) {
            Some(message) => Err(Failure { message, code: LOST }),
            None => Ok(()),
        }
    }
}

/// The exit code of a comparison that is finished and written, with networks missing from it.
const LOST: u8 = 3;

/// What there is to compare, for `--help`.
fn contestants() -> String {
    let tasks = TASKS.map(|task| format!("  {:<22} {}\n", task.name(), task.about())).concat();
    let arms = ARMS.map(|arm| format!("  {:<22} {}\n", arm.name, arm.about)).concat();
    format!(
        "Tasks:\n{tasks}  {:<22} {}\n\nArms:\n{arms}\nThe environment variable {VARIABLE} names the device where --device does not.\n\n\
         Exit codes:\n  0    finished, and every network was trained\n  1    it could not be done\n  2    the command \
         line means nothing\n  {LOST}    finished and written, but networks diverged or panicked and are left out\n  {INTERRUPTED}  \
         interrupted; --resume goes on",
        "FILE.toml", "images or points of your own: docs/own-data.md says what is in the file"
    )
}

impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Self {
        Self { code: error.exit_code(), message: error.to_string() }
    }
}
