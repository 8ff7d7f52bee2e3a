//! Runs that are killed and started again end as if nothing had happened.
#![expect(clippy::print_stdout, reason = "how runs were killed shows with --nocapture")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Bench, narrow, records, trained};
use train::{
    Error,
    run::Record,
    training::{Config, Interrupt, WeightsChoice, run},
};

/// Everything that has a state, and everything random.
const STAGES: &str = r#"
[[stage]]
name = "head"
freeze = ["conv*"]
train = ["fc*"]
epochs = 4
optimizer = { kind = "rmsprop", learning_rate = 1e-3, momentum = 0.5 }
reduce_on_plateau = { monitor = "validation_loss", patience = 1, min_delta = 0.05 }
early_stopping = { monitor = "train_loss", patience = 2, min_delta = 0.1, restore_best_weights = true }

[[stage]]
name = "fine-tune"
freeze = ["conv1_*", "conv2_*", "conv3_*", "conv4_*"]
train = ["conv5_*", "fc*"]
epochs = 3
optimizer = { kind = "adam", learning_rate = 1e-4 }
reduce_on_plateau = { monitor = "train_accuracy", patience = 1 }
augment = { horizontal_flip = true, rotation_degrees = 5.0 }
sampling = "balanced"
mixup = 0.2
warmup = { steps = 2 }
decay_per_block = 0.5
accumulate = 2
weight_averaging = { kind = "ema", momentum = 0.9 }

[[stage]]
name = "open"
freeze = ["conv1_*", "conv2_*"]
train = ["conv*", "fc*"]
epochs = 3
optimizer = { kind = "sgd", learning_rate = 1e-4, momentum = 0.9, l2 = 1e-4, clip = { norm = 1.0 } }
schedule = { kind = "cosine" }
unfreeze = { every_epochs = 1 }
early_stopping = { monitor = "train_loss", patience = 3, restore_best_weights = true }

[[stage]]
name = "average"
freeze = ["conv*"]
train = ["fc*"]
epochs = 3
optimizer = { kind = "sgd", learning_rate = 1e-4, momentum = 0.9 }
schedule = { kind = "one-cycle" }
weight_averaging = { kind = "mean", from_epoch = 2 }
"#;

/// What a recipe may say above its stages.
const SETTINGS: &str = "inner_validation = 0.3\nlabel_smoothing = 0.1\nclass_weights = \"balanced\"\ndropout = 0.3\n\
                        test_time_views = \"flip\"\n";

/// What must be equal to the bit: records without times, weights, predictions, results without times.
#[derive(Debug, PartialEq)]
struct Results {
    records: Vec<Record>,
    weights: Vec<BTreeMap<String, Vec<u32>>>,
    predictions: Vec<String>,
    summary: serde_json::Value,
}

fn results(out: &Path, num_folds: usize) -> Results {
    let without_time = |record| match record {
        Record::Epoch(mut epoch) => {
            epoch.seconds = 0.0;
            epoch.memory_bytes = None;
            Record::Epoch(epoch)
        }
        other => other,
    };
    let text = fs::read_to_string(out.join("summary.json")).unwrap();
    let mut summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    for fold in summary["folds"].as_array_mut().unwrap() {
        fold["seconds"] = 0.into();
    }
    let folds = 0..num_folds;
    let csv = |fold| out.join(format!("fold-{fold:02}/predictions.csv"));
    Results {
        records: records(out).into_iter().map(without_time).collect(),
        weights: folds.clone().map(|fold| trained(out, fold)).collect(),
        predictions: folds.map(|fold| fs::read_to_string(csv(fold)).unwrap()).collect(),
        summary,
    }
}

/// Fails without printing tensors.
fn assert_equal(found: &Results, expected: &Results) {
    for (index, (found, expected)) in found.records.iter().zip(&expected.records).enumerate() {
        assert_eq!(found, expected, "record {index}");
    }
    assert_eq!(found.records.len(), expected.records.len());
    for (fold, (found, expected)) in found.weights.iter().zip(&expected.weights).enumerate() {
        for (name, bits) in expected {
            assert!(&found[name] == bits, "`{name}` of fold {fold} differs");
        }
    }
    assert_eq!(found.predictions, expected.predictions);
    assert_eq!(found.summary, expected.summary);
}

