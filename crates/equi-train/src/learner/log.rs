//! A line of text an epoch.

use std::fmt::Write as _;
use std::io::{Write, stdout};

use burn_train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn_train::metric::{MetricDefinition, MetricEntry, MetricId, MetricName};
use burn_train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
};

/// Prints the metrics of every epoch in a line, where Burn's own log has one for every batch, without metrics.
pub struct PlainLog {
    out: Box<dyn Write + Send + Sync>,
    names: Vec<(MetricId, MetricName)>,
    train: Vec<(MetricName, String)>,
    valid: Vec<(MetricName, String)>,
    epochs: usize,
}

impl PlainLog {
    /// A log to the standard output.
    pub fn new() -> Self {
        Self::to(stdout())
    }

    /// A log to `out`.
    pub fn to(out: impl Write + Send + Sync + 'static) -> Self {
        Self { out: Box::new(out), names: Vec::new(), train: Vec::new(), valid: Vec::new(), epochs: 0 }
    }

    /// Remembers the newest value of a metric, which is its value over the epoch so far.
    fn note(names: &[(MetricId, MetricName)], values: &mut Vec<(MetricName, String)>, state: MetricState) {
        let (MetricState::Generic(entry) | MetricState::Numeric(entry, _)) = state;
        let MetricEntry { metric_id, serialized_entry } = entry;
        let Some((_, name)) = names.iter().find(|(id, _)| *id == metric_id) else { return };
        if serialized_entry.is_not_available() {
            return;
        }
        let text = serialized_entry.formatted;
        let text = text.split(" - batch").next().unwrap_or_default().trim_start_matches("epoch ").to_string();
        match values.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = text,
            None => values.push((name.clone(), text)),
        }
    }

    fn print(&mut self, line: &str) {
        // A log that cannot be written is no reason to end a training.
        writeln!(self.out, "{line}").ok();
    }

    fn line(&self, epoch: usize) -> String {
        let mut line = format!("epoch {epoch} of {}", self.epochs);
        for (split, values) in [("train", &self.train), ("valid", &self.valid)] {
            for (at, (name, value)) in values.iter().enumerate() {
                let before = if at == 0 { format!(" | {split}: ") } else { ", ".to_string() };
                write!(line, "{before}{name} {value}").expect("strings take everything");
            }
        }
        line
    }
}

impl Default for PlainLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MetricsRendererTraining for PlainLog {
    fn update_train(&mut self, state: MetricState) {
        Self::note(&self.names, &mut self.train, state);
    }

    fn update_valid(&mut self, state: MetricState) {
        Self::note(&self.names, &mut self.valid, state);
    }
}

impl TrainingProgressLogger for PlainLog {
    fn start(&mut self, total_epochs: usize, _: usize, _: Option<usize>, label: Option<&str>) {
        self.epochs = total_epochs;
        if let Some(label) = label {
            self.print(label);
        }
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.print(&self.line(epoch));
        self.train.clear();
        self.valid.clear();
    }

    fn start_split(&mut self, _: &str, _: usize) {}

    fn update_split(&mut self, _: usize) {}

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    /// Burn reports every step here.
    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for PlainLog {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, _: &str, _: usize) {}

    fn update_test_progress(&mut self, _: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRendererEvaluation for PlainLog {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl MetricsRenderer for PlainLog {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.push((definition.metric_id, definition.name));
    }
}
