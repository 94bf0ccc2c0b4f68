//! One paragraph from the numbers, as careful as the number of seeds demands.

use super::{
    digest::{ArmDigest, is_trained},
    lost::{Lost, panics},
    number::{self, capital, count, enumeration, exponent, magnitude},
    tuning,
    words::words,
};
use crate::compare::{
    results::{ArmSummary, Cell, CellStatus, Results},
    stats::{Interval, Method, confidence, interval, mean, paired},
};

/// A p-value below this, adjusted for all pairs, settles an order.
const SETTLED: f64 = 0.05;

/// Exact symmetries move a network's logits by rounding alone: about 1e-6 in `f32`. Above this something is broken.
const ROUNDING: f64 = 1e-4;

/// Answers the question of the study: which arm errs least with few and with many samples, whether augmentation
/// catches up, how equivariant the trained networks are, what they cost, and how far all this can be trusted.
pub fn verdict(results: &Results) -> String {
    let Some(name) = results.metric_name() else {
        return nothing(results);
    };
    let sizes: Vec<usize> = results.sizes().into_iter().filter(|&size| !ranking(results, size).is_empty()).collect();
    let [Some(&smallest), Some(&largest)] = [sizes.first(), sizes.last()] else {
        return nothing(results);
    };

    let mut sentences = vec![race(results, name, smallest)];
    if largest != smallest {
        sentences.push(race(results, name, largest));
        sentences.extend(catching_up(results, name, smallest, largest));
    }
    sentences.extend(falling(results));
    sentences.extend(results.tuning.as_ref().map(tuning::sentence));
    sentences.extend(trust(results, &sizes));
    sentences.extend(symmetry(results));
    sentences.extend(cost(results));
    sentences.extend(lost(results));
    sentences.join(" ")
}

fn nothing(results: &Results) -> String {
    let total = results.cells.len();
    if total == 0 {
        return "No network was trained, so there is nothing to compare.".into();
    }
    let lost = Lost::of(&results.cells);
    let how = match (lost.diverged, lost.panicked) {
        (0, 0) => String::new(),
        (diverged, _) if diverged == total => ": every cell diverged".into(),
        (_, panicked) if panicked == total => ": every cell panicked".into(),
        _ => format!(": {}", enumeration(&lost.counted())),
    };
    let mut sentences = vec![format!(
        "None of the {total} networks reached a finite test metric, so there is nothing to compare{how}."
    )];
    if lost.panicked == 0 || lost.diverged > 0 {
        let which = if lost.panicked > 0 { " for those that diverged" } else { "" };
        sentences.push(format!("A lower `--learning-rate`{} is the first thing to try{which}.", rate(results)));
    }
    sentences.extend(said(results));
    sentences.join(" ")
}

/// What the panics said, as a sentence of its own.
fn said(results: &Results) -> Option<String> {
    panics(&results.cells).map(|said| capital(said.trim_end_matches('.')) + ".")
}

/// The learning rates used, in brackets.
fn rate(results: &Results) -> String {
    format!(" (it was {})", number::rates(&results.recipe))
}

/// An arm at one training-set size.
struct Standing<'a> {
    arm: &'a str,
    values: Vec<f64>,
    mean: f64,
}

/// The arms that have a metric at this size, the lowest mean first.
fn ranking(results: &Results, size: usize) -> Vec<Standing<'_>> {
    let mut ranking: Vec<Standing> = results
        .arms
        .iter()
        .filter_map(|arm| {
            let values = results.values(&arm.name, size);
            Some(Standing { arm: &arm.name, mean: mean(&values)?, values })
        })
        .collect();
    ranking.sort_by(|a, b| a.mean.total_cmp(&b.mean));
    ranking
}

