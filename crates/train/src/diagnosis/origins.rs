//! Where the weights come from, and whether those from a file look trained.

use std::collections::BTreeSet;

use super::{
    check::Check,
    finding::{Level, Measurement, Outcome, Remedy, percent},
};

/// Where a layer's first values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file of weights.
    File,
    /// An initializer.
    New,
}

/// The blocks that start from an initializer; all others start from a file.
#[derive(Debug, Clone, Default)]
pub struct NewBlocks(BTreeSet<String>);

impl NewBlocks {
    /// Those of these parameters, `conv5_1.weight` or `fc8.bias`.
    pub fn of(parameters: &[String]) -> Self {
        Self(parameters.iter().map(|parameter| block_of(parameter).to_owned()).collect())
    }

    /// Where a block starts from.
    pub fn origin(&self, block: &str) -> Origin {
        if self.0.contains(block) { Origin::New } else { Origin::File }
    }
}

/// `conv5` of `conv5_1` and `conv5_1.weight`, `fc6` of `fc6.bias`.
pub(crate) fn block_of(name: &str) -> &str {
    name.split(['_', '.']).next().unwrap_or(name)
}

/// A layer's weights in a few numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// Its name.
    pub name: String,
    /// Where its values come from.
    pub origin: Origin,
    /// Weights and biases.
    pub parameters: usize,
    /// Weights.
    pub weights: usize,
    /// The root of the mean square of the weights.
    pub rms: f64,
    /// The largest absolute weight.
    pub largest: f64,
    /// The fourth central moment over the square of the second: 1.8 for a uniform draw, 2.37 for
    /// Keras's truncated normal, 3 for a normal one.
    pub kurtosis: f64,
    /// The largest absolute bias.
    pub largest_bias: f64,
}

/// Layers with fewer weights have too uncertain a kurtosis.
const ENOUGH_WEIGHTS: usize = 1_000;

/// What the kurtosis of a draw may deviate from its distribution's, at least; see [`tolerance`].
const KURTOSIS_TOLERANCE: f64 = 0.05;

/// The kurtosis of initializers' distributions: normal, and normal cut at two deviations, which is
/// what Keras's `he_normal` and `glorot_normal` draw from.
const NORMAL_KURTOSES: [f64; 2] = [3.0, 2.366];

/// The kurtosis of a uniform distribution.
const UNIFORM_KURTOSIS: f64 = 1.8;

/// The largest value of a uniform draw over its root mean square is the root of 3, 1.732; a trained
/// layer's is above: in VGG16 for ImageNet 3.2 in `conv1_1`, and 6.8 to 44 in the others.
const UNIFORM_LARGEST: f64 = 1.75;

impl LayerWeights {
    /// Measures a layer.
    pub fn of(name: &str, origin: Origin, weights: &[f32], biases: &[f32]) -> Self {
        let count = weights.len().max(1) as f64;
        let moment = |center: f64, power: i32| {
            weights.iter().map(|&w| (f64::from(w) - center).powi(power)).sum::<f64>() / count
        };
        let mean = moment(0.0, 1);
        let variance = moment(mean, 2);
        let largest = |values: &[f32]| values.iter().fold(0.0_f32, |l, v| l.max(v.abs())).into();
        Self {
            name: name.to_owned(),
            origin,
            parameters: weights.len() + biases.len(),
            weights: weights.len(),
            rms: moment(0.0, 2).sqrt(),
            largest: largest(weights),
            kurtosis: moment(mean, 4) / variance.powi(2),
            largest_bias: largest(biases),
        }
    }

    /// Whether it is one of the base's.
    pub fn is_base(&self) -> bool {
        self.name.starts_with("conv")
    }

    /// `conv4` of `conv4_2`.
    pub(crate) fn block(&self) -> &str {
        block_of(&self.name)
    }

