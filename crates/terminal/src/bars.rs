//! Bars at the bottom of a terminal.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle, WeakProgressBar,
};

/// All bars of the process.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Those that are not over yet.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

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
    // What a narrow terminal cuts off stands last.
    let template = match unit {
        Unit::Things(name) => {
            format!(
                "{{prefix}} {{percent:>3}} %, {{eta}} left {{msg}} [{{wide_bar}}] {{pos}}/{{len}} {name}"
            )
        }
        Unit::Bytes => {
            "{prefix} {percent:>3} %, {eta} left {msg} [{wide_bar}] {bytes}/{total_bytes}"
                .to_owned()
        }
        Unit::Parts => "{prefix} {percent:>3} %, {msg} [{wide_bar}]".to_owned(),
    };
    let style = ProgressStyle::with_template(&template).expect("the template is well-formed");
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(label);
    let mut bars = open_bars();
    bars.retain(|open| open.bar.upgrade().is_some());
    bars.push(Open { bar: bar.downgrade(), unit });
    bar
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

/// Does something while no bar is on the screen.
pub(crate) fn above_bars<T>(work: impl FnOnce() -> T) -> T {
    BARS.suspend(work)
}