fn race(results: &Results, name: &str, size: usize) -> String {
    let (quantity, unit) = number::quantity(name);
    let ranking = ranking(results, size);
    let value = |standing: &Standing| match interval(name, &standing.values) {
        Some(Interval { low, high, .. }) => format!(
            "{}{unit} (95 % interval {} to {})",
            number::metric(name, standing.mean),
            number::metric(name, low),
            number::metric(name, high)
        ),
        None => format!("{}{unit}", number::metric(name, standing.mean)),
    };
    let best = &ranking[0];
    let Some(second) = ranking.get(1) else {
        return format!(
            "With {} training samples only one arm has a result: {} reaches a {quantity} of {}.",
            count(size as u64),
            best.arm,
            value(best)
        );
    };
    let mut sentence = format!(
        "With {} training samples {} has the lowest mean {quantity}, {}, before {} with {}",
        count(size as u64),
        best.arm,
        value(best),
        second.arm,
        value(second)
    );
    // Arms share the data and the test set of a seed, so the differences within seeds tell more than two intervals.
    let differences = paired(&results.cells, second.arm, best.arm, size);
    if let (Some(difference), Some(Interval { low, high, .. })) = (mean(&differences), confidence(&differences)) {
        let won = differences.iter().filter(|&&difference| difference > 0.0).count();
        let points = if unit.is_empty() { "" } else { " points" };
        let adjusted = results.differences.iter().find(|pair| {
            pair.train_size == size
                && [pair.first.as_str(), pair.second.as_str()].iter().all(|arm| [best.arm, second.arm].contains(arm))
        });
        let adjusted = adjusted.and_then(|pair| pair.p_holm);
        let settled = match (low > 0.0, differences.len(), adjusted) {
            (true, 2, _) => "leaves out 0, but two seeds are too few to settle the order".to_string(),
            (true, _, Some(p)) if p >= SETTLED => {
                format!(
                    "leaves out 0, but not once all pairs are compared (Holm's p = {p:.2}): the order is not settled"
                )
            }
            (true, _, Some(p)) => {
                let p = if p < 1e-3 { "< 0.001".to_string() } else { format!("= {p:.3}") };
                format!("settles the order of these two (Holm's p {p}, for all pairs)")
            }
            (true, _, None) => "settles the order of these two".to_string(),
            (false, ..) => "does not settle the order of these two".to_string(),
        };
        sentence += &format!(
            "; it is lower with {won} of {} seeds, by {}{points} on average (95 % interval of the difference {} to {}), \
             which {settled}",
            differences.len(),
            number::metric(name, difference),
            number::metric(name, low),
            number::metric(name, high)
        );
    }
    for rest in &ranking[2..] {
        sentence += &format!("; {} has {}{unit}", rest.arm, number::metric(name, rest.mean));
    }
    sentence + "."
}

/// The question of the study, on the means: does augmentation reach the equivariant arms as data grow?
fn catching_up(results: &Results, name: &str, smallest: usize, largest: usize) -> Option<String> {
    let best =
        |size: usize, kind: &str| ranking(results, size).into_iter().find(|standing| standing.arm.starts_with(kind));
    let (few_equivariant, few_augmented) = (best(smallest, "equivariant")?, best(smallest, "augmented")?);
    let (many_equivariant, many_augmented) = (best(largest, "equivariant")?, best(largest, "augmented")?);
    let unit = if name.ends_with('%') { " points" } else { "" };
    let gap = |a: f64, b: f64| format!("{}{unit}", number::metric(name, (a - b).abs()));
    let few = few_augmented.mean - few_equivariant.mean;
    let many = many_augmented.mean - many_equivariant.mean;
    let (n_few, n_many) = (count(smallest as u64), count(largest as u64));

    let mut sentence = match (few > 0.0, many > 0.0) {
        (true, true) => format!(
            "Augmentation does not catch up at these sizes: it is {} behind with {n_few} samples and {} behind with {n_many}",
            gap(few_augmented.mean, few_equivariant.mean),
            gap(many_augmented.mean, many_equivariant.mean)
        ),
        (true, false) => format!(
            "Augmentation catches up: it is {} behind with {n_few} samples and {} ahead with {n_many}",
            gap(few_augmented.mean, few_equivariant.mean),
            gap(many_augmented.mean, many_equivariant.mean)
        ),
        (false, false) => format!(
            "Augmentation is not behind at either end: it is {} ahead with {n_few} samples and {} ahead with {n_many}",
            gap(few_augmented.mean, few_equivariant.mean),
            gap(many_augmented.mean, many_equivariant.mean)
        ),
        (false, true) => format!(
            "Augmentation is {} ahead with {n_few} samples and {} behind with {n_many}",
            gap(few_augmented.mean, few_equivariant.mean),
            gap(many_augmented.mean, many_equivariant.mean)
        ),
    };
    if few > 0.0 {
        let reached = results.sizes().into_iter().find(|&size| {
            size > smallest && best(size, "augmented").is_some_and(|augmented| augmented.mean <= few_equivariant.mean)
        });
        sentence += &match reached {
            Some(size) => format!(
                "; it needs {} samples to reach what {} reaches with {n_few}",
                count(size as u64),
                few_equivariant.arm
            ),
            None => format!("; even with {n_many} it stays above what {} reaches with {n_few}", few_equivariant.arm),
        };
    }
    Some(sentence + ".")
}

