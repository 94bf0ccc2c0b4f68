//! Studies of the user's own data, described in a TOML file.
//!
//! ```toml
//! [images]                  # the data, or [points] below
//! train = "leaves/train"    # a folder with a folder of images for each class, or an .npz file with `images` and `labels`
//! test = "leaves/test"
//! side = 33                 # optional: all images are scaled to this many pixels
//! colour = false            # optional: false for luminance, true for three channels; if left out, three where a training image has colour
//!
//! [study]                   # optional, as the options of `equi compare`, which go before
//! preset = "quick"
//! arms = ["plain", "augmented", "equivariant"]
//! sizes = [100, 400]
//! seeds = 3
//! match = "flops"
//! group = "D4"
//! flips = 0.5
//! learning_rate = 0.01
//! tune = 8
//! ```
//!
//! ```toml
//! [points]                  # samples of points in space
//! train = "train.xyz"       # an .xyz, .extxyz or .npz file
//! test = "test.xyz"
//! target = "energy"         # what is predicted: a property of every sample, or vectors of its points
//! radius = 5.0              # optional: which points hear of each other; all, if they are few
//! # neighbours = 12         # optional, instead
//! ```
//!
//! Paths are relative to the file. The task has the file's name.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::tasks::{OwnImages, OwnPoints};
use super::{ARMS, CompareError, MatchBy, Preset, Request, Task};
use crate::data::files::Colour;
use crate::data::points::Neighbourhood;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StudyFile {
    images: Option<Spanned<ImageFiles>>,
    points: Option<Spanned<PointFiles>>,
    #[serde(default)]
    study: Options,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFiles {
    train: Spanned<PathBuf>,
    test: Spanned<PathBuf>,
    side: Option<Spanned<usize>>,
    colour: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PointFiles {
    train: Spanned<PathBuf>,
    test: Spanned<PathBuf>,
    target: String,
    radius: Option<Spanned<f64>>,
    neighbours: Option<Spanned<usize>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    preset: Option<Spanned<String>>,
    arms: Option<Spanned<Vec<String>>>,
    sizes: Option<Spanned<Vec<usize>>>,
    seeds: Option<Spanned<u64>>,
    #[serde(rename = "match")]
    matched_by: Option<Spanned<String>>,
    group: Option<Spanned<String>>,
    flips: Option<Spanned<f64>>,
    learning_rate: Option<Spanned<f64>>,
    tune: Option<Spanned<usize>>,
}

/// Sides that images are scaled to: smaller ones have nothing to see after two poolings, larger ones no room in a study.
const SIDES: std::ops::RangeInclusive<usize> = 9..=257;

/// The task that the file which `request` names as its task describes, and the request with what the file says wherever the user says nothing.
///
/// # Errors
///
/// [`CompareError::Request`] with the line at fault; [`CompareError::Data`] for images that cannot be used.
pub(super) fn from_file(request: &Request) -> Result<(Box<dyn Task>, Request), CompareError> {
    let path = Path::new(&request.task);
    if request.data.is_some() {
        return Err(CompareError::Request(format!(
            "--data: {} says where its data are; leave the option out",
            path.display()
        )));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| CompareError::Request(format!("{} cannot be read: {error}", path.display())))?;
    let file: StudyFile = toml::from_str(&text)
        .map_err(|error| CompareError::Request(format!("{}: {}", path.display(), error.to_string().trim_end())))?;
    let file_at = |span: Range<usize>, message: String| {
        let line = text[..span.start].matches('\n').count();
        let shown = text.lines().nth(line).unwrap_or_default();
        CompareError::Request(format!("{}, line {}: {message}\n  | {shown}", path.display(), line + 1))
    };
    let StudyFile { images, points, study } = file;
    let beside = |given: &Spanned<PathBuf>| -> Result<PathBuf, CompareError> {
        let found = path.parent().unwrap_or(Path::new("")).join(given.get_ref());
        if found.exists() {
            Ok(found)
        } else {
            Err(file_at(given.span(), format!("{} does not exist", found.display())))
        }
    };
    let name = path.file_stem().map_or_else(|| "own".to_string(), |name| name.to_string_lossy().into_owned());
    let (task, what): (Box<dyn Task>, _) = match (images, points) {
        (Some(images), None) => {
            let ImageFiles { train, test, side, colour } = images.into_inner();
            if let Some(side) = side.as_ref().filter(|side| !SIDES.contains(side.get_ref())) {
                let [least, most] = [SIDES.start(), SIDES.end()];
                let message = format!("a side of {} pixels is not possible; give {least} to {most}", side.get_ref());
                return Err(file_at(side.span(), message));
            }
            let (train, test) = (beside(&train)?, beside(&test)?);
            check(&study, file_at)?;
            let colour = match colour {
                None => Colour::AsFound,
                Some(true) => Colour::Rgb,
                Some(false) => Colour::Luminance,
            };
            (Box::new(OwnImages::read_in(&name, &train, &test, side.map(Spanned::into_inner), colour)?), "images")
        }
        (None, Some(points)) => {
            let PointFiles { train, test, target, radius, neighbours } = points.into_inner();
            let neighbourhood = neighbourhood(radius, neighbours, file_at)?;
            let (train, test) = (beside(&train)?, beside(&test)?);
            check(&study, file_at)?;
            planar_only(&study, file_at)?;
            (Box::new(OwnPoints::read(&name, &train, &test, &target, neighbourhood)?), "samples")
        }
        (Some(_), Some(points)) => {
            let message = "a study is one of images or one of points: take out [images] or [points]".to_string();
            return Err(file_at(points.span(), message));
        }
        (None, None) => {
            let message = "there is neither [images] nor [points], which say where the data are".to_string();
            return Err(file_at(0..0, message));
        }
    };
    let (_, most) = task.train_sizes();
    if let Some(sizes) = &study.sizes
        && request.sizes.is_none()
        && let Some(size) = sizes.get_ref().iter().find(|&&size| size > most)
    {
        return Err(file_at(sizes.span(), format!("{size} training {what} were asked for, and there are {most}")));
    }
    let request = Request {
        task: request.task.clone(),
        preset: request.preset.clone().or(study.preset.map(Spanned::into_inner)),
        arms: request.arms.clone().or(study.arms.map(Spanned::into_inner)),
        sizes: request.sizes.clone().or(study.sizes.map(Spanned::into_inner)),
        seeds: request.seeds.or(study.seeds.map(Spanned::into_inner)),
        matched_by: request.matched_by.clone().or(study.matched_by.map(Spanned::into_inner)),
        group: request.group.clone().or(study.group.map(Spanned::into_inner)),
        flips: request.flips.or(study.flips.map(Spanned::into_inner)),
        learning_rate: request.learning_rate.or(study.learning_rate.map(Spanned::into_inner)),
        tuning_trials: request.tuning_trials.or(study.tune.map(Spanned::into_inner)),
        ..request.clone()
    };
    Ok((task, request))
}

/// Which points hear of each other.
fn neighbourhood(
    radius: Option<Spanned<f64>>,
    neighbours: Option<Spanned<usize>>,
    at: impl Fn(Range<usize>, String) -> CompareError,
) -> Result<Neighbourhood, CompareError> {
    match (radius, neighbours) {
        (None, None) => Ok(Neighbourhood::All),
        (Some(_), Some(neighbours)) => {
            Err(at(neighbours.span(), "a radius or a number of neighbours, not both: take out one of them".to_string()))
        }
        (Some(radius), None) if radius.get_ref().is_finite() && *radius.get_ref() > 0.0 => {
            Ok(Neighbourhood::Within(radius.into_inner()))
        }
        (Some(radius), None) => {
            let message = format!("a radius of {} is not possible; give a positive number", radius.get_ref());
            Err(at(radius.span(), message))
        }
        (None, Some(neighbours)) if *neighbours.get_ref() == 0 => {
            Err(at(neighbours.span(), "points with 0 neighbours see nothing; give 1 or more".to_string()))
        }
        (None, Some(neighbours)) => Ok(Neighbourhood::Nearest(neighbours.into_inner())),
    }
}

/// Refuses what has a meaning for images only.
fn planar_only(study: &Options, at: impl Fn(Range<usize>, String) -> CompareError) -> Result<(), CompareError> {
    let given =
        [("group", study.group.as_ref().map(Spanned::span)), ("flips", study.flips.as_ref().map(Spanned::span))];
    match given.into_iter().find_map(|(name, span)| span.map(|span| (name, span))) {
        Some((name, span)) => {
            let message =
                format!("points have all symmetries of space: there is no `{name}` to choose, so leave it out");
            Err(at(span, message))
        }
        None => Ok(()),
    }
}

/// Refuses impossible values where they stand; the options of the command are checked elsewhere.
fn check(study: &Options, at: impl Fn(Range<usize>, String) -> CompareError) -> Result<(), CompareError> {
    let known = |what: &str, given: &str, names: Vec<&str>| {
        format!("there is no {what} `{given}`; known: {}", names.join(", "))
    };
    if let Some(preset) =
        study.preset.as_ref().filter(|given| Preset::ALL.iter().all(|known| known.name() != *given.get_ref()))
    {
        return Err(at(preset.span(), known("preset", preset.get_ref(), Preset::ALL.map(Preset::name).to_vec())));
    }
    if let Some(matched) =
        study.matched_by.as_ref().filter(|given| MatchBy::ALL.iter().all(|known| known.name() != *given.get_ref()))
    {
        return Err(at(
            matched.span(),
            known("quantity to match", matched.get_ref(), MatchBy::ALL.map(MatchBy::name).to_vec()),
        ));
    }
    if let Some(arms) = &study.arms {
        let names: Vec<&str> = ARMS.iter().filter(|arm| arm.is_trained()).map(|arm| arm.name).collect();
        if let Some(arm) = arms.get_ref().iter().find(|arm| !names.contains(&arm.as_str())) {
            return Err(at(arms.span(), known("arm", arm, names)));
        }
    }
    if let Some(group) = &study.group
        && let Err(error) = group.get_ref().parse::<equi_core::group::Group>()
    {
        return Err(at(group.span(), error.to_string()));
    }
    if let Some(flips) = study.flips.as_ref().filter(|flips| !(0.0..=1.0).contains(flips.get_ref())) {
        return Err(at(flips.span(), format!("{} is not a probability from 0 to 1", flips.get_ref())));
    }
    let possible = |rate: &f64| rate.is_finite() && *rate > 0.0;
    if let Some(rate) = study.learning_rate.as_ref().filter(|rate| !possible(rate.get_ref())) {
        return Err(at(
            rate.span(),
            format!("a learning rate of {} is not possible; give a positive number", rate.get_ref()),
        ));
    }
    Ok(())
}
