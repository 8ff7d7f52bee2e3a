//! The page that a run leaves, and what it does with names.

use std::{fs, path::Path};

use crate::support::{Bench, TWO_STAGES, narrow};
use train::{
    Error,
    report::{FacesShown, Report, write_report},
    training::{Config, Interrupt, run},
};

/// People whose names are markup.
fn bench_with_names() -> Bench {
    let bench = Bench::new(3, 5);
    let faces = bench.path("data-faces");
    let mut people: Vec<_> =
        fs::read_dir(&faces).unwrap().map(|person| person.unwrap().path()).collect();
    people.sort();
    for (person, name) in people.iter().zip(NAMES) {
        fs::rename(person, faces.join(name)).unwrap();
    }
    bench.prepare_again("data", "48".parse().unwrap());
    bench
}

const NAMES: [&str; 3] =
    ["<script>alert(1)", "<img src=x onerror=alert(2)>", "\"}}{{ 7 * 7 }}&amp;'"];

fn page(path: &Path) -> String {
    // Between a number and its unit there is a space that does not break.
    fs::read_to_string(path).unwrap().replace('\u{a0}', " ")
}

fn report(config: &Config, faces: FacesShown) -> Report {
    Report { runs: vec![config.out.clone()], data: None, faces, ended_by: None }
}

#[test]
fn a_run_leaves_a_page_with_its_figures_and_its_names_are_text() {
    let bench = bench_with_names();
    let config = bench.config(&narrow("bottleneck", &TWO_STAGES.replace("fc8", "fc*")), "run");
    let summary = run(&config, &Interrupt::default()).unwrap();
    let page = page(&config.out.join("report.html"));
    for figure in [
        format!("{:.2} %", 100.0 * summary.accuracy.mean),
        format!("{:.2} %", 100.0 * summary.accuracy.standard_error.unwrap()),
        format!("{:.4}", summary.folds[2].loss),
        summary.dataset.sha256.clone(),
    ] {
        assert!(page.contains(&figure), "{figure}");
    }
    for name in ["&lt;script&gt;alert(1)", "&lt;img src=x onerror=alert(2)&gt;"] {
        assert!(page.contains(name), "{name} is a person whose photographs are held out");
    }
    // Of scripts there are none, of images none but those in the page.
    assert!(!page.contains("<script") && !page.contains("onerror=alert(2)>\""));
    assert_eq!(
        page.matches("<img ").count(),
        page.matches("<img src=\"data:image/jpeg;base64,").count()
    );
    assert!(
        !page.contains("http://")
            || page.matches("http://").count()
                == page.matches("http://www.w3.org/2000/svg").count()
    );
    assert!(
        !page.contains("https://")
            && !page.contains(">49<")
            && !page.contains("http-equiv=\"refresh\"")
    );
}

#[test]
fn faces_can_be_left_out() {
    let bench = Bench::new(3, 5);
    let config = Config {
        faces: FacesShown::LeftOut,
        ..bench.config(&narrow("bottleneck", &TWO_STAGES.replace("fc8", "fc*")), "run")
    };
    run(&config, &Interrupt::default()).unwrap();
    assert!(!page(&config.out.join("report.html")).contains("<img"));
    let path = bench.path("with.html");
    write_report(&report(&config, FacesShown::Shown), &path).unwrap();
    assert!(!page(&path).contains("<img"), "a run that was begun without faces stays without");
    // A set that is another one by now has no faces for it.
    bench.prepare_at("data2", 48, 4, 5);
    let moved = Report { data: Some(bench.path("data2")), ..report(&config, FacesShown::Shown) };
    assert!(matches!(write_report(&moved, &path), Err(Error::Data { .. })));
}

#[test]
fn a_run_that_was_stopped_has_a_page_of_what_is_there() {
    let bench = Bench::new(3, 5);
    let config = bench.config(&narrow("bottleneck", &TWO_STAGES.replace("fc8", "fc*")), "run");
    let stopped = Interrupt::default();
    run(&Config { selected: vec![0], ..config.clone() }, &Interrupt::default()).unwrap();
    stopped.raise();
    assert!(run(&config, &stopped).is_err());
    let text = page(&config.out.join("report.html"));
    assert!(text.contains("This run has ended: interrupted in fold 1"), "{text}");
    assert!(!text.contains("http-equiv=\"refresh\""), "{text}");
    // As if another process trained it.
    let lock = fs::File::create(config.out.join(".lock")).unwrap();
    lock.lock().unwrap();
    let path = bench.path("page.html");
    write_report(&report(&config, FacesShown::Shown), &path).unwrap();
    let text = page(&path);
    assert!(text.contains("http-equiv=\"refresh\""), "{text}");
    assert!(
        text.contains("This run went on when the page was written: 1 of 3 folds are done"),
        "{text}"
    );
}

