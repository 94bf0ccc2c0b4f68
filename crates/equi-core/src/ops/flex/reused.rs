//! Memory that has its pages already: what lives from one operation to its gradient comes from what such operations have given back.

use std::sync::Mutex;

use super::float::Float;
use super::pieces::{LINE, on_a_line};

/// What is free, as words that floats of either precision can lie in.
static FREE: Mutex<Vec<Vec<u64>>> = Mutex::new(Vec::new());

/// Words that are kept free at most: 64 MiB.
const MOST: usize = 8 << 20;

/// Numbers that may be anything and begin with a line of the cache, and whose memory is used again when they are dropped.
pub(super) struct Reused {
    words: Vec<u64>,
}

impl Reused {
    pub(super) fn new<F: Float>(count: usize) -> Self {
        let length = (count * size_of::<F>() + LINE).div_ceil(size_of::<u64>());
        let mut words = smallest(length).unwrap_or_default();
        words.resize(length, 0);
        Self { words }
    }

    pub(super) fn numbers<F: Float>(&mut self) -> &mut [F] {
        pulp::bytemuck::cast_slice_mut(on_a_line(&mut self.words))
    }
}

impl Drop for Reused {
    fn drop(&mut self) {
        let Ok(mut free) = FREE.lock() else { return };
        let words: usize = free.iter().map(Vec::capacity).sum();
        if words + self.words.capacity() <= MOST {
            free.push(std::mem::take(&mut self.words));
        }
    }
}

/// The smallest free memory that has room for `length` words.
fn smallest(length: usize) -> Option<Vec<u64>> {
    let mut free = FREE.lock().ok()?;
    let fits = |(_, words): &(usize, &Vec<u64>)| words.capacity() >= length;
    let (place, _) = free.iter().enumerate().filter(fits).min_by_key(|(_, words)| words.capacity())?;
    Some(free.swap_remove(place))
}
