//! Which layer breaks the symmetry.

use std::fmt;

use burn::tensor::Tensor;

use super::map::FieldMap;
use super::report::{EquivarianceReport, outputs};
use crate::field::FieldType;
use crate::group::Group;

/// A layer of a network, and its name.
pub type NamedLayer<'a> = (String, Box<dyn FieldMap + 'a>);

/// The equivariance of one layer of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// The layer.
    pub name: String,
    /// The layer alone, on what it is given in the network: what it breaks itself.
    pub own: EquivarianceReport,
    /// All layers up to this one: what has come of it.
    pub accumulated: EquivarianceReport,
}

/// A table of [`LayerReport`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReports(pub Vec<LayerReport>);

/// Checks a network layer by layer: each on the features that the layers before it make of `input`, and all up to it on `input` itself.
///
/// An error of one layer that is large where those of the others are rounding names the culprit; accumulated errors say how much of it the end of the network sees.
///
/// # Panics
/// If there is no layer, types do not meet, or `group` is not contained in the group of a type.
pub fn layers(network: &[NamedLayer], group: Group, input: Tensor<4>) -> LayerReports {
    assert!(!network.is_empty(), "a network has a layer at least");
    for pair in network.windows(2) {
        let (given, taken) = (pair[0].1.output_type(), pair[1].1.input_type());
        assert!(given == taken, "{} gives {given:?}, {} takes {taken:?}", pair[0].0, pair[1].0);
    }
    let mut features = input.clone();
    let reports = network.iter().enumerate().map(|(place, (name, layer))| {
        let own = outputs(&layer.as_ref(), group, features.clone());
        features = layer.forward(features.clone());
        let accumulated = outputs(&Beginning(&network[..=place]), group, input.clone());
        LayerReport { name: name.clone(), own, accumulated }
    });
    LayerReports(reports.collect())
}

/// The first layers of a network.
struct Beginning<'a, 'b>(&'a [NamedLayer<'b>]);

impl FieldMap for Beginning<'_, '_> {
    fn input_type(&self) -> FieldType {
        self.0[0].1.input_type()
    }

    fn output_type(&self) -> FieldType {
        self.0[self.0.len() - 1].1.output_type()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        self.0.iter().fold(features, |features, (_, layer)| layer.forward(features))
    }
}

impl fmt::Display for LayerReports {
    /// The worst relative L2 error of every layer, alone and with all before it, and what resampling alone does to its input.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).max("layer".len());
        let heads = ["exact", "accumulated", "interpolated", "accumulated", "resampling floor"];
        write!(f, "{:<width$}", "layer")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>18}"))?;
        writeln!(f)?;
        for LayerReport { name, own, accumulated } in &self.0 {
            write!(f, "{name:<width$}")?;
            let floor = own.interpolated.iter().map(|error| error.resampling_floor).fold(0.0, f64::max);
            for report in [own, accumulated] {
                cell(f, report.exact.is_empty(), report.exact_error())?;
            }
            for report in [own, accumulated] {
                cell(f, report.interpolated.is_empty(), report.interpolated_error())?;
            }
            cell(f, own.interpolated.is_empty(), floor)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

fn cell(f: &mut fmt::Formatter<'_>, missing: bool, error: f64) -> fmt::Result {
    if missing { write!(f, "{:>18}", "-") } else { write!(f, "{error:>18.3e}") }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::check::{FieldFn, probe};
    use crate::group::{C4, C8};
    use burn::tensor::{DType, Device};

    fn scalars(f: impl Fn(Tensor<4>) -> Tensor<4>) -> FieldFn<impl Fn(Tensor<4>) -> Tensor<4>> {
        let scalars = FieldType::trivial(C8, 2);
        FieldFn::new(scalars.clone(), scalars, &Device::flex(), DType::F64, f)
    }

    fn named<'a>(name: &str, map: &'a dyn FieldMap) -> NamedLayer<'a> {
        (name.to_string(), Box::new(map))
    }

    #[test]
    fn the_layer_that_breaks_it_is_named_and_the_others_are_not() {
        let good = scalars(|x| x.clone() * x);
        let bad = scalars(|x: Tensor<4>| x.clone() + x.roll_dim(1, 3) * 0.1);
        let input = probe(&good, [2, 9, 9], 1);
        let network: [NamedLayer; 4] =
            [named("square", &good), named("shift", &bad), named("square again", &good), named("third", &good)];
        let LayerReports(reports) = layers(&network, C4, input.clone());
        let errors = |f: fn(&LayerReport) -> &EquivarianceReport| -> Vec<f64> {
            reports.iter().map(|report| f(report).exact_error()).collect()
        };
        let (own, accumulated) = (errors(|r| &r.own), errors(|r| &r.accumulated));
        assert!(own[1] > 0.01 && own[0] == 0.0 && own[2] == 0.0 && own[3] == 0.0, "{own:?}");
        assert!(accumulated[0] == 0.0 && accumulated[1..].iter().all(|&error| error > 0.01), "{accumulated:?}");
        assert_eq!(accumulated[1], own[1], "what is before it is exact");
        let table = LayerReports(reports).to_string();
        assert!(table.lines().nth(2).unwrap().starts_with("shift ") && table.lines().count() == 5, "{table}");
        assert!(table.contains('-'), "C4 interpolates nothing: {table}");
        let LayerReports(reports) = layers(&network, C8, input);
        assert!(reports[0].own.interpolated_error() > 1e-3, "squares and bilinear sampling do not commute");
    }

    #[test]
    #[should_panic(expected = "second takes")]
    fn types_that_do_not_meet_are_named() {
        let good = scalars(|x| x);
        let regular = FieldType::regular(C8, 1).unwrap();
        let other = FieldFn::new(regular.clone(), regular, &Device::flex(), DType::F64, |x| x);
        layers(&[named("first", &good), named("second", &other)], C8, probe(&good, [1, 5, 5], 1));
    }
}
