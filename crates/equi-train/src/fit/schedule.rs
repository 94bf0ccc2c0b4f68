//! Learning rates as pure functions of the step, so that a resumed run needs nothing but its step counter.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The peak rate throughout.
    Constant,
    /// Half a cosine from the peak rate down to `floor` times it, reached at the last step.
    Cosine {
        /// Final rate as a fraction of the peak rate.
        floor: f64,
    },
    /// Multiplied by `factor` every `every` steps.
    Step {
        /// Steps between two falls, counted from the end of the warm-up.
        every: usize,
        /// What the rate is multiplied by.
        factor: f64,
    },
}

impl Default for Schedule {
    /// Half a cosine to zero.
    fn default() -> Self {
        Self::Cosine { floor: 0.0 }
    }
}

impl Schedule {
    /// Fraction of the peak rate used at `step` (from 0) of `total`, after a linear warm-up over the first `warmup` steps
    /// that reaches the peak at its last step.
    pub fn factor(&self, step: usize, warmup: usize, total: usize) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let since = step - warmup;
        match *self {
            Self::Constant => 1.0,
            Self::Cosine { floor } => {
                let span = total.saturating_sub(warmup + 1).max(1);
                let progress = (since as f64 / span as f64).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
            Self::Step { every, factor } => factor.powi((since / every.max(1)) as i32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn warm_up_rises_linearly_to_the_peak() {
        for schedule in [Schedule::Constant, Schedule::Cosine { floor: 0.0 }, Schedule::Step { every: 3, factor: 0.1 }]
        {
            close(schedule.factor(0, 4, 100), 0.25);
            close(schedule.factor(2, 4, 100), 0.75);
            close(schedule.factor(3, 4, 100), 1.0);
            close(schedule.factor(4, 4, 100), 1.0);
        }
    }

    #[test]
    fn cosine_starts_at_the_peak_and_ends_at_the_floor() {
        let schedule = Schedule::Cosine { floor: 0.1 };
        close(schedule.factor(0, 0, 101), 1.0);
        close(schedule.factor(50, 0, 101), 0.55);
        close(schedule.factor(100, 0, 101), 0.1);
        close(schedule.factor(500, 0, 101), 0.1);
        // cos(pi / 4) at a quarter of the way.
        close(Schedule::Cosine { floor: 0.0 }.factor(25, 0, 101), 0.5 + 0.5 * std::f64::consts::FRAC_1_SQRT_2);
    }

    #[test]
    fn steps_fall_after_every_interval() {
        let schedule = Schedule::Step { every: 10, factor: 0.5 };
        close(schedule.factor(11, 2, 100), 1.0);
        close(schedule.factor(12, 2, 100), 0.5);
        close(schedule.factor(22, 2, 100), 0.25);
    }

    #[test]
    fn a_single_step_runs_at_the_peak() {
        close(Schedule::Cosine { floor: 0.0 }.factor(0, 0, 1), 1.0);
    }
}
