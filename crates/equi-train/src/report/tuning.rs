//! What was tried for every arm, and what was chosen.

use std::fmt::Write;

use super::html::{escape, key};
use super::number::{self, count};
use crate::compare::results::{CellStatus, Results};
use crate::compare::tuning::{ArmTuning, Trial, Tuning};

/// The section, where anything was tuned.
pub(super) fn tuning(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    let Some(tuning) = &results.tuning else { return Ok(()) };
    page.push_str("<h2>Hyperparameters</h2>\n");
    head(page, "arm")?;
    for arm in &tuning.arms {
        write!(page, "<tr><th scope=\"row\">{}{}</th>", key(results, &arm.arm), escape(&arm.arm))?;
        trial(page, chosen(arm), name)?;
    }
    writeln!(
        page,
        "</tbody></table></div>\n<p class=\"note\">{} Width and augmentation are fractions of those of the matched network; an arm that is not here \
         has nothing to choose, or the training of another.</p>",
        sentence(tuning)
    )?;
    for arm in &tuning.arms {
        writeln!(page, "<details><summary>{}{}: all trials</summary>", key(results, &arm.arm), escape(&arm.arm))?;
        head(page, "trial")?;
        for (place, tried) in arm.trials.iter().enumerate() {
            let mark = if place == arm.chosen { ", chosen" } else { "" };
            let what = if place == 0 { "the recipe".to_string() } else { place.to_string() };
            write!(page, "<tr><th scope=\"row\">{what}{mark}</th>")?;
            trial(page, tried, name)?;
        }
        page.push_str("</tbody></table></div>\n</details>\n");
    }
    Ok(())
}

/// How the hyperparameters were found.
pub(super) fn sentence(tuning: &Tuning) -> String {
    let trials = tuning.arms.iter().map(|arm| arm.trials.len()).max().unwrap_or(0);
    format!(
        "Learning rate, weight decay, width and augmentation of every arm are the best of {trials} trials with {} samples of a seed of \
         their own, by validation.",
        count(tuning.train_size as u64)
    )
}

fn chosen(arm: &ArmTuning) -> &Trial {
    &arm.trials[arm.chosen]
}

fn head(page: &mut String, first: &str) -> std::fmt::Result {
    write!(
        page,
        "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">{first}</th><th scope=\"col\">learning<br>rate</th>\
         <th scope=\"col\">weight<br>decay</th><th scope=\"col\">width</th><th scope=\"col\">augmentation</th>\
         <th scope=\"col\">validation</th></tr></thead>\n<tbody>\n"
    )
}

fn trial(page: &mut String, trial: &Trial, name: &str) -> std::fmt::Result {
    let tried = &trial.hyperparameters;
    let score = match &trial.validation {
        Some(score) => number::metric(name, score.metric),
        None => trial.status.unwrap_or(CellStatus::Diverged).name().to_string(),
    };
    writeln!(
        page,
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{score}</td></tr>",
        tried.learning_rate,
        number::typeset(f64::from(tried.weight_decay)),
        tried.width,
        tried.augmentation
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Hyperparameters;
    use crate::fit::Score;
    use crate::report::sample::sample;
    use crate::report::{html, verdict};

    #[test]
    fn what_was_tried_is_shown_and_the_verdict_says_so() {
        let mut results = sample(3);
        assert!(!html(&results).contains("Hyperparameters") && !verdict(&results).contains("trials"));
        let trial = |learning_rate, metric: Option<f64>| Trial {
            hyperparameters: Hyperparameters { learning_rate, weight_decay: 1e-4, width: 0.5, augmentation: 1.0 },
            status: metric.map(|_| CellStatus::Done),
            validation: metric.map(|metric| Score { metric, loss: 1.0 }),
            message: None,
            train_seconds: 1.0,
        };
        // Those of earlier versions do not say how they ended.
        let panicked = Trial { status: Some(CellStatus::Panicked), ..trial(0.1, None) };
        let trials = vec![trial(0.02, Some(20.0)), trial(0.05, None), trial(0.0061, Some(12.5)), panicked];
        let arms = vec![ArmTuning { arm: "plain".into(), chosen: 2, trials }];
        results.tuning = Some(Tuning { train_size: 1600, seed: 3, arms });
        let page = html(&results);
        assert!(page.contains("<td>0.0061</td>") && page.contains("12.50"));
        assert!(page.contains("<td>diverged</td></tr>") && page.contains("<td>panicked</td></tr>"));
        assert!(page.contains("2, chosen") && page.contains("best of 4 trials with 1,600 samples"));
        assert!(verdict(&results).contains("best of 4 trials with 1,600 samples"));
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
