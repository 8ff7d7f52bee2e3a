//! What shells and `man` are to know of `cargo xtask` and its stages.

use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;

use crate::{Arguments, stage::Stage};

/// A shell whose completions are known.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Bash: cargo's own completions, but for `cargo xtask`.
const BASH: &str = r#"
_cargo_or_xtask() {
    if [[ ${COMP_WORDS[1]} != xtask ]]; then
        declare -F _cargo > /dev/null && _cargo "$@"
        return
    fi
    if (( COMP_CWORD == 2 )); then
        COMPREPLY=($(compgen -W "COMMANDS" -- "$2"))
        return
    fi
    local name=cargo-xtask-${COMP_WORDS[2]}
    local function=_${name//-/__}
    declare -F "$function" > /dev/null || return
    COMP_WORDS=("$name" "${COMP_WORDS[@]:3}")
    COMP_CWORD=$((COMP_CWORD - 2))
    "$function" "$name" "$2" "$3"
}
# What completes cargo itself is loaded now: it would not be once this is in its place.
for _cargo_loader in _comp_load _completion_loader; do
    declare -F _cargo > /dev/null || ! declare -F $_cargo_loader > /dev/null || $_cargo_loader cargo
done 2> /dev/null
unset _cargo_loader
complete -F _cargo_or_xtask -o bashdefault -o default cargo
"#;

/// Zsh: the same.
const ZSH: &str = r#"
_cargo_or_xtask() {
    if [[ $words[2] != xtask ]]; then
        (( $+functions[_cargo] )) && _cargo "$@"
        return
    fi
    if (( CURRENT == 3 )); then
        compadd COMMANDS
        return
    fi
    local name=cargo-xtask-$words[3]
    (( $+functions[_$name] )) || return
    words=($name "${(@)words[4,-1]}")
    (( CURRENT -= 2 ))
    _$name
}
compdef _cargo_or_xtask cargo
"#;

/// Prints completions of `cargo xtask` and all of its stages.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode> {
    let form = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = String::new();
    for stage in Stage::ALL {
        script.push_str(&of_stage(stage, form, described(stage, form)?));
    }
    let commands: Vec<String> = Arguments::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    match shell {
        Shell::Bash => script.push_str(&BASH.replace("COMMANDS", &commands.join(" "))),
        Shell::Zsh => script.push_str(&ZSH.replace("COMMANDS", &commands.join(" "))),
        Shell::Fish => {
            for command in Arguments::command().get_subcommands() {
                let about = command.get_about().map(ToString::to_string).unwrap_or_default();
                writeln!(
                    script,
                    "complete -c cargo -n '__fish_seen_subcommand_from xtask; and test (count (commandline \
                     -opc)) = 2' -f -a {} -d '{}'",
                    command.get_name(),
                    about.replace('\'', "\\'")
                )
                .expect("a string takes all that is written");
            }
        }
    }
    std::io::stdout().write_all(script.as_bytes()).context("writing the completions")?;
    Ok(ExitCode::SUCCESS)
}

/// A stage's completions; fish's as those of `cargo`.
fn of_stage(stage: &Stage, form: &str, script: String) -> String {
    if form != "fish" {
        return script;
    }
    let own = format!("complete -c cargo-xtask-{}", stage.binary());
    let of_cargo = format!(
        "complete -c cargo -n '__fish_seen_subcommand_from xtask; and __fish_seen_subcommand_from {}'",
        stage.binary()
    );
    script.replace(&own, &of_cargo)
}

/// Writes a page for `man` on `cargo xtask` and each of its commands.
pub(crate) fn man(out: &Path) -> Result<ExitCode> {
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let mut pages =
        vec![("cargo-xtask".to_owned(), own_page(Arguments::command(), "cargo-xtask")?)];
    for command in Arguments::command().get_subcommands() {
        let name = format!("cargo-xtask-{}", command.get_name());
        let stage = Stage::ALL.iter().find(|stage| stage.binary() == command.get_name());
        let page = match stage {
            Some(stage) => described(stage, "man")?.into_bytes(),
            None => own_page(command.clone(), &name)?,
        };
        pages.push((name, page));
    }
    for (name, page) in &pages {
        let path = out.join(format!("{name}.1"));
        fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    eprintln!("man: {} pages are in {}; try `man -l FILE`", pages.len(), out.display());
    Ok(ExitCode::SUCCESS)
}

/// The page on a command that is no stage.
fn own_page(command: clap::Command, name: &str) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let command =
        command.name(name.to_owned()).bin_name(name.replace("cargo-xtask-", "cargo xtask "));
    clap_mangen::Man::new(command)
        .render(&mut page)
        .with_context(|| format!("the page on {name}"))?;
    Ok(page)
}

/// What a stage says of its arguments.
fn described(stage: &Stage, form: &str) -> Result<String> {
    let mut command = stage.command(None)?;
    let output = command
        .args(["--describe-arguments", form])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("asking the stage {} for its arguments", stage.binary()))?;
    if !output.status.success() {
        bail!("the stage {} does not tell its arguments", stage.binary());
    }
    String::from_utf8(output.stdout).context("arguments are text")
}
