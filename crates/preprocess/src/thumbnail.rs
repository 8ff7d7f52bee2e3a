//! Small gray images, in which copies of one photograph look alike whatever was done to them.

use crate::settings::Side;

/// The brightness of a prepared image, from which [`Brightness::area_means`] are taken.
pub(crate) struct Brightness {
    side_px: usize,
    values: Vec<u8>,
}

impl Brightness {
    /// # Shapes
    ///
    /// - `rgb`: `(3, side, side)`, u8, RGB planes
    ///
    /// # Source
    ///
    /// ITU-R BT.601, as Pillow's mode `L`.
    pub(crate) fn of(rgb: &[u8], side: Side) -> Self {
        let (red, others) = rgb.split_at(rgb.len() / 3);
        let (green, blue) = others.split_at(red.len());
        let colors = red.iter().zip(green).zip(blue);
        let luma = |((&red, &green), &blue): ((&u8, &u8), &u8)| {
            let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
            u8::try_from((sum + 500) / 1000).expect("a mean of bytes is a byte")
        };
        Self { side_px: side.px(), values: colors.map(luma).collect() }
    }

    /// The mean brightness of each cell of a grid laid over the image, pixels on a border shared
    /// out by area; that of the mirror image is this one mirrored, to the bit.
    ///
    /// # Shapes
    ///
    /// - returns `(ROWS, COLUMNS)`, f32, 0 to 255
    pub(crate) fn area_means<const ROWS: usize, const COLUMNS: usize>(
        &self,
    ) -> [[f32; COLUMNS]; ROWS] {
        let side_px = self.side_px;
        let mut sums = [[0_u64; COLUMNS]; ROWS];
        let columns = shares(side_px, COLUMNS);
        for (line, row) in self.values.chunks_exact(side_px).zip(shares(side_px, ROWS)) {
            let mut line_sums = [0_u64; COLUMNS];
            for (&value, column) in line.iter().zip(&columns) {
                line_sums[column.cell] += u64::from(value) * column.in_cell;
                line_sums[column.next()] += u64::from(value) * column.in_next;
            }
            for (cell, share) in [(row.cell, row.in_cell), (row.next(), row.in_next)] {
                for (sum, line_sum) in sums[cell].iter_mut().zip(line_sums) {
                    *sum += share * line_sum;
                }
            }
        }
        let area = (side_px * side_px) as f32;
        sums.map(|row| row.map(|sum| sum as f32 / area))
    }
}

/// Which cells of an axis a pixel covers: one, or that and the next.
struct Shares {
    cell: usize,
    in_cell: u64,
    in_next: u64,
}

impl Shares {
    fn next(&self) -> usize {
        if self.in_next == 0 { self.cell } else { self.cell + 1 }
    }
}

/// Of each pixel of an axis; a pixel is `cells` long, and a cell `side_px`, so that all is whole.
fn shares(side_px: usize, cells: usize) -> Vec<Shares> {
    let of = |pixel: usize| {
        let (start, end) = (pixel * cells, (pixel + 1) * cells);
        let cell = start / side_px;
        let in_next = end.saturating_sub((cell + 1) * side_px);
        Shares { cell, in_cell: (cells - in_next) as u64, in_next: in_next as u64 }
    };
    (0..side_px).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brightness(side_px: usize, value: impl Fn(usize, usize) -> u8) -> Brightness {
        let plane: Vec<u8> =
            (0..side_px * side_px).map(|at| value(at % side_px, at / side_px)).collect();
        let side = side_px.to_string().parse().unwrap();
        Brightness::of(&[&plane[..], &plane, &plane].concat(), side)
    }

    #[test]
    fn a_cell_is_the_mean_of_what_it_covers() {
        // 50 columns in 4 cells: the second cell covers half of column 12, 12 whole ones.
        let ramp = brightness(50, |x, _| if x == 12 { 100 } else { 0 });
        for row in ramp.area_means::<3, 4>() {
            assert_eq!(row.map(f32::to_bits), [4.0_f32, 4.0, 0.0, 0.0].map(f32::to_bits));
        }
        let tall = brightness(50, |_, y| if y < 25 { 200 } else { 0 });
        let [[top], [bottom]] = tall.area_means();
        assert_eq!([top.to_bits(), bottom.to_bits()], [200.0_f32.to_bits(), 0]);
    }

    #[test]
    fn the_means_of_the_mirror_image_are_mirrored() {
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 251).to_le_bytes()[0];
        let mut mirrored = brightness(97, |x, y| noise(96 - x, y)).area_means::<8, 9>();
        for row in &mut mirrored {
            row.reverse();
        }
        let bits = |grid: [[f32; 9]; 8]| grid.map(|row| row.map(f32::to_bits));
        assert_eq!(bits(brightness(97, noise).area_means()), bits(mirrored));
    }

    #[test]
    fn brightness_weighs_colors_as_the_eye_does() {
        let side: Side = "48".parse().unwrap();
        let mut red = vec![0; side.image_bytes()];
        red[..48 * 48].fill(255);
        assert_eq!(Brightness::of(&red, side).values[0], 76);
    }
}
