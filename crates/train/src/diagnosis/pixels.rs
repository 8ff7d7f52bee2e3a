//! Whether a batch holds the pixels that the base expects: range, means, channel order, content.

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
    presentation::LARGEST_UNIT,
};

/// The numbers of a batch, as pixels before the means were taken away.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelStatistics {
    /// Images looked at.
    pub images: usize,
    /// The smallest pixel.
    pub smallest: f32,
    /// The largest pixel.
    pub largest: f32,
    /// The standard deviation of a pixel across the images, in the mean over pixels and channels.
    pub deviation: f64,
    /// The share of pixels in the images' middle that are 0, over all channels.
    pub black: f64,
    /// Images whose channels are equal.
    pub gray: usize,
    /// Of the others, those whose middle is brighter in the third channel, red, than in the first.
    pub redder: usize,
}

/// A batch of fewer images does not tell how images differ.
const ENOUGH_IMAGES: usize = 8;

/// Fewer images with color do not tell the order of channels.
const ENOUGH_COLORED: usize = 20;

/// The larger of an image's two mean differences between neighboring channels, in gray levels (or the
/// same share of a range of 0 to 1), below which it has no color. Of LFW's 5,425 photographs three are
/// gray and lie at 0.57 at most, the next is at 4.6.
const COLORLESS: f32 = 1.0;

/// The share of photographs with color whose middle half is redder than blue: 0.9987 of LFW's 5,422, so
/// 0.0013 with channels exchanged. Skin is redder than blue whatever its tone.
const REDDER_SHARE: f64 = 0.5;

/// The standard deviation of a pixel across images, in gray levels: LFW's is 66, the same divided by
/// 255 is 0.26.
const SMALLEST_DEVIATION: f64 = 4.0;

/// A pixel below this is no pixel of 0 to 255; the means that are added back round a little.
const SMALLEST_PIXEL: f32 = -1.0;

/// A pixel above this is none either.
const LARGEST_PIXEL: f32 = 256.0;

/// The share of the middle's pixels that may be 0: of 400 of LFW's photographs 0.0026 are, and 0.48 once
/// the means were taken away and the rest stored as 0 to 255 (of their central squares of 0.6, 0.0002
/// and 0.40). The threshold is the geometric mean of the closest two.
const BLACK_SHARE: f64 = 0.03;

/// The share of photographs without color that is worth a note.
const GRAY_SHARE: f64 = 0.5;

impl PixelStatistics {
    /// Measures a batch as the network gets it.
    ///
    /// # Shapes
    ///
    /// - `images`: `(batch, 3, side, side)`, f32, BGR, pixel minus channel mean
    /// - `means`: blue, green, red
    ///
    /// # Panics
    ///
    /// If `images` is not of whole images, or of none.
    pub fn of(images: &[f32], side_px: usize, means: [f32; 3]) -> Self {
        let plane = side_px * side_px;
        assert!(
            !images.is_empty() && images.len().is_multiple_of(3 * plane),
            "at least one image, and whole ones"
        );
        let count = images.len() / (3 * plane);
        let mut statistics = Self {
            images: count,
            smallest: f32::INFINITY,
            largest: f32::NEG_INFINITY,
            deviation: deviation(images, 3 * plane),
            black: 0.0,
            gray: 0,
            redder: 0,
        };
        let mut pixels = vec![0.0; 3 * plane];
        for image in images.chunks_exact(3 * plane) {
            for (place, (pixel, value)) in pixels.iter_mut().zip(image).enumerate() {
                *pixel = value + means[place / plane];
            }
            let (smallest, largest) = range(&pixels);
            statistics.smallest = statistics.smallest.min(smallest);
            statistics.largest = statistics.largest.max(largest);
            let [blue, green, red] = [0, 1, 2].map(|channel| &pixels[channel * plane..][..plane]);
            let shares = [blue, green, red].map(|channel| black(channel, side_px));
            statistics.black += shares.iter().sum::<f64>() / (3 * count) as f64;
            let unit = if largest <= LARGEST_UNIT { 1.0 / 255.0 } else { 1.0 };
            let apart = mean_difference(blue, green).max(mean_difference(green, red));
            if apart < COLORLESS * unit {
                statistics.gray += 1;
            } else if brightness(blue, side_px) < brightness(red, side_px) {
                statistics.redder += 1;
            }
        }
        statistics
    }

