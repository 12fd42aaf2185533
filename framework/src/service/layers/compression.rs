//! [`Compression`]: content codings for responses (feature `compression`).
//!
//! What must hold: what is coded already, is small, is partial, or must not be transformed stays as
//! it is; a cache is always told what the answer depends on; coding blocks a turn, so the content
//! that is coded has a bound.

use std::io::{self, Write};

use memchr::memmem;

use crate::http::{Fields, HeaderValue, StatusCode, header};
use crate::mem::{Buf, Pool};
use crate::service::{Content, Layer, Next, Reply, Request, Response, preferred_encoding};

/// The codings in the order of our preference.
const CODINGS: [&str; 3] = ["br", "zstd", "gzip"];

/// The effort for text that is coded while somebody waits.
const BROTLI_QUALITY: i32 = 4;
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;
/// As large as brotli's window may be where memory is not wasted on short texts: 256 KiB.
const BROTLI_WINDOW_LOG: i32 = 18;

/// Types that are text though their names do not say so.
const TEXT_TYPES: [&[u8]; 8] = [
    b"application/json",
    b"application/javascript",
    b"application/manifest+json",
    b"application/wasm",
    b"application/xml",
    b"application/x-ndjson",
    b"image/svg+xml",
    b"image/x-icon",
];

/// Codes the content of responses with brotli, zstd or gzip, as the client's `Accept-Encoding`
/// prefers (RFC 9110 sections 8.4 and 12.5.3).
///
/// Only text is coded (`text/*`, JSON, XML, JavaScript, SVG, WebAssembly and the like), and only
/// from 1 KiB up to 1 MiB of it: shorter content gains nothing, and longer content would hold its
/// shard up (some 30 ms per MiB). Content that is coded already, partial (206) or marked
/// `no-transform` is left alone. A strong `ETag` becomes a weak one, as the bytes are no longer the
/// handler's (section 8.8.3.3), and `Vary: Accept-Encoding` is added to everything that could have
/// been coded.
///
/// Do not code secrets together with what a client has sent: the length tells about both (BREACH).
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    len_min: usize,
    len_max: usize,
}

impl Compression {
    /// Codes content of 1 KiB to 1 MiB.
    pub fn new() -> Compression {
        Compression {
            len_min: 1024,
            len_max: 1024 * 1024,
        }
    }

    /// Leaves content alone that is shorter than `len` bytes. Default: 1 KiB.
    #[must_use]
    pub fn with_len_min(mut self, len: usize) -> Compression {
        self.len_min = len;
        self
    }

    /// Leaves content alone that is longer than `len` bytes. Default: 1 MiB.
    #[must_use]
    pub fn with_len_max(mut self, len: usize) -> Compression {
        self.len_max = len;
        self
    }

    /// Whether content of this response may be coded at all.
    fn applies(self, response: &Response) -> bool {
        let len = response.content.as_bytes().len();
        let fields = &response.fields;
        (self.len_min..=self.len_max).contains(&len)
            && response.status != StatusCode::PARTIAL_CONTENT
            && !fields.contains(&header::CONTENT_ENCODING)
            && !fields.contains(&header::CONTENT_RANGE)
            && !says_no_transform(fields)
            && fields.get(&header::CONTENT_TYPE).is_some_and(is_text)
    }
}

impl Default for Compression {
    fn default() -> Compression {
        Compression::new()
    }
}

impl Layer for Compression {
    fn call(&self, request: Request, next: &Next) -> Reply {
        let coding = preferred_encoding(&request, &CODINGS);
        let (pool, options) = (request.pool().clone(), *self);
        let known = request.field(&header::IF_NONE_MATCH);
        let knows_weak = known.is_some_and(|tags| memmem::find(tags, b"W/").is_some());
        next.call(request).map(move |mut response| {
            if response.status == StatusCode::NOT_MODIFIED {
                revalidate(&mut response.fields, knows_weak);
            }
            if options.applies(&response) {
                let vary = HeaderValue::from_static("Accept-Encoding");
                response.fields.append(header::VARY, vary);
                if let Some(coding) = coding {
                    code(&mut response, coding, &pool);
                }
            }
            response
        })
    }
}

