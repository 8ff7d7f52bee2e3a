//! The bytes of one address into one file, as often as the connection breaks.

use std::io::Read as _;
use std::num::NonZeroU32;
use std::thread::sleep;
use std::time::Duration;

use indicatif::ProgressBar;
use ureq::http::Uri;
use ureq::http::header::{IF_RANGE, RANGE};
use ureq::{Agent, Body};

use super::Error;
use super::partial::{Note, Partial};
use super::response::{Answer, Asked, interpret, refuse_too_large};

/// How long a server is waited for, and how often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in a row that bring nothing new.
    pub attempts: NonZeroU32,
    /// The wait after the first such attempt; each further one is twice as long.
    pub first_wait: Duration,
    /// How long nothing may come before the connection counts as broken.
    pub stall: Duration,
}

impl Default for Patience {
    /// Five attempts over fifteen seconds, and half a minute for a byte.
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::new(5).expect("five is not zero"),
            first_wait: Duration::from_secs(1),
            stall: Duration::from_secs(30),
        }
    }
}

/// How an attempt ended that did not fail for good.
enum Ending {
    /// The file is complete.
    Complete,
    /// It may go on the next time.
    Broken(String),
}

/// Fetches the rest of a file, all of it if nothing has come or what has come does not belong to
/// it any more.
pub(super) fn transfer(
    url: &str,
    partial: &mut Partial,
    patience: &Patience,
    progress: &ProgressBar,
) -> Result<(), Error> {
    let agent = agent(url, patience)?;
    let mut most_bytes = partial.size_bytes();
    let mut fruitless = 0;
    loop {
        let reason = match attempt(&agent, url, partial, progress)? {
            Ending::Complete => return Ok(()),
            Ending::Broken(reason) => reason,
        };
        // Bytes that had come before do not count again, so that this ends.
        if most_bytes < partial.size_bytes() {
            most_bytes = partial.size_bytes();
            fruitless = 0;
        }
        fruitless += 1;
        if patience.attempts.get() <= fruitless {
            let (url, size_bytes) = (url.to_owned(), partial.size_bytes());
            return Err(Error::GaveUp { url, attempts: fruitless, size_bytes, reason });
        }
        let wait = patience.first_wait * 2_u32.saturating_pow(fruitless - 1);
        let what = if partial.size_bytes() == 0 { "nothing came" } else { "broken off" };
        tracing::warn!("{what}: {reason}; tried again in {} s", wait.as_secs_f32());
        sleep(wait);
    }
}

/// The client for an address: encrypted all the way if the address is, through the proxy that the
/// environment names, not compressed, and with a connection for each request.
fn agent(url: &str, patience: &Patience) -> Result<Agent, Error> {
    let refused = |reason: String| Error::Address { url: url.to_owned(), reason };
    let uri: Uri = url.parse().map_err(|error| refused(format!("{error}")))?;
    let is_encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(scheme) => return Err(refused(format!("its scheme is {scheme}"))),
        None => return Err(refused("it has no scheme".to_owned())),
    };
    let mut config = Agent::config_builder()
        .https_only(is_encrypted)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .max_idle_connections(0)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(patience.stall))
        .timeout_connect(Some(patience.stall))
        .timeout_recv_response(Some(patience.stall))
        .timeout_per_read(Some(patience.stall));
    if matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        // To a proxy, that would be the proxy itself.
        config = config.proxy(None);
    }
    Ok(config.build().into())
}

