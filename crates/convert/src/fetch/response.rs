//! What a server's answer means for a file of which a part may be there.

use ureq::http::{HeaderMap, StatusCode, header};

use super::Error;
use super::partial::Note;
use crate::source::MAX_BYTES;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// All of the file.
    Whole,
    /// What follows the first `from` bytes of the file that the note is of.
    Rest { from: u64, note: &'a Note },
}

/// What to do with an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// The body is the whole file.
    Whole { size_bytes: Option<u64>, validator: Option<String> },
    /// The body is what was missing.
    Rest { size_bytes: u64 },
    /// Nothing was missing.
    Complete,
    /// What is there belongs to another file: begin again.
    BeginAgain(String),
    /// It may go better the next time.
    Passing(String),
}

/// Interprets an answer's status and headers.
pub(super) fn interpret(
    url: &str,
    asked: Asked<'_>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Answer, Error> {
    let unasked = |reason: String| Error::Answer { url: url.to_owned(), reason };
    if let Some(encoding) = text(headers, header::CONTENT_ENCODING)
        && encoding != "identity"
        && status.is_success()
    {
        return Err(unasked(format!("an encoding, {encoding}")));
    }
    match (status.as_u16(), asked) {
        (200, _) => whole(url, headers),
        (206, Asked::Rest { from, note }) => rest(url, from, note, headers),
        (206, Asked::Whole) => Err(unasked("a part of the file".to_owned())),
        // The range begins at the file's end, or beyond.
        (416, Asked::Rest { from, .. }) => match unsatisfied(headers) {
            Some(size_bytes) if size_bytes == from => Ok(Answer::Complete),
            _ => Ok(Answer::BeginAgain("the server has no such range".to_owned())),
        },
        (408 | 425 | 429 | 500..=599, _) => {
            Ok(Answer::Passing(format!("the server said {status}")))
        }
        (status, _) => Err(Error::Refused { url: url.to_owned(), status, remedy: remedy(status) }),
    }
}

/// A body from the first byte on.
fn whole(url: &str, headers: &HeaderMap) -> Result<Answer, Error> {
    let size_bytes = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let is_chunked = text(headers, header::TRANSFER_ENCODING)
        .is_some_and(|encoding| encoding.to_ascii_lowercase().contains("chunked"));
    if size_bytes.is_none() && !is_chunked {
        let reason = "no length, by which a broken connection would look like the end".to_owned();
        return Err(Error::Answer { url: url.to_owned(), reason });
    }
    refuse_too_large(url, size_bytes.unwrap_or(0))?;
    Ok(Answer::Whole { size_bytes, validator: validator(headers) })
}

/// A body that goes on where the last one broke off, if it does.
fn rest(url: &str, from: u64, note: &Note, headers: &HeaderMap) -> Result<Answer, Error> {
    let Some(range) = text(headers, header::CONTENT_RANGE) else {
        return Ok(Answer::BeginAgain("a part that does not say which".to_owned()));
    };
    let Some((start, end, whole)) = satisfied(range) else {
        return Ok(Answer::BeginAgain(format!("a part that cannot be told, `{range}`")));
    };
    refuse_too_large(url, whole)?;
    let is_what_was_asked = start == from
        && end.checked_add(1) == Some(whole)
        && note.size_bytes.is_none_or(|size_bytes| size_bytes == whole);
    if !is_what_was_asked {
        return Ok(Answer::BeginAgain(format!("another part than from {from} on, `{range}`")));
    }
    // Some servers do not know If-Range and send the range of whatever file they have.
    if validator(headers).is_some_and(|validator| validator != note.validator) {
        return Ok(Answer::BeginAgain("a part of a file that has changed".to_owned()));
    }
    Ok(Answer::Rest { size_bytes: whole - from })
}

/// Refuses a file that is longer than any of VGG16's weights.
pub(super) fn refuse_too_large(url: &str, found: u64) -> Result<(), Error> {
    if MAX_BYTES < found {
        return Err(Error::TooLarge { url: url.to_owned(), found, limit: MAX_BYTES });
    }
    Ok(())
}

/// What tells this file from a later one at the same address, byte by byte: a strong `ETag`, else
/// the date of `Last-Modified`. Weak ones do not serve for ranges.
///
/// # Source
///
/// RFC 9110, sections 8.8 and 13.1.5.
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(headers, header::LAST_MODIFIED)).map(str::to_owned)
}

/// First byte, last byte and length of the whole, from `bytes 5-9/10`.
fn satisfied(range: &str) -> Option<(u64, u64, u64)> {
    let (part, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = part.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?, whole.parse().ok()?))
}

/// Length of the whole, from `bytes */10`.
fn unsatisfied(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes */")?.parse().ok()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// What to do about a refusal.
fn remedy(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "it asks for a login, or keeps programs out: download the file with a browser into \
             the folder and call again"
        }
        404 | 410 => {
            "the file is no longer there: look for it on the publisher's page, and give its \
             address with `--url`"
        }
        407 => "the proxy asks for a login: put it into HTTPS_PROXY",
        _ => "open it in a browser to see why, or give another address with `--url`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(satisfied("bytes 5-9/10"), Some((5, 9, 10)));
        for range in ["bytes 5-9/*", "bytes */10", "5-9/10", "bytes 5/10", "bytes -5-9/10", ""] {
            assert_eq!(satisfied(range), None, "{range}");
        }
    }

    #[test]
    fn weak_tags_give_way_to_dates() {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let both = |tag| headers(&[(header::ETAG, tag), (header::LAST_MODIFIED, date)]);
        assert_eq!(validator(&both("\"a\"")).unwrap(), "\"a\"");
        assert_eq!(validator(&both("W/\"a\"")).unwrap(), date);
        assert_eq!(validator(&headers(&[(header::ETAG, "W/\"a\"")])), None);
    }

    #[test]
    fn a_body_without_a_length_is_refused() {
        let answer = |pairs| interpret("u", Asked::Whole, StatusCode::OK, &headers(pairs));
        assert!(matches!(answer(&[]), Err(Error::Answer { .. })));
        let chunked = answer(&[(header::TRANSFER_ENCODING, "chunked")]);
        assert!(matches!(chunked, Ok(Answer::Whole { size_bytes: None, .. })));
    }
}
