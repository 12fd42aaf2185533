//! Section 5, Fields; the date format.

use std::time::{Duration, SystemTime};

use sunstar::http::date::imf_fixdate;

use crate::harness::{exchange, get};

fn at(seconds: u64) -> String {
    let date = imf_fixdate(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    String::from_utf8(date.to_vec()).expect("a date in ASCII")
}

/// 5.6.7: a sender MUST generate IMF-fixdate.
#[test]
fn a_date_is_an_imf_fixdate() {
    assert_eq!(at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(at(1_709_210_096), "Thu, 29 Feb 2024 12:34:56 GMT");
    assert_eq!(at(253_402_300_799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

#[test]
fn a_time_that_has_no_date_becomes_the_nearest_that_has_one() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(imf_fixdate(before), *b"Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(at(253_402_300_800), "Fri, 31 Dec 9999 23:59:59 GMT");
}

/// 5.3: field lines of the same name may be repeated where their definition permits it.
#[test]
fn repeated_fields_are_no_error() {
    let request = get("Accept: a\r\nAccept: b\r\nCookie: a=b\r\nCookie: c=d\r\nTE: trailers\r\n");
    assert_eq!(exchange(request), "200 GET / | open");
}
