//! The page that a run leaves, in a real browser: Chromium, as `chromium` or what `CHROMIUM` names.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::support::{Bench, TWO_STAGES, narrow};
use train::training::{Interrupt, run};

/// What a browser makes of a page.
struct Seen {
    /// The page as it stands after loading.
    dom: String,
    /// What the page has the console say.
    console: Vec<String>,
    /// The hosts that are asked for something, by the browser itself too.
    hosts: BTreeSet<String>,
}

fn open(folder: &Path, page: &Path) -> Seen {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let log = folder.join("net.json");
    let output = Command::new(chromium)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let asked = fs::read_to_string(log).unwrap();
    let host = |url: &str| url.split('/').nth(2).unwrap_or_default().to_owned();
    Seen {
        // Between a number and its unit there is a space that does not break.
        dom: String::from_utf8(output.stdout).unwrap().replace("&nbsp;", " "),
        console: said.lines().filter(|it| it.contains("CONSOLE")).map(str::to_owned).collect(),
        hosts: asked
            .split("\"url\":\"")
            .skip(1)
            .filter(|url| url.starts_with("http") || url.starts_with("ws"))
            .map(host)
            .collect(),
    }
}

#[test]
fn the_page_has_the_summarys_figures_in_a_browser_and_asks_nobody_for_anything() {
    let bench = Bench::new(3, 5);
    let config = bench.config(&narrow("bottleneck", &TWO_STAGES.replace("fc8", "fc*")), "run");
    let summary = run(&config, &Interrupt::default()).unwrap();
    let empty = bench.path("empty.html");
    fs::write(&empty, "<!doctype html><title>empty</title>").unwrap();
    let of_its_own = open(&bench.path(""), &empty).hosts;
    let seen = open(&bench.path(""), &config.out.join("report.html"));
    let mut figures = vec![
        format!("{:.2} %", 100.0 * summary.accuracy.mean),
        format!("{:.2} %", 100.0 * summary.accuracy.standard_error.unwrap()),
        summary.dataset.sha256.clone(),
        summary.weights.normalization.clone(),
    ];
    for fold in &summary.folds {
        figures.push(format!("{:.2} %", 100.0 * fold.accuracy));
        figures.push(format!("{:.4}", fold.loss));
        figures.push(format!("{:.2} %", 100.0 * fold.macro_f1));
    }
    for figure in figures {
        assert!(seen.dom.contains(&figure), "{figure} is not in {}", seen.dom);
    }
    assert_eq!(seen.console, Vec::<String>::new());
    assert_eq!(seen.hosts.difference(&of_its_own).collect::<Vec<_>>(), Vec::<&String>::new());

    // The same test finds a page that does ask, and one that has something to say.
    let asking = bench.path("asking.html");
    let text = "<!doctype html><img src=http://asked.invalid/a.png><script>undefined()</script>";
    fs::write(&asking, text).unwrap();
    let seen = open(&bench.path(""), &asking);
    assert!(seen.hosts.contains("asked.invalid"), "{:?}", seen.hosts);
    assert!(!seen.console.is_empty());
}