/// How fast the errors of trained networks fall.
fn falling(results: &Results) -> Option<String> {
    let exponents: Vec<String> = results
        .curves
        .iter()
        .filter(|curve| is_trained(results, &curve.arm))
        .map(|curve| match curve.exponent.ci95 {
            Some([low, high]) => {
                format!("{} ({}; {} to {})", exponent(curve.exponent.value), curve.arm, exponent(low), exponent(high))
            }
            None => format!("{} ({})", exponent(curve.exponent.value), curve.arm),
        })
        .collect();
    (!exponents.is_empty()).then(|| {
        let sizes = results.sizes();
        let [first, .., last] = sizes[..] else { return String::new() };
        format!(
            "From {} to {} samples n, errors fall about as 1 / n^b with b = {}.",
            count(first as u64),
            count(last as u64),
            enumeration(&exponents)
        )
    })
}

fn trust(results: &Results, sizes: &[usize]) -> Option<String> {
    let counts = || {
        results
            .arms
            .iter()
            .flat_map(|arm| sizes.iter().map(|&size| results.values(&arm.name, size).len()))
            .filter(|&n| n > 0)
    };
    let (fewest, most) = (counts().min()?, counts().max()?);
    Some(match (fewest, most) {
        (1, 1) => "Every number is from a single seed, so nothing is known about the spread and any of these orders \
                   may be chance."
            .into(),
        (1, _) => format!(
            "Some numbers are from a single seed (others from up to {most}), so nothing is known about their spread."
        ),
        (2, _) => format!(
            "These are only {} seeds per cell, too few to tell whether they are as normal as the intervals assume: an \
             indication, and no claim of significance.",
            if most == 2 { "two".into() } else { format!("two to {most}") }
        ),
        (fewest, most) => format!(
            "Intervals are over {} seeds, {}; they cover the weights, the samples drawn and their order, not the finite test \
             set, nor the choice of architecture and training recipe.",
            if fewest == most { most.to_string() } else { format!("{fewest} to {most}") },
            methods(results)
        ),
    })
}

/// How the intervals of the summary were found.
fn methods(results: &Results) -> &'static str {
    let found = |method| results.summary.iter().any(|size| size.ci95_method == Some(method));
    match (found(Method::StudentT), found(Method::BootstrapT)) {
        (_, false) => "by Student's t distribution",
        (false, true) => "by the studentised bootstrap",
        (true, true) => "by the studentised bootstrap, or Student's t distribution where seeds are few",
    }
}

fn symmetry(results: &Results) -> Option<String> {
    let arms: Vec<ArmDigest> = results.arms.iter().map(|arm| ArmDigest::new(results, arm)).collect();
    let list = |pick: fn(&ArmDigest) -> Option<f64>| {
        let items: Vec<String> =
            arms.iter().filter_map(|arm| Some(format!("{} ({})", magnitude(pick(arm)?), arm.arm.name))).collect();
        (!items.is_empty()).then(|| enumeration(&items))
    };
    let [begin, end] = words(results.domain).exact;
    let exact = list(|arm| arm.exact).map(|exact| format!("{begin}{exact}{end}"));
    let turned = list(|arm| arm.rotation_45).map(|turned| {
        let outputs = if exact.is_some() { "them" } else { "the trained networks' outputs" };
        let mut clause = format!("a turn by 45 degrees changes {outputs} by {turned}");
        let floor = arms.iter().filter_map(|arm| arm.resampling_floor_45).fold(f64::NAN, f64::max);
        if floor.is_finite() {
            clause += &format!(", where resampling alone, there and back, changes the images by {}", magnitude(floor));
        }
        clause
    });
    let clauses: Vec<String> = exact.into_iter().chain(turned).collect();
    if clauses.is_empty() {
        return None;
    }
    let mut sentence = capital(&clauses.join("; ")) + ".";
    let broken: Vec<String> = arms
        .iter()
        .filter(|arm| {
            arm.arm.name.starts_with("equivariant") && arm.exact.is_some_and(|error| error.is_nan() || error > ROUNDING)
        })
        .map(|arm| arm.arm.name.clone())
        .collect();
    if !broken.is_empty() {
        sentence += &format!(
            " That is more than rounding explains for {}: treat it as not equivariant until the cause is found.",
            enumeration(&broken)
        );
    }
    Some(sentence)
}

