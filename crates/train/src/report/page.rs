//! The page as a whole: what is read, what is written.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use httpdate::HttpDate;
use minijinja::{AutoEscape, Environment, State, Value, filters::escape, value::Serde};
use serde::Serialize;

use super::{
    FacesShown,
    differences::{Differences, differences},
    faces::Faces,
    run::ReportedRun,
    section::Section,
};
use crate::{
    Error,
    comparison::{refuse_given_twice, whole},
    run::is_running,
    whole_file::write_quickly,
};

const PAGE: &str = include_str!("templates/page.html");
const RUN: &str = include_str!("templates/run.html");
const STYLE: &str = include_str!("templates/style.css");

/// Seconds after which a page over a run that lasts is loaded anew.
const REFRESH: u64 = 20;

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct Report {
    /// Folders of runs, one at least.
    pub runs: Vec<PathBuf>,
    /// The prepared set, where it is not where the runs found it.
    pub data: Option<PathBuf>,
    /// Whether the page has faces.
    pub faces: FacesShown,
    /// What has just ended the run, where something has.
    pub ended_by: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The page's size.
    pub bytes: usize,
}

/// Reads runs and writes a page over them, whole or not at all.
///
/// # Errors
///
/// [`Error::NoRun`] if a folder holds none, [`Error::EqualNames`] if one is given twice,
/// [`Error::Read`], [`Error::Format`] or [`Error::Preprocess`] if files are broken, [`Error::Data`] if
/// the prepared set that is given is not the run's, [`Error::Write`] if the disk fails.
pub fn write_report(report: &Report, path: &Path) -> Result<Written, Error> {
    let page = page(report)?;
    write_quickly(path, page.as_bytes())?;
    Ok(Written { bytes: page.len() })
}

/// What the templates are given.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    style: &'static str,
    refresh: Option<u64>,
    differences: Option<&'a Differences>,
    /// Runs of several that cannot be compared yet.
    left_out: Vec<&'a str>,
    runs: &'a [Section],
    version: &'static str,
    /// When it was written.
    time: String,
}

/// The page as text.
fn page(report: &Report) -> Result<String, Error> {
    let runs = read(report)?;
    let sections =
        runs.iter().map(|run| section(run, report)).collect::<Result<Vec<_>, Error>>()?;
    let title = match runs.as_slice() {
        [run] => run.name.clone(),
        runs => format!("{} runs side by side", runs.len()),
    };
    Ok(render(&Page {
        title: &title,
        style: STYLE,
        refresh: runs.iter().any(|run| run.is_running).then_some(REFRESH),
        differences: differences(&runs)?.as_ref(),
        left_out: left_out(&runs),
        runs: &sections,
        version: env!("CARGO_PKG_VERSION"),
        time: HttpDate::from(SystemTime::now()).to_string(),
    }))
}

fn read(report: &Report) -> Result<Vec<ReportedRun>, Error> {
    let folders = &report.runs;
    refuse_given_twice(folders)?;
    let name = |folder: &PathBuf| match whole(folder).file_name() {
        Some(name) if folders.len() == 1 => name.to_string_lossy().into_owned(),
        _ => folder.display().to_string(),
    };
    folders
        .iter()
        .map(|folder| {
            let run = ReportedRun::read(name(folder), folder, is_running(folder))?;
            Ok(ReportedRun { ended_by: report.ended_by.clone(), ..run })
        })
        .collect()
}

/// Of several runs those without a fold that is done.
fn left_out(runs: &[ReportedRun]) -> Vec<&str> {
    if runs.len() < 2 {
        return Vec::new();
    }
    runs.iter().filter(|run| run.summary.is_none()).map(|run| run.name.as_str()).collect()
}

fn section(run: &ReportedRun, report: &Report) -> Result<Section, Error> {
    let found = run.identity.places.as_ref().map(|places| PathBuf::from(&places.data));
    let data = match (&report.data, found) {
        (Some(given), _) => Some(Faces::open(given, &run.identity.data_sha256)?),
        // Where the set was moved or made anew, the page does without.
        (None, Some(found)) => Faces::open(&found, &run.identity.data_sha256).ok(),
        (None, None) => None,
    };
    let is_shown = report.faces == FacesShown::Shown && !run.leaves_faces_out();
    let faces = data.as_ref().filter(|_| is_shown);
    Section::of(run, faces, data.as_ref())
}

fn render(page: &Page<'_>) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("name", name);
    environment.add_template("page.html", PAGE).expect("the page is a template");
    environment.add_template("run.html", RUN).expect("a run is a template");
    let template = environment.get_template("page.html").expect("it has been added");
    template.render(Serde(page)).expect("the templates go with what they are given")
}

/// A name as text of the page, which may be broken behind each underscore.
fn name(state: &mut State<'_, '_>, name: String) -> Result<Value, minijinja::Error> {
    let escaped = escape(state, &Value::from(name))?.to_string();
    Ok(Value::from_safe_string(escaped.replace('_', "_<wbr>")))
}
