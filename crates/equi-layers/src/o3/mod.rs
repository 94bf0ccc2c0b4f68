//! Layers for features that transform under O(3), with e3nn's conventions.
//!
//! Features are rows, `[rows, irreps.dim()]`: the blocks of `Irreps` one after the other, and within a
//! block of multiplicity `m` and degree `l` the entries `[m, 2l + 1]`.
