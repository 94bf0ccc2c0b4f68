//! How samples are shown to a network, and how its answers are read: see [`View`](super::View).

pub mod image;
pub mod motion;

/// Poses of a test sample over which an augmented network is averaged.
pub const AVERAGED: usize = 8;

/// How many of `tested` test samples are also tested in other poses: the first quarter, at least 500 and at most 10,000, since an
/// average over poses takes as many passes for each.
pub fn posed(tested: usize) -> usize {
    (tested / 4).clamp(500, 10_000).min(tested)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quarter_is_posed_within_bounds() {
        assert_eq!([40, 700, 2000, 10_000, 50_000].map(super::posed), [40, 500, 500, 2500, 10_000]);
    }
}
