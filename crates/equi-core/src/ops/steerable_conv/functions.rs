//! Filters as combinations of few functions on the points of a kernel.
//!
//! The filters of a steerable layer are rings times circular harmonics: 11 functions on the 25 points of a 5 x 5 kernel. A convolution with a
//! combination of functions is the combination of the convolutions with them, so patches are taken to these functions first, channel by channel.
//!
//! Quarter turns and flips of the grid, `D4`, take the functions to functions. In a basis adapted to that, each element takes every function to plus or
//! minus another one, as it does with points. And functions of one irrep see only sums and differences of that irrep ([`Slots`]) of a patch: this
//! leaves 54 multiplications of the 275 that 11 functions on 25 points would take.

use nalgebra::DMatrix;

/// Rows of irreps of `D4`: the four characters, and the two rows of the plane's own irrep.
pub(crate) const IRREP_ROWS: usize = 6;

/// The invariant functions.
pub(crate) const A1: usize = 0;
/// Odd under all flips.
pub(crate) const A2: usize = 1;
/// As `x^2 - y^2`.
pub(crate) const B1: usize = 2;
/// As `x y`.
pub(crate) const B2: usize = 3;
/// As `x`.
pub(crate) const X: usize = 4;
/// As `y`: the quarter turn takes functions of row `X` to those of this row.
pub(crate) const Y: usize = 5;

/// Singular values below this, of functions of norm 1, are taken for zero.
const VANISHING: f64 = 1e-9;

/// An orbit of points under `D4`, and the sums and differences of the numbers at its points, as numbers of slots.
///
/// With `x` to the right and `y` up, points are named by where they lie from the centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PointOrbit {
    /// The centre.
    Centre { point: usize, slot: usize },
    /// East, north, west and south: `A1`, `B1`, `X`, `Y`.
    Axis { points: [usize; 4], slots: [usize; 4] },
    /// Northeast, northwest, southwest and southeast: `A1`, `X`, `Y`, `B2`.
    Diagonal { points: [usize; 4], slots: [usize; 4] },
    /// The same at `(+-a, +-b)`, then at `(+-b, +-a)`: `A1`, `B1`, `B2`, `A2`, `X` of the first and of the second, `Y` of the second and of the first.
    General { points: [[usize; 4]; 2], slots: [usize; 8] },
}

/// The functions of a row of an irrep.
#[derive(Clone, Debug)]
pub(crate) struct IrrepRow {
    pub first_slot: usize,
    pub slots: usize,
    pub first_function: usize,
    /// `[function][slot]`: what the sums and differences are multiplied with.
    pub coefficients: Vec<Vec<f64>>,
}

/// Orthonormal functions on the points of a kernel that `D4` takes to plus or minus one another.
#[derive(Clone, Debug)]
pub(crate) struct KernelFunctions {
    pub size: usize,
    /// `[function][point]`
    pub values: Vec<Vec<f64>>,
    pub orbits: Vec<PointOrbit>,
    pub rows: Vec<IrrepRow>,
}

impl KernelFunctions {
    /// The functions that those in `spanning`, on `size * size` points, and all that `D4` makes of them are combinations of.
    pub(crate) fn new(size: usize, spanning: &[Vec<f64>]) -> Self {
        let Slots { orbits, vectors } = Slots::new(size);
        // Coordinates in the normalised sums and differences of a row.
        let coordinates = |row: usize| -> Vec<Vec<f64>> {
            let along = |f: &[f64], (points, length): &(Vec<(usize, f64)>, f64)| {
                points.iter().map(|&(point, sign)| sign * f[point]).sum::<f64>() / length
            };
            let one = |f: &Vec<f64>| {
                let norm = f.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
                vectors[row].iter().map(|slot| along(f, slot) / norm).collect()
            };
            spanning.iter().map(one).collect()
        };
        let mut bases: Vec<Vec<Vec<f64>>> =
            [A1, A2, B1, B2].into_iter().map(|row| orthonormal(&coordinates(row))).collect();
        // What a quarter turn makes of functions of row X has the same coordinates in row Y.
        let plane = orthonormal(&[coordinates(X), coordinates(Y)].concat());
        bases.extend([plane.clone(), plane]);

        let (mut first_slot, mut values, mut rows) = (0, Vec::new(), Vec::new());
        for (slots, basis) in vectors.iter().zip(&bases) {
            let first_function = values.len();
            for function in basis {
                let mut on_points = vec![0.0; size * size];
                for (&factor, (points, length)) in function.iter().zip(slots) {
                    points.iter().for_each(|&(point, sign)| on_points[point] += factor * sign / length);
                }
                values.push(on_points);
            }
            let divided =
                |function: &Vec<f64>| function.iter().zip(slots).map(|(factor, (_, length))| factor / length).collect();
            let coefficients = basis.iter().map(divided).collect();
            rows.push(IrrepRow { first_slot, slots: slots.len(), first_function, coefficients });
            first_slot += slots.len();
        }
        Self { size, values, orbits, rows }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether a half turn changes the sign of a function.
    pub(crate) fn odd(&self, function: usize) -> bool {
        function >= self.rows[X].first_function
    }

    /// What an element that takes point `p` to `point(p)` makes of a function: plus or minus another one.
    pub(crate) fn moved(&self, function: usize, point: impl Fn(usize) -> usize) -> (usize, bool) {
        let mut moved = vec![0.0; self.size * self.size];
        for (from, &value) in self.values[function].iter().enumerate() {
            moved[point(from)] = value;
        }
        let overlap = |other: &Vec<f64>| moved.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
        let overlaps = self.values.iter().map(overlap).enumerate();
        let (target, overlap) = overlaps.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).expect("the function itself");
        debug_assert!((overlap.abs() - 1.0).abs() < 1e-6, "{overlap}");
        (target, overlap < 0.0)
    }