    fn colored(&self) -> usize {
        self.images - self.gray
    }
}

/// Finds pixels of 0 to 1 or -1 to 1 where the base expects 0 to 255.
pub fn value_range(statistics: &PixelStatistics) -> Outcome {
    let PixelStatistics { smallest, largest, .. } = *statistics;
    let what = "largest pixel, channel means added back (expected up to 255)";
    let measurement = Measurement::at_least(what, largest.into(), (2.0 * LARGEST_UNIT).into());
    Outcome::judge(Check::ValueRange, measurement, || {
        let range = if smallest < -0.01 { "-1 to 1" } else { "0 to 1" };
        (
            Level::Error,
            format!(
                "The pixels lie in {range} ({smallest:.2} to {largest:.2}) and the base expects 0 \
                 to 255: after its means are taken away every photograph is the same dark gray."
            ),
            Remedy::advice(
                "Do not divide by 255: give photographs as 0 to 255, as `cargo xtask prepare` does.",
            ),
        )
    })
}

/// Finds means that were taken away twice, or not at all.
///
/// Photographs are stored as 0 to 255, where what a subtraction left below 0 has become 0: a middle
/// that is black in large part has lost its means before it came here.
pub fn mean_subtraction(statistics: &PixelStatistics) -> Outcome {
    let PixelStatistics { smallest, largest, .. } = *statistics;
    let is_pixels = (SMALLEST_PIXEL..=LARGEST_PIXEL).contains(&smallest)
        && (2.0 * LARGEST_UNIT..=LARGEST_PIXEL).contains(&largest);
    if is_pixels && BLACK_SHARE < statistics.black {
        return stored_without_means(statistics.black);
    }
    let below = SMALLEST_PIXEL - smallest;
    let above = largest - LARGEST_PIXEL;
    let what = "gray levels by which pixels leave 0 to 255, channel means added back";
    let measurement = Measurement::at_most(what, below.max(above).max(0.0).into(), 0.0);
    Outcome::judge(Check::MeanSubtraction, measurement, || {
        let words = if above < below {
            format!("Pixels reach down to {smallest:.0}: the channel means were taken away twice.")
        } else {
            format!("Pixels reach up to {largest:.0}: the channel means were not taken away.")
        };
        (
            Level::Error,
            words,
            Remedy::advice(
                "Give photographs as 0 to 255; the means are taken away once, on reading.",
            ),
        )
    })
}

/// Judges the share of the middle's pixels that are 0.
fn stored_without_means(black: f64) -> Outcome {
    let what = "share of pixels that are 0, in the middle of photographs";
    let measurement = Measurement::at_most(what, black, BLACK_SHARE);
    Outcome::judge(Check::MeanSubtraction, measurement, || {
        (
            Level::Error,
            format!(
                "{} of the pixels in the middle of photographs are 0: the channel means were taken \
                 away before the photographs were stored, and will be again.",
                percent(black)
            ),
            Remedy::advice(
                "Give photographs as they were taken; the means are taken away once, on reading.",
            ),
        )
    })
}

