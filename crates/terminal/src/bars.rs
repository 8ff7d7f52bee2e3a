//! Bars at the bottom of a terminal.

use std::{
    fmt::Write,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use console::Term;
use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish,
    ProgressState, ProgressStyle, WeakProgressBar,
};

/// All bars of the process.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Those that are not over yet.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

/// Columns from which on a line has room for all of it; a narrower one ends where the terminal does.
const WIDE: usize = 120;

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// These, by their name in the plural.
    Things(&'static str),
    /// Bytes.
    Bytes,
    /// Parts of a whole that is not told; what is left of it is in the bar's message.
    Parts,
}

/// A bar that lasts.
pub(crate) struct Open {
    pub(crate) bar: WeakProgressBar,
    pub(crate) unit: Unit,
}

/// A bar below those that are there, without a length yet. It vanishes when it is dropped.
pub fn bar(label: impl Into<String>, unit: Unit) -> ProgressBar {
    open(BARS.add(new_bar()), label.into(), unit)
}

/// A bar above those that are there: of the whole work, of which they are parts.
pub fn bar_at_top(label: impl Into<String>, unit: Unit) -> ProgressBar {
    open(BARS.insert(0, new_bar()), label.into(), unit)
}

fn new_bar() -> ProgressBar {
    ProgressBar::no_length().with_finish(ProgressFinish::AndClear)
}

fn open(bar: ProgressBar, label: String, unit: Unit) -> ProgressBar {
    let template = if usize::from(Term::stderr().size().1) < WIDE {
        "{prefix} {far}{counted} {wide_msg}"
    } else {
        "{prefix} {far}{msg} [{wide_bar}] {counted}"
    };
    let style = ProgressStyle::with_template(template)
        .expect("the template is well-formed")
        .with_key("far", move |state: &ProgressState, to: &mut dyn Write| {
            write(to, &far(state, unit));
        })
        .with_key("counted", move |state: &ProgressState, to: &mut dyn Write| {
            write(to, &counted(state, unit));
        });
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(label);
    let mut bars = open_bars();
    bars.retain(|open| open.bar.upgrade().is_some());
    bars.push(Open { bar: bar.downgrade(), unit });
    bar
}

fn write(to: &mut dyn Write, words: &str) {
    to.write_str(words).expect("a line takes all that is written");
}

/// How far a bar has come and what is left; nothing before its length is known.
fn far(state: &ProgressState, unit: Unit) -> String {
    let Some(length) = state.len().filter(|&length| 0 < length) else {
        return String::new();
    };
    let percent = 100 * state.pos() / length;
    match unit {
        Unit::Parts => format!("{percent:>3} % "),
        // Before the first there is nothing to tell the time by.
        _ if state.pos() == 0 => format!("{percent:>3} % "),
        Unit::Things(_) | Unit::Bytes => {
            format!("{percent:>3} %, {:#} left ", HumanDuration(state.eta()))
        }
    }
}

/// What a bar has counted, and of how much, where that is known.
fn counted(state: &ProgressState, unit: Unit) -> String {
    let of = |told: &dyn Fn(u64) -> String| match state.len() {
        Some(length) => format!("{}/{}", told(state.pos()), told(length)),
        None => told(state.pos()),
    };
    match unit {
        Unit::Things(name) => format!("{} {name}", of(&|count| count.to_string())),
        Unit::Bytes => of(&|bytes| HumanBytes(bytes).to_string()),
        Unit::Parts => String::new(),
    }
}

/// The bars that are not over yet, and some that are.
pub(crate) fn open_bars() -> MutexGuard<'static, Vec<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes all bars from the screen, before a process ends at once.
pub fn clear() {
    // What keeps them from being cleared is a terminal that is gone.
    let _cleared = BARS.clear();
}

/// Shows no bar from now on.
pub(crate) fn hide_bars() {
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// Does something while no bar is on the screen. What it does must not come here again, by an event say:
/// it would wait for itself.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn above_bars<T>(work: impl FnOnce() -> T) -> T {
    BARS.suspend(work)
}
