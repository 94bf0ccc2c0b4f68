//! Which samples a step trains on.

use rand::seq::SliceRandom;

use crate::seed::{Purpose, stream};

/// The `batch` training samples of optimiser step `step`, out of `len`.
///
/// Steps walk through one endless sequence of passes over the data, each pass a permutation of its own. All batches are
/// full: one that reaches the end of a pass goes on with the next.
pub fn batch_indices(seed: u64, step: usize, batch: usize, len: usize) -> Vec<usize> {
    let mut indices = Vec::with_capacity(batch);
    let mut position = step * batch;
    while indices.len() < batch {
        let (pass, start) = (position / len, position % len);
        let mut permutation: Vec<usize> = (0..len).collect();
        permutation.shuffle(&mut stream(seed, Purpose::Order, pass as u64));
        let end = len.min(start + batch - indices.len());
        indices.extend_from_slice(&permutation[start..end]);
        position += end - start;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_visits_every_sample_once_in_its_own_order() {
        // 6 steps of 5 samples are 3 passes over 10, and a batch crosses no boundary twice.
        let visited: Vec<usize> = (0..6).flat_map(|step| batch_indices(1, step, 5, 10)).collect();
        for pass in visited.chunks(10) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(visited[..10], visited[10..20]);
    }

    #[test]
    fn batches_larger_than_the_data_are_full() {
        let batch = batch_indices(1, 3, 8, 3);
        assert_eq!(batch.len(), 8);
        assert!(batch.iter().all(|&i| i < 3));
        // Step 3 starts at position 24, a pass boundary: 3 + 3 + 2 samples.
        let mut first = batch[..3].to_vec();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(batch_indices(5, 2, 16, 100), batch_indices(5, 2, 16, 100));
        assert_ne!(batch_indices(5, 2, 16, 100), batch_indices(6, 2, 16, 100));
    }
}
