//! Networks that take as long as one another, by the clock.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;

use super::{CompareError, MatchBy, Setting, nearest_width};
use crate::fit::{Problem, batch_indices};

/// Rounds of one step each, of which the median counts.
const ROUNDS: usize = 7;
/// Steps of both networks before the rounds: the first ones allocate, and compile kernels on a GPU.
const WARM_UP: usize = 2;
/// Widths that are tried at most.
const TRIES: usize = 6;
/// Networks are alike when their times differ by less than a clock on a busy machine tells.
const ALIKE: f64 = 0.03;

/// A forward and a backward pass on all training samples of `problem`, to the end.
pub(super) fn training_step<P: Problem>(problem: P, model: P::Model, device: &Device) -> impl FnMut() + use<P> {
    let (model, device) = (model.train(), device.clone().autodiff());
    let mut step = 0;
    move || {
        let samples = batch_indices(0, step, problem.train_len(), problem.train_len());
        let loss = problem.loss(&model, &samples, step, &device);
        let value = loss.clone().inner();
        let _gradients = GradientsParams::from_grads(loss.backward(), &model);
        // A GPU is asked and does not answer until it is waited for.
        let _ = value.into_data();
        let _ = device.sync();
        step += 1;
    }
}

/// The width of the plain network whose cost is nearest to that of another one: the one that has been measured, if one has. `flops` and `parameters` are those of the
/// other network, and of the plain one of a width.
pub(super) fn matched_width(
    setting: &Setting,
    flops: (impl FnOnce() -> u64, impl Fn(usize) -> u64),
    parameters: (impl FnOnce() -> usize, impl Fn(usize) -> usize),
) -> usize {
    match (setting.plain_width, setting.matched_by) {
        (Some(width), _) => width,
        // Where nothing has been timed, operations are the nearest to time.
        (None, MatchBy::Flops | MatchBy::Time) => nearest_width(flops.0(), flops.1),
        (None, MatchBy::Params) => nearest_width(parameters.0() as u64, |width| parameters.1(width) as u64),
    }
}

/// The width of the plain network whose steps take as long as those of another one, the nearest of those tried, which begin at `width`; `ratio` measures
/// how many times as long the other takes as the plain one of a width.
///
/// # Errors
///
/// Those of `ratio`.
pub(super) fn width_of_equal_time(
    mut width: usize,
    mut ratio: impl FnMut(usize) -> Result<f64, CompareError>,
) -> Result<usize, CompareError> {
    let mut tried: Vec<(usize, f64)> = Vec::new();
    while tried.len() < TRIES && tried.iter().all(|&(other, _)| other != width) {
        let ratio = ratio(width)?;
        tried.push((width, ratio.ln().abs()));
        if ratio.ln().abs() < ALIKE {
            break;
        }
        // Between proportional to the width and to its square.
        width = ((width as f64 * ratio.powf(0.6)).round() as usize).max(1);
    }
    let best = tried.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    Ok(best.map_or(width, |(width, _)| width))
}

/// How many times as long `first` takes as `second`: the median over rounds of both, side by side, so that what else the machine does slows both.
pub(super) fn seconds_ratio(mut first: impl FnMut(), mut second: impl FnMut()) -> f64 {
    for _ in 0..WARM_UP {
        first();
        second();
    }
    let timed = |step: &mut dyn FnMut()| {
        let begin = Instant::now();
        step();
        begin.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> =
        (0..ROUNDS).map(|_| timed(&mut first) / timed(&mut second).max(f64::MIN_POSITIVE)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_is_that_of_equal_time() {
        // A step of the plain network takes 3 + width + width^2 / 50, the other one as long as it with a width of 40.
        let time = |width: usize| 3.0 + width as f64 + (width * width) as f64 / 50.0;
        for begin in [5, 39, 400] {
            let mut measured = 0;
            let found = width_of_equal_time(begin, |width| {
                measured += 1;
                Ok(time(40) / time(width))
            });
            assert!((37..=43).contains(&found.unwrap()) && measured <= TRIES, "from {begin}");
        }
        assert_eq!(width_of_equal_time(3, |width| Ok(0.01 / width as f64)).unwrap(), 1, "there is nothing narrower");
    }

    #[test]
    fn what_does_the_same_takes_as_long_whatever_the_clock_says() {
        let (mut first, mut second) = (0, 0);
        let ratio = seconds_ratio(|| first += 1, || second += 1);
        assert!(ratio > 0.0 && first == second && first == ROUNDS + WARM_UP);
    }
}