/// Asks once for what is missing, and takes what comes.
fn attempt(
    agent: &Agent,
    url: &str,
    partial: &mut Partial,
    progress: &ProgressBar,
) -> Result<Ending, Error> {
    let note = partial.note(url);
    let asked = match &note {
        Some(note) => Asked::Rest { from: partial.size_bytes(), note },
        None => Asked::Whole,
    };
    let mut request = agent.get(url);
    if let Asked::Rest { from, note } = asked {
        request = request
            .header(RANGE, format!("bytes={from}-"))
            .header(IF_RANGE, note.validator.as_str());
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => return failed(url, error),
    };
    let (parts, body) = response.into_parts();
    let expected = match interpret(url, asked, parts.status, &parts.headers)? {
        Answer::Complete => return Ok(Ending::Complete),
        Answer::Passing(reason) => return Ok(Ending::Broken(reason)),
        Answer::BeginAgain(reason) => {
            partial.clear()?;
            return Ok(Ending::Broken(reason));
        }
        Answer::Rest { size_bytes } => Some(size_bytes),
        Answer::Whole { size_bytes, validator } => {
            partial.clear()?;
            if let Some(validator) = validator {
                partial.keep(&Note { url: url.to_owned(), validator, size_bytes })?;
            }
            size_bytes
        }
    };
    if let Some(expected) = expected {
        progress.set_length(partial.size_bytes() + expected);
    }
    progress.set_position(partial.size_bytes());
    progress.reset_eta();
    receive(url, body, expected, partial, progress)
}

/// Whether a request that got no answer may get one the next time.
fn failed(url: &str, error: ureq::Error) -> Result<Ending, Error> {
    use ureq::Error as E;
    let url = url.to_owned();
    match error {
        E::Io(_)
        | E::Timeout(_)
        | E::HostNotFound
        | E::ConnectionFailed
        | E::Protocol(_)
        | E::BodyStalled => Ok(Ending::Broken(error.to_string())),
        E::BadUri(reason) => Err(Error::Address { url, reason }),
        E::Http(error) => Err(Error::Address { url, reason: error.to_string() }),
        E::RequireHttpsOnly(to) => Err(Error::Insecure { url, to }),
        E::TooManyRedirects => {
            Err(Error::Answer { url, reason: "it leads on and on, to no file".to_owned() })
        }
        error => Err(Error::Connection { url, source: Box::new(error) }),
    }
}

/// Takes a body's bytes until it ends or breaks.
fn receive(
    url: &str,
    body: Body,
    expected: Option<u64>,
    partial: &mut Partial,
    progress: &ProgressBar,
) -> Result<Ending, Error> {
    let mut reader = body.into_reader();
    let mut block = vec![0; 256 * 1024];
    let mut received = 0;
    loop {
        let count = match reader.read(&mut block) {
            Ok(count) => count,
            Err(error) => return Ok(Ending::Broken(error.to_string())),
        };
        if count == 0 {
            break;
        }
        received += count as u64;
        if expected.is_some_and(|expected| expected < received) {
            let reason = "more bytes than it announced".to_owned();
            return Err(Error::Answer { url: url.to_owned(), reason });
        }
        refuse_too_large(url, partial.size_bytes() + count as u64)?;
        partial.append(&block[..count])?;
        progress.set_position(partial.size_bytes());
    }
    match expected {
        Some(expected) if received < expected => {
            Ok(Ending::Broken(format!("{received} bytes came of {expected}")))
        }
        _ => Ok(Ending::Complete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_stays_encrypted() {
        let is_encrypted_only =
            |url| agent(url, &Patience::default()).unwrap().config().https_only();
        assert!(is_encrypted_only("https://example.org/a"));
        assert!(is_encrypted_only("HTTPS://example.org/a"));
        assert!(!is_encrypted_only("http://example.org/a"));
        let led_off = ureq::Error::RequireHttpsOnly("http://example.org/a".to_owned());
        assert!(matches!(failed("https://example.org/a", led_off), Err(Error::Insecure { .. })));
    }

    #[test]
    fn this_machine_is_asked_without_a_proxy() {
        for url in ["http://127.0.0.1:80/a", "http://localhost/a", "http://[::1]:80/a"] {
            assert!(agent(url, &Patience::default()).unwrap().config().proxy().is_none());
        }
    }
}
