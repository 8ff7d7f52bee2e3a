//! What looks wrong in converted numbers, in words. Every finding is a warning: the file has been
//! converted as it is.

use crate::{Converted, Pixels};

/// What is measured of a parameter while it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Statistics {
    /// Mean of the values.
    pub(crate) mean: f64,
    /// Their standard deviation, from that mean.
    pub(crate) standard_deviation: f64,
    /// The largest of their absolute values.
    largest: f32,
    /// Sums of squares of `conv1_1.weight` over each input channel: blue, green, red.
    channels: [f64; 3],
}

impl Statistics {
    /// Values that are as long as any when they are printed.
    pub(crate) const LONGEST: Self = Self {
        mean: -f64::MIN_POSITIVE,
        standard_deviation: -f64::MIN_POSITIVE,
        largest: 0.0,
        channels: [0.0; 3],
    };

    /// Of values in any order.
    pub(crate) fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
        let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        Self { mean, standard_deviation: (squares / count).sqrt(), largest, channels: [0.0; 3] }
    }

    /// Adds some kernels of `conv1_1.weight`, `(out, 3, 3, 3)`.
    pub(crate) fn add_channels(&mut self, kernels: &[f32]) {
        for (place, channel) in kernels.chunks_exact(9).enumerate() {
            let squares: f64 = channel.iter().map(|&weight| f64::from(weight).powi(2)).sum();
            self.channels[place % 3] += squares;
        }
    }
}

/// Standard deviations between which weights of trained VGGs lie, with ample room on both sides:
/// Keras's VGG16 for ImageNet has 0.0076 to 0.207 in its convolutions, and torchvision's `conv1_1`
/// is 57 times smaller once it takes pixels of 255.
const USUAL_STANDARD_DEVIATIONS: std::ops::Range<f64> = 2e-4..2.0;

/// How much more the first channel must weigh than the third to look like red: in Keras's VGG16
/// for ImageNet, whose first is blue, it weighs 0.79 times as much.
const LOOKS_RED: f64 = 1.1;

/// How many kernels it takes for their channels to tell anything.
const ENOUGH_KERNELS: usize = 32;

/// What looks wrong in a source whose network was taken to take these pixels.
pub(crate) fn of(converted: &[(Converted, Statistics)], pixels: Pixels) -> Vec<String> {
    let mut findings: Vec<String> =
        converted.iter().filter_map(|(line, statistics)| of_weights(line, statistics)).collect();
    findings.extend(converted.first().and_then(|(line, it)| channel_order(line, it, pixels)));
    let has = |layer: &str| converted.iter().any(|(line, _)| line.name.starts_with(layer));
    if has("fc6") && !has("fc8") {
        findings.push(
            "fc6 is there and fc8 is not: is the file complete? (A Caffe model that was cut short \
             between two layers looks like a smaller one.)"
                .to_owned(),
        );
    }
    findings.extend(side(converted));
    let mut biases = converted.iter().filter(|(line, _)| !is_weight(line));
    if biases.all(|(_, statistics)| statistics.largest == 0.0) {
        findings.push(
            "all biases are zero, as in a network that has never been trained: are these weights \
             initial values?"
                .to_owned(),
        );
    }
    findings
}

/// Whether a parameter is a weight, and not a bias, which has a single axis.
fn is_weight(line: &Converted) -> bool {
    1 < line.shape.len()
}

/// Of one layer's weights.
fn of_weights(line: &Converted, statistics: &Statistics) -> Option<String> {
    if !is_weight(line) {
        return None;
    }
    if statistics.largest == 0.0 {
        return Some(format!("{} is zero throughout: it passes nothing on", line.name));
    }
    let deviation = statistics.standard_deviation;
    (!USUAL_STANDARD_DEVIATIONS.contains(&deviation)).then(|| {
        format!(
            "{} has a standard deviation of {deviation:.1e}, where trained VGGs have {:.0e} to \
             {:.0}: was it scaled, or never trained?",
            line.name, USUAL_STANDARD_DEVIATIONS.start, USUAL_STANDARD_DEVIATIONS.end
        )
    })
}

/// Of the size of images that the first dense layer takes, where the network is VGG16's size.
fn side(converted: &[(Converted, Statistics)]) -> Option<String> {
    let shape = |name: &str| {
        let found = converted.iter().find(|(line, _)| line.name == name);
        found.map(|(line, _)| line.shape.as_slice())
    };
    let (channels, first) = (shape("conv5_3.bias")?, shape("fc6.weight").or(shape("fc8.weight"))?);
    let (&[channels], &[_, features]) = (channels, first) else { return None };
    let side_px = (features / channels).isqrt() * 32;
    (ENOUGH_KERNELS <= channels && side_px != 224).then(|| {
        format!(
            "its first dense layer takes images of {side_px} px, and not of VGG16's 224: was pool5 \
             averaged, padded or dilated before it? Then only the convolutions are right, which \
             `--base-only` keeps"
        )
    })
}

