//! What tasks on images have in common: their networks, their augmentations, and how a cell is trained and tested.

use std::path::Path;

use burn::tensor::Device;
use equi_core::FieldType;
use equi_core::check::{FieldFn, layers, local};

use super::own::Trains;
use crate::augment::Augmentation;
use crate::compare::cell::{Tested, Work, train_cell};
use crate::compare::check::{origin, with_weights};
use crate::compare::matching::{matched_width, seconds_ratio, training_step, width_of_equal_time};
use crate::compare::results::{ArmSummary, Cell, DataSymmetry, Metric, Poses, Turning};
use crate::compare::symmetry::{self, features};
use crate::compare::view::image::{among_frames, answers, passes, posed};
use crate::compare::{
    Arm, CellPlan, Checked, CheckedParts, CompareError, Hyperparameters, Network, Plan, Setting, Symmetry, Trials,
    View, probe, tuning, turning,
};
use crate::cost::parameters;
use crate::data::{DataError, Images};
use crate::fit::{Classification, Classifier, Session, wrong_labels};
use crate::model::{PlainCnnConfig, SteerableCnn, SteerableCnnConfig};
use equi_core::group::Group;

/// Test images on which invariance is measured.
const PROBE: usize = 64;
/// Images of a training step that is timed.
const TIMED: usize = 64;
/// Images a forward pass takes outside training.
const EVALUATION_BATCH: usize = 250;

/// What is built into the equivariant network, and the probability of flips in the augmentation.
///
/// # Panics
///
/// For a symmetry of another space: [`MnistRot::symmetry`] is of the plane.
fn planar(symmetry: Symmetry) -> (Group, f64) {
    match symmetry {
        Symmetry::Planar { group, flips } => (group, flips),
        Symmetry::Euclidean => unreachable!("images have symmetries of the plane"),
    }
}

/// What an arm does to its training images: rotations by any angle, and flips where the user asks for them; one of the frames.
pub(super) fn augmentation(arm: &Arm, symmetry: Symmetry, hyperparameters: &Hyperparameters) -> Augmentation {
    let (group, flips) = planar(symmetry);
    match arm.view {
        View::Frames => among_frames(group.has_flips()),
        _ if arm.augmented => Augmentation { horizontal_flip: flips, vertical_flip: flips, ..Augmentation::default() }
            .scaled(hyperparameters.augmentation),
        _ => Augmentation::none(),
    }
}

/// How a view is called behind the name of a network.
fn shown(view: View, passes: usize) -> String {
    match view {
        View::AsIs => String::new(),
        View::Averaged => format!(", averaged over {passes} poses in tests"),
        View::Canonical => ", in the frame of the principal axes".to_string(),
        View::Frames => format!(", averaged over {passes} frames of the principal axes"),
    }
}

/// What the networks of a task are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Channels of an image.
    pub channels: usize,
    /// Rows and columns of an image.
    pub side: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