/// Networks that differ by more than this factor in what they are matched by are not.
const FAR_FROM_MATCHED: f64 = 1.5;

fn cost(results: &Results) -> Option<String> {
    let flops: Vec<String> = results
        .arms
        .iter()
        .filter(|arm| is_trained(results, &arm.name))
        .map(|arm| format!("{} ({})", number::plain(arm.test_flops() as f64 / 1e6), arm.name))
        .collect();
    if flops.is_empty() {
        return None;
    }
    let matched = match results.matched_by.as_str() {
        "params" => "parameters",
        "flops" => "FLOPs",
        "time" => "the time of a training step",
        other => other,
    };
    let quantity = |arm: &ArmSummary| match results.matched_by.as_str() {
        "params" => arm.parameters as f64,
        "time" => ArmDigest::new(results, arm).samples_per_second.map_or(f64::NAN, |speed| 1.0 / speed),
        _ => arm.flops_per_sample as f64,
    };
    let trained: Vec<&ArmSummary> = results.arms.iter().filter(|arm| is_trained(results, &arm.name)).collect();
    let others = trained.iter().filter(|arm| {
        let ratio = quantity(arm) / quantity(trained[0]);
        ratio.is_finite() && !(1.0 / FAR_FROM_MATCHED..=FAR_FROM_MATCHED).contains(&ratio)
    });
    let others: Vec<String> = others.map(|arm| arm.name.clone()).collect();
    let but = if others.is_empty() { String::new() } else { format!(", but for {}", enumeration(&others)) };
    let mut sentence =
        format!("The networks are matched by {matched}{but}; a test sample costs {} MFLOPs", enumeration(&flops));
    let speed = |name: &str| {
        let arm = results.arms.iter().find(|arm| arm.name == name)?;
        ArmDigest::new(results, arm).samples_per_second.filter(|&speed| speed > 0.0)
    };
    if let (Some(equivariant), Some(augmented)) = (speed("equivariant"), speed("augmented")) {
        sentence += &format!(
            ", and on {} training takes equivariant {:.1} times as long per sample as augmented",
            results.device,
            augmented / equivariant
        );
    }
    Some(sentence + ".")
}

