//! The date format of HTTP (RFC 9110 section 5.6.7).

use std::io::Write;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;

/// How long a date is: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_LEN: usize = 29;
/// The last second of the year 9999, since 1970: the format has four digits for the year.
const LAST_SECOND: u64 = 253_402_300_799;

/// Formats `time` as an IMF-fixdate. A time before 1970 or after 9999 becomes the nearest that has
/// a date. Allocates nothing.
pub fn imf_fixdate(time: SystemTime) -> [u8; DATE_LEN] {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    let time = time.clamp(SystemTime::UNIX_EPOCH, last);
    let mut date = [0; DATE_LEN];
    write!(&mut date[..], "{}", HttpDate::from(time)).expect("every IMF-fixdate is 29 bytes long");
    date
}