impl Shape {
    /// The network of `arm`, its cost and its augmentation.
    pub(super) fn contestant(
        self,
        arm: &Arm,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> Result<ArmSummary, CompareError> {
        let (group, _) = planar(setting.symmetry);
        let (steerable, plain) = self.networks(setting, hyperparameters, device)?;
        let side = self.side;
        let (model, parameters, flops_per_sample) = if arm.network == Network::Equivariant {
            let built = self.built(steerable, 0, device)?;
            (steerable.to_string(), parameters(&built), built.flops(side, side))
        } else {
            (plain.to_string(), parameters(&plain.init(0, device)), plain.flops(side, side))
        };
        let passes = passes(arm.view, group.has_flips());
        let network = (model + &shown(arm.view, passes), parameters, flops_per_sample);
        Ok(ArmSummary::new(arm, network, passes, augmentation(arm, setting.symmetry, hyperparameters)))
    }

    /// The equivariant network, and the plain one that costs about the same; both narrower, if the hyperparameters say so.
    fn networks(
        self,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> Result<(SteerableCnnConfig, PlainCnnConfig), CompareError> {
        let (group, _) = planar(setting.symmetry);
        let fields = (CHANNELS / group.order().unwrap_or(1)).max(1);
        let steerable = |fields| SteerableCnnConfig::new(group, fields, self.classes).with_channels(self.channels);
        let reference = self.built(steerable(fields), 0, device)?;
        let plain = |width| self.plain(width);
        let width = matched_width(
            setting,
            (|| reference.flops(self.side, self.side), |width| plain(width).flops(self.side, self.side)),
            (|| parameters(&reference), |width| plain(width).parameters()),
        );
        Ok((steerable(hyperparameters.channels(fields)), plain(hyperparameters.channels(width))))
    }

    /// The plain network of a width.
    fn plain(self, width: usize) -> PlainCnnConfig {
        PlainCnnConfig::new(width, self.classes).with_channels(self.channels)
    }

    /// The width of the plain network whose training step takes as long as that of the equivariant one.
    pub(super) fn width_by_time(self, setting: &Setting, device: &Device) -> Result<usize, CompareError> {
        let (steerable, counted) = self.networks(setting, &Hyperparameters::MATCHED, device)?;
        // What the pixels are takes no time.
        let images = Images::with_channels(
            (0..TIMED * self.channels * self.side * self.side).map(|at| (at % 97) as f32 / 97.0).collect(),
            (0..TIMED).map(|at| (at % self.classes) as u8).collect(),
            self.channels,
            self.side,
            self.side,
        )?;
        width_of_equal_time(counted.width, |width| {
            let plain = self.plain(width).init(0, device);
            let steerable = self.built(steerable, 0, device)?;
            let all = || positions(images.len());
            Ok(seconds_ratio(
                training_step(Classification::new(&images, all(), vec![0], 0), steerable, device),
                training_step(Classification::new(&images, all(), vec![0], 0), plain, device),
            ))
        })
    }

    /// The equivariant network with the weights of a seed.
    fn built(self, config: SteerableCnnConfig, seed: u64, device: &Device) -> Result<SteerableCnn, CompareError> {
        let built = config.init(seed, device);
        let checked = built.and_then(|model| model.check_size(self.side, self.side).map(|()| model));
        checked.map_err(|error| CompareError::Request(format!("--group: {error}")))
    }
}

/// Channels after the first convolution of the equivariant network, as many regular fields as that makes.
const CHANNELS: usize = 16;

/// Where training images come from.
pub(super) trait Source {
    /// The first `count` images in the order of the training run `seed`: the same ones whatever `count` is.
    fn training(&self, seed: u64, count: usize) -> Result<Images, DataError>;
}

/// Images in memory.
pub(super) struct ImageTrials<S> {
    pub source: S,
    pub shape: Shape,
    pub test: Images,
    /// The same images, or the first of them, in three poses: before anything turns them, turned at random, and out of range; none for the one that
    /// the first test images have themselves.
    pub poses: [Option<Images>; 3],
    pub plan: Plan,
    pub device: Device,
}

/// Images with left and right exchanged.
pub(super) fn mirrored(images: &Images, places: std::ops::Range<usize>) -> Images {
    let rows = places.clone().flat_map(|place| images.image(place).chunks(images.width()));
    let pixels = rows.flat_map(|row| row.iter().rev().copied()).collect();
    let labels = images.labels()[places].to_vec();
    Images::with_channels(pixels, labels, images.channels(), images.height(), images.width())
        .expect("the same pixels in another order")
}

impl<S: Source> Trials for ImageTrials<S> {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        let largest = self.plan.recipe.sizes.iter().copied().max().unwrap_or(0).min(symmetry::MOST);
        let images = self.source.training(0, largest)?;
        Ok(symmetry::score("rotations", images.len(), |place, moved| features::planes(&images, place, moved)))
    }

    fn turning(&self) -> Option<Turning> {
        Some(Turning::of_images(&self.test, &[]))
    }

    fn check(&self, arm: &Arm, weights: Option<&Path>) -> Result<Checked, CompareError> {
        let hyperparameters = tuning::beside(weights, arm)?.unwrap_or(self.plan.recipe.hyperparameters(arm));
        let (steerable, plain) = self.shape.networks(&self.plan.setting, &hyperparameters, &self.device)?;
        match arm.network {
            Network::Equivariant => {
                self.checked(arm, self.shape.built(steerable, 0, &self.device)?, &steerable, weights)
            }
            Network::Plain => self.checked(arm, plain.init(0, &self.device), &plain, weights),
            Network::Linear | Network::Own(_) => {
                Err(CompareError::Request(format!("--arm: {} has no layers that this can tell apart", arm.name)))
            }
        }
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        let work = Work { cell, plan: &self.plan, device: &self.device, session, progress };
        let (steerable, plain) = self.shape.networks(&self.plan.setting, &cell.hyperparameters, &self.device)?;
        if cell.arm.network == Network::Equivariant {
            self.train(self.shape.built(steerable, cell.seed, &self.device)?, work)
        } else {
            self.train(plain.init(cell.seed, &self.device), work)
        }
    }
}

impl<S: Source> ImageTrials<S> {
    /// A network as it is, or with the weights of a file.
    fn checked<M: Classifier>(
        &self,
        arm: &Arm,
        model: M,
        called: &impl std::fmt::Display,
        weights: Option<&Path>,
    ) -> Result<Checked, CompareError> {
        let (group, flips) = planar(self.plan.setting.symmetry);
        let model = with_weights(model.valid(), weights)?;
        let (images, _) = self.test.batch(&positions(self.test.len()), &self.device);
        let forward =
            |images| answers(arm.view, group.has_flips(), flips > 0.0, images, |images| model.forward(images));
        let scalars = |count| FieldType::trivial(group, count);
        let map = FieldFn::new(
            scalars(self.shape.channels),
            scalars(self.shape.classes),
            &self.device,
            images.dtype(),
            |images| forward(images).unsqueeze_dims(&[2, 3]),
        );
        Ok(Checked {
            what: format!("{}: {called}, {}; {group}, {} test images", arm.name, origin(weights), self.test.len()),
            error: probe::image::invariance(forward, group, &images, None),
            parts: CheckedParts::Images {
                local: local(&map, images.clone()),
                layers: layers(&model.field_layers(group), group, images),
            },
        })
    }
}

impl<S: Source, M: Classifier> Trains<M> for ImageTrials<S> {
    fn device(&self) -> &Device {
        &self.device
    }