    /// Additions of pairs, and multiplications, that take a patch to its functions.
    pub(crate) fn operations(&self) -> usize {
        let additions = |orbit: &PointOrbit| match orbit {
            PointOrbit::Centre { .. } => 0,
            PointOrbit::Axis { .. } => 6,
            PointOrbit::Diagonal { .. } => 8,
            PointOrbit::General { .. } => 20,
        };
        let multiplications = self.rows.iter().map(|row| row.slots * row.coefficients.len()).sum::<usize>();
        self.orbits.iter().map(additions).sum::<usize>() + multiplications
    }
}

/// A sum of points with signs, and its length.
type Slot = (Vec<(usize, f64)>, f64);

/// Sums and differences of points: those that belong to a row of an irrep have neighbouring numbers.
struct Slots {
    orbits: Vec<PointOrbit>,
    /// `[row][slot]`
    vectors: Vec<Vec<Slot>>,
}

impl Slots {
    fn new(size: usize) -> Self {
        let mut vectors: Vec<Vec<Slot>> = vec![Vec::new(); IRREP_ROWS];
        // Numbers within a row, until the rows are known.
        let mut add = |row: usize, points: &[(usize, f64)]| {
            vectors[row].push((points.to_vec(), (points.len() as f64).sqrt()));
            (row, vectors[row].len() - 1)
        };
        // In half steps from the centre.
        let middle = size as i32 - 1;
        let at = |x: i32, y: i32| ((middle - y) / 2) as usize * size + ((middle + x) / 2) as usize;
        let corners = |a: i32, b: i32| [at(a, b), at(-a, b), at(-a, -b), at(a, -b)];
        let signed = |points: &[usize], signs: [f64; 4]| points.iter().copied().zip(signs).collect::<Vec<_>>();
        const EVEN: [f64; 4] = [1.0; 4];
        const ODD_X: [f64; 4] = [1.0, -1.0, -1.0, 1.0];
        const ODD_Y: [f64; 4] = [1.0, 1.0, -1.0, -1.0];
        const ODD_XY: [f64; 4] = [1.0, -1.0, 1.0, -1.0];
        type Found = (Vec<usize>, Vec<(usize, usize)>);
        let mut found: Vec<Found> = Vec::new();
        for a in (middle % 2..=middle).step_by(2) {
            for b in (middle % 2..=a).step_by(2) {
                found.push(if a == 0 {
                    (vec![at(0, 0)], vec![add(A1, &[(at(0, 0), 1.0)])])
                } else if b == 0 {
                    let points = [at(a, 0), at(0, a), at(-a, 0), at(0, -a)];
                    let [east, north, west, south] = points;
                    let slots = vec![
                        add(A1, &signed(&points, EVEN)),
                        add(B1, &signed(&points, ODD_XY)),
                        add(X, &[(east, 1.0), (west, -1.0)]),
                        add(Y, &[(north, 1.0), (south, -1.0)]),
                    ];
                    (points.to_vec(), slots)
                } else if a == b {
                    let points = corners(a, a);
                    let rows = [(A1, EVEN), (X, ODD_X), (Y, ODD_Y), (B2, ODD_XY)];
                    (points.to_vec(), rows.into_iter().map(|(row, signs)| add(row, &signed(&points, signs))).collect())
                } else {
                    let [p, q] = [corners(a, b), corners(b, a)];
                    let both = |signs: [f64; 4], factor: f64| {
                        [signed(&p, signs), signed(&q, signs.map(|sign| factor * sign))].concat()
                    };
                    let slots = vec![
                        add(A1, &both(EVEN, 1.0)),
                        add(B1, &both(EVEN, -1.0)),
                        add(B2, &both(ODD_XY, 1.0)),
                        add(A2, &both(ODD_XY, -1.0)),
                        add(X, &signed(&p, ODD_X)),
                        add(X, &signed(&q, ODD_X)),
                        add(Y, &signed(&q, ODD_Y)),
                        add(Y, &signed(&p, ODD_Y)),
                    ];
                    ([p, q].concat(), slots)
                });
            }
        }
        let firsts: Vec<usize> = (0..IRREP_ROWS).map(|row| vectors[..row].iter().map(Vec::len).sum()).collect();
        let orbit = |(points, slots): Found| {
            let slots: Vec<usize> = slots.into_iter().map(|(row, number)| firsts[row] + number).collect();
            let four = |points: &[usize]| <[usize; 4]>::try_from(points).expect("four");
            match points.len() {
                1 => PointOrbit::Centre { point: points[0], slot: slots[0] },
                8 => PointOrbit::General {
                    points: [four(&points[..4]), four(&points[4..])],
                    slots: slots.try_into().expect("eight"),
                },
                // East of the centre or northeast of it.
                _ if points[0] % size != points[3] % size => {
                    PointOrbit::Axis { points: four(&points), slots: four(&slots) }
                }
                _ => PointOrbit::Diagonal { points: four(&points), slots: four(&slots) },
            }
        };
        Self { orbits: found.into_iter().map(orbit).collect(), vectors }
    }
}

