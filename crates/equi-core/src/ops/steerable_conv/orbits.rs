//! Orbits of channels, and of channels at the points of a kernel, under the grid group.

use super::symmetry::{GridGroup, Signed, Transform};

/// All channel orbits of one kind: `h` takes the first channel of each to its channel number `lift[h]`.
#[derive(Clone, Debug)]
pub(crate) struct ChannelOrbits {
    /// For every element: the channel of the orbit, and whether it comes with a minus.
    pub lift: Vec<Signed>,
    /// `[channel of the orbit][orbit]`: the channel of the feature map, and whether it enters with a minus.
    pub channels: Vec<Vec<Signed>>,
    /// Of the functions on the orbit.
    pub copies: Copies,
    /// Where the channels begin when all orbits of a kind lie side by side: orbit `i` has its channel `c` at `start + c * count + i`.
    pub start: usize,
}

impl ChannelOrbits {
    /// Orbits.
    pub fn count(&self) -> usize {
        self.channels[0].len()
    }

    /// The first element that leads to a channel of the orbit, which does so without a minus.
    pub fn leader(&self, channel: usize) -> usize {
        self.lift.iter().position(|(target, _)| *target == channel).expect("a channel of the orbit")
    }
}

/// Sorts channels into orbits of the same kind.
pub(crate) fn channel_orbits(group: &GridGroup, actions: &[Vec<Signed>]) -> Vec<ChannelOrbits> {
    let mut seen = vec![false; actions[0].len()];
    let mut kinds: Vec<ChannelOrbits> = Vec::new();
    for channel in 0..actions[0].len() {
        if seen[channel] {
            continue;
        }
        // Any channel of the orbit can be its first. The least table makes orbits with conjugate stabilisers alike.
        let (lift, channels) = actions.iter().map(|action| lift(actions, action[channel].0)).min().expect("an element");
        channels.iter().for_each(|&(channel, _)| seen[channel] = true);
        let kind = kinds.iter().position(|kind| kind.lift == lift).unwrap_or_else(|| {
            let copies = copies(group.transform(), &lift);
            kinds.push(ChannelOrbits { channels: vec![Vec::new(); channels.len()], lift, copies, start: 0 });
            kinds.len() - 1
        });
        for (list, channel) in kinds[kind].channels.iter_mut().zip(channels) {
            list.push(channel);
        }
    }
    let mut start = 0;
    for kind in &mut kinds {
        kind.start = start;
        start += kind.channels.len() * kind.count();
    }
    kinds
}

/// Where every element takes channel `first`, as number and sign within the orbit, and the channels of the orbit, each with the sign that it
/// comes with first.
fn lift(actions: &[Vec<Signed>], first: usize) -> (Vec<Signed>, Vec<Signed>) {
    let mut channels: Vec<Signed> = Vec::new();
    let mut lift = Vec::with_capacity(actions.len());
    for action in actions {
        let (target, minus) = action[first];
        let number = channels.iter().position(|(channel, _)| *channel == target).unwrap_or_else(|| {
            channels.push((target, minus));
            channels.len() - 1
        });
        lift.push((number, minus != channels[number].1));
    }
    (lift, channels)
}

/// A place in a patch (a point of the kernel, or a function on its points) and a channel of the orbit, for all orbits of a kind at once.
#[derive(Clone, Debug)]
pub(crate) struct PatchOrbit {
    /// The kind of channel orbits.
    pub kind: usize,
    /// For every element: the place, the channel of the orbit, and whether it comes with a minus.
    pub members: Vec<(usize, usize, bool)>,
    pub copies: Copies,
}

impl PatchOrbit {
    /// The members with the signs that they first come with.
    pub fn signs(&self) -> impl Iterator<Item = (usize, usize, bool)> + '_ {
        let first = |(h, member): (usize, &(usize, usize, bool))| {
            let before = &self.members[..h];
            (!before.iter().any(|other| (other.0, other.1) == (member.0, member.1))).then_some(*member)
        };
        self.members.iter().enumerate().filter_map(first)
    }
}