/// The networks without a result, and what may help: those that diverged, and apart from them those that panicked.
fn lost(results: &Results) -> Vec<String> {
    let named = |status: CellStatus| {
        let cells: Vec<&Cell> = results.cells.iter().filter(|cell| cell.status == status).collect();
        let names: Vec<String> = cells
            .iter()
            .map(|cell| format!("{} with {} samples, seed {}", cell.arm, count(cell.train_size as u64), cell.seed))
            .collect();
        (!cells.is_empty()).then(|| {
            format!(
                "{} of {} networks {} and {} left out of the means: {}.",
                cells.len(),
                results.cells.len(),
                status.name(),
                if cells.len() == 1 { "is" } else { "are" },
                names.join("; ")
            )
        })
    };
    let slower = |diverged: String| format!("{diverged} A lower `--learning-rate`{} may keep them.", rate(results));
    let diverged = named(CellStatus::Diverged).map(slower);
    diverged.into_iter().chain(named(CellStatus::Panicked)).chain(said(results)).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::sample::{crash, diverge, points, sample},
        *,
    };

    #[test]
    fn few_samples_favour_equivariance_and_the_words_say_so() {
        let text = verdict(&sample(3));
        assert!(
            text.starts_with("With 100 training samples equivariant has the lowest mean test error, 21.00 %"),
            "{text}"
        );
        // Differences 16.32, 17.00 and 17.68; s = 0.68, half width 4.302653 * 0.68 / sqrt(3) = 1.689.
        assert!(
            text.contains(
                "it is lower with 3 of 3 seeds, by 17.00 points on average (95 % interval of the difference 15.31 to \
                 18.69), which settles the order of these two"
            ),
            "{text}"
        );
        assert!(
            text.contains("Augmentation does not catch up at these sizes: it is 17.00 points behind with 100"),
            "{text}"
        );
        assert!(text.contains("it needs 400 samples to reach what equivariant reaches with 100"), "{text}");
        assert!(text.contains("Intervals are over 3 seeds, by Student's t distribution;"), "{text}");
        // Every seed of the sample has the same exponent, up to rounding.
        assert!(
            text.contains(
                "From 100 to 1,600 samples n, errors fall about as 1 / n^b with b = 0.30 (plain; 0.30 to 0.30), 0.54"
            ),
            "{text}"
        );
        assert!(text.contains("0.41 (augmented)"), "{text}");
        assert!(
            text.contains("matched by parameters")
                && text.contains("training takes equivariant 3.4 times as long per sample as augmented"),
            "{text}"
        );
        assert!(!text.contains("not equivariant") && !text.contains("diverged") && !text.contains("NaN"), "{text}");
        assert!(!text.contains(", but for"), "{text}");
    }

    #[test]
    fn a_network_that_is_not_matched_is_named() {
        let mut results = sample(3);
        results.arms[1].parameters *= 2;
        let text = verdict(&results);
        assert!(text.contains(&format!("matched by parameters, but for {};", results.arms[1].name)), "{text}");
    }

    #[test]
    fn squared_errors_of_points_have_words_of_their_own() {
        let text = verdict(&points(3));
        for part in [
            "With 100 training samples equivariant has the lowest mean test MSE, 0.0210 (95 % interval",
            "by 0.0170 on average",
            "it is 0.0170 behind with 100 samples",
            "Under random rotations, reflections, translations and permutations the trained networks' outputs fail to move \
             along by at most 1.1 (plain)",
            "11.9 (plain), 11.9 (augmented) and 61.3 (equivariant) MFLOPs",
        ] {
            assert!(text.contains(part), "no `{part}` in: {text}");
        }
        assert!(!text.contains("(linear; "), "a line is not trained: {text}");
        for wrong in ["points on average", "points behind", "quarter", "45 degrees", "MSE %", "NaN"] {
            assert!(!text.contains(wrong), "{wrong} in: {text}");
        }
        let mut lost = points(2);
        diverge(&mut lost.cells[0]);
        assert!(verdict(&lost).contains("(it was 0.01; equivariant 0.0005)"));
    }

    #[test]
    fn two_seeds_claim_nothing() {
        let text = verdict(&sample(2));
        assert!(text.contains("only two seeds per cell") && text.contains("no claim of significance"), "{text}");
        assert!(text.contains("of 2 seeds") && !text.contains("settles"), "{text}");
    }

    #[test]
    fn many_seeds_are_bootstrapped_and_the_words_say_so() {
        let text = verdict(&sample(8));
        assert!(text.contains("Intervals are over 8 seeds, by the studentised bootstrap;"), "{text}");
    }

    #[test]
    fn one_seed_has_no_interval_and_says_what_that_means() {
        let text = verdict(&sample(1));
        assert!(text.contains("single seed") && !text.contains("interval"), "{text}");
    }

    #[test]
    fn augmentation_may_win() {
        let mut results = sample(3);
        for cell in results.cells.iter_mut().filter(|cell| cell.arm == "augmented" && cell.train_size == 1600) {
            cell.metric.as_mut().unwrap().value = 1.0;
        }
        let text = verdict(&results);
        assert!(
            text.contains("With 1,600 training samples augmented has the lowest mean test error, 1.00 %"),
            "{text}"
        );
        assert!(text.contains("Augmentation catches up: it is 17.00 points behind with 100 samples and"), "{text}");
    }

    #[test]
    fn an_order_within_the_noise_is_not_settled() {
        let mut results = sample(3);
        for (i, cell) in results.cells.iter_mut().filter(|cell| cell.arm == "augmented").enumerate() {
            cell.metric.as_mut().unwrap().value = [2.0, 30.0, 70.0][i % 3];
        }
        assert!(verdict(&results).contains("which does not settle the order of these two"));
    }

    #[test]
    fn seeds_that_vary_together_settle_an_order_within_their_spread() {
        let mut results = sample(3);
        for cell in results.cells.iter_mut().filter(|cell| cell.train_size == 100) {
            let hard = [0.0, 20.0, 40.0][cell.seed as usize];
            let arm = if cell.arm == "plain" { 50.0 } else { 10.0 };
            let ahead = if cell.arm == "equivariant" { 1.0 + 0.01 * cell.seed as f64 } else { 0.0 };
            cell.metric.as_mut().unwrap().value = arm + hard - ahead;
        }
        let text = verdict(&results);
        assert!(text.contains("3 of 3 seeds, by 1.01 points") && text.contains("settles the order"), "{text}");
    }

    #[test]
    fn a_diverged_cell_is_named_and_all_diverged_is_no_comparison() {
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        let text = verdict(&results);
        assert!(
            text.contains("1 of 18 networks diverged and is left out of the means: plain with 100 samples, seed 0.")
                && text.contains("A lower `--learning-rate` (it was 0.01)"),
            "{text}"
        );
        results.cells.iter_mut().for_each(diverge);
        assert!(verdict(&results).starts_with("None of the 18 networks reached a finite test metric"));
        results.cells.clear();
        assert!(verdict(&results).starts_with("No network was trained"));
    }

    #[test]
    fn networks_that_panicked_are_named_apart_with_what_they_said() {
        let mut results = sample(2);
        crash(&mut results.cells[0]);
        let text = verdict(&results);
        assert!(
            text.ends_with(
                "1 of 18 networks panicked and is left out of the means: plain with 100 samples, seed 0. The panic said: no such shape."
            ),
            "{text}"
        );
        assert!(!text.contains("diverged") && !text.contains("--learning-rate"), "{text}");
        diverge(&mut results.cells[1]);
        crash(&mut results.cells[2]);
        let text = verdict(&results);
        assert!(
            text.contains("1 of 18 networks diverged and is left out of the means: plain with 100 samples, seed 1. A lower `--learning-rate`")
                && text.ends_with(
                    "2 of 18 networks panicked and are left out of the means: plain with 100 samples, seed 0; plain with 400 samples, seed 0. \
                     The panics said: no such shape."
                ),
            "{text}"
        );
    }

    #[test]
    fn without_a_result_the_advice_is_that_for_what_went_wrong() {
        let mut results = sample(2);
        results.cells.iter_mut().for_each(crash);
        assert_eq!(
            verdict(&results),
            "None of the 18 networks reached a finite test metric, so there is nothing to compare: every cell panicked. The \
             panics said: no such shape."
        );
        results.cells[..6].iter_mut().for_each(diverge);
        let text = verdict(&results);
        assert!(
            text.contains("compare: 6 diverged and 12 panicked. A lower `--learning-rate` (it was 0.01) is the first thing to try for")
                && text.ends_with("for those that diverged. The panics said: no such shape."),
            "{text}"
        );
        results.cells.iter_mut().for_each(diverge);
        assert!(verdict(&results).contains(": every cell diverged. A lower `--learning-rate` (it was 0.01)"));
        // Tested, with an error that is not a number.
        let mut results = sample(2);
        results.cells.iter_mut().for_each(|cell| cell.metric.as_mut().unwrap().value = f64::NAN);
        assert!(verdict(&results).contains("nothing to compare. A lower"));
    }

    #[test]
    fn a_broken_symmetry_is_called_so() {
        let mut results = sample(2);
        let cell = results.cells.iter_mut().find(|cell| cell.arm == "equivariant").unwrap();
        cell.equivariance_error.as_mut().unwrap().exact = Some(0.02);
        assert!(verdict(&results).contains("more than rounding explains for equivariant"));
        let cell = results.cells.iter_mut().find(|cell| cell.arm == "equivariant").unwrap();
        cell.equivariance_error.as_mut().unwrap().exact = Some(f64::NAN);
        assert!(verdict(&results).contains("more than rounding explains for equivariant"), "NaN must not pass");
    }

    #[test]
    fn missing_pieces_are_left_out() {
        let mut results = sample(2);
        results.cells.iter_mut().for_each(|cell| cell.equivariance_error = None);
        let text = verdict(&results);
        assert!(!text.contains("Quarter turns"), "{text}");
        results.arms.retain(|arm| arm.name == "plain");
        assert!(verdict(&results).contains("only one arm has a result: plain"));
    }
}
