use std::num::NonZeroUsize;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::setting::{Factor, RateDivisor, RateShare, RisingShare};

#[derive(Deserialize)]
struct Golden {
    epochs: NonZeroUsize,
    steps_per_epoch: NonZeroUsize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    tool: String,
    warmup: Option<Warmup>,
    schedule: Option<Schedule>,
    factors: Vec<f64>,
}

fn count(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

fn warmup(text: &str) -> Result<Warmup, toml::de::Error> {
    toml::from_str(text)
}

fn schedule(text: &str) -> Result<Schedule, toml::de::Error> {
    toml::from_str(text)
}

fn factors(rates: &Rates, steps: usize) -> Vec<f64> {
    (1..=steps).map(|step| rates.factor(step)).collect()
}

#[test]
fn factors_are_those_of_pytorch_and_keras() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/schedules.json")).unwrap();
    let steps = golden.epochs.get() * golden.steps_per_epoch.get();
    assert_eq!(golden.cases.len(), 9);
    for Case { tool, warmup, schedule, factors } in golden.cases {
        let rates = Rates::new(warmup, schedule, golden.steps_per_epoch, golden.epochs).unwrap();
        let tolerance = match tool.as_str() {
            // Factors are followed from step to step in f64: a rounding of each of 42 adds up.
            "torch" => 1e-14,
            // Rates are f32, and so is the cosine: a few roundings of values of at most 1.
            "keras" => 4.0 * f64::from(f32::EPSILON),
            other => panic!("{other}"),
        };
        assert_eq!(factors.len(), steps);
        for (step, expected) in (1..).zip(factors) {
            let difference = (rates.factor(step) - expected).abs();
            assert!(
                difference <= tolerance,
                "{tool}, {warmup:?}, {schedule:?}, step {step}: {difference:e} off {expected}"
            );
        }
    }
}

#[test]
fn without_warmup_and_schedule_the_rate_stays() {
    let rates = Rates::new(None, None, count(3), count(2)).unwrap();
    assert_eq!(factors(&rates, 6), [1.0; 6]);
}

#[test]
fn steps_and_epochs_say_the_same() {
    let of = |text: &str| Rates::new(Some(warmup(text).unwrap()), None, count(7), count(3));
    assert_eq!(of("epochs = 2"), of("steps = 14"));
    assert_ne!(of("epochs = 2"), of("steps = 13"));
}

#[test]
fn a_stage_that_warms_up_decays_by_the_epochs_of_the_stage() {
    let decay = schedule("kind = \"step\"\nevery_epochs = 1\nfactor = 0.5").unwrap();
    let warm = warmup("steps = 2\nstart_factor = 0.5").unwrap();
    let rates = Rates::new(Some(warm), Some(decay), count(3), count(2)).unwrap();
    assert_eq!(factors(&rates, 6), [0.5, 0.75, 1.0, 0.5, 0.5, 0.5]);
}

#[test]
fn steps_outside_the_stage_have_the_factor_of_its_ends() {
    let cosine = schedule("kind = \"cosine\"").unwrap();
    let rates = Rates::new(None, Some(cosine), count(3), count(2)).unwrap();
    assert_eq!(rates.factor(0).to_bits(), rates.factor(1).to_bits());
    assert_eq!(rates.factor(1000).to_bits(), rates.factor(6).to_bits());
    assert!(rates.factor(6) < rates.factor(5));
}

#[test]
fn what_does_not_fit_a_stage_is_refused() {
    let cycle = schedule("kind = \"one-cycle\"").unwrap();
    let warm = warmup("epochs = 2").unwrap();
    let error = Rates::new(Some(warm), None, count(5), count(2)).unwrap_err();
    assert_eq!(error, RatesError::WarmupTooLong { warmup_steps: 10, steps: 10 });
    let error = Rates::new(Some(warm), Some(cycle), count(5), count(3)).unwrap_err();
    assert_eq!(error, RatesError::TwoRises);
    let error = Rates::new(None, Some(cycle), count(1), count(1)).unwrap_err();
    assert_eq!(error, RatesError::CycleTooShort { steps: 1 });
}

