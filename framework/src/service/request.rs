//! [`Request`]: what a handler is asked: head, content and the parameters of the path.
//!
//! What must hold: the spans of the parameters lie inside the path of the head, and there are as
//! many of them as names. Nothing here allocates per request, the constructors for tests aside.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::inflow::Inflow;
use super::{Body, BodyError};
use crate::http::{FieldLines, Head, HeaderName, HeaderValue, Method, Span, Version};
use crate::mem::{Buf, BufMut, Pool};

/// A request: its head, its content and the parameters of its path.
///
/// A handler gets it with its content whole, up to the limit. A [`Service`](super::Service) may get
/// it before that: [`is_whole`](Request::is_whole) tells, [`gathered`](Request::gathered) waits for
/// the rest and [`body`](Request::body) reads it piece by piece.
///
/// Content and head are counted slices: keeping them costs no copy.
pub struct Request {
    head: Head,
    /// The content, or its beginning.
    content: Buf,
    /// Where the rest comes from, unless that was all.
    inflow: Option<Rc<Inflow>>,
    params: Params,
    pool: Pool,
}

impl Request {
    /// Puts a request together, before routing. `pool` is the current shard's.
    #[inline]
    pub fn new(head: Head, content: Buf, pool: Pool) -> Request {
        Request {
            head,
            content,
            inflow: None,
            params: Params::default(),
            pool,
        }
    }

    /// The same request, the rest of whose content is still to come.
    #[must_use]
    pub(crate) fn with_inflow(mut self, inflow: Rc<Inflow>) -> Request {
        self.inflow = Some(inflow);
        self
    }

    /// Whether all of the content is here.
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.inflow.is_none()
    }

    /// Waits for the rest of the content.
    ///
    /// # Errors
    /// When it does not come, or is longer than the limit.
    ///
    /// # Cancel safety
    /// Dropping the future loses the request.
    pub async fn gathered(mut self) -> Result<Request, BodyError> {
        if let Some(inflow) = &self.inflow {
            let max = inflow.gather_max();
            let body = self.body().unwrap_or_else(|| Body::from(Buf::new()));
            self.content = Buf::new();
            self.content = body.collect(max).await?;
            self.inflow = None;
        }
        Ok(self)
    }

    /// The content, piece by piece as it comes; `None` if it was taken before.
    pub fn body(&self) -> Option<Body> {
        let is_free = self.inflow.as_ref().is_none_or(|inflow| inflow.take());
        is_free.then(|| Body::new(self.content.clone(), self.inflow.clone()))
    }

    /// Sets the longest content that is read for this request: gathered, in the place of
    /// [`Limits::content_len_max`](crate::http::Limits::content_len_max), or piece by piece. Does
    /// nothing when the content is here already.
    pub fn limit_content(&mut self, max: u64) {
        if let Some(inflow) = &self.inflow {
            inflow.set_gather_max(max);
            inflow.limit(max);
        }
    }

    /// The head.
    #[inline]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The method, such as `GET`.
    #[inline]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The path of the target, still percent-encoded.
    #[inline]
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// The query of the target, without its `?`, still percent-encoded.
    #[inline]
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// The version of the protocol.
    #[inline]
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// All field lines in the order in which they were sent.
    #[inline]
    pub fn fields(&self) -> FieldLines<'_> {
        self.head.fields()
    }

    /// The value of the first field line with this name, without case.
    #[inline]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        self.head.field(name)
    }

    /// The whole content; empty if there is none. If the request is not whole, that part of it
    /// which came with the head.
    #[inline]
    pub fn content(&self) -> &Buf {
        &self.content
    }

    /// The parameter `name` of the matched route, percent-decoded.
    ///
    /// `None` if the route has no such parameter, or if its bytes are not UTF-8 when decoded.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.params().find(|(known, _)| *known == name)?;
        percent_decode_str(value).decode_utf8().ok()
    }

    /// The pool of the current shard: where a response's content is written without allocating.
    #[inline]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Name and value of each parameter in the order of the path, still percent-encoded.
    pub(super) fn params(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let path = self.path();
        let names = self.params.names.as_deref().map_or(&[][..], Vec::as_slice);
        let values = self.params.values.iter().zip(names);
        values.map(move |(span, name)| {
            let value = &path[usize::from(span.start)..][..usize::from(span.len)];
            (&**name, value)
        })
    }

    /// Sets what the router found in the path.
    #[inline]
    pub(super) fn set_params(&mut self, names: Names, values: ParamSpans) {
        debug_assert_eq!(names.len(), values.len(), "a name for each parameter");
        self.params = Params {
            names: Some(names),
            values,
        };
    }

    /// Puts a field line before all others, in a copy of the head. A head that would grow over
    /// 64 KiB stays as it is.
    pub(super) fn add_first_field(&mut self, name: &HeaderName, value: &HeaderValue) {
        if let Some(head) = self.head.with_first_field(&self.pool, name, value) {
            self.head = head;
        }
    }

    /// Adds the last of `names` to the parameters: nothing, at the end of the path.
    pub(super) fn add_empty_param(&mut self, names: &Names) {
        let mut values = std::mem::take(&mut self.params.values);
        let start = u16::try_from(self.path().len()).expect("a head is at most 64 KiB");
        values.push(Span { start, len: 0 });
        self.set_params(Rc::clone(names), values);
    }
}

