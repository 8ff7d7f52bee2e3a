//! The stages' programs: how each is built and started.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result, bail};

/// An accelerator that the stages can be built for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Acceleration {
    Cuda,
    Metal,
}

/// A program of the workspace.
pub(crate) struct Stage {
    binary: &'static str,
    /// Whether it reaches candle, and so has the features `cuda` and `metal`.
    is_accelerated: bool,
}

impl Stage {
    pub(crate) const PREPARE: Self = Self { binary: "prepare", is_accelerated: false };
    pub(crate) const SYNTHETIC_FACES: Self =
        Self { binary: "synthetic-faces", is_accelerated: false };
    pub(crate) const FETCH_WEIGHTS: Self = Self { binary: "fetch-weights", is_accelerated: true };
    pub(crate) const CONVERT_WEIGHTS: Self =
        Self { binary: "convert-weights", is_accelerated: true };
    pub(crate) const EXPORT: Self = Self { binary: "export", is_accelerated: true };
    pub(crate) const TRAIN: Self = Self { binary: "train", is_accelerated: true };
    pub(crate) const DIAGNOSE: Self = Self { binary: "diagnose", is_accelerated: true };
    pub(crate) const FIND_RATE: Self = Self { binary: "find-rate", is_accelerated: true };
    pub(crate) const COMPARE: Self = Self { binary: "compare", is_accelerated: true };
    pub(crate) const REPORT: Self = Self { binary: "report", is_accelerated: true };
    pub(crate) const BENCH: Self = Self { binary: "bench", is_accelerated: false };
    pub(crate) const FEATURES: Self = Self { binary: "features", is_accelerated: true };

    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::PREPARE,
        Self::SYNTHETIC_FACES,
        Self::FETCH_WEIGHTS,
        Self::CONVERT_WEIGHTS,
        Self::EXPORT,
        Self::TRAIN,
        Self::DIAGNOSE,
        Self::FIND_RATE,
        Self::COMPARE,
        Self::REPORT,
        Self::BENCH,
        Self::FEATURES,
    ];

    /// Its program, which is called as its command.
    pub(crate) fn binary(&self) -> &'static str {
        self.binary
    }

    /// Builds the stage in release, showing cargo's progress, and gives the command that runs it
    /// at the workspace root.
    pub(crate) fn command(&self, features: Option<Acceleration>) -> Result<Command> {
        // Without `--package`: a package on its own would have its dependencies built anew with
        // fewer features than the tests have them with.
        let mut selection = vec!["--release", "--locked", "--bin", self.binary];
        if let (Some(acceleration), true) = (features, self.is_accelerated) {
            selection.extend(["--features", acceleration.feature()]);
        }
        succeed(cargo().arg("build").args(&selection))
            .with_context(|| format!("building the stage {}", self.binary))?;
        let mut command = cargo();
        command.args(["run", "--quiet"]).args(&selection).arg("--");
        Ok(command)
    }

    /// Builds the stage and becomes it, so that its exit code and the terminal's signals are its
    /// own.
    pub(crate) fn become_it(
        &self,
        features: Option<Acceleration>,
        arguments: &[OsString],
    ) -> Result<ExitCode> {
        let mut command = self.command(features)?;
        command.args(arguments);
        replace_process(command).with_context(|| format!("starting the stage {}", self.binary))
    }
}

impl Acceleration {
    fn feature(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        }
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace_root());
    command
}

/// Runs a command and fails if it does.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| {
        format!("{} could not be started", command.get_program().to_string_lossy())
    })?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().to_string_lossy());
    }
    Ok(())
}

/// The folder that holds the workspace's `Cargo.toml`.
fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace root")
}

#[cfg(unix)]
fn replace_process(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn replace_process(mut command: Command) -> Result<ExitCode> {
    Ok(exit_code(command.status()?))
}

/// A finished stage's exit code as this program's own.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
