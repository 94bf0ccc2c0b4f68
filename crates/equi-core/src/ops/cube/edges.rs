//! The first layer of messages: `swish(p_i + q_j + e W)`.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::{addresses, contiguous, grid, index_type, unwritten, vector_size};
use crate::ops::BackendSegments;

pub(super) fn combine(tensors: [CubeTensor; 4], ends: [BackendSegments<CubeBackend>; 2]) -> CubeTensor {
    launch(tensors, ends, None)
}

pub(super) fn slope(
    tensors: [CubeTensor; 4],
    ends: [BackendSegments<CubeBackend>; 2],
    gradient: CubeTensor,
) -> CubeTensor {
    launch(tensors, ends, Some(gradient))
}

/// The values, or with a gradient by them that by the argument of the SiLU.
#[allow(unsafe_code)]
fn launch(
    tensors: [CubeTensor; 4],
    [receivers, senders]: [BackendSegments<CubeBackend>; 2],
    gradient: Option<CubeTensor>,
) -> CubeTensor {
    let [received, sent, edges, weight] = contiguous(tensors);
    let (rows, [inputs, channels]) = (receivers.host.rows(), weight.shape().dims());
    let output = unwritten(&received, [rows, channels]);
    let size = vector_size(&received, channels);
    let units = rows * channels / size;
    let (count, dim) = grid(&received, units);
    let (addresses, index) = (addresses([&received, &sent, &edges, &weight, &output]), index_type(&receivers));
    let gradient = gradient.map(|gradient| contiguous([gradient])[0].clone());
    // SAFETY: threads beyond `units`, the vectors of the output, end at once, and ids are below the number of nodes.
    unsafe {
        combine_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses,
            size,
            received.into_buffer_arg(),
            sent.into_buffer_arg(),
            edges.into_buffer_arg(),
            weight.into_buffer_arg(),
            receivers.ids.into_buffer_arg(),
            senders.ids.into_buffer_arg(),
            gradient.map(CubeTensor::into_buffer_arg).into(),
            output.clone().into_buffer_arg(),
            inputs,
            channels / size,
            units,
            index,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn combine_kernel<I: Int, N: Size>(
    received: &[Vector<f32, N>],
    sent: &[Vector<f32, N>],
    edges: &[f32],
    weight: &[Vector<f32, N>],
    receivers: &[I],
    senders: &[I],
    gradient: ComptimeOption<&[Vector<f32, N>]>,
    output: &mut [Vector<f32, N>],
    inputs: usize,
    vectors: usize,
    units: usize,
    #[define(I)] _index: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (edge, vector) = (ABSOLUTE_POS / vectors, ABSOLUTE_POS % vectors);
    let (to, from) = (usize::cast_from(receivers[edge]), usize::cast_from(senders[edge]));
    let mut sum = received[to * vectors + vector] + sent[from * vectors + vector];
    for input in 0..inputs {
        sum += Vector::<f32, N>::new(edges[edge * inputs + input]) * weight[input * vectors + vector];
    }
    let one = Vector::<f32, N>::new(1.0f32);
    let sigmoid = one / (one + (-sum).exp());
    #[comptime]
    match gradient {
        ComptimeOption::Some(gradient) => {
            output[ABSOLUTE_POS] = gradient[ABSOLUTE_POS] * sigmoid * (one + sum * (one - sigmoid));
        }
        ComptimeOption::None => {
            output[ABSOLUTE_POS] = sum * sigmoid;
        }
    }
}