/// Requests for tests. Each has a pool of its own; its version is HTTP/1.1.
impl Request {
    /// A `GET` of `target`, such as `/users/7?page=2`.
    ///
    /// # Panics
    /// If `target` is empty, holds anything but visible ASCII, or is longer than 32 KiB.
    ///
    /// # Examples
    /// ```
    /// use sunstar::http::{Method, header};
    /// use sunstar::service::Request;
    ///
    /// let request = Request::get("/users/7?page=2")
    ///     .with_method(Method::PUT)
    ///     .with_field(header::CONTENT_TYPE, "text/plain")
    ///     .with_content("hello");
    /// assert_eq!((request.path(), request.query()), ("/users/7", Some("page=2")));
    /// assert_eq!(request.field(&header::CONTENT_TYPE), Some(&b"text/plain"[..]));
    /// assert_eq!(&request.content()[..], b"hello");
    /// ```
    pub fn get(target: &str) -> Request {
        let pool = Pool::new();
        let head = compose(&pool, Method::GET, target, std::iter::empty());
        Request::new(head, Buf::new(), pool)
    }

    /// A `POST` to `target`, under the same conditions as [`get`](Request::get).
    pub fn post(target: &str) -> Request {
        Request::get(target).with_method(Method::POST)
    }

    /// The same request with another method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Request {
        self.head = compose(&self.pool, method, self.head.target(), self.head.fields());
        self
    }

    /// The same request with one more field line.
    ///
    /// # Panics
    /// If `value` holds CR, LF or NUL, or the head grows over 64 KiB.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "names are constants, and `Response::with_field` keeps them"
    )]
    pub fn with_field(mut self, name: HeaderName, value: &str) -> Request {
        assert!(
            !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "a field value holds no CR, LF or NUL: {value:?}"
        );
        let last = (name.as_str(), value.trim().as_bytes());
        let fields = self.head.fields().chain(std::iter::once(last));
        let method = self.head.method().clone();
        self.head = compose(&self.pool, method, self.head.target(), fields);
        self
    }

    /// The same request with this content. The fields stay as they are.
    #[must_use]
    pub fn with_content(mut self, content: impl Into<Buf>) -> Request {
        self.content = content.into();
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Request")
            .field("head", &self.head)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// How many parameters of a path fit without an allocation.
const INLINE_PARAMS: usize = 4;

/// The values of a path's parameters, as ranges of the path.
pub(super) type ParamSpans = SmallVec<[Span; INLINE_PARAMS]>;

/// The names of a route's parameters: one word, as every request has room for them.
pub(super) type Names = Rc<Vec<Box<str>>>;

/// The parameters that the router found in the path.
#[derive(Clone, Default)]
struct Params {
    /// The names, which belong to the route; `None` if nothing was matched.
    names: Option<Names>,
    values: ParamSpans,
}

/// Writes a head as it would stand on the wire and notes where its parts are.
fn compose<'a>(
    pool: &Pool,
    method: Method,
    target: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Head {
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(
        visible && (1..=TARGET_LEN_MAX).contains(&target.len()),
        "a target is 1 to {TARGET_LEN_MAX} visible ASCII characters: {target:?}"
    );
    let mut bytes = pool.buffer(256);
    bytes.extend_from_slice(method.as_str().as_bytes());
    bytes.extend_from_slice(b" ");
    let target = push(&mut bytes, target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    let fields_start = push(&mut bytes, b"").start;
    for (name, value) in fields {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            push(&mut bytes, part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    Head::new(
        bytes.freeze(),
        method,
        Version::Http11,
        target,
        fields_start,
    )
}

/// The longest target of a composed head: leaves half of what a span reaches to the fields.
const TARGET_LEN_MAX: usize = 32 * 1024;

/// Appends `part` and returns where it stands.
fn push(bytes: &mut BufMut, part: &[u8]) -> Span {
    let place = |len: usize| u16::try_from(len).expect("a head is at most 64 KiB");
    let span = Span {
        start: place(bytes.len()),
        len: place(part.len()),
    };
    bytes.extend_from_slice(part);
    span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header;

    #[test]
    fn a_composed_head_reads_as_it_was_written() {
        let request = Request::post("/a/b?c=d")
            .with_field(header::HOST, "example.org")
            .with_field(header::ACCEPT, "  text/html ");
        assert_eq!(
            &request.head().bytes()[..],
            b"POST /a/b?c=d HTTP/1.1\r\nhost: example.org\r\naccept: text/html\r\n\r\n"
        );
        let fields: Vec<_> = request.fields().collect();
        assert_eq!(
            fields,
            [("host", &b"example.org"[..]), ("accept", &b"text/html"[..])]
        );
    }

    #[test]
    fn another_method_keeps_target_and_fields() {
        let request = Request::get("/x?y")
            .with_field(header::HOST, "h")
            .with_method(Method::DELETE);
        assert_eq!(request.method(), Method::DELETE);
        assert_eq!(request.head().target(), "/x?y");
        assert_eq!(request.field(&header::HOST), Some(&b"h"[..]));
    }

    #[test]
    fn parameters_are_decoded_once_and_found_by_name() {
        let mut request = Request::get("/users/a%2520b/x%2Fy/%FF");
        let spans = [(7, 7), (15, 5), (21, 3)].map(|(start, len)| Span { start, len });
        let names = ["user", "file", "junk"].map(Box::from);
        request.set_params(Rc::new(names.to_vec()), spans.into_iter().collect());
        assert_eq!(request.param("user").as_deref(), Some("a%20b"));
        assert_eq!(request.param("file").as_deref(), Some("x/y"));
        assert_eq!(request.param("junk"), None);
        assert_eq!(request.param("other"), None);
    }

    #[test]
    #[should_panic(expected = "visible ASCII")]
    fn a_target_with_a_space_is_refused() {
        let _ = Request::get("/a b");
    }

    #[test]
    #[should_panic(expected = "no CR, LF or NUL")]
    fn a_field_value_with_a_line_break_is_refused() {
        let _ = Request::get("/").with_field(header::HOST, "a\r\nb: c");
    }
}
