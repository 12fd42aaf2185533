//! [`Validators`]: what tells one state of a resource from another, and the conditions that
//! requests put on it (RFC 9110 sections 8.8 and 13).
//!
//! What must hold: conditions are evaluated in the order of section 13.2.2; one that is malformed
//! is no condition; nothing here reads a clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Request, Response};
use crate::http::{HeaderName, HeaderValue, Method, StatusCode, date, header};

/// An entity tag (RFC 9110 section 8.8.3): the name of one state of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag {
    /// As it stands in the field, quotes and all.
    text: Box<str>,
}

impl ETag {
    /// A tag of which two that are equal mean equal bytes.
    ///
    /// # Panics
    /// If `opaque` holds a quote, a space or what is not visible ASCII.
    pub fn strong(opaque: impl fmt::Display) -> ETag {
        ETag::checked(format!("\"{opaque}\""), 1)
    }

    /// A tag of which two that are equal mean that one state is as good as the other.
    ///
    /// # Panics
    /// As [`strong`](ETag::strong).
    pub fn weak(opaque: impl fmt::Display) -> ETag {
        ETag::checked(format!("W/\"{opaque}\""), 3)
    }

    fn checked(text: String, start: usize) -> ETag {
        let opaque = &text[start..text.len() - 1];
        let fits = opaque
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
        assert!(
            fits,
            "entity tag {text}: visible ASCII without quotes, such as a hash in hex"
        );
        let text = text.into();
        ETag { text }
    }

    /// Whether equal tags mean equal bytes.
    pub fn is_strong(&self) -> bool {
        !self.text.starts_with("W/")
    }

    /// As it stands in the field.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is the tag of a list element, as section 8.8.3.2 compares strongly.
    fn matches_strongly(&self, tag: &[u8]) -> bool {
        self.is_strong() && tag == self.text.as_bytes()
    }

    /// As above, but weakly: a `W/` on either side says nothing.
    fn matches_weakly(&self, tag: &[u8]) -> bool {
        bare(tag) == bare(self.text.as_bytes())
    }
}

impl From<&ETag> for HeaderValue {
    fn from(etag: &ETag) -> HeaderValue {
        HeaderValue::from_str(&etag.text).expect("checked when it was made")
    }
}

/// What tells the present state of a resource from others: its tag, its time, or both.
///
/// # Examples
/// ```
/// use sunstar::http::header;
/// use sunstar::service::{ETag, IntoResponse, Request, Response, Validators};
///
/// fn article(request: &Request) -> Response {
///     let validators = Validators::new(ETag::strong("v7"));
///     validators.answer(request, || "a long text".into_response(request.pool()))
/// }
///
/// let request = Request::get("/article").with_field(header::IF_NONE_MATCH, "\"v7\"");
/// assert_eq!(article(&request).status, 304);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    etag: Option<ETag>,
    last_modified: Option<SystemTime>,
    exists: bool,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Do as the method says.
    Holds,
    /// 304: the client has this state already.
    NotModified,
    /// 412: the client thinks of another state.
    Failed,
}

impl Validators {
    /// Those of a resource that is known by its tag.
    pub fn new(etag: ETag) -> Validators {
        Validators {
            etag: Some(etag),
            last_modified: None,
            exists: true,
        }
    }

    /// Those of a resource that is known by its time alone.
    pub fn modified_at(time: SystemTime) -> Validators {
        Validators {
            etag: None,
            last_modified: Some(whole_seconds(time)),
            exists: true,
        }
    }

    /// Those of a resource that is not there (yet): for `PUT` with `If-None-Match: *`.
    pub fn none() -> Validators {
        Validators::default()
    }

    /// The same with the time of the last change, of which whole seconds count.
    #[must_use]
    pub fn with_last_modified(mut self, time: SystemTime) -> Validators {
        self.last_modified = Some(whole_seconds(time));
        self
    }