#[test]
fn several_runs_are_compared() {
    let bench = Bench::new(3, 5);
    let one = bench.config(&narrow("bottleneck", &TWO_STAGES.replace("fc8", "fc*")), "one");
    let head_alone = TWO_STAGES.split_once("[[stage]]\nname = \"fine-tune\"").unwrap().0;
    let two = bench.config(&narrow("linear", head_alone), "two");
    let summaries = [&one, &two].map(|config| run(config, &Interrupt::default()).unwrap());
    let path = bench.path("page.html");
    let both = Report {
        runs: vec![one.out.clone(), two.out.clone()],
        ..report(&one, FacesShown::LeftOut)
    };
    write_report(&both, &path).unwrap();
    let text = page(&path);
    assert!(text.contains("Side by side") && text.contains("Differences in accuracy"), "{text}");
    // What the base alone can do is the same beside both.
    let probe = summaries[0].baselines.linear_probe.unwrap();
    assert_eq!(summaries[1].baselines.linear_probe, Some(probe));
    for words in [">ridge probe {} %</text>", ", a linear classifier on the frozen base {} %."] {
        let words = words.replace("{}", &format!("{:.1}", 100.0 * probe));
        assert_eq!(text.matches(&words).count(), 2, "{words} {text}");
    }
    let twice = Report { runs: vec![one.out.clone(), one.out], ..both };
    assert!(matches!(write_report(&twice, &path), Err(Error::EqualNames { .. })));
    let none = Report { runs: vec![bench.path("nothing")], ..twice };
    assert!(matches!(write_report(&none, &path), Err(Error::NoRun { .. })));
}

#[test]
fn a_run_that_dies_says_of_what_and_what_was_found_before() {
    let bench = Bench::new(3, 5);
    let stages = TWO_STAGES.replace("1e-5, momentum = 0.9", "1e30");
    let config = bench.config(&narrow("linear", &stages), "run");
    let error = run(&config, &Interrupt::default()).unwrap_err();
    let text = page(&config.out.join("report.html"));
    assert!(text.contains(&format!("This run has ended: {error}")), "{text}");
    assert!(!text.contains("verdict good"), "{text}");
    assert!(text.contains("No fold is done yet.") && !text.contains("http-equiv=\"refresh\""));
    assert!(!text.contains("Nothing was found that keeps it from learning."), "{text}");
    // What its records show is in its diagnosis, though no fold is done.
    let diagnosis = train::run::read_diagnosis(&config.out).unwrap().unwrap();
    let is_seen = diagnosis.silent.iter().any(|(check, _)| check.name() == "update-ratio");
    assert!(is_seen, "{diagnosis:?}");
}

#[test]
fn folds_that_were_asked_for_alone_are_no_run_that_stopped() {
    let bench = Bench::new(3, 5);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    run(&Config { selected: vec![2], ..config.clone() }, &Interrupt::default()).unwrap();
    let text = page(&config.out.join("report.html"));
    assert!(text.contains("1 of 3 folds are done, and no other is begun."), "{text}");
}

#[test]
fn a_run_that_goes_on_without_faces_stays_without_and_so_is_its_command() {
    let bench = Bench::new(3, 5);
    let config = bench.config(&narrow("linear", TWO_STAGES), "run");
    let first = Config { selected: vec![0], ..config.clone() };
    run(&first, &Interrupt::default()).unwrap();
    let out = config.out.join("report.html");
    assert!(page(&out).contains("<img") && !page(&out).contains("--no-faces"));
    run(&Config { faces: FacesShown::LeftOut, ..config.clone() }, &Interrupt::default()).unwrap();
    write_report(&report(&config, FacesShown::Shown), &out).unwrap();
    assert!(!page(&out).contains("<img") && page(&out).contains("--no-faces"));
}

#[test]
fn the_program_writes_over_no_other_file_and_wants_a_place() {
    let bench = Bench::empty();
    let program = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_report"));
        let output = command.args(arguments).current_dir(bench.path("")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    fs::write(bench.path("metrics.jsonl"), "kept").unwrap();
    let (code, said) = program(&["run", "--out", "metrics.jsonl"]);
    assert!(code == Some(2) && said.contains("ends in .html"), "{said}");
    assert_eq!(page(&bench.path("metrics.jsonl")), "kept");
    let (code, said) = program(&["one", "two"]);
    assert!(code == Some(2) && said.contains("give --out FILE.html"), "{said}");
    let (code, said) = program(&["one"]);
    assert!(code == Some(1) && said.contains("train it first"), "{said}");
}
