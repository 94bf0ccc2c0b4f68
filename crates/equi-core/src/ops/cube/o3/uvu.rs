//! Products `z_u = w_u C x_u y`, by themselves and between gathering from senders and summing at receivers.
//!
//! A thread has one copy of one block of the output and walks the edges that reach its row. The product is linear in the features, so its gradient by
//! them is the same kernel with the coefficients turned around and senders and receivers exchanged.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::super::segments::row_at;
use super::super::{addresses, contiguous, grid, index_type, unwritten};
use crate::ops::o3::Block;
use crate::ops::{BackendSegments, Couplings};

/// Who sends the features of an edge, and who receives its product.
pub(super) struct Graph {
    pub senders: BackendSegments<CubeBackend>,
    pub receivers: BackendSegments<CubeBackend>,
}

/// A path as a part of a kernel's name.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Path {
    /// First columns and components of the blocks of source, second input and target.
    starts: [usize; 3],
    components: [usize; 3],
    /// The first of its weights.
    weights: usize,
    /// Components of source, second input and target, and the bits of the coefficient in f32.
    terms: Vec<([usize; 3], u32)>,
}

/// The paths of which `choose` says so, from the features to the output, or the other way round.
fn paths(couplings: &Couplings, turned: bool, choose: impl Fn([usize; 3]) -> bool) -> Vec<Path> {
    let chosen = couplings.paths.iter().filter(|path| choose([path.first, path.second, path.out]));
    let turn = |[first, second, out]: [usize; 3]| if turned { [out, second, first] } else { [first, second, out] };
    let path = chosen.map(|path| {
        let blocks = [couplings.first[path.first], couplings.second[path.second], couplings.out[path.out]];
        let [_, d2, d3] = blocks.map(|block| block.components);
        let present = path.coefficients.iter().enumerate().filter(|(_, value)| **value != 0.0);
        let terms = present
            .map(|(place, &value)| (turn([place / (d2 * d3), place / d3 % d2, place % d3]), (value as f32).to_bits()));
        Path {
            starts: turn(blocks.map(|block| block.start)),
            components: turn(blocks.map(|block| block.components)),
            weights: path.weights,
            terms: terms.collect(),
        }
    });
    path.collect()
}

/// How far it is from row to row in source, second input, weights and target; weights that all rows share have no distance.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Strides {
    source: usize,
    second: usize,
    weights: usize,
    target: usize,
}

fn strides([source, second, weights, target]: [&CubeTensor; 4]) -> StridesLaunch {
    let columns = |tensor: &CubeTensor| tensor.shape()[1];
    let of_weights = if weights.shape()[0] == 1 { 0 } else { columns(weights) };
    StridesLaunch::new(columns(source), columns(second), of_weights, columns(target))
}

pub(super) fn product(tensors: [CubeTensor; 3], couplings: &Couplings, graph: Option<Graph>) -> CubeTensor {
    let [first, second, weights] = contiguous(tensors);
    let rows = graph.as_ref().map_or(first.shape()[0], |graph| graph.receivers.host.count());
    let output = unwritten(&first, [rows, couplings.columns()[2]]);
    let graph = graph.map(|graph| (graph.receivers, graph.senders));
    for (place, &block) in couplings.out.iter().enumerate() {
        let paths = paths(couplings, false, |[_, _, out]| out == place);
        couple([&first, &second, &weights, &output], rows, block, paths, graph.clone());
    }
    output
}

