//! Filters as matrices of Fourier components, and back.

#![allow(unsafe_code)] // Parts of a plan read and write different numbers of a filter.

use rayon::prelude::*;

use super::lanes::Lanes;
use super::project;
use super::shared::Shared;
use crate::ops::steerable_conv::orbits::{ChannelOrbits, leading};
use crate::ops::steerable_conv::plan::{Block, Part, Plan};
use crate::ops::steerable_conv::symmetry::Transform;

/// The matrices of a plan, one block after the other, in each block one after the other, `[rows, width]`.
pub(super) struct Layout {
    /// For every block and matrix of weights: where it begins.
    pub starts: Vec<Vec<usize>>,
    /// For every irrep: its copies in the output, and columns of zeros up to a multiple of half the largest vector.
    pub widths: Vec<usize>,
    pub length: usize,
}

impl Layout {
    pub(super) fn new<F: Lanes>(plan: &Plan) -> Self {
        let widths: Vec<usize> = plan.widths.iter().map(|width| width.next_multiple_of(F::MOST / 2)).collect();
        let mut length = 0;
        let mut matrix = |block: &Block, weight: usize| {
            let start = length;
            length += block.rows[plan.transform.slot(weight)] * widths[plan.transform.irrep(weight)];
            start
        };
        let matrices = 0..plan.transform.weights();
        let starts = plan.blocks.iter().map(|block| matrices.clone().map(|w| matrix(block, w)).collect()).collect();
        Self { starts, widths, length }
    }
}

/// How the numbers of a filter are found: `K(q)[o, i]` of the plan, where `q` is a place of a patch.
#[derive(Clone, Copy)]
pub(super) struct Addressing {
    output: usize,
    input: usize,
    /// Whether the filter is read point-reflected.
    reflected: bool,
}

impl Addressing {
    /// A filter `[output, input, places]`.
    pub(super) fn forward<F: Lanes>(plan: &Plan) -> Self {
        let places = pitch::<F>(plan);
        Self { output: plan.input_channels() * places, input: places, reflected: false }
    }

    /// The adjoint of a filter `[input, output, places]`: transposed and point-reflected.
    pub(super) fn adjoint<F: Lanes>(plan: &Plan) -> Self {
        let places = pitch::<F>(plan);
        Self { output: places, input: plan.output_channels() * places, reflected: true }
    }

    fn place(self, plan: &Plan, place: usize) -> (usize, bool) {
        if self.reflected { plan.reflected(place) } else { (place, false) }
    }
}

/// From the numbers of a pair of channels to those of the next.
fn pitch<F: Lanes>(plan: &Plan) -> usize {
    plan.functions.as_ref().map_or(plan.places(), |functions| project::pitch::<F>(functions))
}

/// A number of a matrix, as a sum over the Fourier components of the filter.
struct Entry<F> {
    /// The place of the first row and the first orbit, and from one row to the next.
    place: usize,
    width: usize,
    factors: [F; 8],
    /// What the gradient by this number is multiplied with before it is taken back.
    gradient: F,
}

/// The numbers that the orbits of a part and a kind of output orbits share.
fn entries<F: Lanes>(plan: &Plan, layout: &Layout, block: usize, part: &Part, kind: usize) -> Vec<Entry<F>> {
    let (patch, output) = (&plan.orbits[part.orbit].copies, &plan.output[kind].copies);
    let order = plan.group.order() as f64;
    // A mean over the group, the inverse of the Fourier transform, and members that were counted several times.
    let factor = 1.0 / (order * order * patch.stabiliser as f64);
    let mut entries = Vec::new();
    let mut entry = |weight: usize, column: usize, terms: &[(usize, f64)], gradient: f64| {
        let width = layout.widths[plan.transform.irrep(weight)];
        let mut factors = [F::zeroed(); 8];
        for &(component, term) in terms {
            factors[component] = F::from_f64(term * factor);
        }
        entries.push(Entry {
            place: layout.starts[block][weight] + part.rows[plan.transform.slot(weight)] * width + column,
            width,
            factors,
            gradient: F::from_f64(gradient / output.stabiliser as f64),
        });
    };
    for irrep in 0..plan.transform.irreps() {
        let column = |copy: usize| plan.columns(kind, irrep) + copy * plan.output[kind].count();
        for (from, columns) in patch.of(irrep).iter().enumerate() {
            for (to, rows) in output.of(irrep).iter().enumerate() {
                match (plan.transform, irrep) {
                    // With a = r / 2 and b = -i / 2: a, b - a, a + b, of which the last has been given the wrong sign.
                    (Transform::Cyclic, 2) => {
                        entry(2, column(to), &[(2, 2.0)], 1.0);
                        entry(3, column(to), &[(2, -2.0), (3, -2.0)], 1.0);
                        entry(4, column(to), &[(2, 2.0), (3, -2.0)], -1.0);
                    }
                    (Transform::Dihedral, 4) => {
                        let first = 4 + 2 * leading(*rows);
                        let terms = [0, 1].map(|j| (first + j, 2.0 * f64::from(columns[j])));
                        let square: i8 = rows.iter().map(|x| x * x).sum();
                        entry(4 + from, column(to), &terms, f64::from(square));
                    }
                    _ => entry(irrep, column(to), &[(irrep, 1.0)], 1.0),
                }
            }
        }
    }
    entries
}