    /// Whether its values look like an initializer's draw: uniform, or normal with no bias.
    pub fn looks_drawn(&self) -> bool {
        if self.weights < ENOUGH_WEIGHTS {
            return false;
        }
        let is = |kurtosis: f64| (self.kurtosis - kurtosis).abs() < self.tolerance();
        let is_uniform = is(UNIFORM_KURTOSIS) && self.largest <= UNIFORM_LARGEST * self.rms;
        let is_normal = NORMAL_KURTOSES.into_iter().any(is) && self.largest_bias <= 0.0;
        is_uniform || is_normal
    }

    /// Four standard errors of a normal sample's kurtosis, `sqrt(24 / n)` each.
    fn tolerance(&self) -> f64 {
        KURTOSIS_TOLERANCE.max(4.0 * (24.0 / self.weights as f64).sqrt())
    }
}

/// Finds a base that did not come from the file although there is one.
///
/// Which share of all parameters is from the file is not the number: the question's head alone is
/// seven times the base.
pub fn from_file(layers: &[LayerWeights]) -> Outcome {
    let check = Check::FromFile;
    if layers.iter().all(|layer| layer.origin == Origin::New) {
        return Outcome::skipped(check, "the run starts from random weights, by choice");
    }
    let base: Vec<&LayerWeights> = layers.iter().filter(|layer| layer.is_base()).collect();
    let taken = base.iter().filter(|layer| layer.origin == Origin::File).count();
    let share = taken as f64 / base.len().max(1) as f64;
    let measurement = Measurement::at_least("share of the base's layers from the file", share, 1.0);
    Outcome::judge(check, measurement, || {
        let count = |origin| -> usize {
            layers.iter().filter(|l| l.origin == origin).map(|l| l.parameters).sum()
        };
        let (file, new) = (count(Origin::File), count(Origin::New));
        (
            Level::Error,
            format!(
                "{} of the base's {} layers are not from the weights file but random; of all \
                 parameters {} are from the file.",
                base.len() - taken,
                base.len(),
                percent(file as f64 / (file + new).max(1) as f64)
            ),
            Remedy::command("cargo xtask convert-weights FILE --out FILE.safetensors"),
        )
    })
}

/// Finds a random base, above all one that no stage trains. `trained_base_layers` counts the
/// base's layers that some stage trains, `train_images` what a fold learns from.
pub fn random_base(
    layers: &[LayerWeights],
    trained_base_layers: usize,
    train_images: usize,
) -> Outcome {
    let base: Vec<&LayerWeights> = layers.iter().filter(|layer| layer.is_base()).collect();
    let random = base.iter().filter(|layer| layer.origin == Origin::New).count();
    let measurement = Measurement::at_most("random layers of the base", random as f64, 0.0);
    Outcome::judge(Check::RandomBase, measurement, || {
        let frozen = base.len().saturating_sub(trained_base_layers);
        let (level, words) = if frozen == 0 {
            let words = format!(
                "learns from scratch, from {train_images} photographs (VGGFace's has learned from 2.6 \
                 million)"
            );
            (Level::Warning, words)
        } else {
            let words = "stays frozen, at least in part: it never learns to see faces".to_owned();
            (Level::Error, words)
        };
        (
            level,
            format!("The base starts from random weights and {words}."),
            Remedy::advice(
                "Give `--weights FILE.safetensors`, made by `cargo xtask convert-weights`.",
            ),
        )
    })
}