/// Codes the content, unless that makes it longer.
fn code(response: &mut Response, coding: &'static str, pool: &Pool) {
    let plain = response.content.as_bytes();
    let coded = match coded(plain, coding, pool) {
        Ok(coded) if coded.len() < plain.len() => coded,
        Ok(_) => return,
        Err(error) => {
            tracing::error!("a response could not be coded as {coding}: {error}");
            return;
        }
    };
    response.content = Content::Buf(coded);
    let coding = HeaderValue::from_static(coding);
    response.fields.insert(header::CONTENT_ENCODING, coding);
    response.fields.remove(&header::ACCEPT_RANGES);
    weaken_etag(&mut response.fields);
}

fn coded(plain: &[u8], coding: &str, pool: &Pool) -> io::Result<Buf> {
    let mut output = pool.buffer(plain.len() / 3);
    match coding {
        "br" => {
            let params = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: BROTLI_WINDOW_LOG,
                size_hint: plain.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &plain[..], &mut output, &params)?;
        }
        "zstd" => zstd::stream::copy_encode(plain, &mut output, ZSTD_LEVEL)?,
        _ => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut encoder = flate2::write::GzEncoder::new(&mut output, level);
            encoder.write_all(plain)?;
            encoder.finish()?;
        }
    }
    Ok(output.freeze())
}

