//! Which strides keep the symmetry: a window that moves by `stride` over `size` pixels samples the points
//! `stride * i + t`, and `f'(p) = f(stride * p + t)` commutes with `g` exactly if `g t = t`.
//!
//! The offset `t` of the sampled grid's centre from the image's centre is zero along an axis if and only if the windows
//! reach both borders alike. A rotation fixes no other offset, whichever its angle, so any group with a rotation needs
//! both axes centred; the left-right flip alone needs only the columns centred; the trivial group needs nothing.

use equi_core::group::{D1, Group};
use equi_core::ops::PoolWindow;

use crate::error::{LayerError, Result};

/// The number of places of a window of `kernel` pixels along an axis, or `None` if it does not fit once.
pub fn output_size(size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Option<usize> {
    let slack = (size + 2 * padding).checked_sub(dilation * (kernel - 1) + 1)?;
    Some(slack / stride + 1)
}

/// Whether the sampled grid has the same centre as the input along an axis of `size` pixels.
pub fn centred(size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> bool {
    (size + 2 * padding).checked_sub(dilation * (kernel - 1) + 1).is_some_and(|slack| slack.is_multiple_of(stride))
}

/// Checks that a strided window over `[height, width]` pixels does not break `group`.
///
/// # Errors
/// [`LayerError::Unsupported`] with the sizes that would do, if the sampled grid is off centre;
/// [`LayerError::InvalidConfig`] if the window does not fit.
pub fn check_centred(
    layer: &str,
    group: Group,
    [height, width]: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Result<()> {
    let window = Window { kernel, stride, padding, dilation };
    check_window(&format!("{layer}({window})"), group, [height, width], window)
}

/// [`check_centred`] for a layer whose options are not those of its window.
pub(super) fn check_window(layer: &str, group: Group, [height, width]: [usize; 2], window: Window) -> Result<()> {
    if [height, width].iter().any(|&size| window.places(size).is_none()) {
        let reach = window.dilation * (window.kernel - 1) + 1;
        return Err(LayerError::InvalidConfig(format!(
            "{layer} on {height} x {width}: the window of {reach} x {reach} pixels does not fit; use a larger image, a \
             smaller kernel or more padding"
        )));
    }
    let wanting: Vec<(&str, usize)> = [("height", height), ("width", width)]
        .into_iter()
        .filter(|&(axis, size)| must_be_centred(group, axis) && !window.centred(size))
        .collect();
    if wanting.is_empty() {
        return Ok(());
    }
    let mut cures: Vec<String> = wanting.iter().map(|(axis, size)| window.cure(axis, *size)).collect();
    if height == width {
        cures = vec![window.cure("size", height)];
    }
    let mut cure = format!("use {}", cures.join(" and "));
    // The blur of the antialiased pooling pads so much that only the stride counts.
    let stride = window.stride;
    if !layer.contains("Antialiased") && wanting.iter().all(|(_, size)| (size - 1).is_multiple_of(stride)) {
        cure += &format!(", or reduce with PointwiseAvgPoolAntialiased(stride {stride})");
    }
    Err(LayerError::Unsupported(format!(
        "{layer} on {height} x {width} breaks {group}: the sampled grid is off centre; {cure}"
    )))
}

/// Whether the group moves an offset along this axis.
fn must_be_centred(group: Group, axis: &str) -> bool {
    match group {
        Group::Cyclic(1) => false,
        D1 => axis == "width",
        _ => true,
    }
}

/// A square window that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl From<Window> for PoolWindow {
    fn from(window: Window) -> Self {
        Self { kernel_size: window.kernel, stride: window.stride, padding: window.padding }
    }
}

impl Window {
    fn places(&self, size: usize) -> Option<usize> {
        output_size(size, self.kernel, self.stride, self.padding, self.dilation)
    }

    fn centred(&self, size: usize) -> bool {
        centred(size, self.kernel, self.stride, self.padding, self.dilation)
    }

    /// The nearest sizes that would do: `size 28 or 30`.
    fn cure(&self, axis: &str, size: usize) -> String {
        let smaller = (1..size).rev().find(|&s| self.centred(s));
        let larger = (size + 1..).find(|&s| self.centred(s)).expect("every stride-th size is centred");
        match smaller {
            Some(smaller) => format!("{axis} {smaller} or {larger}"),
            None => format!("{axis} {larger}"),
        }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kernel {}, stride {}", self.kernel, self.stride)?;
        if self.padding > 0 {
            write!(f, ", padding {}", self.padding)?;
        }
        if self.dilation > 1 {
            write!(f, ", dilation {}", self.dilation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use equi_core::group::{C1, C4, D4};

    fn message(group: Group, size: [usize; 2], kernel: usize, stride: usize, padding: usize) -> String {
        check_centred("PointwiseMaxPool", group, size, kernel, stride, padding, 1).unwrap_err().to_string()
    }

    /// The definition: mirroring the pixels maps the set of sampled windows onto itself.
    #[test]
    fn centred_means_that_a_mirror_maps_the_windows_onto_each_other() {
        for size in 1..20 {
            for (kernel, stride, padding, dilation) in
                [(2, 2, 0, 1), (3, 2, 1, 1), (3, 3, 0, 2), (5, 4, 2, 1), (1, 2, 0, 1)]
            {
                let Some(places) = output_size(size, kernel, stride, padding, dilation) else { continue };
                let reach = dilation * (kernel - 1);
                let starts: Vec<isize> = (0..places).map(|i| (i * stride) as isize - padding as isize).collect();
                let mirrored = starts.iter().rev().map(|s| size as isize - 1 - reach as isize - s);
                assert_eq!(
                    mirrored.eq(starts.iter().copied()),
                    centred(size, kernel, stride, padding, dilation),
                    "size {size}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
                );
            }
        }
    }

    #[test]
    fn the_message_carries_the_cure() {
        assert_eq!(
            message(C4, [29, 29], 2, 2, 0),
            "PointwiseMaxPool(kernel 2, stride 2) on 29 x 29 breaks C4: the sampled grid is off centre; use size 28 or \
             30, or reduce with PointwiseAvgPoolAntialiased(stride 2)"
        );
        // Antialiasing does not help where the stride alone is off centre.
        assert!(message(D4, [28, 28], 3, 2, 1).ends_with("use size 27 or 29"));
        assert!(message(C4, [29, 28], 3, 2, 1).ends_with("use width 27 or 29"));
        assert!(message(C4, [2, 2], 3, 3, 1).ends_with("use size 1 or 4"));
        assert!(message(C4, [2, 9], 3, 3, 0).contains("does not fit"));
    }

    #[test]
    fn each_group_needs_the_centre_that_it_fixes() {
        let check = |group, size| check_centred("Pool", group, size, 2, 2, 0, 1).is_ok();
        assert!(check(C1, [29, 29]));
        // The flip moves columns only.
        assert!(check(D1, [29, 28]) && !check(D1, [28, 29]));
        // A third of a turn maps no pixel to a pixel, but it fixes only the centre all the same.
        assert!(!check(Group::Cyclic(3), [29, 28]) && check(Group::Cyclic(3), [28, 30]));
        assert!(!check(Group::SO2, [28, 29]) && !check(Group::Dihedral(3), [29, 28]));
    }
}
