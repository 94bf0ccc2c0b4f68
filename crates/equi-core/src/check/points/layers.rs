//! Which layer of a network on points breaks the symmetry.

use std::fmt;

use burn::tensor::{DType, Device, Tensor};

use super::map::{Motion, PointFeature, PointMap};
use super::report::{PointReport, Trials, outputs};
use crate::group::Permutation;

/// A layer of a network on points, and its name.
pub type NamedPointLayer<'a> = (String, Box<dyn PointMap + 'a>);

/// The equivariance of one layer of a network on points.
#[derive(Clone, Debug, PartialEq)]
pub struct PointLayerReport {
    /// The layer.
    pub name: String,
    /// The layer alone, on what it is given in the network: what it breaks itself.
    pub own: PointReport,
    /// All layers up to this one: what has come of it.
    pub accumulated: PointReport,
}

/// A table of [`PointLayerReport`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct PointLayerReports(pub Vec<PointLayerReport>);

/// Checks a network on points layer by layer: each on the features that the layers before it make of `inputs`, and all up to it on `inputs` themselves.
///
/// An error of one layer that is large where those of the others are rounding names the culprit; accumulated errors say how much of it the end of the network sees.
/// Nothing is resampled, so there is no floor. A layer says itself what its nodes carry before and after it ([`PointMap::inputs`], [`PointMap::outputs`]): positions,
/// vectors, scalars, irreps. What a network of another symmetry calls scalars, such as hidden features of raw coordinates, is taken at its word, and its error is that these
/// change.
///
/// # Panics
/// If there is no layer, types or graphs do not meet, or `inputs` are not what the first layer says.
pub fn layers(network: &[NamedPointLayer], inputs: &[Tensor<2>], trials: &Trials) -> PointLayerReports {
    assert!(!network.is_empty(), "a network has a layer at least");
    for pair in network.windows(2) {
        let ((first, before), (second, after)) = (&pair[0], &pair[1]);
        let (given, taken) = (before.outputs(), after.inputs());
        assert!(given == taken, "{first} gives {}, {second} takes {}", list(&given), list(&taken));
        let (given, taken) = (before.graphs(), after.graphs());
        assert!(given == taken, "{first} has graphs of {given:?} nodes, {second} of {taken:?}");
    }
    let mut features = inputs.to_vec();
    let reports = network.iter().enumerate().map(|(place, (name, layer))| {
        let own = outputs(&layer.as_ref(), &features, trials);
        features = layer.forward(&features, &Permutation::identity(layer.graphs().iter().sum()));
        let accumulated = outputs(&Beginning(&network[..=place]), inputs, trials);
        PointLayerReport { name: name.clone(), own, accumulated }
    });
    PointLayerReports(reports.collect())
}

fn list(features: &[PointFeature]) -> String {
    features.iter().map(PointFeature::to_string).collect::<Vec<_>>().join(", ")
}

/// The first layers of a network. It claims what all of them claim.
struct Beginning<'a, 'b>(&'a [NamedPointLayer<'b>]);

impl Beginning<'_, '_> {
    fn first(&self) -> &dyn PointMap {
        self.0[0].1.as_ref()
    }
}

impl PointMap for Beginning<'_, '_> {
    fn inputs(&self) -> Vec<PointFeature> {
        self.first().inputs()
    }

    fn outputs(&self) -> Vec<PointFeature> {
        self.0[self.0.len() - 1].1.outputs()
    }

    fn graphs(&self) -> Vec<usize> {
        self.first().graphs()
    }

    fn forward(&self, features: &[Tensor<2>], order: &Permutation) -> Vec<Tensor<2>> {
        self.0.iter().fold(features.to_vec(), |features, (_, layer)| layer.forward(&features, order))
    }

    fn claims(&self) -> Vec<Motion> {
        let all = |motion: &Motion| self.0.iter().all(|(_, layer)| layer.claims().contains(motion));
        self.first().claims().into_iter().filter(all).collect()
    }

    fn options(&self) -> (Device, DType) {
        self.first().options()
    }
}

