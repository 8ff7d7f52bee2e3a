//! What is not the file: refused by the server, or by what it serves.

use convert::fetch::{Error, Pin, Served, Standing};

use crate::server::{Seen, Server, answer, broken, rest, whole};
use crate::workshop::{Workshop, other_weights, weights};

/// SHA-256 and MD5 of `keras2.h5`.
const SHA256: &str = "d156d68ab0277eff846bc7cc3db104f80010eb6667d46d308f016a501f9f899e";
const MD5: &str = "f1e7aca00a2dd03d2c904394ba9c0ca8";

#[test]
fn refusals_are_final_and_say_what_to_do() {
    for (status, remedy) in [
        (404, "publisher's page"),
        (410, "publisher's page"),
        (403, "browser"),
        (401, "browser"),
        (407, "HTTPS_PROXY"),
        (400, "--url"),
        (304, "--url"),
    ] {
        let workshop = Workshop::new();
        let server = Server::new(vec![answer(format!("{status} No\nContent-Length: 0"), b""); 2]);
        let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
        assert!(matches!(error, Error::Refused { status: it, .. } if it == status), "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert_eq!(server.seen().len(), 1);
        assert!(workshop.files().is_empty());
    }
}

#[test]
fn a_refusal_keeps_what_came_before() {
    let workshop = Workshop::new();
    let gone = answer("404 Gone\nContent-Length: 0", b"");
    let server = Server::new(vec![broken(&weights(), "\"a\"", 1000), gone]);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::Refused { status: 404, .. }));
    assert_eq!(workshop.files().len(), 2);
}

#[test]
fn what_is_not_weights_is_removed_and_not_recorded() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 580000000\n";
    let cases = [
        ("", Some(Served::Nothing)),
        ("<!DOCTYPE html><html>Sign in</html>", Some(Served::WebPage)),
        ("<?xml version=\"1.0\"?><Error/>", Some(Served::WebPage)),
        (pointer, Some(Served::LfsPointer)),
        // These are told in words.
        ("{\"error\": \"quota\"}", None),
        ("PK\x03\x04 archive/data.pkl", None),
    ];
    for (body, expected) in cases {
        let workshop = Workshop::new();
        let server = Server::new(vec![whole(body.as_bytes(), "\"a\"")]);
        let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
        let Error::NotWeights { served, .. } = &error else { panic!("{error}") };
        match expected {
            Some(expected) => assert_eq!(*served, expected),
            None => assert!(matches!(served, Served::Other(_)), "{error}"),
        }
        assert!(workshop.files().is_empty());
    }
}

#[test]
fn a_pinned_digest_is_held_to() {
    for pin in [Pin::Sha256(SHA256), Pin::Md5(MD5)] {
        let workshop = Workshop::pinned(pin);
        let server =
            Server::new(vec![whole(&other_weights(), "\"a\""), whole(&weights(), "\"a\"")]);
        let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
        let Error::PinnedDigest { expected, found, .. } = &error else { panic!("{error}") };
        assert!(expected.contains(SHA256) || expected.contains(MD5));
        assert!(error.to_string().contains(found) && !expected.contains(found));
        assert!(workshop.files().is_empty());
        let fetched = workshop.fetch(&server.url("a.h5")).unwrap();
        assert_eq!(fetched.standing, Standing::Pinned);
        workshop.assert_holds(&weights());
    }
}

#[test]
fn redirects_are_followed_with_the_range_and_the_address_that_was_given_is_noted() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let lead = || answer("302 Found\nLocation: /store/b.h5\nContent-Length: 0", b"");
    let acts = vec![lead(), broken(&bytes, "\"a\"", 1000), lead(), rest(&bytes, "\"a\"", 1000)];
    let server = Server::new(acts);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
    let seen = server.seen();
    let paths: Vec<_> = seen.iter().map(Seen::path).collect();
    assert_eq!(paths, ["/a.h5", "/store/b.h5", "/a.h5", "/store/b.h5"]);
    assert_eq!(seen[3].header("range"), Some("bytes=1000-"));
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    let workshop = Workshop::new();
    let lead = answer("302 Found\nLocation: /a.h5\nContent-Length: 0", b"");
    let error = workshop.fetch(&Server::new(vec![lead; 20]).url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
    assert!(workshop.files().is_empty());
}

#[test]
fn answers_that_were_not_asked_for_are_refused() {
    let bytes = weights();
    let range = format!("Content-Range: bytes 0-{}/{}", bytes.len() - 1, bytes.len());
    for head in [
        format!("206 Partial Content\n{range}\nContent-Length: {}", bytes.len()),
        format!("200 OK\nContent-Encoding: gzip\nContent-Length: {}", bytes.len()),
        "200 OK".to_owned(),
    ] {
        let workshop = Workshop::new();
        let error = workshop.fetch(&Server::new(vec![answer(head, &bytes)]).url("a")).unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{error}");
        assert!(workshop.files().is_empty());
    }
}

#[test]
fn a_file_beyond_any_of_weights_is_refused_before_it_comes() {
    let workshop = Workshop::new();
    let server = Server::new(vec![answer("200 OK\nContent-Length: 4294967297", b"x")]);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { found: 4_294_967_297, .. }), "{error}");
    assert!(workshop.files().is_empty());
}

#[test]
fn what_is_no_address_is_refused() {
    for url in ["ftp://127.0.0.1/a.h5", "weights.h5", "file:///etc/passwd", "http://", ""] {
        let workshop = Workshop::new();
        let error = workshop.fetch(url).unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{url}: {error}");
        assert!(workshop.files().is_empty());
    }
}