pub(super) fn gradient(
    tensors: [CubeTensor; 3],
    couplings: &Couplings,
    graph: Option<Graph>,
    gradient: CubeTensor,
    argument: usize,
) -> CubeTensor {
    let [first, second, weights] = contiguous(tensors);
    let [gradient] = contiguous([gradient]);
    match argument {
        0 => {
            let output = unwritten(&first, first.shape());
            let rows = first.shape()[0];
            let graph = graph.map(|graph| (graph.senders, graph.receivers));
            for (place, &block) in couplings.first.iter().enumerate() {
                let paths = paths(couplings, true, |[first, ..]| first == place);
                couple([&gradient, &second, &weights, &output], rows, block, paths, graph.clone());
            }
            output
        }
        1 => {
            let output = unwritten(&second, second.shape());
            for (place, &block) in couplings.second.iter().enumerate() {
                let of_block = couplings.paths.iter().filter(|path| path.second == place);
                let copies = of_block.map(|path| couplings.first[path.first].copies).collect();
                let paths = paths(couplings, false, |[_, second, _]| second == place);
                by_second([&first, &output, &weights, &gradient], block, paths, copies, graph.as_ref());
            }
            output
        }
        _ => {
            let rows = second.shape()[0];
            let output = unwritten(&weights, [rows, couplings.weights()]);
            for (place, path) in paths(couplings, false, |_| true).into_iter().enumerate() {
                let copies = couplings.first[couplings.paths[place].first].copies;
                by_weights([&first, &second, &output, &gradient], path, copies, graph.as_ref());
            }
            if weights.shape()[0] == 1 { CubeBackend::float_sum_dim(output, 0) } else { output }
        }
    }
}