/// Where the channel orbits of a part, and those of a kind of output orbits, have their numbers in the filter: for every element.
type Places = Vec<(usize, bool)>;

fn patch_places(plan: &Plan, addressing: Addressing, part: &Part, orbit: usize) -> Places {
    let patch = &plan.orbits[part.orbit];
    let channels = &plan.input[patch.kind].channels;
    let place = |&(point, channel, minus): &(usize, usize, bool)| {
        let (channel, reversed) = channels[channel][part.first + orbit];
        let (point, reflected) = addressing.place(plan, point);
        (channel * addressing.input + point, minus ^ reversed ^ reflected)
    };
    patch.members.iter().map(place).collect()
}

fn output_places(addressing: Addressing, kind: &ChannelOrbits, orbit: usize) -> Places {
    let place = |&(channel, minus): &(usize, bool)| {
        let (channel, reversed) = kind.channels[channel][orbit];
        (channel * addressing.output, minus != reversed)
    };
    kind.lift.iter().map(place).collect()
}

/// Calls with the entries, where they are, and where in the filter `K[g o, g t i]` is, for every orbit of every part and every output orbit.
fn for_each_pair<F: Lanes>(
    plan: &Plan,
    layout: &Layout,
    addressing: Addressing,
    call: impl Fn(&[Entry<F>], usize, usize, &Places, &Places) + Sync,
) {
    let parts: Vec<(usize, &Part)> =
        plan.blocks.iter().enumerate().flat_map(|(b, block)| block.parts.iter().map(move |part| (b, part))).collect();
    let outputs: Vec<Vec<Places>> = plan
        .output
        .iter()
        .map(|kind| (0..kind.count()).map(|orbit| output_places(addressing, kind, orbit)).collect())
        .collect();
    parts.into_par_iter().for_each(|(block, part)| {
        let entries: Vec<Vec<Entry<F>>> =
            (0..plan.output.len()).map(|kind| entries(plan, layout, block, part, kind)).collect();
        let rows: Vec<Places> = (0..part.count).map(|row| patch_places(plan, addressing, part, row)).collect();
        for (entries, outputs) in entries.iter().zip(&outputs) {
            // The rows within: in a filter, channels of the input are nearer to each other than those of the output.
            for (orbit, targets) in outputs.iter().enumerate() {
                for (row, sources) in rows.iter().enumerate() {
                    call(entries, row, orbit, sources, targets);
                }
            }
        }
    });
}

/// The matrices of the part of a filter that commutes with the group: of its mean `1/|H| sum_h rho_out(h)^-1 K(h q) rho_in(h)`.
pub(super) fn matrices<F: Lanes>(
    plan: &Plan,
    layout: &Layout,
    addressing: Addressing,
    filter: &[F],
    matrices: &mut [F],
) {
    let matrices = Shared::new(matrices);
    let products = plan.products();
    for_each_pair::<F>(plan, layout, addressing, |entries, row, orbit, sources, targets| {
        let mut relative = [F::zeroed(); 8];
        for (relative, products) in relative.iter_mut().zip(&products) {
            for (&(target, minus), &product) in targets.iter().zip(products) {
                let (source, reversed) = sources[product];
                let value = filter[target + source];
                *relative += if minus != reversed { -value } else { value };
            }
        }
        let components = plan.transform.components(relative);
        for entry in entries {
            let mut sum = F::zeroed();
            for (&factor, &component) in entry.factors.iter().zip(&components) {
                sum += factor * component;
            }
            // SAFETY: rows belong to one part, and parts to one thread.
            unsafe { matrices.write(entry.place + row * entry.width + orbit, sum) };
        }
    });
}

/// The gradient by the filter, from that by the matrices: the transpose of [`matrices`].
pub(super) fn filter_gradient<F: Lanes>(
    plan: &Plan,
    layout: &Layout,
    addressing: Addressing,
    matrices: &[F],
    filter: &mut [F],
) {
    let filter = Shared::new(filter);
    let products = plan.products();
    for_each_pair::<F>(plan, layout, addressing, |entries, row, orbit, sources, targets| {
        let mut components = [F::zeroed(); 8];
        for entry in entries {
            let value = entry.gradient * matrices[entry.place + row * entry.width + orbit];
            for (component, &factor) in components.iter_mut().zip(&entry.factors) {
                *component += factor * value;
            }
        }
        let relative = plan.transform.function(components);
        for (&relative, products) in relative.iter().zip(&products) {
            for (&(target, minus), &product) in targets.iter().zip(products) {
                let (source, reversed) = sources[product];
                let value = if minus != reversed { -relative } else { relative };
                // SAFETY: a channel at a point of the kernel belongs to one part, and parts to one thread.
                unsafe { filter.update(target + source, |sum| sum + value) };
            }
        }
    });
}
