//! Connections that break, and servers that lie about what they send.

use std::fs;

use convert::fetch::{Arrival, Error, Standing};

use crate::server::{Act, Server, answer, broken, rest, whole};
use crate::workshop::{FILE, Workshop, other_weights, weights};

const KEPT: [&str; 2] =
    ["rcmalli_vggface_tf_vgg16.h5.part", "rcmalli_vggface_tf_vgg16.h5.part.json"];

#[test]
fn a_file_that_is_served_rightly_is_fetched_at_once() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let server = Server::new(vec![whole(&bytes, "\"a\"")]);
    let fetched = workshop.fetch(&server.url("a.h5")).unwrap();
    assert_eq!(fetched.arrival, Arrival::Fetched);
    assert_eq!(fetched.standing, Standing::FirstSight);
    assert_eq!(fetched.size_bytes, bytes.len() as u64);
    workshop.assert_holds(&bytes);
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].path()), (1, "/a.h5"));
    assert_eq!(seen[0].header("range"), None);
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
}

#[test]
fn a_chunked_file_is_fetched() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let mut body = format!("{:x}\r\n", bytes.len()).into_bytes();
    body.extend(&bytes);
    body.extend(b"\r\n0\r\n\r\n");
    let server = Server::new(vec![answer("200 OK\nTransfer-Encoding: chunked", &body)]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn a_chunked_file_that_breaks_off_is_not_complete() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let mut body = format!("{:x}\r\n", bytes.len()).into_bytes();
    body.extend(&bytes[..900]);
    let head = "200 OK\nTransfer-Encoding: chunked\nETag: \"a\"";
    let server = Server::new(vec![answer(head, &body), rest(&bytes, "\"a\"", 900)]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn what_broke_off_goes_on_where_it_stopped() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let acts = vec![broken(&bytes, "\"a\"", 1000), rest(&bytes, "\"a\"", 1000)];
    let server = Server::new(acts);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
    let seen = server.seen();
    assert_eq!(seen[1].header("range"), Some("bytes=1000-"));
    assert_eq!(seen[1].header("if-range"), Some("\"a\""));
}

#[test]
fn the_next_call_goes_on_where_the_last_one_gave_up() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let down = answer("503 Service Unavailable\nContent-Length: 0", b"");
    let acts = vec![broken(&bytes, "\"a\"", 1000), down.clone(), down, rest(&bytes, "\"a\"", 1000)];
    let server = Server::new(acts);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::GaveUp { attempts: 3, size_bytes: 1000, .. }), "{error}");
    assert_eq!(workshop.files(), KEPT);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn dates_serve_where_there_is_no_strong_tag() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let head = |status: &str, more: String| {
        format!("{status}\nETag: W/\"a\"\nLast-Modified: {date}\n{more}")
    };
    let (last, length) = (bytes.len() - 1, bytes.len());
    let server = Server::new(vec![
        answer(head("200 OK", format!("Content-Length: {length}")), &bytes[..50]),
        answer(head("206 P", format!("Content-Range: bytes 50-{last}/{length}")), &bytes[50..]),
    ]);
    // The second answer has no length, which its range makes up for.
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
    assert_eq!(server.seen()[1].header("if-range"), Some(date));
}

#[test]
fn a_server_without_ranges_is_asked_for_everything_again() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let server = Server::new(vec![broken(&bytes, "\"a\"", 1000), whole(&bytes, "\"a\"")]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn without_a_validator_it_begins_again() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let head = format!("200 OK\nContent-Length: {}", bytes.len());
    let server = Server::new(vec![answer(head, &bytes[..1000]), whole(&bytes, "\"a\"")]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
    assert_eq!(server.seen()[1].header("range"), None);
}

#[test]
fn parts_of_two_files_are_never_joined() {
    let (old, new) = (other_weights(), weights());
    // The tag has changed: a server that knows If-Range sends all of the new file, one that does
    // not sends a part of it.
    for second in [whole(&new, "\"b\""), rest(&new, "\"b\"", 1000)] {
        let workshop = Workshop::new();
        let server = Server::new(vec![broken(&old, "\"a\"", 1000), second, whole(&new, "\"b\"")]);
        workshop.fetch(&server.url("a.h5")).unwrap();
        workshop.assert_holds(&new);
    }
}

#[test]
fn a_part_of_another_address_is_not_gone_on_with() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let server = Server::new(vec![broken(&other_weights(), "\"a\"", 1000)]);
    workshop.fetch(&server.url("old.h5")).unwrap_err();
    let server = Server::new(vec![whole(&bytes, "\"a\"")]);
    workshop.fetch(&server.url("new.h5")).unwrap();
    workshop.assert_holds(&bytes);
    assert_eq!(server.seen()[0].header("range"), None);
}

