//! Field types: which channels of a feature map transform together, and how.

use nalgebra::DMatrix;
use std::fmt;
use std::ops::Add;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::{Element, Group, Rotation, Subgroup};
use crate::repr::{Basis, Representation};

/// The transformation law of a feature map `[batch, size, height, width]`: its channels are the fields, one after the other.
///
/// `(g . f)(p) = rho(g) f(g^-1 p)` with `rho` the direct sum of the fields' representations.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldType {
    group: Group,
    fields: Arc<[Representation]>,
}

impl FieldType {
    /// A feature map with the given fields.
    ///
    /// # Errors
    /// [`Error::NoFields`] without fields, [`Error::GroupMismatch`] if they belong to different groups.
    pub fn new(fields: Vec<Representation>) -> Result<Self> {
        let group = fields.first().ok_or(Error::NoFields)?.group();
        if let Some(other) = fields.iter().find(|f| f.group() != group) {
            return Err(Error::GroupMismatch { left: format!("{:?}", fields[0]), right: format!("{other:?}") });
        }
        Ok(Self { group, fields: fields.into() })
    }

    /// `count` fields of one representation.
    ///
    /// # Panics
    /// If `count` is zero.
    pub fn repeat(count: usize, field: &Representation) -> Self {
        assert!(count > 0, "a feature map needs at least one field");
        Self { group: field.group(), fields: vec![field.clone(); count].into() }
    }

    /// `count` scalar fields, such as the channels of an image.
    pub fn trivial(group: Group, count: usize) -> Self {
        Self::repeat(count, &Representation::trivial(group))
    }

    /// `count` regular fields of a finite group.
    ///
    /// # Errors
    /// [`Error::InfiniteGroup`] for SO(2) and O(2), [`Error::NoFields`] for no fields.
    pub fn regular(group: Group, count: usize) -> Result<Self> {
        Self::new(vec![Representation::regular(group)?; count])
    }

    /// The group that acts.
    pub fn group(&self) -> Group {
        self.group
    }

    /// The fields in the order of the channels.
    pub fn fields(&self) -> &[Representation] {
        &self.fields
    }

    /// The number of fields.
    #[allow(clippy::len_without_is_empty)] // A field type is never empty.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The number of channels.
    pub fn size(&self) -> usize {
        self.fields.iter().map(Representation::size).sum()
    }

    /// Each field with its first channel.
    pub fn offsets(&self) -> impl Iterator<Item = (usize, &Representation)> {
        self.fields.iter().scan(0, |at, field| {
            let start = *at;
            *at += field.size();
            Some((start, field))
        })
    }

    /// The representation, if all fields have the same.
    pub fn uniform(&self) -> Option<&Representation> {
        self.fields.iter().all(|f| f == &self.fields[0]).then_some(&self.fields[0])
    }

    /// Whether every element permutes the channels, so that pointwise functions commute with the action.
    pub fn permutes(&self) -> bool {
        self.fields.iter().all(|f| f.basis() == Basis::Permutation)
    }

    /// Whether every element leaves the channels alone.
    pub fn is_trivial(&self) -> bool {
        self.fields.iter().all(Representation::is_trivial)
    }

    /// The type under a subgroup.
    ///
    /// # Errors
    /// [`Error::GroupMismatch`] if the subgroup lies in another group, [`Error::NotASubgroup`] if its reflection axis is another
    /// one than the group's: a field type does not remember axes, and its flips mirror left and right.
    pub fn restrict(&self, subgroup: &Subgroup) -> Result<Self> {
        if subgroup.axis() != Rotation::ZERO {
            return Err(Error::NotASubgroup {
                group: self.group.to_string(),
                subgroup: subgroup.to_string(),
                cure: "a field type keeps the left-right flip; restrict to the subgroup with `Subgroup::new`",
            });
        }
        let fields = self.fields.iter().map(|f| f.restrict(subgroup)).collect::<Result<Vec<_>>>()?;
        Self::new(fields)
    }

    /// The matrix by which an element mixes the channels, `[size, size]`.
    pub fn at(&self, g: &Element) -> DMatrix<f64> {
        let mut matrix = DMatrix::zeros(self.size(), self.size());
        for (start, field) in self.offsets() {
            let block = field.at(g);
            matrix.view_mut((start, start), block.shape()).copy_from(&block);
        }
        matrix
    }

    /// Checks that a feature map has the channels of this type.
    ///
    /// # Panics
    /// If it does not, naming both.
    pub fn assert_channels(&self, layer: &str, channels: usize) {
        assert_eq!(channels, self.size(), "{layer}: the input has {channels} channels, but {self} has {}", self.size());
    }
}

impl Add for &FieldType {
    type Output = Result<FieldType>;

    /// The fields of both, one after the other.
    fn add(self, other: Self) -> Self::Output {
        FieldType::new([self.fields(), other.fields()].concat())
    }
}

impl fmt::Display for FieldType {
    /// `8 x regular[C8] + 2 x trivial`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.fields.chunk_by(|a, b| a == b).enumerate() {
            let separator = if i > 0 { " + " } else { "" };
            write!(f, "{separator}{} x {}", run.len(), run[0])?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} of {}", self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{C4, C8};
    use crate::repr::Irrep;

    #[test]
    fn display_groups_equal_neighbours() {
        let sum = &FieldType::regular(C8, 8).unwrap() + &FieldType::trivial(C8, 2);
        assert_eq!(sum.unwrap().to_string(), "8 x regular[C8] + 2 x trivial");
    }

    #[test]
    fn mixed_groups_and_empty_lists_are_refused() {
        let mixed = &FieldType::trivial(C8, 1) + &FieldType::trivial(C4, 1);
        assert!(matches!(mixed, Err(Error::GroupMismatch { .. })));
        assert_eq!(FieldType::new(vec![]), Err(Error::NoFields));
        assert_eq!(FieldType::regular(C8, 0), Err(Error::NoFields));
        let turned = Subgroup::with_axis(crate::group::D4, crate::group::D1, Rotation::turns(1, 4)).unwrap();
        assert!(FieldType::trivial(crate::group::D4, 1).restrict(&turned).is_err());
    }

    #[test]
    fn only_permutations_allow_pointwise_functions() {
        let vector = Representation::irrep(C8, Irrep::rotation(1)).unwrap();
        assert!(FieldType::regular(C8, 2).unwrap().permutes());
        assert!(!FieldType::repeat(2, &vector).permutes());
    }
}
