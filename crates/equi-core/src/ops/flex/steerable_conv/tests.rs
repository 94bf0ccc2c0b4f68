//! Channels or pixels side by side: the same convolution.

use std::sync::Arc;

use super::conv::{Geometry, backward, forward};
use crate::FieldType;
use crate::group::{C2, C4, C8, D1, D4, Group};
use crate::kernel_basis::KernelGrid;
use crate::ops::flex::pool::Buffer;
use crate::ops::steerable_conv::functions::KernelFunctions;
use crate::ops::steerable_conv::plan::{Plan, Side};
use crate::repr::{Irrep, Representation};

fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|i| ((i + 1) as f64 * 0.754877 + seed as f64 * 0.569840).fract() - 0.5).collect()
}

/// Outputs, and gradients by the input and by the filter, both and each alone.
fn all(plans: &[Plan; 2], geometry: Geometry, filter: &[f64]) -> Vec<Vec<f64>> {
    let [plan, adjoint] = plans;
    let pixels = |size: [usize; 2]| geometry.batch * size[0] * size[1];
    let channels = [plan.input_channels(), plan.output_channels()];
    let (inputs, outputs) = (channels[0] * pixels(geometry.input), channels[1] * pixels(geometry.output()));
    let [x, bias, gradient] = [inputs, channels[1], outputs].map(|count| numbers(count, count));
    let of = |buffer: Option<Buffer>, count: usize| buffer.expect("asked for").numbers::<f64>()[..count].to_vec();
    let mut found = vec![of(Some(forward(plan, geometry, &x, filter, &bias)), outputs)];
    for needed in [[true, true], [true, false], [false, true]] {
        let [by_x, by_filter] = backward(plan, adjoint, geometry, &x, filter, &gradient, needed);
        found.extend(needed[0].then(|| of(by_x, inputs)));
        found.extend(needed[1].then(|| of(by_filter, filter.len())));
    }
    found
}

/// Every plan, with channels and with pixels side by side, is the dense convolution for filters that it is made for. These are the gradients that it gives,
/// which are all of the part that it sees.
#[test]
fn all_plans_are_the_dense_convolution() {
    let types = |group: Group| {
        let regular = |count| FieldType::regular(group, count).unwrap();
        let mixed = [FieldType::trivial(group, 3), regular(1)].map(|fields| fields.fields().to_vec()).concat();
        // Irreps of frequency 1 exchange their channels with signs, those of frequency 2 change them.
        let irrep = |frequency| {
            let flips = group.has_flips();
            let irrep = if flips { Irrep::with_flip(1, frequency) } else { Irrep::rotation(frequency) };
            Representation::irrep(group, irrep).ok()
        };
        let irreps = [irrep(1), irrep(2), irrep(1), irrep(1)].into_iter().flatten().collect::<Vec<_>>();
        let irreps = if irreps.is_empty() { regular(1) } else { FieldType::new(irreps).unwrap() };
        [
            [FieldType::trivial(group, 1), regular(2)],
            [regular(3), regular(1)],
            [regular(1), FieldType::trivial(group, 9)],
            [irreps.clone(), regular(1)],
            [FieldType::trivial(group, 2), irreps],
            [FieldType::new(mixed).unwrap(), FieldType::trivial(group, 5)],
        ]
    };
    // Rows of less than a vector, of halves, of more than one; strides, dilations and paddings, more than the kernel's extent, too.
    let moves = [
        (1, [7, 9], 3, 1, 1, 1),
        (3, [12, 16], 5, 1, 2, 1),
        (2, [6, 21], 3, 2, 1, 1),
        (1, [11, 8], 3, 3, 4, 2),
        (2, [5, 33], 2, 1, 0, 1),
        (1, [4, 4], 1, 1, 2, 1),
        (1, [7, 8], 7, 1, 3, 1),
        (1, [6, 6], 4, 1, 2, 1),
    ];
    for group in [C2, C4, C8, D1, D4, Group::cyclic(3).unwrap(), Group::dihedral(2).unwrap()] {
        for [input, output] in types(group) {
            for (batch, size, kernel, stride, padding, dilation) in moves {
                let functions = KernelGrid::standard(kernel).unwrap().functions(|_| true);
                let functions = Arc::new(KernelFunctions::new(kernel, &functions));
                let pairs =
                    Plan::pairs(&input, &output, kernel, Some(&functions).filter(|functions| functions.len() > 0));
                let on = |side| Geometry { batch, input: size, kernel, stride, padding, dilation, side: Some(side) };
                let any = numbers(input.size() * output.size() * kernel * kernel, 5);
                for (number, plans) in pairs.iter().enumerate() {
                    let filter = all(plans, on(Side::Channels), &any).pop().expect("by the filter");
                    if filter.iter().all(|x| x.abs() < 1e-12) {
                        // At a single point, scalars reach no irrep that changes.
                        assert!(kernel == 1, "{input} to {output}, kernel {kernel}");
                        continue;
                    }
                    let wanted = all(&pairs[0], on(Side::Channels), &filter);
                    for side in [Side::Channels, Side::Pixels] {
                        let given = all(plans, on(side), &filter);
                        let which = format!(
                            "plan {number}, {side:?}: {input} to {output} of {group}, {size:?}, kernel {kernel}, stride {stride}"
                        );
                        for (part, (a, b)) in wanted.iter().zip(&given).enumerate() {
                            // Gradients by the filter: the dense one has more than the part that the plan sees.
                            let (a, b) = if [2, 4].contains(&part) {
                                let along = |x: &[f64]| x.iter().zip(&filter).map(|(x, y)| x * y).collect::<Vec<f64>>();
                                let size: f64 = along(b).iter().map(|x| x.abs()).sum();
                                let sum = |x: &[f64]| vec![along(x).iter().sum::<f64>(), size];
                                (sum(a), sum(b))
                            } else {
                                (a.clone(), b.clone())
                            };
                            let largest = a.iter().fold(1e-300_f64, |largest, a| largest.max(a.abs()));
                            // Sums of some hundreds of numbers, in other orders.
                            let close = a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-12 * largest);
                            assert!(close && largest > 1e-9, "part {part} of {which}");
                        }
                    }
                }
            }
        }
    }
}
