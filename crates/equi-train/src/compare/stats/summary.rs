//! What the cells of a comparison say together.

use std::collections::BTreeMap;

use super::{Interval, confidence, floor_law, holm, interval, mean, p_value, power_law};
use crate::compare::results::{ArmSummary, Cell, Curve, Difference, Estimate, FloorFit, SizeSummary};

/// The cells of one arm, with their seeds, sizes and values.
fn values<'a>(cells: &'a [Cell], arm: &'a str) -> impl Iterator<Item = (u64, usize, f64)> + 'a {
    cells
        .iter()
        .filter(move |cell| cell.arm == arm)
        .filter_map(|cell| Some((cell.seed, cell.train_size, cell.value()?)))
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// One entry per arm, in their order, and training-set size, ascending, over the cells that have a metric.
pub fn summarise(arms: &[ArmSummary], cells: &[Cell]) -> Vec<SizeSummary> {
    let metric = cells.iter().find_map(|cell| cell.metric.as_ref()).map_or("", |metric| metric.name.as_str());
    let mut summary = Vec::new();
    for arm in arms {
        for train_size in distinct(cells.iter().filter(|cell| cell.arm == arm.name).map(|cell| cell.train_size)) {
            let values: Vec<f64> =
                values(cells, &arm.name).filter(|value| value.1 == train_size).map(|value| value.2).collect();
            let interval = interval(metric, &values);
            summary.push(SizeSummary {
                arm: arm.name.clone(),
                train_size,
                mean: mean(&values),
                ci95: interval.as_ref().map(Interval::ends),
                ci95_method: interval.map(|interval| interval.method),
            });
        }
    }
    summary
}

/// By how much the metric of `first` is above that of `second`, for every seed in which both have one.
pub fn paired(cells: &[Cell], first: &str, second: &str, train_size: usize) -> Vec<f64> {
    let at = |arm| values(cells, arm).filter(move |value| value.1 == train_size);
    at(first).filter_map(|(seed, _, a)| at(second).find(|other| other.0 == seed).map(|(_, _, b)| a - b)).collect()
}

/// One entry per pair of arms and training-set size at which seeds have both.
pub fn differences(arms: &[ArmSummary], cells: &[Cell]) -> Vec<Difference> {
    let mut found = Vec::new();
    for train_size in distinct(cells.iter().map(|cell| cell.train_size)) {
        let (begin, mut p_values) = (found.len(), Vec::new());
        for (place, first) in arms.iter().enumerate() {
            for second in &arms[place + 1..] {
                let differences = paired(cells, &first.name, &second.name, train_size);
                let Some(mean) = mean(&differences) else { continue };
                let interval = confidence(&differences);
                p_values.push(p_value(&differences));
                found.push(Difference {
                    first: first.name.clone(),
                    second: second.name.clone(),
                    train_size,
                    seeds: differences.len(),
                    mean,
                    ci95: interval.as_ref().map(Interval::ends),
                    ci95_method: interval.map(|interval| interval.method),
                    p_holm: None,
                });
            }
        }
        let adjusted = holm(&p_values.iter().copied().flatten().collect::<Vec<_>>());
        let tested = found[begin..].iter_mut().zip(&p_values).filter(|(_, p_value)| p_value.is_some());
        for ((difference, _), adjusted) in tested.zip(adjusted) {
            difference.p_holm = Some(adjusted);
        }
    }
    found
}

/// The learning curves of the arms that have one: enough sizes, and errors above zero.
///
/// Fits take the cells of all seeds. A seed has nested training sets, so its errors go together, and what varies independently is
/// the seed: the intervals are those of [`confidence`] for the jackknife's pseudo-values, one a seed,
///
/// ```text
/// k t - (k - 1) t_without_the_seed,      t the estimate of all k seeds
/// ```
///
/// For a power law with every size in every seed, these are the exponents of the single seeds.
pub fn curves(arms: &[ArmSummary], cells: &[Cell]) -> Vec<Curve> {
    arms.iter().filter_map(|arm| curve(&arm.name, &values(cells, &arm.name).collect::<Vec<_>>())).collect()
}

fn curve(arm: &str, values: &[(u64, usize, f64)]) -> Option<Curve> {
    let seeds = distinct(values.iter().map(|value| value.0));
    let points = |left_out: Option<u64>| -> Vec<(f64, f64)> {
        let kept = values.iter().filter(|value| Some(value.0) != left_out);
        kept.map(|&(_, size, value)| (size as f64, value)).collect()
    };
    let law = power_law(&points(None))?;
    let estimate = |whole: f64, without: &dyn Fn(u64) -> Option<f64>| {
        let count = seeds.len() as f64;
        let pseudo: Option<Vec<f64>> =
            seeds.iter().map(|&seed| Some(count * whole - (count - 1.0) * without(seed)?)).collect();
        let spread = pseudo.and_then(|pseudo| Some((mean(&pseudo)?, confidence(&pseudo)?)));
        // About the estimate itself, not about the mean of the pseudo-values, from which it differs where a fit bends.
        let interval = spread.map(|(centre, Interval { low, high, method })| Interval {
            low: whole + (low - centre),
            high: whole + (high - centre),
            method,
        });
        Estimate {
            value: whole,
            ci95: interval.as_ref().map(Interval::ends),
            ci95_method: interval.map(|interval| interval.method),
        }
    };
    let exponent = estimate(law.exponent, &|seed| Some(power_law(&points(Some(seed)))?.exponent));
    let floor = floor_law(&points(None)).map(|law| {
        let without: BTreeMap<u64, _> = seeds.iter().map(|&seed| (seed, floor_law(&points(Some(seed))))).collect();
        FloorFit {
            factor: law.factor,
            exponent: estimate(law.exponent, &|seed| Some(without[&seed]?.exponent)),
            floor: estimate(law.floor, &|seed| Some(without[&seed]?.floor)),
        }
    });
    Some(Curve { arm: arm.to_string(), factor: law.factor, exponent, floor })
}

#[cfg(test)]
mod tests {
    use super::super::coverage;
    use super::*;
    use crate::compare::stats::Method;
    use std::sync::Mutex;

    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Exp1, StandardNormal};

    const SIZES: [usize; 6] = [100, 200, 400, 800, 1600, 3200];

    /// Errors about a law, in the logarithm: a share that all sizes of a seed have in common, a tilt, and one of each cell.
    fn noisy(
        seeds: u64,
        law: impl Fn(f64) -> f64,
        mut noise: impl FnMut(&mut ChaCha8Rng) -> f64,
        rng: &mut ChaCha8Rng,
    ) -> Vec<(u64, usize, f64)> {
        let mut values = Vec::new();
        for seed in 0..seeds {
            let (common, tilt) = (noise(rng), noise(rng));
            for (place, size) in SIZES.into_iter().enumerate() {
                let log = common + 0.2 * (place as f64 - 2.5) * tilt + noise(rng);
                values.push((seed, size, law(size as f64) * log.exp()));
            }
        }
        values
    }

    fn covers(estimate: &Estimate, truth: f64) -> bool {
        let [low, high] = estimate.ci95.expect("there are seeds");
        (low..=high).contains(&truth)
    }

    #[test]
    fn exponents_are_covered_in_95_of_100() {
        let law = |n: f64| 4.0 * n.powf(-0.45);
        for (seeds, sets, method) in
            [(3, 4000, Method::StudentT), (5, 4000, Method::StudentT), (10, 600, Method::BootstrapT)]
        {
            let share = coverage::of(sets, |rng| {
                let values = noisy(seeds, law, |rng| 0.05 * rng.sample::<f64, _>(StandardNormal), rng);
                let exponent = curve("an arm", &values).unwrap().exponent;
                assert_eq!(exponent.ci95_method, Some(method));
                covers(&exponent, 0.45)
            });
            assert!(coverage::within_sampling_error(share, 0.95, sets), "{seeds} seeds: {share}");
        }
    }

    #[test]
    fn exponents_are_covered_under_skewed_noise_too() {
        // An exponent is a sum over sizes with weights of both signs, which takes most of the skewness away.
        let law = |n: f64| 4.0 * n.powf(-0.45);
        let sets = 4000;
        let share = coverage::of(sets, |rng| {
            let values = noisy(5, law, |rng| 0.1 * (rng.sample::<f64, _>(Exp1) - 1.0), rng);
            covers(&curve("an arm", &values).unwrap().exponent, 0.45)
        });
        assert!((0.93..0.965).contains(&share), "{share}");
    }

    #[test]
    fn floors_and_their_exponents_are_covered() {
        let law = |n: f64| 3.0 * n.powf(-0.6) + 0.05;
        let sets = 1000;
        let hits = Mutex::new([0; 2]);
        coverage::of(sets, |rng| {
            let values = noisy(5, law, |rng| 0.01 * rng.sample::<f64, _>(StandardNormal), rng);
            let fit = curve("an arm", &values).unwrap().floor.unwrap();
            let both = [covers(&fit.floor, 0.05), covers(&fit.exponent, 0.6)];
            let mut hits = hits.lock().unwrap();
            hits.iter_mut().zip(both).for_each(|(hits, covered)| *hits += u64::from(covered));
            both[0]
        });
        for hits in hits.into_inner().unwrap() {
            let share = hits as f64 / sets as f64;
            assert!(coverage::within_sampling_error(share, 0.95, sets), "{share}");
        }
    }

    #[test]
    fn the_exponent_of_complete_seeds_is_the_mean_of_theirs() {
        let mut rng = crate::seed::stream(1, crate::seed::Purpose::Probe, 0);
        let values = noisy(4, |n| n.powf(-0.3), |rng| 0.1 * rng.sample::<f64, _>(StandardNormal), &mut rng);
        let single: Vec<f64> = (0..4)
            .map(|seed| {
                let own: Vec<_> = values.iter().filter(|value| value.0 == seed).map(|v| (v.1 as f64, v.2)).collect();
                power_law(&own).unwrap().exponent
            })
            .collect();
        let found = curve("an arm", &values).unwrap().exponent;
        assert!((found.value - mean(&single).unwrap()).abs() < 1e-12);
        let expected = confidence(&single).unwrap().ends();
        assert!(found.ci95.unwrap().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-10), "{found:?} {expected:?}");
    }

    #[test]
    fn one_seed_has_a_curve_without_an_interval() {
        let values: Vec<_> = SIZES.iter().map(|&size| (0, size, 1.0 / size as f64)).collect();
        let found = curve("an arm", &values).unwrap();
        assert!((found.exponent.value - 1.0).abs() < 1e-12);
        assert_eq!((found.exponent.ci95, found.exponent.ci95_method), (None, None));
        assert!(curve("an arm", &values[..2]).is_none());
    }

    /// Differences within seeds settle what two intervals apart cannot.
    #[test]
    fn paired_differences_are_covered_however_much_seeds_vary() {
        let sets = 8000;
        let share = coverage::of(sets, |rng| {
            let mut cells = Vec::new();
            for seed in 0..5 {
                let common: f64 = 10.0 * rng.sample::<f64, _>(StandardNormal);
                for (arm, ahead) in [("plain", 0.0), ("equivariant", 1.0)] {
                    let value = 50.0 + common - ahead + rng.sample::<f64, _>(StandardNormal);
                    cells.push(Cell::of(arm, 100, seed, value));
                }
            }
            // A seed of one arm alone is in no pair.
            cells.push(Cell::of("plain", 100, 9, 1e6));
            let found = paired(&cells, "plain", "equivariant", 100);
            assert_eq!(found.len(), 5);
            let [low, high] = confidence(&found).unwrap().ends();
            (low..=high).contains(&1.0)
        });
        assert!(coverage::within_sampling_error(share, 0.95, sets), "{share}");
    }
}
