//! Bars as lines now and then, where there is no terminal to draw them in.

use std::{thread, time::Duration};

use indicatif::{HumanBytes, HumanDuration, ProgressBar};

use crate::bars::{Open, Unit, open_bars};

/// How often a bar is a line.
const EVERY: Duration = Duration::from_secs(30);

/// Writes a line for each bar now and then, as long as the process lasts.
pub(crate) fn write_lines() {
    let write = || loop {
        thread::sleep(EVERY);
        let lines: Vec<String> = open_bars().iter().filter_map(of_open).collect();
        for line in lines {
            tracing::info!("{line}");
        }
    };
    let spawned = thread::Builder::new().name("progress".to_owned()).spawn(write);
    if let Err(error) = spawned {
        tracing::debug!("no lines of progress: {error}");
    }
}

fn of_open(open: &Open) -> Option<String> {
    let bar = open.bar.upgrade().filter(|bar| !bar.is_finished())?;
    line(&bar, open.unit)
}

/// How far a bar has come; none before its length is known.
fn line(bar: &ProgressBar, unit: Unit) -> Option<String> {
    let length = bar.length().filter(|&length| 0 < length)?;
    let position = bar.position();
    let (counted, has_eta) = match unit {
        Unit::Things(name) => (format!("{position} of {length} {name}"), 0 < position),
        Unit::Bytes => {
            (format!("{} of {}", HumanBytes(position), HumanBytes(length)), 0 < position)
        }
        Unit::Parts => (String::new(), false),
    };
    let left = if has_eta { format!("{} left", HumanDuration(bar.eta())) } else { String::new() };
    let mut line = format!("{}: {} %", bar.prefix(), 100 * position / length);
    for words in [counted, bar.message(), left].iter().filter(|words| !words.is_empty()) {
        line.push_str(", ");
        line.push_str(words);
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bar;

    #[test]
    fn a_bar_as_a_line_says_what_it_is_and_how_far() {
        let bar = bar("fold 0 head", Unit::Things("images"));
        assert_eq!(line(&bar, Unit::Things("images")), None);
        bar.set_length(200);
        assert_eq!(
            line(&bar, Unit::Things("images")).unwrap(),
            "fold 0 head: 0 %, 0 of 200 images"
        );
        bar.set_message("loss 1.5");
        bar.set_position(50);
        let said = line(&bar, Unit::Things("images")).unwrap();
        assert!(said.starts_with("fold 0 head: 25 %, 50 of 200 images, loss 1.5, "), "{said}");
        assert!(said.ends_with(" left"), "{said}");
        let said = line(&bar, Unit::Bytes).unwrap();
        assert!(said.contains("50 B of 200 B"), "{said}");
        assert_eq!(line(&bar, Unit::Parts).unwrap(), "fold 0 head: 25 %, loss 1.5");
    }

    #[test]
    fn bars_that_are_over_write_no_line() {
        let bar = bar("over", Unit::Bytes);
        bar.set_length(2);
        let place = |name: &str| {
            let bars = open_bars();
            let lines: Vec<String> = bars.iter().filter_map(of_open).collect();
            lines.iter().any(|line| line.starts_with(name))
        };
        assert!(place("over"));
        bar.finish_and_clear();
        assert!(!place("over"));
    }
}