/// Whether a cache or proxy, and so we, may not change the content (RFC 9111 section 5.2.2.6).
fn says_no_transform(fields: &Fields) -> bool {
    let directives = fields.iter().filter(|(name, _)| *name == "cache-control");
    let mut directives = directives.flat_map(|(_, value)| value.split(|&byte| byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Whether content of this type is text that coding makes shorter.
fn is_text(media_type: &[u8]) -> bool {
    let essence = media_type.split(|&byte| byte == b';').next();
    let essence = essence
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    // An event stream has to go out as it comes.
    (essence.starts_with(b"text/") && essence != b"text/event-stream")
        || TEXT_TYPES.contains(&essence.as_slice())
        || essence.ends_with(b"+json")
        || essence.ends_with(b"+xml")
}

/// Has a 304 say what the 200 said that it stands for (RFC 9110 section 15.4.5): a cache that kept
/// a coded response knows it by the weak tag, and would not take a strong one for the same (RFC
/// 9111 section 4.3.4).
fn revalidate(fields: &mut Fields, knows_weak: bool) {
    fields.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if knows_weak {
        weaken_etag(fields);
    }
}

/// Makes a strong validator a weak one.
fn weaken_etag(fields: &mut Fields) {
    let Some(etag) = fields
        .get(&header::ETAG)
        .filter(|etag| !etag.starts_with(b"W/"))
    else {
        return;
    };
    let weak = [b"W/", etag].concat();
    if let Ok(value) = HeaderValue::from_bytes(&weak) {
        fields.insert(header::ETAG, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::http::HeaderName;
    use crate::service::{ETag, Service, Validators, layered, service_fn};

    const LEN: usize = 4096;

    fn text(len: usize) -> String {
        "a rose is a rose is ".chars().cycle().take(len).collect()
    }

    fn html(len: usize) -> Response {
        Response::new(StatusCode::OK)
            .with_field(
                header::CONTENT_TYPE,
                HeaderValue::from_static("Text/HTML; charset=utf-8"),
            )
            .with_content(text(len))
    }

    /// What comes out behind the layer.
    fn sent(accept: &str, response: impl Fn() -> Response + 'static) -> Response {
        let service = layered(Compression::new(), service_fn(move |_| response()));
        let request = Request::get("/").with_field(header::ACCEPT_ENCODING, accept);
        service.call(request).try_response().unwrap()
    }

    fn field<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
        response
            .fields
            .get(name)
            .map(|value| str::from_utf8(value).unwrap())
    }

    fn decoded(coding: &str, content: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            "br" => brotli::BrotliDecompress(&mut &content[..], &mut plain).unwrap(),
            "zstd" => zstd::stream::copy_decode(content, &mut plain).unwrap(),
            _ => {
                let mut decoder = flate2::read::GzDecoder::new(content);
                decoder.read_to_end(&mut plain).unwrap();
            }
        }
        plain
    }

    fn is_left_alone(response: &Response) -> bool {
        field(response, &header::CONTENT_ENCODING).is_none()
    }

    #[test]
    fn every_coding_gives_back_what_went_in() {
        for coding in CODINGS {
            let response = sent(coding, || html(LEN));
            assert_eq!(field(&response, &header::CONTENT_ENCODING), Some(coding));
            assert_eq!(field(&response, &header::VARY), Some("Accept-Encoding"));
            let content = response.content.as_bytes();
            assert!(content.len() < LEN / 4, "{coding}: {}", content.len());
            assert_eq!(decoded(coding, content), text(LEN).into_bytes());
        }
    }

    #[test]
    fn content_at_the_bounds_is_coded_and_beyond_them_is_not() {
        for (len, coded) in [
            (1023, false),
            (1024, true),
            (1 << 20, true),
            ((1 << 20) + 1, false),
        ] {
            let response = sent("gzip", move || html(len));
            assert_eq!(!is_left_alone(&response), coded, "{len}");
            assert_eq!(field(&response, &header::VARY).is_some(), coded, "{len}");
        }
    }

    #[test]
    fn a_client_that_wants_no_coding_gets_none_but_the_cache_is_told() {
        for accept in ["", "identity", "deflate", "gzip;q=0"] {
            let response = sent(accept, || html(LEN));
            assert!(is_left_alone(&response), "{accept}");
            assert_eq!(field(&response, &header::VARY), Some("Accept-Encoding"));
            assert_eq!(response.content.as_bytes(), text(LEN).as_bytes());
        }
    }

    #[test]
    fn what_must_not_be_coded_is_left_alone() {
        let with = |name: HeaderName, value| {
            move || html(LEN).with_field(name.clone(), HeaderValue::from_static(value))
        };
        for response in [
            sent("gzip", with(header::CONTENT_ENCODING, "br")),
            sent("gzip", with(header::CONTENT_RANGE, "bytes 0-1/2")),
            sent(
                "gzip",
                with(header::CACHE_CONTROL, "max-age=1, No-Transform"),
            ),
            sent("gzip", with(header::CONTENT_TYPE, "image/png")),
            sent("gzip", with(header::CONTENT_TYPE, "text/event-stream")),
            sent("gzip", || {
                Response::new(StatusCode::OK).with_content(text(LEN))
            }),
            sent("gzip", || Response {
                status: StatusCode::PARTIAL_CONTENT,
                ..html(LEN)
            }),
        ] {
            let coding = field(&response, &header::CONTENT_ENCODING);
            assert_ne!(coding, Some("gzip"), "{response:?}");
            assert_eq!(response.content.as_bytes().len(), LEN);
        }
    }

    #[test]
    fn content_that_would_grow_is_left_alone() {
        let mut seed = 1_u32;
        let noise: Vec<u8> = (0..2048)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            })
            .collect();
        let response = sent("gzip", move || html(0).with_content(noise.clone()));
        assert!(is_left_alone(&response));
    }

    #[test]
    fn a_strong_etag_becomes_weak_and_ranges_are_no_longer_offered() {
        let with = |etag: &'static str| {
            move || {
                html(LEN)
                    .with_field(header::ETAG, HeaderValue::from_static(etag))
                    .with_field(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
            }
        };
        for etag in ["\"x\"", "W/\"x\""] {
            let response = sent("br", with(etag));
            assert_eq!(field(&response, &header::ETAG), Some("W/\"x\""));
            assert_eq!(field(&response, &header::ACCEPT_RANGES), None);
            let plain = sent("", with(etag));
            assert_eq!(field(&plain, &header::ETAG), Some(etag));
        }
    }

    #[test]
    fn a_304_speaks_of_the_response_that_the_client_has() {
        let validators = || Validators::new(ETag::strong("x"));
        let page = move |request: Request| validators().answer(&request, || html(LEN));
        let service = layered(Compression::new(), service_fn(page));
        let ask = |known| {
            let request = Request::get("/").with_field(header::ACCEPT_ENCODING, "br");
            let request = request.with_field(header::IF_NONE_MATCH, known);
            service.call(request).try_response().unwrap()
        };
        for known in ["W/\"x\"", "\"x\""] {
            let response = ask(known);
            assert_eq!(response.status, StatusCode::NOT_MODIFIED);
            assert_eq!(field(&response, &header::ETAG), Some(known));
            assert_eq!(field(&response, &header::VARY), Some("Accept-Encoding"));
        }
        assert_eq!(field(&ask("\"y\""), &header::ETAG), Some("W/\"x\""));
    }

    #[test]
    fn types_that_end_in_json_or_xml_are_text() {
        for text in [
            "application/problem+json",
            "application/atom+xml;x",
            "text/plain",
        ] {
            assert!(is_text(text.as_bytes()), "{text}");
        }
        for other in ["application/octet-stream", "video/mp4", "textual/x", ""] {
            assert!(!is_text(other.as_bytes()), "{other}");
        }
    }
}
