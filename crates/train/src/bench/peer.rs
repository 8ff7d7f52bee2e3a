//! A process that does a case when it is told its name, and answers with the time: our own, or a peer's.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    str::FromStr,
    thread,
    time::Duration,
};

use super::Case;
use crate::Error;

/// The peers that there are scripts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// All cases of the network.
    PyTorch,
    /// Likewise, on TensorFlow.
    Keras,
    /// `prepare` alone.
    Pillow,
}

impl PeerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PyTorch, Self::Keras, Self::Pillow];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PyTorch => "pytorch",
            Self::Keras => "keras",
            Self::Pillow => "pillow",
        }
    }

    /// The name of its script.
    pub fn script(self) -> &'static str {
        match self {
            Self::PyTorch => "peer_pytorch.py",
            Self::Keras => "peer_keras.py",
            Self::Pillow => "peer_pillow.py",
        }
    }

    /// Whether its script knows the case.
    pub fn does(self, case: Case) -> bool {
        match case {
            Case::Prepare => self == Self::Pillow,
            Case::Read32 | Case::Augment32 => false,
            _ => self != Self::Pillow,
        }
    }
}

impl FromStr for PeerKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|peer| peer.name() == name)
            .ok_or_else(|| format!("`{name}` is no peer, expected pytorch, keras or pillow"))
    }
}

/// A running process; it ends with this value.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    /// Until it is told that no more will come.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// A file that it writes to.
    stderr: File,
}

impl Peer {
    /// Starts a peer's script, which says its name and version on its first line.
    ///
    /// # Errors
    ///
    /// [`Error::Peer`] if it does not start.
    pub fn script(python: &Path, script: &Path, threads: usize) -> Result<Self, Error> {
        let mut command = Command::new(python);
        command.arg(script).arg(threads.to_string());
        Self::start(&script.display().to_string(), command)
    }

    /// Starts a program that calls [`serve`](super::serve) when it is given this argument.
    ///
    /// # Errors
    ///
    /// [`Error::Peer`] if it does not start.
    pub fn own(program: &Path, argument: &str, threads: usize) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command.arg(argument).env("RAYON_NUM_THREADS", threads.to_string());
        Self::start("ours", command)
    }

    fn start(name: &str, mut command: Command) -> Result<Self, Error> {
        let mut spawn = || {
            let stderr = tempfile::tempfile()?;
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
            Ok((command.spawn()?, stderr))
        };
        let (mut child, stderr) = spawn().map_err(|error: io::Error| Error::Peer {
            name: name.to_owned(),
            problem: format!("does not start: {error}"),
        })?;
        let stdin = child.stdin.take().expect("it was asked for");
        let stdout = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut peer = Self { name: name.to_owned(), child, stdin: Some(stdin), stdout, stderr };
        peer.name = peer.line()?;
        Ok(peer)
    }

    /// Its name and version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has it do a case once; returns the seconds that it took.
    pub(super) fn seconds(&mut self, request: &str) -> Result<f64, Error> {
        self.ask(request)
    }

    /// The most memory that it has held so far.
    pub(super) fn peak_bytes(&mut self) -> Result<u64, Error> {
        self.ask("peak")
    }

    fn ask<T: FromStr>(&mut self, request: &str) -> Result<T, Error> {
        let problem = |name: &str, problem: String| Error::Peer { name: name.to_owned(), problem };
        let Some(stdin) = self.stdin.as_mut() else {
            return Err(problem(&self.name, "has ended".to_owned()));
        };
        writeln!(stdin, "{request}").and_then(|()| stdin.flush()).or_else(|error| {
            match error.kind() {
                // It has ended; what it said last is found out below.
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(problem(&self.name, error.to_string())),
            }
        })?;
        let line = self.line()?;
        line.parse().map_err(|_| problem(&self.name, format!("answered `{line}` to `{request}`")))
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line);
        match read {
            Ok(1..) => Ok(line.trim().to_owned()),
            _ => Err(Error::Peer {
                name: self.name.clone(),
                problem: format!("ended without an answer ({})", self.ending()),
            }),
        }
    }

    /// How it ended, and the last line that it said on stderr.
    fn ending(&mut self) -> String {
        self.end();
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => "no exit status".to_owned(),
        };
        let mut said = String::new();
        let read = self.stderr.rewind().and_then(|()| self.stderr.read_to_string(&mut said));
        match said.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) if read.is_ok() => format!("{status}; the last that it said: {line}"),
            _ => status,
        }
    }

    /// At the end of its input it ends by itself, and clears its temporary files away; in the end it is killed.
    fn end(&mut self) {
        drop(self.stdin.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}
