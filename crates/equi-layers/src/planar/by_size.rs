//! Fields gathered by size, so that whatever needs one number per field runs on `[batch, fields, size, height, width]`.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Indices of channels or fields, on the device.
pub(super) fn indices(values: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&i| i as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Some channels of a feature map: a range where they are one, else a list without repetitions.
#[derive(Module, Debug)]
pub(super) struct Channels {
    start: usize,
    count: usize,
    listed: Option<Tensor<1, Int>>,
}

impl Channels {
    pub(super) fn new(channels: &[usize], device: &Device) -> Self {
        let contiguous = channels.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let listed = (!contiguous).then(|| indices(channels, device));
        Self { start: channels[0], count: channels.len(), listed }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`
    /// - output: `[batch, count, height, width]`
    pub(super) fn take(&self, features: Tensor<4>) -> Tensor<4> {
        match &self.listed {
            Some(channels) => features.select(1, channels.clone()),
            None if self.count == features.dims()[1] => features,
            None => features.narrow(1, self.start, self.count),
        }
    }
}

/// The fields of one size.
#[derive(Module, Debug)]
struct Part {
    channels: Channels,
    /// Channels of a field.
    size: usize,
}

/// The fields of a type, smallest first; fields of one size keep their order.
///
/// This is the order in which escnn's norm and gated non-linearities and its inner batch norm number their parameters.
#[derive(Module, Debug)]
pub(super) struct BySize {
    parts: Vec<Part>,
    /// The parts in the order of their channels.
    #[module(skip)]
    in_place: Vec<usize>,
    /// Where each channel is found in the parts laid end to end; `None` if that is its place.
    back: Option<Tensor<1, Int>>,
}

/// The numbers of the fields, smallest field first; fields of one size keep their order.
pub(super) fn order_by_size(sizes: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&field| sizes[field]);
    order
}

impl BySize {
    /// For fields with these numbers of channels.
    pub(super) fn new(sizes: &[usize], device: &Device) -> Self {
        let starts: Vec<usize> = sizes.iter().scan(0, |at, &size| Some(std::mem::replace(at, *at + size))).collect();
        let groups: Vec<(usize, Vec<usize>)> = order_by_size(sizes)
            .chunk_by(|&a, &b| sizes[a] == sizes[b])
            .map(|fields| {
                let size = sizes[fields[0]];
                (size, fields.iter().flat_map(|&field| starts[field]..starts[field] + size).collect())
            })
            .collect();
        let mut in_place: Vec<usize> = (0..groups.len()).collect();
        in_place.sort_by_key(|&part| groups[part].1[0]);
        let laid: Vec<usize> = in_place.iter().flat_map(|&part| groups[part].1.iter().copied()).collect();
        let back = (!laid.is_sorted()).then(|| {
            let mut places = vec![0; laid.len()];
            for (place, &channel) in laid.iter().enumerate() {
                places[channel] = place;
            }
            indices(&places, device)
        });
        let parts = groups.iter().map(|(size, c)| Part { channels: Channels::new(c, device), size: *size }).collect();
        Self { parts, in_place, back }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`
    /// - output, for every size: `[batch, fields, size, height, width]`
    pub(super) fn split(&self, features: Tensor<4>) -> Vec<Tensor<5>> {
        let [batch, _, height, width] = features.dims();
        let part = |part: &Part| {
            let fields = part.channels.count / part.size;
            part.channels.take(features.clone()).reshape([batch, fields, part.size, height, width])
        };
        self.parts.iter().map(part).collect()
    }

    /// The inverse of [`split`](Self::split).
    pub(super) fn join(&self, parts: Vec<Tensor<5>>) -> Tensor<4> {
        let flat = |part: &Tensor<5>| {
            let [batch, fields, size, height, width] = part.dims();
            part.clone().reshape([batch, fields * size, height, width])
        };
        if let [only] = &parts[..] {
            return flat(only);
        }
        let laid = Tensor::cat(self.in_place.iter().map(|&i| flat(&parts[i])).collect(), 1);
        match &self.back {
            Some(places) => laid.select(1, places.clone()),
            None => laid,
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn splitting_gathers_equal_sizes_and_joining_restores_the_channels() {
        let device = Device::flex();
        for sizes in [vec![2, 2], vec![1, 1, 2, 4], vec![4, 2, 2, 1], vec![2, 1, 4, 1, 2]] {
            let channels: usize = sizes.iter().sum();
            let x = Tensor::<1, Int>::arange(0..(channels * 6) as i64, &device).float().reshape([1, channels, 2, 3]);
            let by_size = BySize::new(&sizes, &device);
            let parts = by_size.split(x.clone());
            let found: Vec<usize> = parts.iter().flat_map(|p| vec![p.dims()[2]; p.dims()[1]]).collect();
            let mut expected = sizes.clone();
            expected.sort_unstable();
            assert_eq!(found, expected);
            by_size.join(parts).into_data().assert_eq(&x.into_data(), true);
        }
    }

    #[test]
    fn fields_of_one_size_keep_their_order() {
        assert_eq!(order_by_size(&[2, 1, 2, 1]), [1, 3, 0, 2]);
    }
}
