//! Affine maps of an image: from a place in the output to the place that is seen there.

/// (row, column) to (row, column): two rows of the matrix, the last column being added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AffineMap(pub(crate) [[f64; 3]; 2]);

impl AffineMap {
    /// Adds a row and a column offset.
    pub(crate) fn translation(rows: f64, columns: f64) -> Self {
        Self([[1.0, 0.0, rows], [0.0, 1.0, columns]])
    }

    /// A square of this share of the side, enlarged to the side. `place` says where in the room that it leaves it lies,
    /// 0 to 1: rows, columns.
    pub(crate) fn crop(side_px: usize, share: f64, place: [f64; 2]) -> Self {
        let [rows, columns] =
            place.map(|place| (1.0 - share) * side_px as f64 * place + 0.5 * share - 0.5);
        Self([[share, 0.0, rows], [0.0, share, columns]])
    }

    /// Left and right change places.
    pub(crate) fn mirror(side_px: usize) -> Self {
        Self([[1.0, 0.0, 0.0], [0.0, -1.0, side_px as f64 - 1.0]])
    }

    /// The map that first does `first`, then this one: the product of the matrices.
    pub(crate) fn after(self, first: Self) -> Self {
        let [p, q] = first.0;
        Self(
            self.0.map(|[a, b, c]| {
                [a * p[0] + b * q[0], a * p[1] + b * q[1], a * p[2] + b * q[2] + c]
            }),
        )
    }

    /// Looks up each output pixel in the input, bilinearly, the edge reaching on without end.
    ///
    /// # Shapes
    ///
    /// - `rgb`: `(3, side, side)`, u8
    /// - `output`: `(3, side, side)`, f32
    pub(crate) fn sample(self, side_px: usize, rgb: &[u8], output: &mut [f32]) {
        let plane = side_px * side_px;
        assert!(plane > 0, "an image has pixels");
        assert_eq!((rgb.len(), output.len()), (3 * plane, 3 * plane), "images are (3, side, side)");
        let last = (side_px - 1) as f64;
        for row in 0..side_px {
            for column in 0..side_px {
                let [source_row, source_column] =
                    self.0.map(|[a, b, c]| a * row as f64 + b * column as f64 + c);
                let (top, down) = split(source_row.clamp(0.0, last));
                let (left, right) = split(source_column.clamp(0.0, last));
                let below = (top + 1).min(side_px - 1);
                let beside = (left + 1).min(side_px - 1);
                for (input, output) in rgb.chunks_exact(plane).zip(output.chunks_exact_mut(plane)) {
                    let at = |row: usize, column: usize| f32::from(input[row * side_px + column]);
                    let upper = mix(at(top, left), at(top, beside), right);
                    let lower = mix(at(below, left), at(below, beside), right);
                    output[row * side_px + column] = mix(upper, lower, down);
                }
            }
        }
    }
}

/// A place that is not negative, as a whole pixel and the way from it to the next.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places are clamped to the image; the rest is below 1"
)]
fn split(place: f64) -> (usize, f32) {
    (place as usize, place.fract() as f32)
}

fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}