/// Finds red and blue exchanged, by the color of skin; silent about photographs without color.
pub fn channel_order(statistics: &PixelStatistics) -> Outcome {
    let check = Check::ChannelOrder;
    let colored = statistics.colored();
    if colored < ENOUGH_COLORED {
        return Outcome::skipped(
            check,
            format!("{colored} photographs with color, {ENOUGH_COLORED} are needed"),
        );
    }
    let share = statistics.redder as f64 / colored as f64;
    let what = "share of photographs that are redder than blue in their middle";
    Outcome::judge(check, Measurement::at_least(what, share, REDDER_SHARE), || {
        // How far the share lies below a half, in standard errors of a fair coin.
        let errors = (0.5 - share) / (0.25 / colored as f64).sqrt();
        let (level, certainty) =
            if errors < 3.0 { (Level::Note, "perhaps") } else { (Level::Error, "almost surely") };
        (
            level,
            format!(
                "{} of {colored} photographs are redder than blue in their middle, and skin \
                 is: red and blue are {certainty} exchanged ({errors:.1} standard errors).",
                percent(share)
            ),
            Remedy::advice(
                "Prepare photographs as RGB (OpenCV reads BGR), or convert the weights with `--pixels`.",
            ),
        )
    })
}

/// Finds images that are all but the same.
pub fn constant_images(statistics: &PixelStatistics) -> Outcome {
    let check = Check::ConstantImages;
    if statistics.images < ENOUGH_IMAGES {
        return Outcome::skipped(
            check,
            format!("{} images, {ENOUGH_IMAGES} are needed", statistics.images),
        );
    }
    let what = "standard deviation of a pixel across images, in gray levels";
    let measurement = Measurement::at_least(what, statistics.deviation, SMALLEST_DEVIATION);
    Outcome::judge(check, measurement, || {
        (
            Level::Error,
            "All images are nearly the same to the network, so it gives the same answer to all."
                .to_owned(),
            Remedy::advice(
                "Look at the prepared photographs: are they of 0 to 255, and of different people?",
            ),
        )
    })
}

/// Notes photographs without color.
pub fn gray_images(statistics: &PixelStatistics) -> Outcome {
    let share = statistics.gray as f64 / statistics.images as f64;
    let measurement = Measurement::at_most("share of photographs without color", share, GRAY_SHARE);
    Outcome::judge(Check::GrayImages, measurement, || {
        (
            Level::Note,
            format!(
                "{} of the photographs have no color, and the base was trained on color.",
                percent(share)
            ),
            Remedy::advice("Use the photographs in color if there are such."),
        )
    })
}

/// The standard deviation of each value across images, in the mean.
fn deviation(images: &[f32], floats: usize) -> f64 {
    let count = (images.len() / floats) as f64;
    let mut sums = vec![(0.0_f64, 0.0_f64); floats];
    for image in images.chunks_exact(floats) {
        for ((sum, squares), &value) in sums.iter_mut().zip(image) {
            *sum += f64::from(value);
            *squares += f64::from(value).powi(2);
        }
    }
    let deviations = sums.iter().map(|(sum, squares)| {
        let mean = sum / count;
        (squares / count - mean * mean).max(0.0).sqrt()
    });
    deviations.sum::<f64>() / floats as f64
}

fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(smallest, largest), &value| {
        (smallest.min(value), largest.max(value))
    })
}

fn mean_difference(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).sum::<f32>() / one.len() as f32
}

/// The middle half of rows and columns, where a face is.
fn middle(channel: &[f32], side_px: usize) -> impl Iterator<Item = f32> {
    let middle = side_px / 4..side_px - side_px / 4;
    let rows = channel.chunks_exact(side_px).skip(middle.start).take(middle.len());
    rows.flat_map(move |row| row[middle.clone()].iter().copied())
}

fn brightness(channel: &[f32], side_px: usize) -> f32 {
    middle(channel, side_px).sum()
}

/// The share of the middle's pixels that are 0; the means that are added back round a little.
fn black(channel: &[f32], side_px: usize) -> f64 {
    let black = middle(channel, side_px).filter(|pixel| pixel.abs() < 0.5).count();
    black as f64 / middle(channel, side_px).count() as f64
}

#[cfg(test)]
mod tests {
    use preprocess::Normalization;

    use super::*;

    const SIDE: usize = 4;
    fn means() -> [f32; 3] {
        Normalization::VggfaceV1.bgr_means()
    }