/// The program with the arguments of a configuration.
fn command(config: &Config, recipe: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command
        .args(["--weights", "random", "--folds", "3", "--device", "cpu", "--data"])
        .arg(&config.data)
        .arg("--out")
        .arg(&config.out)
        .arg("--recipe")
        .arg(recipe)
        .args(["--checkpoint-every", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Numbers that look random and are the same every time.
struct Delays(u64);

impl Delays {
    fn next_below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        limit.mul_f64((self.0 >> 40) as f64 / (1_u64 << 24) as f64)
    }
}

/// Kills the run at random moments until it has come to its end, and gives what was there each time:
/// how many records, and whether a checkpoint was being written.
fn killed_until_done(config: &Config, recipe: &Path, whole: Duration) -> Vec<(usize, bool)> {
    let mut delays = Delays(42);
    let mut kills = Vec::new();
    for _ in 0..300 {
        let mut child = command(config, recipe).spawn().unwrap();
        let end = Instant::now() + delays.next_below(whole);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if end <= Instant::now() {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(1));
        };
        if let Some(status) = status {
            let output = child.wait_with_output().unwrap();
            assert!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return kills;
        }
        let lines = fs::read_to_string(config.out.join("metrics.jsonl")).unwrap_or_default();
        let is_torn = (0..3).any(|fold| {
            let folder = fs::read_dir(config.out.join(format!("fold-{fold:02}")));
            folder.is_ok_and(|mut entries| {
                entries.any(|entry| {
                    entry.unwrap().file_name().to_string_lossy().starts_with(".partial")
                })
            })
        });
        kills.push((lines.lines().count(), is_torn));
    }
    panic!("the run has not ended; killed at {kills:?}");
}

fn assert_survives_kills(recipe: &str) {
    let bench = Bench::new(3, 5);
    let path = bench.path("recipe.toml");
    fs::write(&path, recipe).unwrap();
    let whole = bench.config(recipe, "whole");
    let start = Instant::now();
    assert!(command(&whole, &path).output().unwrap().status.success());
    let duration = start.elapsed();
    let killed = bench.config(recipe, "killed");
    let kills = killed_until_done(&killed, &path, duration.mul_f64(0.25));
    println!("killed {} times, at (records, in writing): {kills:?}", kills.len());
    assert!(3 <= kills.len(), "{kills:?}");
    assert_equal(&results(&killed.out, 3), &results(&whole.out, 3));
    // Nothing is left over.
    for fold in 0..3 {
        let names = |out: &Path| -> BTreeSet<_> {
            let folder = fs::read_dir(out.join(format!("fold-{fold:02}"))).unwrap();
            folder.map(|entry| entry.unwrap().file_name()).collect()
        };
        let expected = names(&whole.out);
        assert!(expected.contains(OsStr::new("weights.safetensors")), "{expected:?}");
        assert_eq!(names(&killed.out), expected, "fold {fold}");
    }
}

#[test]
fn a_run_that_is_killed_at_random_ends_bit_equal() {
    assert_survives_kills(&narrow("bottleneck", &format!("{SETTINGS}{STAGES}")));
}

#[test]
fn one_model_through_all_folds_survives_kills_too() {
    let recipe = narrow("bottleneck", STAGES);
    assert_survives_kills(&recipe.replace("per_fold = true", "per_fold = false"));
}

#[test]
fn ctrl_c_loses_no_step() {
    let bench = Bench::new(3, 5);
    let whole = bench.config(&narrow("bottleneck", STAGES), "whole");
    run(&whole, &Interrupt::default()).unwrap();
    let config = bench.config(&narrow("bottleneck", STAGES), "run");
    let mut breaks = 0;
    let mut delays = Delays(7);
    loop {
        let interrupt = Interrupt::default();
        let raised = interrupt.clone();
        let delay = delays.next_below(Duration::from_millis(60));
        let timer = thread::spawn(move || {
            thread::sleep(delay);
            raised.raise();
        });
        let result = run(&config, &interrupt);
        timer.join().unwrap();
        match result {
            Ok(_) => break,
            Err(Error::Interrupted { .. } | Error::InterruptedFeatures) => breaks += 1,
            Err(error) => panic!("{error}"),
        }
    }
    println!("interrupted {breaks} times");
    assert_equal(&results(&config.out, 3), &results(&whole.out, 3));
}

#[test]
fn folds_of_one_model_may_be_trained_one_command_a_fold() {
    let bench = Bench::new(3, 5);
    let recipe = narrow("bottleneck", STAGES).replace("per_fold = true", "per_fold = false");
    let whole = bench.config(&recipe, "whole");
    run(&whole, &Interrupt::default()).unwrap();
    let mut parts = bench.config(&recipe, "parts");
    for fold in 0..3 {
        parts.selected = vec![fold];
        run(&parts, &Interrupt::default()).unwrap();
    }
    assert_equal(&results(&parts.out, 3), &results(&whole.out, 3));
}

#[test]
fn one_model_does_not_go_back_to_before_a_fold_that_is_begun() {
    let bench = Bench::new(3, 5);
    let recipe = narrow("bottleneck", STAGES).replace("per_fold = true", "per_fold = false");
    let mut config = bench.config(&recipe, "run");
    config.selected = vec![1];
    // Features are computed before the first step, and are not wanted here.
    run(&Config { out: bench.path("other"), ..config.clone() }, &Interrupt::default()).unwrap();
    let interrupt = Interrupt::default();
    interrupt.raise();
    assert!(matches!(run(&config, &interrupt), Err(Error::Interrupted { fold: 1 })));
    let all = run(&Config { selected: Vec::new(), ..config.clone() }, &Interrupt::default());
    match all {
        Err(error @ Error::Output { .. }) => {
            assert!(error.to_string().contains("has been in fold 1"), "{error}");
        }
        result => panic!("{result:?}"),
    }
    run(&config, &Interrupt::default()).unwrap();
}

#[test]
fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused() {
    let bench = Bench::new(3, 5);
    let mut config = bench.config(&narrow("bottleneck", STAGES), "run");
    config.checkpoint_every = Duration::ZERO;
    let interrupt = Interrupt::default();
    interrupt.raise();
    // Features are computed before the first step, and are not wanted here.
    run(&Config { selected: vec![1], ..config.clone() }, &Interrupt::default()).unwrap();
    config.selected = vec![0];
    assert!(matches!(run(&config, &interrupt), Err(Error::Interrupted { fold: 0 })));
    let checkpoint = config.out.join("fold-00/checkpoint.safetensors");
    let whole = fs::read(&checkpoint).unwrap();

    let mut other = config.clone();
    other.out = bench.path("other");
    other.seed = 43;
    run(&Config { selected: vec![1], ..other.clone() }, &Interrupt::default()).unwrap();
    fs::create_dir(other.out.join("fold-00")).unwrap();
    fs::write(other.out.join("fold-00/checkpoint.safetensors"), &whole).unwrap();
    match run(&other, &Interrupt::default()) {
        Err(error @ Error::OtherCheckpoint { what: "the seed", .. }) => {
            assert!(error.to_string().contains("42 there, 43 now"), "{error}");
        }
        result => panic!("{result:?}"),
    }

    fs::write(&checkpoint, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(run(&config, &Interrupt::default()), Err(Error::Format { .. })));
    let version = format!("\\\"version\\\":\\\"{}\\\"", env!("CARGO_PKG_VERSION"));
    let is_at = |bytes: &[u8]| bytes == version.as_bytes();
    let at = whole.windows(version.len()).position(is_at).expect("the header has the version");
    let mut of_another = whole.clone();
    let digit = at + version.len() - 3;
    of_another[digit] = if of_another[digit] == b'9' { b'8' } else { of_another[digit] + 1 };
    fs::write(&checkpoint, of_another).unwrap();
    match run(&config, &Interrupt::default()) {
        Err(Error::OtherCheckpoint { what, .. }) => assert_eq!(what, "the program's version"),
        result => panic!("{result:?}"),
    }
    fs::write(&checkpoint, whole).unwrap();
    run(&config, &Interrupt::default()).unwrap();
    assert!(!checkpoint.exists());
}

#[test]
fn what_was_left_as_a_fold_was_finished_goes() {
    let bench = Bench::new(3, 5);
    let fresh = narrow("bottleneck", STAGES);
    let one_model = fresh.replace("per_fold = true", "per_fold = false");
    for (out, recipe, keeps_last) in [("fresh", fresh, false), ("one", one_model, true)] {
        let config = bench.config(&recipe, out);
        let checkpoint =
            |fold: usize| config.out.join(format!("fold-{fold:02}/checkpoint.safetensors"));
        let partial = |fold: usize| config.out.join(format!("fold-{fold:02}/.partial-1"));
        let leave = |fold: usize| {
            fs::write(checkpoint(fold), "of no use").unwrap();
            fs::write(partial(fold), "half").unwrap();
        };
        let is_left = |fold: usize| (checkpoint(fold).exists(), partial(fold).exists());
        let train = |selected| {
            run(&Config { selected, ..config.clone() }, &Interrupt::default()).unwrap();
        };
        train(vec![0, 1]);
        leave(0);
        // Nothing is to be trained, and it goes all the same.
        train(vec![0]);
        assert_eq!((is_left(0), is_left(1)), ((false, false), (keeps_last, false)));
        train(Vec::new());
        leave(2);
        train(Vec::new());
        assert!((0..3).all(|fold| is_left(fold) == (false, false)));
    }
}

#[test]
fn a_run_from_a_weights_file_survives_a_break_too() {
    let bench = Bench::new(3, 5);
    let first = bench.config(&narrow("bottleneck", STAGES), "first");
    run(&first, &Interrupt::default()).unwrap();
    let mut config = bench.config(&narrow("bottleneck", STAGES), "whole");
    config.weights = WeightsChoice::File(first.out.join("fold-00/weights.safetensors"));
    config.recipe.widths = None;
    run(&config, &Interrupt::default()).unwrap();
    let whole = results(&config.out, 3);
    config.out = bench.path("broken");
    let interrupt = Interrupt::default();
    interrupt.raise();
    assert!(run(&config, &interrupt).is_err());
    run(&config, &Interrupt::default()).unwrap();
    assert_equal(&results(&config.out, 3), &whole);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let bench = Bench::new(3, 5);
    let recipe = narrow("bottleneck", &format!("{SETTINGS}{STAGES}"));
    let path = bench.path("recipe.toml");
    fs::write(&path, &recipe).unwrap();
    let with_threads = |threads: &str| {
        let config = Config {
            // Features are computed by each, too.
            features: Some(bench.path(&format!("features-{threads}"))),
            ..bench.config(&recipe, &format!("threads-{threads}"))
        };
        let output = command(&config, &path)
            .arg("--features-dir")
            .arg(config.features.as_ref().unwrap())
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        results(&config.out, 3)
    };
    let one = with_threads("1");
    for threads in ["2", "3", "8"] {
        assert_equal(&with_threads(threads), &one);
    }
}