#[test]
fn writes_what_it_reads() {
    for text in ["epochs = 1", "steps = 500", "epochs = 2\nstart_factor = 0"] {
        let config = warmup(text).unwrap();
        assert_eq!(warmup(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
    for text in [
        "kind = \"cosine\"",
        "kind = \"cosine\"\nfinal = 0.01",
        "kind = \"one-cycle\"",
        "kind = \"one-cycle\"\npct_start = 0.25\ndiv_factor = 10\nfinal_div_factor = 100",
        "kind = \"step\"\nevery_epochs = 3\nfactor = 0.1",
    ] {
        let config = schedule(text).unwrap();
        assert_eq!(schedule(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
    assert_eq!(
        schedule("kind = \"cosine\"").unwrap(),
        schedule("kind = \"cosine\"\nfinal = 0").unwrap()
    );
}

#[test]
fn what_is_misspelled_or_out_of_range_is_refused_by_name() {
    for (text, named) in [
        ("kind = \"cosine\"\nalpha = 0.1", "`alpha`"),
        ("kind = \"cosine\"\nfinal = 1.5", "`final`"),
        ("kind = \"one-cycle\"\nmax_lr = 0.1", "`max_lr`"),
        ("kind = \"one-cycle\"\npct_start = 1.0", "`pct_start`"),
        ("kind = \"one-cycle\"\ndiv_factor = 0.5", "`div_factor`"),
        ("kind = \"step\"\nfactor = 0.1", "`every_epochs`"),
        ("kind = \"step\"\nevery_epochs = 2\nfactor = 1.0", "`factor`"),
        ("kind = \"step\"\nevery_epochs = 0\nfactor = 0.1", "nonzero"),
        ("kind = \"cyclic\"", "`cyclic`"),
    ] {
        let error = schedule(text).unwrap_err();
        assert!(error.message().contains(named), "{text}: {error}");
    }
    for (text, named) in [
        ("epochs = 1\nsteps = 2", "one of `steps` and `epochs`"),
        ("start_factor = 0.1", "one of `steps` and `epochs`"),
        ("steps = 0", "nonzero"),
        ("epochs = 1\nstart_factor = -0.1", "`start_factor`"),
        ("epoch = 1", "`epoch`"),
    ] {
        let error = warmup(text).unwrap_err();
        assert!(error.message().contains(named), "{text}: {error}");
    }
}

fn schedules() -> impl Strategy<Value = Option<Schedule>> {
    let share = |value| RateShare::new(value).unwrap();
    let divisor = |value| RateDivisor::new(value).unwrap();
    prop_oneof![
        Just(None),
        (0.0..=1.0_f64)
            .prop_map(move |value| Some(Schedule::Cosine(Cosine { final_share: share(value) }))),
        (0.01..0.99_f64, 1.0..50.0_f64, 1.0..1e5_f64).prop_map(move |(rising, first, last)| {
            Some(Schedule::OneCycle(OneCycle {
                pct_start: RisingShare::new(rising).unwrap(),
                div_factor: divisor(first),
                final_div_factor: divisor(last),
            }))
        }),
        (1..5_usize, 0.01..0.99_f64).prop_map(|(every, factor)| {
            Some(Schedule::Step(StepDecay {
                every_epochs: count(every),
                factor: Factor::new(factor).unwrap(),
            }))
        }),
    ]
}

proptest! {
    #[test]
    fn factors_stay_in_range_and_rise_before_they_fall(
        schedule in schedules(),
        warmup_steps in 0..40_usize,
        start in 0.0..=1.0_f64,
        steps_per_epoch in 1..20_usize,
        epochs in 1..12_usize,
    ) {
        let warmup = NonZeroUsize::new(warmup_steps).map(|steps| Warmup {
            duration: Duration::Steps(steps),
            start_factor: RateShare::new(start).unwrap(),
        });
        let steps = steps_per_epoch * epochs;
        let Ok(rates) = Rates::new(warmup, schedule, count(steps_per_epoch), count(epochs)) else {
            let is_cycle = matches!(schedule, Some(Schedule::OneCycle(_)));
            prop_assert!(steps <= warmup_steps || is_cycle && (warmup.is_some() || steps < 2));
            return Ok(());
        };
        let factors = factors(&rates, steps);
        prop_assert!(factors.iter().all(|factor| (0.0..=1.0).contains(factor)), "{factors:?}");
        if !matches!(schedule, Some(Schedule::Step(_))) {
            // Rounding of values of at most 1.
            let falls = |pair: &[f64]| pair[1] < pair[0] - 1e-15;
            let top = factors.windows(2).position(falls).unwrap_or(steps - 1);
            let rises = |pair: &[f64]| pair[1] > pair[0] + 1e-15;
            prop_assert!(!factors[top..].windows(2).any(rises), "{factors:?}");
        }
    }

    #[test]
    fn factors_are_continuous_where_a_rise_ends(
        schedule in schedules(),
        warmup_steps in 50..200_usize,
        start in 0.0..=1.0_f64,
    ) {
        // A step decay jumps, as it should.
        if matches!(schedule, Some(Schedule::Step(_))) {
            return Ok(());
        }
        let warmup = match schedule {
            Some(Schedule::OneCycle(_)) => None,
            _ => Some(Warmup {
                duration: Duration::Steps(count(warmup_steps)),
                start_factor: RateShare::new(start).unwrap(),
            }),
        };
        let steps = 10_000;
        let rates = Rates::new(warmup, schedule, count(steps / 10), count(10)).unwrap();
        for pair in factors(&rates, steps).windows(2) {
            // A straight rise over at least 50 steps, or half a wave over at least 99.
            prop_assert!((pair[1] - pair[0]).abs() <= 1.0 / 49.0, "{pair:?}");
        }
    }
}
