//! Rows that belong to segments.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::extension::{BackendSegments, RowOps};
use crate::error::{Error, Result};

/// Which segment every row belongs to: the receiver of every edge, the graph of every node.
///
/// Looked up both ways: [`ids`](Self::ids) gives the segment of a row; [`offsets`](Self::offsets) and [`order`](Self::order) give
/// the rows of a segment (compressed sparse rows), in the order of the rows, so that sums come out the same every time.
#[derive(Clone, Debug)]
pub struct Segments {
    ids: Tensor<1, Int>,
    offsets: Tensor<1, Int>,
    order: Tensor<1, Int>,
    /// Numbers of rows, at least one, `[count, 1]`.
    divisors: Tensor<2, Int>,
    host: Arc<Rows>,
}

/// The rows of every segment, on the host.
#[derive(Debug)]
pub struct Rows {
    pub(super) ids: Vec<usize>,
    pub(super) offsets: Vec<usize>,
    pub(super) order: Vec<usize>,
    pub(super) sorted: bool,
}

impl Rows {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// Number of segments, empty ones included.
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// What a row counts for in the mean over its segment, for every segment; 1 where there is none.
    pub(super) fn shares(&self) -> Vec<f64> {
        self.offsets.windows(2).map(|pair| 1.0 / (pair[1] - pair[0]).max(1) as f64).collect()
    }
}

