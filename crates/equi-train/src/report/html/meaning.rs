//! What the numbers of the page mean.

use std::fmt::Write;

use super::super::number::{self, capital};
use super::super::words::words;
use super::escape;
use crate::compare::results::Results;

/// A list of terms.
pub fn meaning(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    let (quantity, _) = number::quantity(name);
    let matched = match results.matched_by.as_str() {
        "params" => "All arms were given about the same number of trainable parameters",
        "flops" => "All arms were given about the same number of floating-point operations per sample",
        "time" => "A training step of every arm takes about as long on this device",
        _ => "The arms were matched as named above",
    };
    let training = if results.recipe.arm_rates.is_empty() {
        "Optimiser, learning rate, schedule, number of steps and samples a step are the same for all arms. One learning rate \
         for all need not be the best one for each; `--learning-rate` tries another."
    } else {
        "Optimiser, schedule, number of steps and samples a step are the same for all arms. Learning rates are those that the \
         task gives each arm; `--learning-rate` gives all the same."
    };
    let words = words(results.domain);
    page.push_str("<h2>What the numbers mean</h2>\n<dl>\n");
    let terms = [
        (capital(quantity), "Measured once on the test set, with the weights of the epoch that did best on the validation \
            split. The test set is the same for all arms, sizes and seeds and chooses nothing.".to_string()),
        ("Confidence interval".into(), "The 95 % interval of the mean over the seeds: by Student's t distribution for \
            fewer than eight, which assumes independent, roughly normal seeds, and by the studentised bootstrap from eight on, \
            which forgives skewness but needs as many. That of a percentage is cut to 0 to 100. With two seeds it is \
            12.7 standard errors to each side. All arms of a seed share their samples and \
            the test set, so the order of two arms is judged by the differences within the seeds. That the test set is \
            finite is not in the interval, and it says nothing about other architectures or training recipes.".into()),
        ("Seed".into(), "Decides the initial weights, which samples are drawn, their order and the augmentation. Smaller \
            training sets are contained in the larger ones of the same seed.".into()),
        ("Training".into(), training.into()),
        ("Augmentation".into(), words.augmentation.into()),
        ("Parameters and FLOPs".into(), format!("{matched}. Parameters are counted on the built network; FLOPs are those \
            of one sample, two for a multiply-add, layer by layer: in tests those of all its forward passes, of which averages \
            over poses take several, and in training those of one forward pass and its gradient, which takes two products \
            for each of the pass. Augmentation costs nothing in FLOPs here and shows in the samples per second. Arms that \
            differ in tests alone share one network, trained once.")),
        ("Samples per second, training time, peak memory".into(), "Wall clock of the training loop on this machine and device; compare them within this report only. Peak memory is that of the whole \
            process, data set included, while it worked on a network; the largest over the networks of an arm. On a GPU, \
            its own memory is not in it. Where the system does not reset it, it is the peak of the process so far.".into()),
        ("Equivariance error".into(), words.definition.into()),
        ("Data symmetry".into(), "Half of the samples, each moved at random or left alone by the toss of a coin, train a logistic \
            regression to tell which; the other half tries it. Where the orientation of the data is uniform nothing can tell, \
            and right answers are binomial with probability one half, which gives the exact interval and p-value. Features are \
            harmonics or moments, which turn without resampling. What they do not show, the score does not find.".into()),
        ("Diverged, panicked".into(), "The loss of a network that diverged left the finite numbers; one that panicked stopped with an \
            error of its own, which the table of every network has. Such a network has no test metric and is left out of the \
            means, which then flatter its arm: read them with that in mind.".into()),
    ];
    let (lost, others) = terms.split_last().expect("there are terms");
    let floor = words.floor.map(|floor| ("Resampling floor".into(), floor.into()));
    for (term, text) in others.iter().chain(&floor).chain([lost]) {
        writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(term), escape(text))?;
    }
    page.push_str("</dl>\n");
    Ok(())
}
