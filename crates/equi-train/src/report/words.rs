//! What differs in the words of a report between images and points.

use crate::compare::results::{Domain, EquivarianceError, LayerError};

/// How a report speaks of the symmetry of its task.
pub(super) struct Words {
    /// The errors that are measured, in the order of the tables.
    pub errors: &'static [ErrorColumn],
    /// What an error is, below the table on the terminal.
    pub table_note: &'static str,
    /// What an error is, below the table of the page.
    pub page_note: &'static str,
    /// Which transformations, below the plot.
    pub plot_note: &'static str,
    /// The beginning and the end of a clause around what the exact errors are.
    pub exact: [&'static str; 2],
    /// What `augmented` does to its samples.
    pub augmentation: &'static str,
    /// How an error is defined.
    pub definition: &'static str,
    /// What cannot be told from interpolation, where there is any.
    pub floor: Option<&'static str>,
    /// The errors of a layer, in the order of its table.
    pub layers: &'static [LayerColumn],
    /// What they are, behind "How far every layer is from commuting with ".
    pub layers_note: [&'static str; 2],
}

/// One error of a layer.
pub(super) struct LayerColumn {
    /// Its name in the tables of the page.
    pub page: &'static str,
    /// The error.
    pub pick: fn(&LayerError) -> Option<f64>,
}

/// One error of a network.
pub(super) struct ErrorColumn {
    /// Its name in the table on the terminal; none if it is not there.
    pub table: Option<&'static str>,
    /// Its name in the tables of the page.
    pub page: &'static str,
    /// Its name in the table of all networks; none if it is not there.
    pub cells: Option<&'static str>,
    /// Its name in the plot; none if it is not there.
    pub plot: Option<&'static str>,
    /// The error.
    pub pick: fn(&EquivarianceError) -> Option<f64>,
}

/// The words for what the samples are.
pub(super) fn words(domain: Domain) -> &'static Words {
    match domain {
        Domain::Images => &IMAGES,
        Domain::Points => &POINTS,
    }
}

static IMAGES: Words = Words {
    errors: &[
        ErrorColumn {
            table: None,
            page: "exact,<br>untrained",
            cells: None,
            plot: Some("exact, before"),
            pick: |error| error.exact_untrained,
        },
        ErrorColumn {
            table: Some("exact\nerror"),
            page: "exact,<br>trained",
            cells: Some("exact"),
            plot: Some("exact, after"),
            pick: |error| error.exact,
        },
        ErrorColumn {
            table: Some("45 degree\nerror"),
            page: "45°,<br>trained",
            cells: Some("45°"),
            plot: Some("45°, after"),
            pick: |error| error.rotation_45,
        },
        ErrorColumn {
            table: None,
            page: "small turns,<br>per radian",
            cells: None,
            plot: None,
            pick: |error| error.small_turns,
        },
    ],
    table_note: "Error: relative change of the logits under the quarter turns (and flips) in the\n\
                 group (exact) and under 45 degrees, the largest over the networks of an arm",
    page_note: "How much a transformation of the input changes the logits, relative to their norm; the largest over the \
                networks of an arm. Rounding in single precision is about 10⁻⁷ to 10⁻⁶.",
    plot_note: "Exact symmetries are the quarter turns (and flips) in the group, which only move pixels; the line is what \
                turning the images by 45° and back does to the images themselves.",
    exact: [
        "quarter turns (and flips, if they are in the group) change the trained networks' outputs by at most ",
        " of their norm",
    ],
    augmentation: "Moves the training samples anew at every step. Where that is a turn of images, it resamples them a second \
                   time, after the resampling that made the task: the augmented arm trains on images a little smoother than \
                   those it is tested on.",
    definition: "‖f(g·x) − f(x)‖ / ‖f(x)‖ for the logits f of a batch of test images x. Exact symmetries g are the quarter \
                 turns, and flips if the group has them, which move pixels without changing them: an equivariant network is \
                 at rounding level, trained or not. A dash stands where the group has none of these. A turn by 45° has to \
                 resample the image. Small turns are the Lie derivative, ‖d/dt f(t·x)‖ / ‖f(x)‖ at t = 0: what a network \
                 makes of the smallest turns, per radian.",
    floor: Some(
        "The same ratio for the images themselves, turned by 45° and back: what interpolation alone loses. A 45° error near \
         or below the floor cannot be told from interpolation.",
    ),
    layers: &[
        LayerColumn { page: "exact,<br>alone", pick: |layer| layer.exact },
        LayerColumn { page: "exact,<br>so far", pick: |layer| layer.exact_so_far },
        LayerColumn { page: "resampled,<br>alone", pick: |layer| layer.interpolated },
        LayerColumn { page: "resampling<br>itself", pick: |layer| layer.resampling_floor },
    ],
    layers_note: [
        "the group, relative to its output, the largest over the elements",
        "Exact: quarter turns and flips, which only exchange pixels. Resampled: the other elements of the group, which no \
         pixel grid has exactly; the last column is what turning its input there and back does alone.",
    ],
};

static POINTS: Words = Words {
    errors: &[
        ErrorColumn {
            table: None,
            page: "untrained",
            cells: None,
            plot: Some("before training"),
            pick: |error| error.exact_untrained,
        },
        ErrorColumn {
            table: Some("equivariance\nerror"),
            page: "trained",
            cells: Some("equivariance error"),
            plot: Some("after training"),
            pick: |error| error.exact,
        },
        ErrorColumn {
            table: None,
            page: "small turns,<br>per radian",
            cells: None,
            plot: None,
            pick: |error| error.small_turns,
        },
    ],
    table_note: "Error: by how much the outputs fail to move along under random rotations,\n\
                 reflections, translations and permutations, relative to their norm about their\n\
                 mean; the largest over the networks of an arm",
    page_note: "By how much the outputs fail to move along when the input is moved, relative to their norm about their mean; the \
                largest over the networks of an arm. Rounding in single precision is about 10⁻⁷ to 10⁻⁶, and 10⁻⁵ where small \
                turns are measured.",
    plot_note: "Transformations are random rotations, reflections, translations and permutations, all at once.",
    exact: [
        "under random rotations, reflections, translations and permutations the trained networks' outputs fail to move along \
         by at most ",
        " of their norm",
    ],
    augmentation: "Moves the training samples anew at every step, positions, velocities and what is predicted alike. Points are \
                   moved without loss.",
    definition: "‖f(g·x) − g·f(x)‖ / ‖f(x)‖ for what is predicted for a batch of test samples x, positions, vectors or numbers f, \
                 with the norm of f(x) taken about their mean. Every g is a random rotation, with or without a reflection, a \
                 translation and a permutation at once: an equivariant network is at rounding level, trained or not. Small \
                 turns are the Lie derivative, ‖d/dt t⁻¹·f(t·x)‖ / ‖f(x)‖ at t = 0, for rotations of every system about its \
                 centre: what a network makes of the smallest turns, per radian, the root mean square over all axes.",
    floor: None,
    layers: &[
        LayerColumn { page: "alone", pick: |layer| layer.exact },
        LayerColumn { page: "so far", pick: |layer| layer.exact_so_far },
    ],
    layers_note: [
        "rotations, reflections, translations and permutations, relative to its output, positions relative to their spread, \
         the largest over random ones of each and over all that nodes carry",
        "Hidden features of a plain network are taken for numbers that do not change: where they do, the network has begun to \
         tell one pose from another. Arms whose networks are not shown samples as they are have no table.",
    ],
};
