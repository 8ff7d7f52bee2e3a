//! A peer: a Python process that does a case when it is told its name, and answers with the time.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::Case;
use crate::Error;

/// A running peer; it ends with this value.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script, which says its name and version on its first line.
    ///
    /// # Errors
    ///
    /// [`Error::Peer`] if it does not start.
    ///
    /// # Panics
    ///
    /// Never: the process is asked for both of its ends.
    pub fn start(python: &Path, script: &Path, threads: usize) -> Result<Self, Error> {
        let problem = |problem: String| Error::Peer { name: script.display().to_string(), problem };
        let mut child = Command::new(python)
            .arg(script)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| problem(format!("{}: {error}", python.display())))?;
        let to = child.stdin.take().expect("it was asked for");
        let from = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut peer = Self { name: script.display().to_string(), child, to, from };
        peer.name = peer.line()?;
        Ok(peer)
    }

    /// Its name and version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has it do a case once; returns the seconds that it took.
    ///
    /// # Errors
    ///
    /// [`Error::Peer`] if it ends or answers with no number.
    pub fn run(&mut self, case: Case) -> Result<f64, Error> {
        let problem = |name: &str, problem: String| Error::Peer { name: name.to_owned(), problem };
        writeln!(self.to, "{}", case.name())
            .and_then(|()| self.to.flush())
            .map_err(|error| problem(&self.name, error.to_string()))?;
        let line = self.line()?;
        line.parse()
            .map_err(|_| problem(&self.name, format!("answered `{line}` to {}", case.name())))
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        let read = self.from.read_line(&mut line);
        match read {
            Ok(1..) => Ok(line.trim().to_owned()),
            _ => Err(Error::Peer {
                name: self.name.clone(),
                problem: "ended without an answer; run the script by hand to see why".to_owned(),
            }),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Whether it was still there does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