/// Finds layers of the base from the file that were never trained.
pub fn initializer_like(layers: &[LayerWeights]) -> Outcome {
    let check = Check::InitializerLike;
    // A head that was trained for a few epochs still looks as it was drawn.
    let is_meant = |layer: &&LayerWeights| layer.origin == Origin::File && layer.is_base();
    let from_file: Vec<&LayerWeights> = layers.iter().filter(is_meant).collect();
    if from_file.is_empty() {
        return Outcome::skipped(check, "no layer of the base is from a file");
    }
    let drawn: Vec<&str> = from_file
        .iter()
        .filter(|layer| layer.looks_drawn())
        .map(|layer| layer.name.as_str())
        .collect();
    let measurement =
        Measurement::at_most("layers from the file that look untrained", drawn.len() as f64, 0.0);
    Outcome::judge(check, measurement, || {
        (
            Level::Error,
            format!(
                "{} came from the weights file but {} like an initializer's random draw: the \
                 file is of a network that was never trained, or not with these layers.",
                drawn.join(", "),
                if drawn.len() == 1 { "looks" } else { "look" }
            ),
            Remedy::advice(
                "Get the published weights again (`cargo xtask fetch-weights`) and convert them.",
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use model::{Initializer, ParameterSpec, initial};

    use super::*;

    fn drawn(origin: Origin) -> LayerWeights {
        let spec = ParameterSpec { name: "conv1_2.weight".to_owned(), shape: vec![64, 64, 3, 3] };
        let tensor = initial(&spec, Initializer::GlorotUniform, 42, &Device::Cpu).unwrap();
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        LayerWeights::of("conv1_2", origin, &values, &[0.0; 64])
    }

    /// Cubes of a uniform draw have heavy tails, as trained weights do.
    fn trained() -> LayerWeights {
        let values: Vec<f32> =
            (0..4001_i16).map(|i| (f32::from(i - 2000) / 2000.0).powi(3)).collect();
        LayerWeights::of("conv2_1", Origin::File, &values, &[0.3])
    }

    #[test]
    fn moments_are_those_of_the_population() {
        let layer = LayerWeights::of("fc8", Origin::New, &[1.0, -1.0, 3.0, -3.0], &[-0.5]);
        assert!((layer.rms - 5.0_f64.sqrt()).abs() < 1e-12);
        assert!((layer.kurtosis - 41.0 / 25.0).abs() < 1e-12);
        assert_eq!((layer.parameters, layer.weights), (5, 4));
        assert!((layer.largest_bias - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_draw_from_a_file_is_found_and_trained_weights_are_not() {
        let outcome = initializer_like(&[drawn(Origin::File), trained()]);
        assert!(outcome.finding().unwrap().verdict.starts_with("conv1_2 came"));
        assert!(initializer_like(&[trained()]).finding().is_none());
        assert!(matches!(initializer_like(&[drawn(Origin::New)]), Outcome::Skipped { .. }));
    }

    #[test]
    fn normal_draws_count_only_without_biases() {
        let layer = |kurtosis, largest_bias| LayerWeights {
            weights: 100_000,
            rms: 1.0,
            largest: 4.5,
            kurtosis,
            largest_bias,
            ..trained()
        };
        assert!(layer(3.03, 0.0).looks_drawn());
        assert!(layer(2.37, 0.0).looks_drawn());
        assert!(!layer(3.03, 0.1).looks_drawn());
        // `conv1_1` of VGG16 for ImageNet.
        assert!(!layer(2.71, 2.06).looks_drawn());
        assert!(!layer(3.2, 0.0).looks_drawn());
    }

    #[test]
    fn a_random_base_is_an_error_where_it_stays_frozen() {
        let layers = [drawn(Origin::New)];
        assert_eq!(random_base(&layers, 0, 9).finding().unwrap().level, Level::Error);
        assert_eq!(random_base(&layers, 1, 9).finding().unwrap().level, Level::Warning);
        assert!(random_base(&[trained()], 0, 9).finding().is_none());
    }

    #[test]
    fn a_base_that_is_only_partly_from_the_file_is_found() {
        assert!(from_file(&[trained()]).finding().is_none());
        assert_eq!(
            from_file(&[trained(), drawn(Origin::New)]).finding().unwrap().level,
            Level::Error
        );
        assert!(matches!(from_file(&[drawn(Origin::New)]), Outcome::Skipped { .. }));
    }
}