#[test]
fn ranges_that_do_not_fit_make_it_begin_again() {
    let bytes = weights();
    let (last, length) = (bytes.len() - 1, bytes.len());
    let ranges = [
        format!("bytes 999-{last}/{length}"),
        format!("bytes 1000-{last}/{}", length + 1),
        format!("bytes 1000-{}/{length}", last - 1),
        format!("bytes 1000-{}/{}", last + 9, length + 9),
        "bytes 1000-18446744073709551615/18446744073709551615".to_owned(),
        format!("bytes 1000-{last}/*"),
        "nonsense".to_owned(),
    ];
    for range in ranges {
        let workshop = Workshop::new();
        let lie = answer(format!("206 P\nETag: \"a\"\nContent-Range: {range}"), &bytes[1000..]);
        let server = Server::new(vec![broken(&bytes, "\"a\"", 1000), lie, whole(&bytes, "\"a\"")]);
        match workshop.fetch(&server.url("a.h5")) {
            Ok(_) => workshop.assert_holds(&bytes),
            Err(error) => {
                assert!(matches!(error, Error::TooLarge { .. }), "{range}: {error}");
                assert!(!workshop.path(FILE).exists());
            }
        }
    }
}

#[test]
fn more_bytes_than_announced_are_never_taken() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let mut body = bytes.clone();
    body.extend(b"more");
    let server =
        Server::new(vec![answer(format!("200 OK\nContent-Length: {}", bytes.len()), &body)]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);

    // A range that is shorter than the body that comes with it.
    let workshop = Workshop::new();
    let (last, length) = (bytes.len() - 1, bytes.len());
    let head = format!(
        "206 P\nETag: \"a\"\nContent-Range: bytes 1000-{last}/{length}\nContent-Length: {}",
        body.len() - 1000
    );
    let acts = vec![broken(&bytes, "\"a\"", 1000), answer(head, &body[1000..])];
    let error = workshop.fetch(&Server::new(acts).url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
    assert!(!workshop.path(FILE).exists());
}

#[test]
fn a_length_that_never_comes_gives_up_and_keeps_what_came() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let head = format!("200 OK\nETag: \"a\"\nContent-Length: {}", bytes.len() + 9);
    let end = bytes.len();
    let nothing = answer(
        format!(
            "206 P\nETag: \"a\"\nContent-Range: bytes {end}-{}/{}\nContent-Length: 9",
            end + 8,
            end + 9
        ),
        b"",
    );
    let server = Server::new(vec![answer(head, &bytes), nothing.clone(), nothing]);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    let size_bytes = bytes.len() as u64;
    assert!(matches!(error, Error::GaveUp { attempts: 3, size_bytes: it, .. } if it == size_bytes));
    assert_eq!(workshop.files(), KEPT);
}

#[test]
fn a_range_at_the_end_means_that_nothing_is_missing() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let head = "200 OK\nTransfer-Encoding: chunked\nETag: \"a\"";
    let mut body = format!("{:x}\r\n", bytes.len()).into_bytes();
    body.extend(&bytes);
    let end =
        answer(format!("416 R\nContent-Range: bytes */{}\nContent-Length: 0", bytes.len()), b"");
    workshop.fetch(&Server::new(vec![answer(head, &body), end]).url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn a_range_beyond_the_end_makes_it_begin_again_once() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let beyond = || answer("416 R\nContent-Range: bytes */10\nContent-Length: 0", b"");
    let acts = vec![broken(&bytes, "\"a\"", 1000), beyond(), whole(&bytes, "\"b\"")];
    workshop.fetch(&Server::new(acts).url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);

    let workshop = Workshop::new();
    let acts = vec![broken(&bytes, "\"a\"", 1000), beyond(), beyond()];
    let error = workshop.fetch(&Server::new(acts).url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::Refused { status: 416, .. }), "{error}");
    assert!(workshop.files().is_empty());
}

#[test]
fn a_server_error_passes() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let acts = ["500 Internal Server Error", "429 Too Many Requests"]
        .map(|status| answer(format!("{status}\nContent-Length: 0"), b""));
    let server = Server::new([acts.to_vec(), vec![whole(&bytes, "\"a\"")]].concat());
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn a_server_error_for_ever_gives_up_and_leaves_nothing() {
    let workshop = Workshop::new();
    let server = Server::new(vec![answer("500 Oh\nContent-Length: 2", b"no"); 4]);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::GaveUp { attempts: 3, size_bytes: 0, .. }), "{error}");
    assert_eq!(server.seen().len(), 3);
    assert!(workshop.files().is_empty());
}

#[test]
fn a_server_that_is_not_there_gives_up() {
    let workshop = Workshop::new();
    let error = workshop.fetch(&Server::new(vec![]).url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::GaveUp { attempts: 3, .. }), "{error}");
    assert!(workshop.files().is_empty());
}

#[test]
fn a_server_that_falls_silent_counts_as_broken_off() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let head = format!("200 OK\nETag: \"a\"\nContent-Length: {}", bytes.len());
    let stall = Act::Stall { head, body: bytes[..1000].to_vec() };
    let server = Server::new(vec![stall, Act::Silence, rest(&bytes, "\"a\"", 1000)]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_server_that_never_answers_gives_up() {
    let workshop = Workshop::new();
    let server = Server::new(vec![Act::Silence; 3]);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::GaveUp { attempts: 3, .. }), "{error}");
    assert!(workshop.files().is_empty());
}

#[test]
fn a_damaged_note_makes_it_begin_again() {
    let (workshop, bytes) = (Workshop::new(), weights());
    fs::write(workshop.path(KEPT[0]), "what came").unwrap();
    fs::write(workshop.path(KEPT[1]), "{").unwrap();
    let server = Server::new(vec![whole(&bytes, "\"a\"")]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}
