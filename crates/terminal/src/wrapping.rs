//! Long lines in a terminal, which would break them in the middle of a word.

use std::io::{IsTerminal, stdout};

use console::Term;
use textwrap::{Options, WordSplitter, fill};

/// Text for stdout: where that is a terminal, lines that are too long for it are broken between words.
/// Elsewhere, as for a program that reads it, they stay whole.
pub fn wrapped(text: &str) -> String {
    if !stdout().is_terminal() {
        return text.to_owned();
    }
    wrapped_to(text, usize::from(Term::stdout().size().1))
}

fn wrapped_to(text: &str, width: usize) -> String {
    let line = |line: &str| {
        if line.chars().count() <= width {
            return line.to_owned();
        }
        let words = line.trim_start();
        let indent = &line[..line.len() - words.len()];
        let further = format!("{indent}    ");
        // Names of checks have hyphens, and paths are copied.
        let options = Options::new(width)
            .initial_indent(indent)
            .subsequent_indent(&further)
            .word_splitter(WordSplitter::NoHyphenation)
            .break_words(false);
        fill(words, options)
    };
    let lines: Vec<String> = text.split('\n').map(line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_between_words_and_others_stay() {
        let text = "short  line\n  one two three four five six\n";
        let expected = "short  line\n  one two three\n      four five\n      six\n";
        assert_eq!(wrapped_to(text, 16), expected);
        assert_eq!(wrapped_to(text, 80), text);
        let names = "one overfit-batch /a/path/that/is/longer";
        assert_eq!(wrapped_to(names, 16), "one\n    overfit-batch\n    /a/path/that/is/longer");
    }
}