/// One block of the target, from the rows of the source.
#[allow(unsafe_code)]
fn couple(
    [source, second, weights, target]: [&CubeTensor; 4],
    rows: usize,
    block: Block,
    paths: Vec<Path>,
    ends: Option<(BackendSegments<CubeBackend>, BackendSegments<CubeBackend>)>,
) {
    let units = rows * block.copies;
    if units == 0 {
        return;
    }
    let (count, dim) = grid(source, units);
    let addresses = addresses([source, second, weights, target]);
    let strides = strides([source, second, weights, target]);
    let [source, second, weights, output] = [source, second, weights, target].map(|x| x.clone().into_buffer_arg());
    // SAFETY: threads beyond `units` end at once; blocks are within their rows, and ids, offsets and order within theirs.
    unsafe {
        match ends {
            Some((target_rows, source_rows)) => messages_kernel::launch_unchecked(
                &target.client,
                count,
                dim,
                addresses,
                source,
                second,
                weights,
                target_rows.offsets.clone().into_buffer_arg(),
                target_rows.order.clone().into_buffer_arg(),
                source_rows.ids.into_buffer_arg(),
                output,
                strides,
                block.copies,
                units,
                target_rows.host.sorted,
                block.start,
                block.components,
                paths,
                index_type(&target_rows),
            ),
            None => rows_kernel::launch_unchecked(
                &target.client,
                count,
                dim,
                addresses,
                source,
                second,
                weights,
                output,
                strides,
                block.copies,
                units,
                block.start,
                block.components,
                paths,
            ),
        }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn rows_kernel(
    source: &[f32],
    second: &[f32],
    weights: &[f32],
    output: &mut [f32],
    strides: &Strides,
    copies: usize,
    units: usize,
    #[comptime] start: usize,
    #[comptime] components: usize,
    #[comptime] paths: Vec<Path>,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (row, copy) = (ABSOLUTE_POS / copies, ABSOLUTE_POS % copies);
    let mut sums = zeros(components);
    add_row(source, second, weights, &mut sums, strides, row, row, copy, paths);
    #[unroll]
    for component in 0..components {
        output[row * strides.target + start + copy * components + component] = sums[component];
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn messages_kernel<I: Int>(
    source: &[f32],
    second: &[f32],
    weights: &[f32],
    offsets: &[I],
    order: &[I],
    source_ids: &[I],
    output: &mut [f32],
    strides: &Strides,
    copies: usize,
    units: usize,
    #[comptime] sorted: bool,
    #[comptime] start: usize,
    #[comptime] components: usize,
    #[comptime] paths: Vec<Path>,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (row, copy) = (ABSOLUTE_POS / copies, ABSOLUTE_POS % copies);
    let (begin, end) = (usize::cast_from(offsets[row]), usize::cast_from(offsets[row + 1]));
    let mut sums = zeros(components);
    for place in begin..end {
        let edge = row_at::<I>(order, place, sorted);
        let from = usize::cast_from(source_ids[edge]);
        add_row(source, second, weights, &mut sums, strides, from, edge, copy, paths.clone());
    }
    #[unroll]
    for component in 0..components {
        output[row * strides.target + start + copy * components + component] = sums[component];
    }
}

#[cube]
fn zeros(#[comptime] count: usize) -> Array<f32> {
    let mut sums = Array::<f32>::new(count);
    #[unroll]
    for place in 0..count {
        sums[place] = 0.0f32;
    }
    sums
}

/// Some numbers from memory that are used many times.
#[cube]
fn loaded(values: &[f32], first: usize, #[comptime] count: usize) -> Array<f32> {
    let mut own = Array::<f32>::new(count);
    #[unroll]
    for place in 0..count {
        own[place] = values[first + place];
    }
    own
}

/// Adds what one copy of one row of the source gives with one row of the second input, by all paths.
#[cube]
#[allow(clippy::too_many_arguments)]
#[allow(clippy::needless_range_loop)] // Loops that a kernel is unrolled by run over numbers.
fn add_row(
    source: &[f32],
    second: &[f32],
    weights: &[f32],
    sums: &mut Array<f32>,
    strides: &Strides,
    source_row: usize,
    row: usize,
    copy: usize,
    #[comptime] paths: Vec<Path>,
) {
    #[unroll]
    for place in 0..comptime!(paths.len()) {
        let path = comptime!(paths[place].clone());
        let [source_start, second_start, _] = comptime!(path.starts);
        let [source_components, second_components, _] = comptime!(path.components);
        let x =
            loaded(source, source_row * strides.source + source_start + copy * source_components, source_components);
        let y = loaded(second, row * strides.second + second_start, second_components);
        let weight = weights[row * strides.weights + comptime!(path.weights) + copy];
        #[unroll]
        for term in 0..comptime!(path.terms.len()) {
            let ([i, j, k], coefficient) = comptime!(path.terms[term]);
            sums[k] += weight * (x[i] * y[j] * comptime!(f32::from_bits(coefficient)));
        }
    }
}

/// The gradient by one block of the second input, a thread for every row: the sum over all copies of the features.
#[allow(unsafe_code)]
fn by_second(
    [first, output, weights, gradient]: [&CubeTensor; 4],
    block: Block,
    paths: Vec<Path>,
    copies: Vec<usize>,
    graph: Option<&Graph>,
) {
    let rows = output.shape()[0];
    let (count, dim) = grid(output, rows);
    let addresses = addresses([first, output, weights, gradient]);
    let strides = strides([first, output, weights, gradient]);
    let (sent, received, index) = ends(graph);
    let [x, output_arg, weights, gradient] = [first, output, weights, gradient].map(|x| x.clone().into_buffer_arg());
    // SAFETY: threads beyond `rows` end at once; blocks are within their rows, and ids within theirs.
    unsafe {
        by_second_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses,
            x,
            weights,
            gradient,
            sent.into(),
            received.into(),
            output_arg,
            strides,
            rows,
            block.start,
            block.components,
            paths,
            copies,
            index,
        )
    };
}

/// The ids of senders and receivers, where there are some, and their precision.
fn ends(graph: Option<&Graph>) -> (Option<BufferArg>, Option<BufferArg>, ElemType) {
    match graph {
        Some(Graph { senders, receivers }) => (
            Some(senders.ids.clone().into_buffer_arg()),
            Some(receivers.ids.clone().into_buffer_arg()),
            index_type(senders),
        ),
        None => (None, None, dtype_to_storage_type(DType::I32)),
    }
}

/// The end of an edge, or the row itself.
#[cube]
fn end_of<I: Int>(ids: ComptimeOption<&[I]>, row: usize) -> usize {
    #[comptime]
    match ids {
        ComptimeOption::Some(ids) => usize::cast_from(ids[row]),
        ComptimeOption::None => row,
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn by_second_kernel<I: Int>(
    first: &[f32],
    weights: &[f32],
    gradient: &[f32],
    senders: ComptimeOption<&[I]>,
    receivers: ComptimeOption<&[I]>,
    output: &mut [f32],
    strides: &Strides,
    rows: usize,
    #[comptime] start: usize,
    #[comptime] components: usize,
    #[comptime] paths: Vec<Path>,
    #[comptime] copies: Vec<usize>,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= rows {
        terminate!();
    }
    let (from, to) = (end_of::<I>(senders, ABSOLUTE_POS), end_of::<I>(receivers, ABSOLUTE_POS));
    let mut sums = zeros(components);
    #[unroll]
    for place in 0..comptime!(paths.len()) {
        let path = comptime!(paths[place].clone());
        let [first_start, _, out_start] = comptime!(path.starts);
        let [first_components, _, out_components] = comptime!(path.components);
        for copy in 0..comptime!(copies[place]) {
            let x = loaded(first, from * strides.source + first_start + copy * first_components, first_components);
            let z = loaded(gradient, to * strides.target + out_start + copy * out_components, out_components);
            let weight = weights[ABSOLUTE_POS * strides.weights + comptime!(path.weights) + copy];
            #[unroll]
            for term in 0..comptime!(path.terms.len()) {
                let ([i, j, k], coefficient) = comptime!(path.terms[term]);
                sums[j] += weight * (x[i] * z[k] * comptime!(f32::from_bits(coefficient)));
            }
        }
    }
    #[unroll]
    for component in 0..components {
        output[ABSOLUTE_POS * strides.second + start + component] = sums[component];
    }
}

/// The gradient by the weights of one path, a thread for every copy of every row.
#[allow(unsafe_code)]
fn by_weights([first, second, output, gradient]: [&CubeTensor; 4], path: Path, copies: usize, graph: Option<&Graph>) {
    let units = output.shape()[0] * copies;
    let (count, dim) = grid(output, units);
    let addresses = addresses([first, second, output, gradient]);
    let columns = output.shape()[1];
    let of = |tensor: &CubeTensor| tensor.shape()[1];
    let strides = StridesLaunch::new(of(first), of(second), columns, of(gradient));
    let (sent, received, index) = ends(graph);
    let [x, y, output_arg, gradient] = [first, second, output, gradient].map(|x| x.clone().into_buffer_arg());
    // SAFETY: threads beyond `units` end at once; blocks are within their rows, and ids within theirs.
    unsafe {
        by_weights_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses,
            x,
            y,
            gradient,
            sent.into(),
            received.into(),
            output_arg,
            strides,
            copies,
            units,
            path,
            index,
        )
    };
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn by_weights_kernel<I: Int>(
    first: &[f32],
    second: &[f32],
    gradient: &[f32],
    senders: ComptimeOption<&[I]>,
    receivers: ComptimeOption<&[I]>,
    output: &mut [f32],
    strides: &Strides,
    copies: usize,
    units: usize,
    #[comptime] path: Path,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (row, copy) = (ABSOLUTE_POS / copies, ABSOLUTE_POS % copies);
    let (from, to) = (end_of::<I>(senders, row), end_of::<I>(receivers, row));
    let [first_start, second_start, out_start] = comptime!(path.starts);
    let [first_components, second_components, out_components] = comptime!(path.components);
    let x = loaded(first, from * strides.source + first_start + copy * first_components, first_components);
    let y = loaded(second, row * strides.second + second_start, second_components);
    let z = loaded(gradient, to * strides.target + out_start + copy * out_components, out_components);
    let mut sum = 0.0f32;
    #[unroll]
    for term in 0..comptime!(path.terms.len()) {
        let ([i, j, k], coefficient) = comptime!(path.terms[term]);
        sum += x[i] * y[j] * z[k] * comptime!(f32::from_bits(coefficient));
    }
    output[row * strides.weights + comptime!(path.weights) + copy] = sum;
}
