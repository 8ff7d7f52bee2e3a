//! Matrix products over strided views of slices: a checked front of the `gemm` crate.

use gemm::{Parallelism, gemm};

/// How a matrix lies in a slice.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl Layout {
    /// A matrix whose rows lie one after the other, `row_stride` elements apart.
    pub(crate) fn by_rows(rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { rows, columns, row_stride, column_stride: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn assert_fits(self, length: usize, name: &str) {
        let reach = |count: usize, stride: usize| count.checked_sub(1)?.checked_mul(stride);
        let end = match (reach(self.rows, self.row_stride), reach(self.columns, self.column_stride))
        {
            _ if self.rows == 0 || self.columns == 0 => 0,
            (Some(rows), Some(columns)) => {
                rows.checked_add(columns).and_then(|last| last.checked_add(1)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        };
        assert!(end <= length, "the {name} matrix needs {end} elements, its slice has {length}");
    }
}

/// What a product does to the matrix it is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Update {
    Overwrite,
    Add,
}

/// Writes or adds the product of two matrices, on the calling thread.
///
/// # Panics
///
/// If the shapes do not chain or a matrix does not fit its slice.
pub(crate) fn multiply(
    (left, left_layout): (&[f32], Layout),
    (right, right_layout): (&[f32], Layout),
    (product, product_layout): (&mut [f32], Layout),
    update: Update,
) {
    let (rows, inner, columns) = (left_layout.rows, left_layout.columns, right_layout.columns);
    assert_eq!(inner, right_layout.rows, "the factors do not chain");
    assert_eq!(
        (rows, columns),
        (product_layout.rows, product_layout.columns),
        "the product has another shape"
    );
    left_layout.assert_fits(left.len(), "left");
    right_layout.assert_fits(right.len(), "right");
    product_layout.assert_fits(product.len(), "product");
    // SAFETY: by the assertions above, all elements that the strides reach lie in their slices; `product` is borrowed
    // exclusively, so it overlaps neither factor.
    unsafe {
        gemm(
            rows,
            columns,
            inner,
            product.as_mut_ptr(),
            stride(product_layout.column_stride),
            stride(product_layout.row_stride),
            update == Update::Add,
            left.as_ptr(),
            stride(left_layout.column_stride),
            stride(left_layout.row_stride),
            right.as_ptr(),
            stride(right_layout.column_stride),
            stride(right_layout.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

fn stride(elements: usize) -> isize {
    isize::try_from(elements).expect("a stride is below the length of a slice, which fits isize")
}
