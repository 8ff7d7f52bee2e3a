//! What the frozen base can do alone, beside what a run comes to.

use std::fs;

use train::training::{Interrupt, run};

use crate::support::{Bench, narrow};

const WHOLE: &str = r#"
[[stage]]
name = "all"
train = ["conv*", "fc8"]
epochs = 1
optimizer = { kind = "sgd", learning_rate = 1e-5, momentum = 0.9 }
"#;

const HEAD: &str = r#"
[[stage]]
name = "probe"
freeze = ["conv*"]
train = ["fc8"]
epochs = 1
optimizer = { kind = "adam", learning_rate = 1e-4 }
"#;

#[test]
fn a_run_without_kept_features_has_its_baselines_once_another_has_kept_them() {
    let bench = Bench::new(3, 5);
    let whole = bench.config(&narrow("linear", WHOLE), "whole");
    let never = Interrupt::default();
    let before = run(&whole, &never).unwrap();
    assert_eq!((before.baselines.nearest_mean, before.baselines.linear_probe), (None, None));
    let page = || fs::read_to_string(whole.out.join("report.html")).unwrap();
    assert!(page().contains("its features are not kept"));

    let probe = run(&bench.config(&narrow("linear", HEAD), "probe"), &never).unwrap();
    assert!(probe.baselines.nearest_mean.is_some() && probe.baselines.linear_probe.is_some());

    // The same command trains nothing more, and finds them out.
    let after = run(&whole, &never).unwrap();
    assert_eq!(after.baselines, probe.baselines);
    for (before, after) in before.folds.iter().zip(&after.folds) {
        let known = train::run::FoldSummary {
            nearest_mean_accuracy: after.nearest_mean_accuracy,
            linear_probe_accuracy: after.linear_probe_accuracy,
            ..before.clone()
        };
        assert_eq!(after, &known);
    }
    assert!(page().contains(">ridge probe "), "{}", page());
    // And they stay.
    assert_eq!(run(&whole, &never).unwrap(), after);
}