/// An orthonormal basis of what some vectors span.
fn orthonormal(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = vectors.first().map_or(0, Vec::len);
    if width == 0 {
        return Vec::new();
    }
    let rows: Vec<f64> = vectors.concat();
    let matrix = DMatrix::from_row_slice(vectors.len(), width, &rows);
    let svd = matrix.svd(false, true);
    let directions = svd.v_t.expect("asked for");
    let kept = svd.singular_values.iter().zip(directions.row_iter()).filter(|(value, _)| **value > VANISHING);
    kept.map(|(_, direction)| direction.iter().copied().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_basis::KernelGrid;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Orthonormal, and they have the numbers of functions that rings and cut-offs say.
    #[test]
    fn functions_are_few() {
        for (size, expected) in [(1, 1), (2, 3), (3, 6), (4, 8), (5, 11), (7, 18)] {
            let grid = KernelGrid::standard(size).unwrap();
            let functions = KernelFunctions::new(size, &grid.functions(|_| true));
            eprintln!("{size}: {} functions, {} operations", functions.len(), functions.operations());
            assert!(size % 2 == 0 || functions.len() == expected, "{size}: {}", functions.len());
            for (i, a) in functions.values.iter().enumerate() {
                for (j, b) in functions.values.iter().enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    assert!((dot(a, b) - expected).abs() < 1e-12, "{size}: {i}, {j}");
                }
            }
        }
    }

    /// What spans them lies in their span, and sums and differences give the same as all points do.
    #[test]
    fn slots_and_points_give_the_same() {
        for size in 1..=9 {
            let grid = KernelGrid::standard(size).unwrap();
            let spanning = grid.functions(|_| true);
            let functions = KernelFunctions::new(size, &spanning);
            for f in &spanning {
                let rest = dot(f, f) - functions.values.iter().map(|v| dot(v, f).powi(2)).sum::<f64>();
                assert!(rest.abs() < 1e-12 * dot(f, f), "{size}: {rest}");
            }
            let slots = Slots::new(size);
            let patch: Vec<f64> = (0..size * size).map(|i| (i as f64 * 0.754877).fract() - 0.5).collect();
            for (row, vectors) in functions.rows.iter().zip(&slots.vectors) {
                for (number, coefficients) in row.coefficients.iter().enumerate() {
                    let sum = |(points, _): &Slot| points.iter().map(|&(p, sign)| sign * patch[p]).sum::<f64>();
                    let through: f64 = coefficients.iter().zip(vectors).map(|(c, slot)| c * sum(slot)).sum();
                    let direct = dot(&functions.values[row.first_function + number], &patch);
                    assert!((through - direct).abs() < 1e-12, "{size}: {through} {direct}");
                }
            }
        }
    }
}