/// The orbits of pairs of a place and a channel, where every element acts on places by a signed permutation.
pub(crate) fn patch_orbits(group: &GridGroup, kinds: &[ChannelOrbits], places: &[Vec<Signed>]) -> Vec<PatchOrbit> {
    let mut orbits = Vec::new();
    let mut seen = vec![false; places[0].len()];
    for first in 0..seen.len() {
        if seen[first] {
            continue;
        }
        let points: Vec<Signed> = places.iter().map(|action| action[first]).collect();
        points.iter().for_each(|&(point, _)| seen[point] = true);
        for (kind, channels) in kinds.iter().enumerate() {
            let mut met = vec![false; channels.channels.len()];
            for channel in 0..met.len() {
                if met[channel] {
                    continue;
                }
                let leader = channels.leader(channel);
                let members: Vec<(usize, usize, bool)> = (0..group.order())
                    .map(|h| {
                        let (channel, minus) = channels.lift[group.product(h, leader)];
                        let (point, reversed) = points[h];
                        (point, channel, minus != reversed)
                    })
                    .collect();
                for &(point, channel, _) in &members {
                    met[channel] |= point == first;
                }
                let mut distinct: Vec<(usize, usize)> = Vec::new();
                let lift: Vec<Signed> = members
                    .iter()
                    .map(|&(point, channel, minus)| {
                        let number = distinct.iter().position(|&pair| pair == (point, channel)).unwrap_or_else(|| {
                            distinct.push((point, channel));
                            distinct.len() - 1
                        });
                        (number, minus)
                    })
                    .collect();
                orbits.push(PatchOrbit { kind, members, copies: copies(group.transform(), &lift) });
            }
        }
    }
    orbits
}

/// What the functions on an orbit consist of.
///
/// A function `f` on an orbit is lifted to the function `F(h) = f(h x)` on the group (with the sign by which `h` takes the first member `x`
/// where it goes). Its Fourier components are zero for irreps that the orbit does not have; the two columns of a two-dimensional one may
/// be multiples of one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Copies {
    /// For every irrep, and every copy of it, the multiples of the copy that are the columns of the component. Irreps of one dimension
    /// have one column, and so has the complex one of quarter turns.
    pub columns: Vec<Vec<[i8; 2]>>,
    /// Elements that keep a member of the orbit.
    pub stabiliser: usize,
    /// Whether no member comes with a minus, and every element leads to another member.
    pub free: bool,
}

impl Copies {
    pub fn of(&self, irrep: usize) -> &[[i8; 2]] {
        &self.columns[irrep]
    }
}

/// The column of the component that is the copy itself.
pub(crate) fn leading(columns: [i8; 2]) -> usize {
    usize::from(columns[0] == 0)
}

fn copies(transform: Transform, lift: &[Signed]) -> Copies {
    let members = lift.iter().map(|(member, _)| member + 1).max().expect("an element");
    // The components of the function that is one at a member and zero elsewhere.
    let components: Vec<[i32; 8]> = (0..members)
        .map(|member| {
            let mut lifted = [0; 8];
            for (value, &(target, minus)) in lifted.iter_mut().zip(lift) {
                *value = i32::from(target == member) * if minus { -1 } else { 1 };
            }
            transform.components(lifted)
        })
        .collect();
    let vanishes = |component: usize| components.iter().all(|c| c[component] == 0);
    let one = |component: usize| if vanishes(component) { vec![] } else { vec![[1, 0]] };
    let columns = match transform {
        Transform::Cyclic => vec![one(0), one(1), one(2)],
        Transform::Dihedral => {
            // Columns are components 4 and 6, and 5 and 7.
            let times = |factor: i32| components.iter().all(|c| c[5] == factor * c[4] && c[7] == factor * c[6]);
            let pair = match (vanishes(4) && vanishes(6), vanishes(5) && vanishes(7)) {
                (true, true) => vec![],
                (true, false) => vec![[0, 1]],
                (false, true) => vec![[1, 0]],
                (false, false) if times(1) => vec![[1, 1]],
                (false, false) if times(-1) => vec![[1, -1]],
                (false, false) => vec![[1, 0], [0, 1]],
            };
            (0..4).map(one).chain([pair]).collect()
        }
        _ => (0..lift.len()).map(one).collect(),
    };
    let free = members == lift.len() && lift.iter().all(|(_, minus)| !minus);
    Copies { columns, stabiliser: lift.len() / members, free }
}
