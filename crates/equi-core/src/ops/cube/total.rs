//! Sums over the threads of a cube.

use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

/// At least `count` cubes of `units` threads, a power of two.
pub(super) fn cubes(like: &CubeTensor, count: usize, units: u32) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(units);
    (cubecl::calculate_cube_count_elemwise(&like.client, count * units as usize, dim), dim)
}

/// The sum over the threads of a cube, in halves, for all of them.
#[cube]
pub(super) fn total(own: f32, #[comptime] units: u32) -> f32 {
    let mut sums = Shared::<[f32]>::new_slice(comptime!(units as usize));
    sums[UNIT_POS as usize] = own;
    sync_cube();
    #[unroll]
    for step in 0..comptime!(units.ilog2()) {
        let half = comptime!((units >> (step + 1)) as usize);
        if (UNIT_POS as usize) < half {
            let other = sums[UNIT_POS as usize + half];
            sums[UNIT_POS as usize] += other;
        }
        sync_cube();
    }
    let sum = sums[0];
    // All have read it before its memory serves again.
    sync_cube();
    sum
}