/// Of the channels that `conv1_1` looks at.
fn channel_order(line: &Converted, statistics: &Statistics, pixels: Pixels) -> Option<String> {
    let [blue, _, red] = statistics.channels;
    let looks_red = ENOUGH_KERNELS <= line.shape[0] && LOOKS_RED * red < blue;
    looks_red.then(|| {
        format!(
            "conv1_1 looks {:.2} times as much at its first channel as at its third, as if the \
             first were red and not blue: was the source taken for {pixels} and takes {}? Say so \
             with `--pixels`",
            blue / red,
            if pixels == Pixels::Bgr { Pixels::Rgb } else { Pixels::Bgr },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, values: &[f32]) -> (Converted, Statistics) {
        let statistics = Statistics::of(values);
        let line = Converted {
            source_name: name.to_owned(),
            name: name.to_owned(),
            shape: if name.contains("bias") { vec![64] } else { vec![64, values.len() / 64] },
            mean: statistics.mean,
            standard_deviation: statistics.standard_deviation,
        };
        (line, statistics)
    }

    /// Kernels of `conv1_1` with these weights for each channel, and a bias.
    fn conv1_1(channels: [f32; 3]) -> Vec<(Converted, Statistics)> {
        let kernel: Vec<f32> = channels
            .iter()
            .flat_map(|&weight| (0..9_i16).map(move |it| weight * f32::from(it - 4)))
            .collect();
        let (line_of_kernel, mut statistics) = line("conv1_1.weight", &kernel.repeat(64));
        statistics.add_channels(&kernel.repeat(64));
        vec![(line_of_kernel, statistics), line("conv1_1.bias", &[0.5; 64])]
    }

    #[test]
    fn moments_are_those_of_the_population() {
        let statistics = Statistics::of(&[1.0, 3.0]);
        assert_eq!((statistics.mean, statistics.standard_deviation), (2.0, 1.0));
    }

    #[test]
    fn usual_weights_give_no_findings() {
        assert_eq!(of(&conv1_1([0.1, 0.2, 0.13]), Pixels::Bgr), Vec::<String>::new());
    }

    #[test]
    fn reversed_channels_are_found() {
        let findings = of(&conv1_1([0.13, 0.2, 0.1]), Pixels::Bgr);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("1.69 times") && findings[0].contains("bgr and takes rgb?"));
    }

    #[test]
    fn zeros_and_unusual_scales_are_found() {
        let mut lines = conv1_1([0.1, 0.2, 0.13]);
        lines.push(line("conv1_2.weight", &[0.0; 128]));
        lines.push(line("conv2_1.weight", &[1e-6, -1e-6].repeat(64)));
        lines.push(line("conv2_2.weight", &[30.0, -30.0].repeat(64)));
        let findings = of(&lines, Pixels::Bgr);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].contains("conv1_2.weight is zero throughout"));
        assert!(findings[1].contains("1.0e-6") && findings[2].contains("3.0e1"), "{findings:?}");
    }

    #[test]
    fn heads_without_an_end_are_found() {
        let mut lines = conv1_1([0.1, 0.2, 0.13]);
        lines.push(line("fc6.weight", &[0.1, -0.1].repeat(64)));
        assert!(of(&lines, Pixels::Bgr)[0].contains("fc8 is not"));
        lines.push(line("fc8.weight", &[0.1, -0.1].repeat(64)));
        assert_eq!(of(&lines, Pixels::Bgr), Vec::<String>::new());
    }

    #[test]
    fn heads_behind_something_else_than_pool5_are_found() {
        let with = |features: usize| {
            let mut lines = conv1_1([0.1, 0.2, 0.13]);
            lines.push(line("conv5_3.bias", &[0.5; 64]));
            let mut fc8 = line("fc8.weight", &[0.1, -0.1].repeat(64));
            fc8.0.shape = vec![9, features];
            lines.push(fc8);
            of(&lines, Pixels::Bgr)
        };
        assert_eq!(with(64 * 49), Vec::<String>::new());
        assert!(with(64)[0].contains("images of 32 px"), "{:?}", with(64));
    }

    #[test]
    fn untrained_biases_are_found() {
        let mut lines = conv1_1([0.1, 0.2, 0.13]);
        lines[1] = line("conv1_1.bias", &[0.0; 64]);
        assert!(of(&lines, Pixels::Bgr)[0].contains("never been trained"));
    }

    #[test]
    fn longest_statistics_are_as_long_as_any() {
        let length = |value: f64| format!("{value:.6e}").len();
        for value in [f64::MAX, -f64::MAX, -1.0 / 3.0, 0.0, -f64::MIN_POSITIVE] {
            assert!(length(value) <= length(Statistics::LONGEST.mean));
        }
    }
}