    /// Evaluates the conditions of a request (RFC 9110 section 13.2.2), `If-Range` aside: that is
    /// [`allows_range`](Validators::allows_range).
    ///
    /// A method that changes something checks it before it does.
    pub fn check(&self, request: &Request) -> Condition {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if request.field(&header::IF_MATCH).is_some() {
            if !self.is_any_of(request, &header::IF_MATCH, ETag::matches_strongly) {
                return Condition::Failed;
            }
        } else if let Some(time) = time(request, &header::IF_UNMODIFIED_SINCE)
            && self.last_modified.is_some_and(|modified| modified > time)
        {
            return Condition::Failed;
        }
        if request.field(&header::IF_NONE_MATCH).is_some() {
            if self.is_any_of(request, &header::IF_NONE_MATCH, ETag::matches_weakly) {
                return if reads {
                    Condition::NotModified
                } else {
                    Condition::Failed
                };
            }
        } else if reads
            && let Some(time) = time(request, &header::IF_MODIFIED_SINCE)
            && self.last_modified.is_some_and(|modified| modified <= time)
        {
            return Condition::NotModified;
        }
        Condition::Holds
    }

    /// Whether a `Range` counts: there is no `If-Range`, or it names this very state (RFC 9110
    /// section 13.1.5). A date names no state that is known by a weak tag: two states may share it
    /// then.
    pub fn allows_range(&self, request: &Request) -> bool {
        let Some(value) = request.field(&header::IF_RANGE) else {
            return true;
        };
        if value.ends_with(b"\"") {
            return self
                .etag
                .as_ref()
                .is_some_and(|etag| etag.matches_strongly(value));
        }
        let named = str::from_utf8(value)
            .ok()
            .and_then(|text| httpdate::parse_http_date(text).ok());
        let dates_are_strong = self.etag.as_ref().is_none_or(ETag::is_strong);
        named.is_some() && named == self.last_modified && dates_are_strong
    }

    /// The response of `make`, marked with the validators, unless a condition of the request is
    /// answered by 304 or 412. A response that is no success is left as it is.
    pub fn answer(&self, request: &Request, make: impl FnOnce() -> Response) -> Response {
        let mut response = match self.check(request) {
            Condition::Holds => make(),
            Condition::NotModified => Response::new(StatusCode::NOT_MODIFIED),
            Condition::Failed => return Response::new(StatusCode::PRECONDITION_FAILED),
        };
        if response.status.is_success() || response.status == StatusCode::NOT_MODIFIED {
            self.mark(&mut response);
        }
        response
    }

    /// Sets `ETag` and `Last-Modified`.
    pub fn mark(&self, response: &mut Response) {
        if let Some(etag) = &self.etag {
            response.fields.insert(header::ETAG, etag.into());
        }
        if let Some(time) = self.last_modified {
            let date = HeaderValue::from_bytes(&date::imf_fixdate(time)).expect("a date is ASCII");
            response.fields.insert(header::LAST_MODIFIED, date);
        }
    }

    /// Whether a list of tags, over all lines of a field, names this state. `*` names any that is
    /// there.
    fn is_any_of(
        &self,
        request: &Request,
        name: &HeaderName,
        matches: fn(&ETag, &[u8]) -> bool,
    ) -> bool {
        let lines = || request.fields().named(name.as_str());
        if lines().any(|line| line == b"*") {
            return self.exists;
        }
        let Some(etag) = &self.etag else { return false };
        lines().flat_map(Tags).any(|tag| matches(etag, tag))
    }
}

/// The tags of a list. Ends at what is none.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let separates = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
        let start = self.0.iter().position(|byte| !separates(byte))?;
        let list = &self.0[start..];
        let open = if list.starts_with(b"W/") { 2 } else { 0 };
        if list.get(open) != Some(&b'"') {
            return None;
        }
        // A comma may stand inside of a tag, so the closing quote is looked for.
        let close = memchr::memchr(b'"', &list[open + 1..])?;
        let (tag, rest) = list.split_at(open + close + 2);
        self.0 = rest;
        Some(tag)
    }
}

