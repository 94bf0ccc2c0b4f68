//! Channels or pixels side by side: the same convolution.

use super::conv::{Geometry, backward, forward};
use crate::FieldType;
use crate::group::{C2, C4, C8, D1, D4, Group};
use crate::ops::flex::pool::Buffer;
use crate::ops::steerable_conv::plan::{Plan, Side};

fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|i| ((i + 1) as f64 * 0.754877 + seed as f64 * 0.569840).fract() - 0.5).collect()
}

/// Outputs, and gradients by the input and by the filter, both and each alone.
fn all(plans: &[Plan; 2], geometry: Geometry, channels: [usize; 2]) -> Vec<Vec<f64>> {
    let [plan, adjoint] = plans;
    let pixels = |size: [usize; 2]| geometry.batch * size[0] * size[1];
    let (inputs, outputs) = (channels[0] * pixels(geometry.input), channels[1] * pixels(geometry.output()));
    let weights = channels[0] * channels[1] * geometry.kernel * geometry.kernel;
    let [x, filter, bias, gradient] = [inputs, weights, channels[1], outputs].map(|count| numbers(count, count));
    let of = |buffer: Option<Buffer>, count: usize| buffer.expect("asked for").numbers::<f64>()[..count].to_vec();
    let mut found = vec![of(Some(forward(plan, geometry, &x, &filter, &bias)), outputs)];
    for needed in [[true, true], [true, false], [false, true]] {
        let [by_x, by_filter] = backward(plan, adjoint, geometry, &x, &filter, &gradient, needed);
        found.extend(needed[0].then(|| of(by_x, inputs)));
        found.extend(needed[1].then(|| of(by_filter, weights)));
    }
    found
}

#[test]
fn both_sides_give_the_same() {
    let types = |group: Group| {
        let regular = |count| FieldType::regular(group, count).unwrap();
        let mixed = [FieldType::trivial(group, 3), regular(1)].map(|fields| fields.fields().to_vec()).concat();
        [
            [FieldType::trivial(group, 1), regular(2)],
            [regular(3), regular(1)],
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
    ];
    for group in [C2, C4, C8, D1, D4, Group::cyclic(3).unwrap(), Group::dihedral(2).unwrap()] {
        for [input, output] in types(group) {
            for (batch, size, kernel, stride, padding, dilation) in moves {
                let plans = Plan::pair(&input, &output, kernel);
                let [by_channels, by_pixels] = [Side::Channels, Side::Pixels].map(|side| {
                    let side = Some(side);
                    let geometry = Geometry { batch, input: size, kernel, stride, padding, dilation, side };
                    all(&plans, geometry, [input.size(), output.size()])
                });
                for (which, (a, b)) in by_channels.iter().zip(&by_pixels).enumerate() {
                    let largest = a.iter().fold(1e-300_f64, |largest, a| largest.max(a.abs()));
                    // Sums of some hundreds of numbers, in other orders.
                    let close = a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * largest);
                    assert!(
                        close,
                        "{which} of {group}: {input} to {output}, {size:?}, kernel {kernel}, stride {stride}"
                    );
                }
            }
        }
    }
}
