//! A hash of what a photograph shows: copies that were encoded, scaled or brightened anew have
//! nearly the same.

use crate::thumbnail::Brightness;

const ROWS: usize = 8;
const COLUMNS: usize = 9;

/// For each of 8 by 8 places of an image, whether it brightens to the right.
///
/// # Source
///
/// Neal Krawetz, Kind of Like That (hackerfactor.com, 21 January 2013): "dHash", the image brought
/// to 9 by 8 gray pixels. Here these are means over areas, so that the mirror image's are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DifferenceHash(u64);

impl DifferenceHash {
    /// Of an image as it is, and of its mirror image.
    pub(crate) fn with_mirrored(image: &Brightness) -> [Self; 2] {
        let mut grid = image.area_means::<ROWS, COLUMNS>();
        let upright = Self::of(&grid);
        for row in &mut grid {
            row.reverse();
        }
        [upright, Self::of(&grid)]
    }

    /// In how many of the 64 places two images differ.
    pub(crate) fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }

    fn of(grid: &[[f32; COLUMNS]; ROWS]) -> Self {
        let steps = grid.iter().flat_map(|row| row.windows(2));
        Self(steps.fold(0, |bits, step| bits << 1 | u64::from(step[0] < step[1])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(value: impl Fn(usize, usize) -> u8) -> [DifferenceHash; 2] {
        let plane: Vec<u8> = (0..72 * 72).map(|at| value(at % 72, at / 72)).collect();
        let rgb = [&plane[..], &plane, &plane].concat();
        DifferenceHash::with_mirrored(&Brightness::of(&rgb, "72".parse().unwrap()))
    }

    #[test]
    fn says_where_an_image_brightens() {
        // Cells are 8 columns wide and 9 rows high.
        let ramp = hash(|x, _| (3 * x).to_le_bytes()[0]);
        assert_eq!(ramp.map(|hash| hash.0), [u64::MAX, 0]);
        let spot = hash(|x, y| if x / 8 == 1 && y / 9 == 0 { 200 } else { 10 });
        assert_eq!(spot.map(|hash| hash.0), [1 << 63, 1 << 57]);
        assert_eq!(ramp[0].distance(spot[0]), 63);
    }
}