impl Segments {
    /// Row `r` belongs to segment `ids[r]` of `count`.
    ///
    /// # Errors
    /// [`Error::SegmentOutOfRange`] for an id that is not below `count`; [`Error::TooManyRows`] if rows or segments exceed what
    /// an index of 32 bits can number.
    pub fn new(ids: Vec<usize>, count: usize, device: &Device) -> Result<Self> {
        if let Some((row, &id)) = ids.iter().enumerate().find(|&(_, &id)| id >= count) {
            return Err(Error::SegmentOutOfRange { row, id, count });
        }
        let largest = ids.len().max(count.saturating_add(1));
        if largest > i32::MAX as usize {
            return Err(Error::TooManyRows { rows: largest });
        }
        let mut offsets = vec![0; count + 1];
        for &id in &ids {
            offsets[id + 1] += 1;
        }
        for segment in 0..count {
            offsets[segment + 1] += offsets[segment];
        }
        let sorted = ids.is_sorted();
        let mut order: Vec<usize> = (0..ids.len()).collect();
        if !sorted {
            let mut next = offsets.clone();
            for (row, &id) in ids.iter().enumerate() {
                order[next[id]] = row;
                next[id] += 1;
            }
        }
        let upload = |values: &[usize]| {
            let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
            let shape = [values.len()];
            Tensor::from_data(TensorData::new(values, shape), &device.clone().without_autodiff())
        };
        let divisors: Vec<usize> = offsets.windows(2).map(|pair| (pair[1] - pair[0]).max(1)).collect();
        Ok(Self {
            ids: upload(&ids),
            offsets: upload(&offsets),
            order: upload(&order),
            divisors: upload(&divisors).unsqueeze_dim(1),
            host: Arc::new(Rows { ids, offsets, order, sorted }),
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.host.rows()
    }

    /// Number of segments, empty ones included.
    pub fn count(&self) -> usize {
        self.host.count()
    }

    /// Rows in the largest segment.
    pub fn longest(&self) -> usize {
        self.host.offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// Whether the rows of each segment follow one another, in the order of the segments.
    pub fn is_sorted(&self) -> bool {
        self.host.sorted
    }

    /// The segment of every row, `[rows]`.
    pub fn ids(&self) -> &Tensor<1, Int> {
        &self.ids
    }

    /// Where the rows of every segment begin in [`order`](Self::order), and where the last ends, `[count + 1]`.
    pub fn offsets(&self) -> &Tensor<1, Int> {
        &self.offsets
    }

    /// The rows, segment by segment, `[rows]`.
    pub fn order(&self) -> &Tensor<1, Int> {
        &self.order
    }

    /// The segment of every row, on the host.
    pub fn host_ids(&self) -> &[usize] {
        &self.host.ids
    }

    /// The rows of `segment`, on the host.
    ///
    /// # Panics
    /// If there is no such segment.
    pub fn rows_of(&self, segment: usize) -> &[usize] {
        &self.host.order[self.host.offsets[segment]..self.host.offsets[segment + 1]]
    }

    /// Number of rows of every segment, `[count, 1]`, in the precision and on the device of `like`.
    pub fn sizes(&self, like: &Tensor<2>) -> Tensor<2> {
        let sizes: Vec<f64> = self.host.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let shape = [sizes.len(), 1];
        Tensor::from_data(TensorData::new(sizes, shape).convert_dtype(like.dtype()), (&like.device(), like.dtype()))
    }

    /// As the backends take them.
    pub(super) fn dispatch(&self) -> BackendSegments<Dispatch> {
        BackendSegments {
            ids: self.ids.clone().into_dispatch(),
            offsets: self.offsets.clone().into_dispatch(),
            order: self.order.clone().into_dispatch(),
            host: self.host.clone(),
        }
    }

    fn check(&self, what: &str, rows: usize, values: &Tensor<2>) {
        let given = values.dims()[0];
        assert_eq!(
            given,
            rows,
            "{what} of {rows} rows was given {given}: {} rows in {} segments",
            self.rows(),
            self.count()
        );
    }
}

/// Adds up the rows of every segment: `y_s = sum over rows r of s of x_r`; zero for an empty segment.
///
/// # Shapes
/// - `values`: `[rows, channels]`
/// - output: `[segments, channels]`
///
/// # Panics
/// If there are not as many rows as `segments` has.
pub fn segment_sum(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    segments.check("segment_sum", segments.rows(), &values);
    Tensor::from_dispatch(<Dispatch as RowOps>::sum_rows(values.into_dispatch(), segments.dispatch()))
}

/// Gives every row the values of its segment: `y_r = x_(segment of r)`.
///
/// # Shapes
/// - `values`: `[segments, channels]`
/// - output: `[rows, channels]`
///
/// # Panics
/// If there are not as many rows as `segments` has segments.
pub fn gather(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    segments.check("gather", segments.count(), &values);
    Tensor::from_dispatch(<Dispatch as RowOps>::gather_rows(values.into_dispatch(), segments.dispatch()))
}

/// The mean over the rows of every segment; zero for an empty segment.
///
/// Shapes and panics as for [`segment_sum`].
pub fn segment_mean(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    let divisors = segments.divisors.clone().float().cast(values.dtype());
    segment_sum(values, segments) / divisors
}

/// The largest value of every channel in every segment; zero for an empty segment. Where rows are equal, the gradient is
/// shared among them; an infinite maximum has gradient zero.
///
/// Shapes and panics as for [`segment_sum`].
pub fn segment_max(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    let highest = segment_highest(values.clone(), segments);
    let (detached, of_row) = (values.clone().detach(), gather(highest.clone(), segments));
    let chosen = detached.clone().equal(of_row).bool_and(detached.is_finite());
    let count = chosen.clone().float().cast(values.dtype());
    let share = count.clone() / gather(segment_sum(count, segments), segments).clamp_min(1.0);
    // The value is the maximum itself; the sum, less itself, carries the gradient.
    let carrier = segment_sum(values.mask_fill(chosen.bool_not(), 0.0) * share, segments);
    highest + (carrier.clone() - carrier.detach())
}

/// A softmax over the rows of every segment, for every channel: `y_r = exp x_r / sum over the segment of exp x`.
///
/// Large values do not overflow: the largest of the segment is taken off first. Rows of minus infinity weigh nothing, also where
/// all of a segment are.
///
/// # Shapes
/// - `values`, output: `[rows, channels]`
///
/// # Panics
/// If there are not as many rows as `segments` has.
pub fn segment_softmax(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    let highest = segment_highest(values.clone(), segments);
    let masked = highest.clone().equal_scalar(f32::NEG_INFINITY);
    let weights = (values - gather(highest.mask_fill(masked, 0.0), segments)).exp();
    // At least 1, the weight of the largest, unless all weigh nothing.
    let total = gather(segment_sum(weights.clone(), segments), segments).clamp_min(0.5);
    weights / total
}

/// The largest value of every channel in every segment, without gradient; zero for an empty segment.
///
/// Rows are brought into the order of the segments. Then every row looks at the one 1, 2, 4, ... rows on, as long as it is of the same
/// segment: after the logarithm of the longest segment the first row of each knows the largest.
///
/// Shapes and panics as for [`segment_sum`].
pub fn segment_highest(values: Tensor<2>, segments: &Segments) -> Tensor<2> {
    segments.check("a maximum", segments.rows(), &values);
    let values = values.detach();
    let [rows, channels] = values.dims();
    let count = segments.count();
    if rows == 0 || channels == 0 || count == 0 {
        return Tensor::zeros([count, channels], (&values.device(), values.dtype()));
    }
    let (mut best, ids) = match segments.is_sorted() {
        true => (values, segments.ids.clone()),
        false => (values.select(0, segments.order.clone()), segments.ids.clone().select(0, segments.order.clone())),
    };
    let mut step = 1;
    while step < segments.longest() {
        let rest = rows - step;
        let same = ids.clone().narrow(0, step, rest).equal(ids.clone().narrow(0, 0, rest));
        let (near, far) = (best.clone().narrow(0, 0, rest), best.clone().narrow(0, step, rest));
        let seen = near.clone().mask_where(same.unsqueeze_dim::<2>(1).expand([rest, channels]), near.max_pair(far));
        best = Tensor::cat(vec![seen, best.narrow(0, rest, step)], 0);
        step *= 2;
    }
    let (begin, end) = (segments.offsets.clone().narrow(0, 0, count), segments.offsets.clone().narrow(0, 1, count));
    let empty = begin.clone().equal(end).unsqueeze_dim::<2>(1).expand([count, channels]);
    best.select(0, begin.clamp_max(rows as i64 - 1)).mask_fill(empty, 0.0)
}
