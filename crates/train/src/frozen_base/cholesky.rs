//! A symmetric positive definite matrix in its triangular factor, by which its equations are solved.

use candle_core::{D, Device, Tensor};

use crate::Error;

/// Rows up to which a matrix is factored element by element.
const LEAF: usize = 32;

/// The lower triangle `L` of `A = L Lᵀ`, in halves: nearly all of the work are products of matrices.
pub(super) enum Cholesky {
    /// A small one, `(size, size)` in rows.
    Leaf { size: usize, rows: Vec<f64> },
    /// `[[upper, 0], [left, lower]]`.
    Halves { upper: Box<Self>, left: Tensor, lower: Box<Self> },
}

impl Cholesky {
    /// Factors a matrix; none that is not positive definite.
    ///
    /// # Shapes
    ///
    /// - `matrix`: `(size, size)`, f64, symmetric, on the CPU
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if there is no room.
    ///
    /// # Source
    ///
    /// Golub and Van Loan, Matrix Computations, 4th ed., section 4.2.6, the block outer product version,
    /// by halves.
    pub(super) fn of(matrix: &Tensor) -> Result<Option<Self>, Error> {
        let size = matrix.dim(0)?;
        if size <= LEAF {
            let rows = matrix.flatten_all()?.to_vec1()?;
            return Ok(factored(rows, size).map(|rows| Self::Leaf { size, rows }));
        }
        let half = size / 2;
        let part = |row, rows, column, columns| {
            matrix.narrow(0, row, rows)?.narrow(1, column, columns)?.contiguous()
        };
        let Some(upper) = Self::of(&part(0, half, 0, half)?)? else { return Ok(None) };
        // left upperᵀ = A21, and so upper leftᵀ = A21ᵀ.
        let below = part(half, size - half, 0, half)?;
        let left = upper.solve_lower(&below.t()?.contiguous()?)?.t()?.contiguous()?;
        let rest = (part(half, size - half, half, size - half)? - left.matmul(&left.t()?)?)?;
        let Some(lower) = Self::of(&rest)? else { return Ok(None) };
        Ok(Some(Self::Halves { upper: Box::new(upper), left, lower: Box::new(lower) }))
    }

    /// The `X` of `A X = B`.
    ///
    /// # Shapes
    ///
    /// - `right`: B, `(size, columns)`, f64
    /// - returns X, of the same shape
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if there is no room.
    pub(super) fn solve(&self, right: &Tensor) -> Result<Tensor, Error> {
        self.solve_upper(&self.solve_lower(right)?)
    }

    fn size(&self) -> usize {
        match self {
            Self::Leaf { size, .. } => *size,
            Self::Halves { upper, lower, .. } => upper.size() + lower.size(),
        }
    }

    /// The `X` of `L X = B`.
    fn solve_lower(&self, right: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Leaf { size, rows } => solved(
                right,
                (0..*size).map(|row| {
                    let of = |column| rows[row * size + column];
                    (row, of(row), (0..row).map(|column| (column, of(column))).collect())
                }),
            ),
            Self::Halves { upper, left, lower } => {
                let half = upper.size();
                let first = upper.solve_lower(&right.narrow(0, 0, half)?)?;
                let rest = (right.narrow(0, half, lower.size())? - left.matmul(&first)?)?;
                Ok(Tensor::cat(&[first, lower.solve_lower(&rest)?], 0)?)
            }
        }
    }

    /// The `X` of `Lᵀ X = B`.
    fn solve_upper(&self, right: &Tensor) -> Result<Tensor, Error> {
        match self {
            Self::Leaf { size, rows } => solved(
                right,
                (0..*size).rev().map(|row| {
                    let of = |column| rows[column * size + row];
                    (row, of(row), (row + 1..*size).map(|column| (column, of(column))).collect())
                }),
            ),
            Self::Halves { upper, left, lower } => {
                let half = upper.size();
                let last = lower.solve_upper(&right.narrow(0, half, lower.size())?)?;
                let rest = (right.narrow(0, 0, half)? - left.t()?.matmul(&last)?)?;
                Ok(Tensor::cat(&[upper.solve_upper(&rest)?, last], 0)?)
            }
        }
    }
}

/// Column by column, in rows of the lower triangle.
fn factored(mut rows: Vec<f64>, size: usize) -> Option<Vec<f64>> {
    for column in 0..size {
        for row in column..size {
            let products =
                (0..column).map(|k| rows[row * size + k] * rows[column * size + k]).sum::<f64>();
            let value = rows[row * size + column] - products;
            rows[row * size + column] = if row > column {
                value / rows[column * size + column]
            } else if 0.0 < value {
                value.sqrt()
            } else {
                return None;
            };
        }
    }
    Some(rows)
}

/// Solves a small triangle, whose rows come in the order in which they can be solved: number, element on
/// the diagonal, and the others by column.
fn solved(
    right: &Tensor,
    triangle: impl Iterator<Item = (usize, f64, Vec<(usize, f64)>)>,
) -> Result<Tensor, Error> {
    let columns = right.dim(D::Minus1)?;
    let mut values: Vec<f64> = right.flatten_all()?.to_vec1()?;
    for (row, diagonal, others) in triangle {
        let mut solved = values[row * columns..(row + 1) * columns].to_vec();
        for (other, factor) in others {
            let known = &values[other * columns..(other + 1) * columns];
            solved.iter_mut().zip(known).for_each(|(value, known)| *value -= factor * known);
        }
        for value in &mut solved {
            *value /= diagonal;
        }
        values[row * columns..(row + 1) * columns].copy_from_slice(&solved);
    }
    Ok(Tensor::from_vec(values, right.shape(), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numpy_random::NumpyRandom;

    #[test]
    fn equations_are_solved_at_sizes_around_a_leaf_and_far_beyond() {
        let mut random = NumpyRandom::new(3);
        let mut order: Vec<u32> = (0..1000).collect();
        for size in [1, 2, LEAF, LEAF + 1, 3 * LEAF + 5] {
            let mut values = || -> Vec<f64> {
                random.shuffle(&mut order);
                order.iter().map(|&value| f64::from(value) / 500.0 - 1.0).collect()
            };
            let factors: Vec<f64> = (0..size * size).map(|_| values()[0]).collect();
            let wide = Tensor::from_vec(factors, (size, size), &Device::Cpu).unwrap();
            let one = Tensor::eye(size, candle_core::DType::F64, &Device::Cpu).unwrap();
            let matrix = (wide.matmul(&wide.t().unwrap()).unwrap() + one).unwrap();
            let right: Vec<f64> = values()[..3].repeat(size);
            let right = Tensor::from_vec(right, (size, 3), &Device::Cpu).unwrap();
            let solution = Cholesky::of(&matrix).unwrap().unwrap().solve(&right).unwrap();
            let back = matrix.matmul(&solution).unwrap();
            let error = (back - right).unwrap().abs().unwrap().max_all().unwrap();
            // Rounding in f64, of sums of some hundred terms.
            assert!(error.to_scalar::<f64>().unwrap() < 1e-10, "{size}: {error}");
        }
    }

    #[test]
    fn a_matrix_without_a_factor_is_refused() {
        let matrix = Tensor::new(&[[1.0_f64, 2.0], [2.0, 1.0]], &Device::Cpu).unwrap();
        assert!(Cholesky::of(&matrix).unwrap().is_none());
    }
}
