//! What the quickstart promises: fine-tuning the base that is shipped beats random weights.

use std::path::Path;

use train::{
    recipe::Recipe,
    training::{Config, Interrupt, WeightsChoice, run},
};

use crate::support::Bench;

#[test]
fn the_shipped_base_beats_random_weights() {
    let bench = Bench::empty();
    bench.prepare_at("data", 64, 20, 15);
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("base/synthetic-narrow.safetensors");
    let accuracy = |weights: WeightsChoice, out: &str| {
        let mut recipe = Recipe::builtin("two-stage").unwrap();
        recipe.widths = Some([16, 24, 48, 72, 72]);
        let config = Config { weights, recipe, ..bench.config_of("two-stage", out) };
        run(&config, &Interrupt::default()).unwrap().accuracy.mean
    };
    let tuned = accuracy(WeightsChoice::File(base), "tuned");
    let random = accuracy(WeightsChoice::Random, "random");
    // Measured: 63.67 % and 9.67 %, with standard errors of 1.76 % and 2.03 %; chance is 5 %.
    assert!(tuned > 0.55, "{tuned}");
    assert!(random < 0.2, "{random}");
}