    /// Images of one color each, from dark to bright, with a black and a white corner.
    fn pixels(images: u8, bgr: [f32; 3]) -> Vec<f32> {
        let mut pixels = Vec::new();
        for image in 0..images {
            let brightness = 0.4 + 0.6 * f32::from(image) / f32::from(images);
            for channel in bgr {
                let mut plane = vec![channel * brightness; SIDE * SIDE];
                (plane[0], plane[15]) = (0.0, 255.0);
                pixels.extend(plane);
            }
        }
        pixels
    }

    fn statistics(pixels: &[f32], change: impl Fn(f32, f32) -> f32) -> PixelStatistics {
        let normalized: Vec<f32> = pixels
            .iter()
            .enumerate()
            .map(|(place, &pixel)| change(pixel, means()[place / (SIDE * SIDE) % 3]))
            .collect();
        PixelStatistics::of(&normalized, SIDE, means())
    }

    const SKIN: [f32; 3] = [92.0, 112.0, 180.0];

    fn found(statistics: &PixelStatistics) -> Vec<Check> {
        [value_range, mean_subtraction, channel_order, constant_images, gray_images]
            .iter()
            .filter_map(|check| check(statistics).finding().map(|finding| finding.check))
            .collect()
    }

    #[test]
    fn sound_pixels_are_silent() {
        assert_eq!(found(&statistics(&pixels(30, SKIN), |p, m| p - m)), []);
    }

    #[test]
    fn pixels_up_to_one_are_found() {
        let unit = statistics(&pixels(30, SKIN), |p, m| p / 255.0 - m);
        assert_eq!(found(&unit), [Check::ValueRange, Check::ConstantImages]);
        let around_zero = statistics(&pixels(30, SKIN), |p, m| p / 127.5 - 1.0 - m);
        let outcome = value_range(&around_zero);
        assert!(outcome.finding().unwrap().verdict.contains("-1 to 1"));
    }

    #[test]
    fn means_taken_twice_or_never_are_found() {
        let words = |change: fn(f32, f32) -> f32| {
            let outcome = mean_subtraction(&statistics(&pixels(30, SKIN), change));
            outcome.finding().unwrap().verdict.clone()
        };
        assert!(words(|p, m| p - 2.0 * m).contains("twice"));
        assert!(words(|p, _| p).contains("not taken away"));
    }

    #[test]
    fn photographs_that_were_stored_without_their_means_are_found() {
        let stored = statistics(&pixels(30, SKIN), |p, m| (p - m).max(0.0) - m);
        let outcome = mean_subtraction(&stored);
        assert!(outcome.finding().unwrap().verdict.contains("before the photographs were stored"));
    }

    #[test]
    fn exchanged_channels_are_found_with_their_certainty() {
        let [blue, green, red] = SKIN;
        let exchanged = statistics(&pixels(30, [red, green, blue]), |p, m| p - m);
        assert_eq!(found(&exchanged), [Check::ChannelOrder]);
        let outcome = channel_order(&exchanged);
        let finding = outcome.finding().unwrap();
        assert!(finding.verdict.contains("almost surely") && finding.level == Level::Error);
        let unsure = PixelStatistics { redder: 13, ..exchanged };
        assert_eq!(channel_order(&unsure).finding().unwrap().level, Level::Note);
        let sure = PixelStatistics { redder: 16, ..unsure };
        assert!(channel_order(&sure).finding().is_none());
    }

    #[test]
    fn gray_photographs_say_nothing_of_channels() {
        let gray = statistics(&pixels(30, [120.0; 3]), |p, m| p - m);
        assert!(matches!(channel_order(&gray), Outcome::Skipped { .. }));
        assert_eq!(found(&gray), [Check::GrayImages]);
    }

    #[test]
    fn equal_images_are_found_and_few_are_skipped() {
        let one = pixels(1, SKIN);
        let equal = statistics(&one.repeat(8), |p, m| p - m);
        assert!(constant_images(&equal).finding().is_some());
        let few = statistics(&one.repeat(7), |p, m| p - m);
        assert!(matches!(constant_images(&few), Outcome::Skipped { .. }));
    }
}