impl fmt::Display for PointLayerReports {
    /// The largest relative L2 error of every layer, alone under every kind of motion, and with all layers before it under any of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).max("layer".len());
        write!(f, "{:<width$}", "layer")?;
        Motion::ALL.iter().try_for_each(|motion| write!(f, "{:>14}", motion.to_string()))?;
        writeln!(f, "{:>14}", "accumulated")?;
        for PointLayerReport { name, own, accumulated } in &self.0 {
            write!(f, "{name:<width$}")?;
            let so_far = (!accumulated.errors.is_empty()).then(|| accumulated.error());
            for error in Motion::ALL.into_iter().map(|motion| own.error_of(motion)).chain([so_far]) {
                match error {
                    Some(error) => write!(f, "{error:>14.3e}")?,
                    None => write!(f, "{:>14}", "-")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::action::space::PointField;
    use crate::check::points::{PointFn, probe};
    use crate::o3::{Irreps, SphericalHarmonics};

    const GRAPHS: [usize; 3] = [4, 0, 5];
    const SCALAR: PointFeature = PointFeature::per_node(PointField::Scalar, 1);
    const POSITION: PointFeature = PointFeature::per_node(PointField::Position, 1);
    const VECTOR: PointFeature = PointFeature::per_node(PointField::Vector, 1);

    fn layer<'a>(
        name: &str,
        [inputs, outputs]: [&[PointFeature]; 2],
        dtype: DType,
        f: impl Fn(&[Tensor<2>]) -> Vec<Tensor<2>> + 'a,
    ) -> NamedPointLayer<'a> {
        (name.to_string(), Box::new(PointFn::new(&GRAPHS, inputs, outputs, &Device::flex(), dtype, move |x, _| f(x))))
    }

    fn length(x: &Tensor<2>) -> Tensor<2> {
        (x.clone() * x.clone()).sum_dim(1)
    }

    /// Particles that drift, then carry harmonics of their velocities. `wind` is what blows between these layers and the last.
    fn network<'a>(dtype: DType, wind: f64) -> Vec<NamedPointLayer<'a>> {
        let particles = [SCALAR, POSITION, VECTOR];
        let degrees = [&[POSITION][..], &PointFeature::of_irreps(&"1x0e+1x2e".parse::<Irreps>().unwrap())[..]].concat();
        let drift = |x: &[Tensor<2>]| vec![length(&x[2]), x[1].clone() + x[2].clone() * x[0].clone(), x[2].clone()];
        let harmonics = |x: &[Tensor<2>]| {
            let harmonics = SphericalHarmonics::new([2]).with_normalize(false).forward(x[2].clone());
            vec![x[1].clone(), x[0].clone(), harmonics]
        };
        let blow = move |x: &[Tensor<2>]| vec![x[0].clone() + x[0].clone().sin() * wind, x[1].clone(), x[2].clone()];
        let weigh = |x: &[Tensor<2>]| vec![x[0].clone(), length(&x[2]), x[2].clone() * x[1].clone()];
        vec![
            layer("drift", [&particles, &particles], dtype, drift),
            layer("harmonics", [&particles, &degrees], dtype, harmonics),
            layer("wind", [&degrees, &degrees], dtype, blow),
            layer("weigh", [&degrees, &degrees], dtype, weigh),
        ]
    }

    fn checked(network: &[NamedPointLayer]) -> PointLayerReports {
        layers(network, &probe(&network[0].1.as_ref(), 3), &Trials::default())
    }

    #[test]
    fn every_layer_of_an_equivariant_network_rounds_and_no_more() {
        // A few products of numbers up to 10, from coordinates of three times the spread.
        for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 5e-5)] {
            let PointLayerReports(reports) = checked(&network(dtype, 0.0));
            for PointLayerReport { name, own, accumulated } in reports {
                assert_eq!((own.errors.len(), accumulated.errors.len()), (16, 16));
                own.assert_within(&name, tolerance);
                accumulated.assert_within(&name, tolerance);
            }
        }
    }

    #[test]
    fn the_layer_that_breaks_it_is_named_and_the_others_are_not() {
        let reports = checked(&network(DType::F64, 0.1));
        let table = reports.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(
            lines[0].split_whitespace().eq("layer rotation reflection translation permutation accumulated".split(' '))
        );
        let [drift, harmonics, wind, weigh] = &reports.0[..] else { panic!("four layers: {table}") };
        for before in [drift, harmonics] {
            assert!(before.own.error() < 1e-13 && before.accumulated.error() < 1e-13, "{table}");
        }
        for motion in [Motion::Rotation, Motion::Reflection, Motion::Translation] {
            assert!(wind.own.error_of(motion).unwrap() > 1e-3, "{table}");
        }
        assert!(wind.own.error_of(Motion::Permutation).unwrap() < 1e-13, "node by node: {table}");
        assert!(wind.accumulated.error() > 1e-3 && weigh.accumulated.error() > 1e-3, "{table}");
        assert!(weigh.own.error() < 1e-13, "{table}");
    }

    #[test]
    fn all_layers_together_claim_what_each_of_them_claims() {
        let particles = [SCALAR, POSITION, VECTOR];
        let proper = PointFn::new(&GRAPHS, &particles, &particles, &Device::flex(), DType::F64, |x, _| x.to_vec())
            .claiming(&Motion::PROPER);
        let mut network = network(DType::F64, 0.0);
        network.insert(0, ("chiral".to_string(), Box::new(proper)));
        let reports = checked(&network);
        assert_eq!(reports.0[1].own.error_of(Motion::Reflection).map(|error| error < 1e-13), Some(true));
        assert!(reports.0.iter().all(|layer| layer.accumulated.error_of(Motion::Reflection).is_none()));
        assert!(reports.to_string().lines().nth(1).unwrap().contains("     -"), "{reports}");
    }

    #[test]
    #[should_panic(expected = "harmonics gives 1 x position per node, 1 x 0e per node, 1 x 2e per node, drift takes")]
    fn types_that_do_not_meet_are_named() {
        let mut network = network(DType::F64, 0.0);
        network.swap(2, 0);
        checked(&network[1..]);
    }
}
