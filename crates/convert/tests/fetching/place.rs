//! What is in the folder already: the file, its record, another process.

use std::fs::{self, File};

use convert::fetch::{Arrival, Error, Pin, Served, Standing};

use crate::server::{Server, whole};
use crate::workshop::{FILE, Workshop, other_weights, weights};

#[test]
fn a_file_that_is_there_is_not_fetched_again() {
    let (workshop, bytes) = (Workshop::new(), weights());
    let server = Server::new(vec![whole(&bytes, "\"a\""); 2]);
    let first = workshop.fetch(&server.url("a.h5")).unwrap();
    let second = workshop.fetch(&server.url("a.h5")).unwrap();
    assert_eq!(second.arrival, Arrival::AlreadyThere);
    assert_eq!(second.standing, Standing::Recorded("2024-02-29".to_owned()));
    assert_eq!(second.sha256, first.sha256);
    assert_eq!(server.seen().len(), 1);
    workshop.assert_holds(&bytes);
}

#[test]
fn a_file_that_changed_at_its_address_is_refused() {
    let workshop = Workshop::new();
    let server = Server::new(vec![whole(&weights(), "\"a\""), whole(&other_weights(), "\"b\"")]);
    let first = workshop.fetch(&server.url("a.h5")).unwrap();
    let record = fs::read(workshop.path("fetched.json")).unwrap();
    // The file was moved away, as is done with what was converted.
    fs::rename(workshop.path(FILE), workshop.path("moved.h5")).unwrap();
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    let Error::RecordedDigest { expected, found, .. } = &error else { panic!("{error}") };
    assert!(*expected == first.sha256 && *found != first.sha256);
    let words = error.to_string();
    for word in [expected.as_str(), found, "2024-02-29", "delete the entry `vggface-keras`"] {
        assert!(words.contains(word), "{words}");
    }
    assert_eq!(workshop.files(), ["fetched.json", "moved.h5"]);
    assert_eq!(fs::read(workshop.path("fetched.json")).unwrap(), record);
}

#[test]
fn a_change_that_is_wanted_is_let_in_by_deleting_the_entry() {
    let workshop = Workshop::new();
    let server = Server::new(vec![whole(&weights(), "\"a\""), whole(&other_weights(), "\"b\"")]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    fs::remove_file(workshop.path(FILE)).unwrap();
    fs::write(workshop.path("fetched.json"), "{\"format_version\": 1, \"files\": {}}").unwrap();
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&other_weights());
}

#[test]
fn a_file_without_a_record_is_recorded_as_it_is() {
    let (workshop, bytes) = (Workshop::new(), weights());
    fs::write(workshop.path(FILE), &bytes).unwrap();
    let url = Server::new(vec![]).url("a.h5");
    let fetched = workshop.fetch(&url).unwrap();
    assert_eq!((fetched.arrival, fetched.standing), (Arrival::AlreadyThere, Standing::FirstSight));
    workshop.assert_holds(&bytes);
    let standing = workshop.fetch(&url).unwrap().standing;
    assert_eq!(standing, Standing::Recorded("2024-02-29".to_owned()));
}

#[test]
fn a_file_in_place_that_is_not_the_known_one_is_refused_and_left() {
    let recorded = Workshop::new();
    let server = Server::new(vec![whole(&weights(), "\"a\"")]);
    recorded.fetch(&server.url("a.h5")).unwrap();
    let pinned = Workshop::pinned(Pin::Md5("00"));
    for (workshop, known) in [(recorded, "recorded on 2024-02-29"), (pinned, "published")] {
        fs::write(workshop.path(FILE), other_weights()).unwrap();
        let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
        assert!(matches!(&error, Error::InPlace { known: it, .. } if it == known), "{error}");
        assert!(fs::read(workshop.path(FILE)).unwrap() == other_weights());
    }
}

#[test]
fn a_web_page_in_place_is_refused_and_left() {
    let workshop = Workshop::new();
    fs::write(workshop.path(FILE), "<html>").unwrap();
    let error = workshop.fetch(&Server::new(vec![]).url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::NotWeightsInPlace { served: Served::WebPage, .. }), "{error}");
    assert_eq!(workshop.files(), [FILE]);
}

#[test]
fn a_damaged_record_loses_nothing_that_came() {
    let (workshop, bytes) = (Workshop::new(), weights());
    fs::write(workshop.path("fetched.json"), "{").unwrap();
    let end = format!("416 R\nContent-Range: bytes */{}\nContent-Length: 0", bytes.len());
    let server = Server::new(vec![whole(&bytes, "\"a\""), crate::server::answer(end, b"")]);
    let error = workshop.fetch(&server.url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::Record { .. }), "{error}");
    assert!(!workshop.path(FILE).exists());
    fs::remove_file(workshop.path("fetched.json")).unwrap();
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&bytes);
}

#[test]
fn two_processes_do_not_write_one_file() {
    let workshop = Workshop::new();
    let part = File::create(workshop.path(&format!("{FILE}.part"))).unwrap();
    part.lock().unwrap();
    let error = workshop.fetch(&Server::new(vec![]).url("a.h5")).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    drop(part);
    let server = Server::new(vec![whole(&weights(), "\"a\"")]);
    workshop.fetch(&server.url("a.h5")).unwrap();
    workshop.assert_holds(&weights());
}
