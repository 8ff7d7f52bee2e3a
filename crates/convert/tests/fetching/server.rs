//! A server that does one scripted thing for each connection, and remembers what it was asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// What the server does for one connection.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends a head and a body, then closes.
    Answer { head: String, body: Vec<u8> },
    /// Says nothing and holds the connection open.
    Silence,
    /// Sends a head and a body, then nothing more, and holds the connection open.
    Stall { head: String, body: Vec<u8> },
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen(Vec<String>);

impl Seen {
    /// The path that was asked for.
    pub(crate) fn path(&self) -> &str {
        self.0[0].split(' ').nth(1).unwrap()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0[1..].iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The server; it goes through its acts in turn and then refuses connections.
pub(crate) struct Server {
    port: u16,
    seen: Receiver<Seen>,
}

impl Server {
    pub(crate) fn new(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, seen) = channel();
        thread::spawn(move || {
            let mut held = Vec::new();
            for act in acts {
                let (mut stream, _) = listener.accept().unwrap();
                sender.send(request(&stream)).unwrap();
                match act {
                    Act::Answer { head, body } => {
                        send(&mut stream, &head, &body);
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                    Act::Silence => held.push(stream),
                    Act::Stall { head, body } => {
                        send(&mut stream, &head, &body);
                        held.push(stream);
                    }
                }
            }
            // Whoever is still held waits longer than any test is patient.
            drop(listener);
            if !held.is_empty() {
                thread::sleep(Duration::from_secs(30));
            }
        });
        Self { port, seen }
    }

    /// The address of a path here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }
}

fn request(stream: &TcpStream) -> Seen {
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    Seen(lines.take_while(|line| !line.is_empty()).collect())
}

/// The client may have gone; that is its business.
fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let head = head.trim().replace('\n', "\r\n");
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
    let _ = stream.write_all(body);
    let _ = stream.flush();
}

/// An answer of these lines and this body.
pub(crate) fn answer(head: impl Into<String>, body: &[u8]) -> Act {
    Act::Answer { head: head.into(), body: body.to_vec() }
}

/// The whole of `bytes` with a tag.
pub(crate) fn whole(bytes: &[u8], tag: &str) -> Act {
    answer(format!("200 OK\nETag: {tag}\nContent-Length: {}", bytes.len()), bytes)
}

/// The whole of `bytes` announced, and the first `sent` of them.
pub(crate) fn broken(bytes: &[u8], tag: &str, sent: usize) -> Act {
    answer(format!("200 OK\nETag: {tag}\nContent-Length: {}", bytes.len()), &bytes[..sent])
}

/// What follows the first `from` bytes.
pub(crate) fn rest(bytes: &[u8], tag: &str, from: usize) -> Act {
    let (last, whole, left) = (bytes.len() - 1, bytes.len(), bytes.len() - from);
    let head = format!(
        "206 Partial Content\nETag: {tag}\nContent-Range: bytes {from}-{last}/{whole}\n\
         Content-Length: {left}"
    );
    answer(head, &bytes[from..])
}
