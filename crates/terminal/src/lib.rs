//! What every program of the workspace says, while it works and at its end: on stderr events and how
//! far long work has come, on stdout its result alone.
//!
//! In a terminal long work has bars at the bottom, and events appear above them. Where stderr is no
//! terminal (a log file, another program), each bar is a line every half minute instead. `--quiet`
//! leaves warnings alone; `NO_COLOR` takes the colors away (<https://no-color.org>); `RUST_LOG` chooses
//! events as `tracing-subscriber` has it.

mod arguments;
mod bars;
mod ending;
mod events;
mod lines;
mod wrapping;

pub use arguments::{parse, whole_number};
pub use bars::{Unit, bar, bar_at_top, clear};
pub use ending::{break_off_when_interrupted, end, end_when_interrupted};
pub use events::{Verbosity, begin};
pub use wrapping::wrapped;
