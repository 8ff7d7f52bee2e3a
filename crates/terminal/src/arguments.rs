//! A program's arguments, and what other tools want to know of them.

use std::{
    ffi::OsString,
    io::{self, Write, stdout},
    str::FromStr,
};

use clap::{Command, Parser, ValueEnum};
use clap_complete::Shell;

/// What asks a program for a description of its own arguments.
const DESCRIBE: &str = "--describe-arguments";

/// Reads the program's arguments; ends it where they are wrong or ask for help, as clap does.
///
/// Given `--describe-arguments FORM` alone, it writes them to stdout instead and ends: as a page for
/// `man`, or as completions for a shell. This is how `cargo xtask` comes by those of all stages.
pub fn parse<T: Parser>() -> T {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    match given.as_slice() {
        [describe, form] if describe == DESCRIBE => {
            let form = form.to_str().and_then(Form::named);
            let written = match form {
                Some(form) => describe_to(T::command(), form, &mut stdout().lock()),
                None => Err(io::Error::other("the form must be `man` or a shell's name")),
            };
            if let Err(error) = written {
                T::command().error(clap::error::ErrorKind::Io, error).exit();
            }
            exit_well();
        }
        _ => T::parse(),
    }
}

#[expect(clippy::exit, reason = "as clap ends a program that is asked for help")]
fn exit_well() -> ! {
    std::process::exit(0)
}

/// Reads a whole number of an argument.
///
/// # Errors
///
/// What was expected, in words that are not the compiler's.
pub fn whole_number<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| match text.parse::<i128>() {
        Ok(number) if number <= 0 => "expected a larger number",
        Ok(_) => "expected a smaller number",
        Err(_) => "expected a whole number",
    })
}

/// How arguments are described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Man,
    Completions(Shell),
}

impl Form {
    fn named(name: &str) -> Option<Self> {
        match name {
            "man" => Some(Self::Man),
            shell => <Shell as ValueEnum>::from_str(shell, false).ok().map(Self::Completions),
        }
    }
}

/// Writes a program's arguments, which are called as `cargo xtask NAME` has them: `cargo-xtask-NAME`.
fn describe_to(command: Command, form: Form, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-");
    let command = command.name(name.clone()).bin_name(name.clone());
    match form {
        Form::Man => clap_mangen::Man::new(command).render(&mut &mut *out),
        Form::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut { command }, name, &mut script);
            out.write_all(&script)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(form: &str) -> String {
        let command = Command::new("train")
            .bin_name("cargo xtask train")
            .about("Trains")
            .arg(clap::Arg::new("data").long("data").value_name("DIR"));
        let mut out = Vec::new();
        describe_to(command, Form::named(form).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_number_that_is_none_is_told_so() {
        assert_eq!(whole_number::<u32>("7"), Ok(7));
        assert_eq!(whole_number::<usize>("three"), Err("expected a whole number"));
        assert_eq!(whole_number::<usize>("1.5"), Err("expected a whole number"));
        assert_eq!(whole_number::<usize>("-1"), Err("expected a larger number"));
        assert_eq!(whole_number::<std::num::NonZeroUsize>("0"), Err("expected a larger number"));
        assert_eq!(whole_number::<u32>("5000000000"), Err("expected a smaller number"));
    }

    #[test]
    fn arguments_are_described_under_the_name_that_they_are_called_by() {
        let page = described("man");
        assert!(page.contains(".TH cargo-xtask-train 1"), "{page}");
        assert!(page.contains("data") && page.contains("Trains"), "{page}");
        for shell in ["bash", "zsh", "fish"] {
            let script = described(shell);
            assert!(script.contains("cargo-xtask-train") && script.contains("data"), "{script}");
        }
        assert_eq!(Form::named("cmd"), None);
    }
}