    fn train(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError> {
        let Work { cell, session, .. } = work;
        let recipe = &self.plan.recipe;
        let symmetry = self.plan.setting.symmetry;
        let (group, flips) = planar(symmetry);
        let (view, mirrors) = (cell.arm.view, group.has_flips());
        let images = self.source.training(cell.seed, cell.train_size)?;
        let images = if matches!(view, View::Canonical | View::Frames) { posed(&images, mirrors) } else { images };
        let held_out = cell.train_size - recipe.validation(cell.train_size);
        let problem =
            Classification::new(&images, (0..held_out).collect(), (held_out..cell.train_size).collect(), cell.seed)
                .with_augmentation(augmentation(&cell.arm, symmetry, &cell.hyperparameters));

        let answer = |model: &M, images| answers(view, mirrors, flips > 0.0, images, |images| model.forward(images));
        let (probe_images, _) = self.test.batch(&positions(PROBE.min(self.test.len())), &self.device);
        let untrained = model.valid();
        let exact_untrained = probe::image::exact_error(|images| answer(&untrained, images), group, &probe_images);
        train_cell(&problem, model, work, |trained| {
            let forward = |images| answer(trained, images);
            let wrong = |images: &Images, positions: &[usize]| {
                wrong_labels(forward, images, positions, EVALUATION_BATCH, &self.device, &session.stop)
            };
            let percent = |wrong: usize, of: usize| 100.0 * wrong as f64 / of.max(1) as f64;
            let few = self.poses.iter().flatten().map(Images::len).min().unwrap_or(0).min(self.test.len());
            let all = positions(self.test.len());
            let (first, rest) = (wrong(&self.test, &all[..few])?, wrong(&self.test, &all[few..])?);
            let in_pose = |pose: &Option<Images>| match pose {
                Some(images) => Some(percent(wrong(images, &all[..few])?, few)),
                None => Some(percent(first, few)),
            };
            let [canonical, random, outside] = &self.poses;
            Some(Tested {
                metric: Metric { name: "test error %".to_string(), value: percent(first + rest, all.len()) },
                equivariance_error: probe::image::invariance(forward, group, &probe_images, exact_untrained),
                poses: Poses { canonical: in_pose(canonical)?, random: in_pose(random)?, outside: in_pose(outside)? },
                layers: probe::image::layers(&trained.field_layers(group), group, &probe_images),
                turning: turning::image_answers((&self.plan, cell), &self.test, forward, &self.device, &session.stop)?,
            })
        })
    }
}

fn positions(count: usize) -> Vec<usize> {
    (0..count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::MatchBy;

    #[test]
    fn no_other_width_is_nearer_to_the_cost() {
        no_other_width_is_nearer(Shape { channels: 1, side: 29, classes: 10 });
        no_other_width_is_nearer(Shape { channels: 3, side: 29, classes: 10 });
    }

    fn no_other_width_is_nearer(shape: Shape) {
        let config = |width| shape.plain(width);
        let flops = |width| config(width).flops(shape.side, shape.side);
        let symmetry = Symmetry::Planar { group: equi_core::group::C8, flips: 0.0 };
        for (matched_by, cost) in [(MatchBy::Params, 40_000), (MatchBy::Flops, 10_000_000)] {
            let gap = |width| match matched_by {
                MatchBy::Params => (config(width).parameters() as u64).abs_diff(cost),
                MatchBy::Flops | MatchBy::Time => flops(width).abs_diff(cost),
            };
            let setting = Setting { matched_by, symmetry, model: None, plain_width: None };
            let parameters = |width| config(width).parameters();
            let chosen = matched_width(&setting, (|| cost, flops), (|| cost as usize, parameters));
            for width in 1..100 {
                assert!(gap(chosen) <= gap(width), "{} is nearer than {}", config(width), config(chosen));
            }
            let measured = Setting { plain_width: Some(7), ..setting };
            assert_eq!(matched_width(&measured, (|| cost, flops), (|| cost as usize, parameters)), 7);
        }
    }
}