/// A tag without its `W/`.
fn bare(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// A date in a field. What is none is no condition (RFC 9110 section 13.1.3).
fn time(request: &Request, name: &HeaderName) -> Option<SystemTime> {
    let text = str::from_utf8(request.field(name)?).ok()?;
    httpdate::parse_http_date(text).ok()
}

/// The time to which HTTP's dates can point.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn then() -> SystemTime {
        // Parts of a second are not told, so they must not count.
        httpdate::parse_http_date(THEN).unwrap() + Duration::from_millis(500)
    }

    fn both() -> Validators {
        Validators::new(ETag::strong("a")).with_last_modified(then())
    }

    fn request(fields: &[(HeaderName, &str)]) -> Request {
        let start = Request::get("/");
        fields.iter().fold(start, |request, (name, value)| {
            request.with_field(name.clone(), value)
        })
    }

    fn checked(validators: &Validators, fields: &[(HeaderName, &str)]) -> (Condition, Condition) {
        let get = validators.check(&request(fields));
        let put = validators.check(&request(fields).with_method(Method::PUT));
        (get, put)
    }

    use Condition::{Failed, Holds, NotModified};
    use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

    /// Section 13.1.1: strong comparison; `*` for what is there.
    #[test]
    fn if_match_wants_one_of_its_tags() {
        for (list, outcome) in [
            ("\"a\"", Holds),
            ("\"b\", \"a\"", Holds),
            (",, \"b,\" ,\"a\"", Holds),
            ("*", Holds),
            ("\"b\"", Failed),
            ("W/\"a\"", Failed),
            ("a", Failed),
            ("\"a", Failed),
            ("", Failed),
        ] {
            assert_eq!(
                checked(&both(), &[(IF_MATCH, list)]),
                (outcome, outcome),
                "{list}"
            );
        }
        let weak = Validators::new(ETag::weak("a"));
        assert_eq!(weak.check(&request(&[(IF_MATCH, "W/\"a\"")])), Failed);
        assert_eq!(
            Validators::none().check(&request(&[(IF_MATCH, "*")])),
            Failed
        );
    }

    /// Section 13.1.2: weak comparison; 304 to GET and HEAD, 412 to others.
    #[test]
    fn if_none_match_wants_none_of_its_tags() {
        for (list, is_named) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("\"b,\"a\"", false),
            ("junk", false),
        ] {
            let outcome = if is_named {
                (NotModified, Failed)
            } else {
                (Holds, Holds)
            };
            assert_eq!(
                checked(&both(), &[(IF_NONE_MATCH, list)]),
                outcome,
                "{list}"
            );
        }
        let head = request(&[(IF_NONE_MATCH, "\"a\"")]).with_method(Method::HEAD);
        assert_eq!(both().check(&head), NotModified);
        assert_eq!(
            checked(&Validators::none(), &[(IF_NONE_MATCH, "*")]),
            (Holds, Holds)
        );
    }

    /// Section 13.1.3: only GET and HEAD, only without `If-None-Match`, and only a good date.
    #[test]
    fn if_modified_since_wants_a_later_change() {
        let outcome = |date| checked(&both(), &[(IF_MODIFIED_SINCE, date)]);
        assert_eq!(outcome(BEFORE), (Holds, Holds));
        assert_eq!(outcome(THEN), (NotModified, Holds));
        assert_eq!(outcome(AFTER), (NotModified, Holds));
        assert_eq!(outcome("yesterday"), (Holds, Holds));
        let other_tag = [(IF_MODIFIED_SINCE, AFTER), (IF_NONE_MATCH, "\"b\"")];
        assert_eq!(
            checked(&both(), &other_tag).0,
            Holds,
            "the tag takes precedence"
        );
    }

    /// RFC 9110 section 5.6.7.
    #[test]
    fn all_three_formats_of_a_date_are_understood() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let request = request(&[(IF_MODIFIED_SINCE, date)]);
            let seconds = time(&request, &IF_MODIFIED_SINCE).map(|time| {
                time.duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap()
                    .as_secs()
            });
            assert_eq!(seconds, Some(784_111_777), "{date}");
        }
    }

    /// Section 13.1.4: only without `If-Match`, and only a good date.
    #[test]
    fn if_unmodified_since_wants_no_later_change() {
        let outcome = |date| checked(&both(), &[(IF_UNMODIFIED_SINCE, date)]);
        assert_eq!(outcome(BEFORE), (Failed, Failed));
        assert_eq!(outcome(THEN), (Holds, Holds));
        assert_eq!(outcome(AFTER), (Holds, Holds));
        assert_eq!(outcome("yesterday"), (Holds, Holds));
        let tag = [(IF_UNMODIFIED_SINCE, BEFORE), (IF_MATCH, "\"a\"")];
        assert_eq!(
            checked(&both(), &tag),
            (Holds, Holds),
            "the tag takes precedence"
        );
        let no_date = Validators::new(ETag::strong("a"));
        assert_eq!(
            checked(&no_date, &[(IF_UNMODIFIED_SINCE, BEFORE)]),
            (Holds, Holds)
        );
    }

    /// Section 13.2.2: the conditions that protect come before those that save.
    #[test]
    fn a_failed_condition_comes_before_one_that_saves_a_transfer() {
        let both_fields = [(IF_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")];
        assert_eq!(checked(&both(), &both_fields).0, Failed);
        let held = [(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "\"a\"")];
        assert_eq!(checked(&both(), &held), (NotModified, Failed));
    }

    /// Section 13.1.5: strong comparison, or exactly the date.
    #[test]
    fn if_range_names_this_very_state() {
        let allows = |value| both().allows_range(&request(&[(IF_RANGE, value)]));
        assert!(allows("\"a\"") && allows(THEN));
        for other in ["\"b\"", "W/\"a\"", BEFORE, AFTER, "a", ""] {
            assert!(!allows(other), "{other}");
        }
        assert!(both().allows_range(&Request::get("/")));
        let weak = Validators::new(ETag::weak("a")).with_last_modified(then());
        for weak_value in ["W/\"a\"", THEN] {
            assert!(!weak.allows_range(&request(&[(IF_RANGE, weak_value)])));
        }
        let date_alone = Validators::modified_at(then());
        assert!(date_alone.allows_range(&request(&[(IF_RANGE, THEN)])));
    }

    #[test]
    fn an_answer_carries_the_validators_unless_a_condition_failed() {
        let made = |fields: &[_]| {
            both().answer(&request(fields), || {
                Response::new(StatusCode::OK).with_content("text")
            })
        };
        let fresh = made(&[]);
        assert_eq!(fresh.fields.get(&header::ETAG), Some(&b"\"a\""[..]));
        assert_eq!(
            fresh.fields.get(&header::LAST_MODIFIED),
            Some(THEN.as_bytes())
        );
        let known = made(&[(IF_NONE_MATCH, "\"a\"")]);
        assert_eq!((known.status.as_u16(), known.fields.len()), (304, 2));
        assert!(known.content.as_bytes().is_empty());
        let failed = made(&[(IF_MATCH, "\"b\"")]);
        assert_eq!((failed.status.as_u16(), failed.fields.len()), (412, 0));
        let missing = both().answer(&Request::get("/"), || Response::new(StatusCode::NOT_FOUND));
        assert!(missing.fields.is_empty());
    }

    #[test]
    #[should_panic(expected = "visible ASCII without quotes")]
    fn a_tag_with_a_quote_is_refused() {
        let _ = ETag::strong("a\"b");
    }
}
