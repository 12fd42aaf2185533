//! [`ServeDir`]: the files below a directory as a service.
//!
//! What must hold: no path leads out of the directory or to a file that was not meant to be seen; a
//! path is decoded once, segment by segment; a response says what it depends on.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::range::{Piece, plan};
use super::router::nest::REST;
use super::site_file::{self, Found, PIECE_LEN, SiteFile};
use super::{
    Condition, ETag, IntoResponse, Outflow, Ranges, Redirect, Reply, Request, Response, Service,
    Validators, generate, media_type, preferred_encoding,
};
use crate::error::{Error, Result};
use crate::http::{HeaderValue, Method, StatusCode, header};
use crate::mem::Buf;
use crate::runtime;
use crate::sys::file::{self, Directory};

/// Codings that a file may lie ready in, with the ending of its name, in our order of preference.
const VARIANTS: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

/// A file that was changed so short a time ago may change again within its time stamp.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Answers `GET` and `HEAD` with the files below a directory.
///
/// - A path that ends with `/` is answered with the `index.html` there; one that names a directory
///   without it is redirected (308). There are no listings.
/// - Nothing above or beside the directory is reached: not by `..`, encoded or not, and not by
///   links, which are followed only as long as they stay below it. Segments that begin with a dot
///   are not found unless [`with_dot_files`](ServeDir::with_dot_files).
/// - Conditions and ranges are honoured (RFC 9110 sections 13 and 14); the `ETag` is made of the
///   time of the last change and the length.
/// - What is not there, and what may not be read, is 404; a method other than those is 405.
///
/// # Cost
/// Files are opened and read for each request. What is in the page cache is taken at once; for the
/// rest the ring is asked, and the shard goes on meanwhile. On other drivers than `io_uring` a file
/// that has to come from a disk holds its shard up for as long as that takes. One turn opens at
/// most four files and reads at most 128 KiB. An answer up to
/// [`gathered_max`](ServeDir::with_gathered_max) (1 MiB) is gathered in memory, so that layers see
/// it as a whole; a longer one is streamed, 64 KiB at a time.
///
/// # Examples
/// ```no_run
/// use sunstar::service::{Router, ServeDir};
/// use sunstar::{Result, Server};
///
/// fn main() -> Result<()> {
///     let site = || ServeDir::new("site").expect("the directory `site` is there");
///     Server::bind("127.0.0.1:8080")?.serve(move |_shard| {
///         Router::new(()).get("/api/version", || "1").mount("/", site())
///     })
/// }
/// ```
#[derive(Debug)]
pub struct ServeDir {
    site: Rc<Site>,
}

/// What is served, and how.
#[derive(Debug)]
struct Site {
    root: Directory,
    index: &'static str,
    gathered_max: u64,
    cache_control: Option<HeaderValue>,
    has_variants: bool,
    shows_dot_files: bool,
}

impl ServeDir {
    /// Serves the files below `path`. The directory is opened now: what is put in its place later
    /// is not seen.
    ///
    /// # Errors
    /// If there is no such directory, or it may not be read.
    pub fn new(path: impl AsRef<Path>) -> Result<ServeDir> {
        let path = path.as_ref();
        let root = Directory::open(path).map_err(|error| {
            Error::io(
                format!("cannot open the directory `{}`", path.display()),
                error,
            )
        })?;
        let site = Rc::new(Site {
            root,
            index: "index.html",
            gathered_max: 1024 * 1024,
            cache_control: None,
            has_variants: false,
            shows_dot_files: false,
        });
        Ok(ServeDir { site })
    }

    fn site(&mut self) -> &mut Site {
        Rc::get_mut(&mut self.site).expect("nothing is served yet")
    }

    /// Answers a path that ends with `/` with the file of this name. Default: `index.html`.
    #[must_use]
    pub fn with_index(mut self, name: &'static str) -> ServeDir {
        self.site().index = name;
        self
    }

    /// Gathers answers of at most `len` bytes in memory; longer ones are streamed. Default: 1 MiB.
    #[must_use]
    pub fn with_gathered_max(mut self, len: u64) -> ServeDir {
        self.site().gathered_max = len;
        self
    }

    /// Sends this `Cache-Control` with every file. Default: none, so that clients ask whether a
    /// file has changed.
    #[must_use]
    pub fn with_cache_control(mut self, value: HeaderValue) -> ServeDir {
        self.site().cache_control = Some(value);
        self
    }

    /// Sends the file `a.css.br`, `a.css.zst` or `a.css.gz` in the place of `a.css` if it is there
    /// and the client's `Accept-Encoding` permits. Whoever changes one changes the others.
    #[must_use]
    pub fn with_precompressed(mut self) -> ServeDir {
        self.site().has_variants = true;
        self
    }

    /// Serves files and directories whose names begin with a dot as well.
    #[must_use]
    pub fn with_dot_files(mut self) -> ServeDir {
        self.site().shows_dot_files = true;
        self
    }
}

impl Site {
    async fn respond(&self, request: &Request) -> Response {
        match self.find(request).await {
            ControlFlow::Continue(chosen) => self.answer(request, chosen).await,
            ControlFlow::Break(response) => response,
        }
    }

    /// Finds the file for a request; breaks off with the answer if there is none to be sent.
    async fn find(&self, request: &Request) -> ControlFlow<Response, Chosen> {
        let Some(wanted) = Wanted::by(request, self.shows_dot_files) else {
            return ControlFlow::Break(not_found());
        };
        let name = match wanted.is_directory {
            true if wanted.path.is_empty() => self.index.as_bytes().to_vec(),
            true => [&wanted.path[..], b"/", self.index.as_bytes()].concat(),
            false if wanted.path.is_empty() => return ControlFlow::Break(with_slash(request)),
            false => wanted.path,
        };
        match site_file::find(&self.root, &name).await {
            Ok(Found::File(file)) => ControlFlow::Continue(self.choose(request, name, file).await),
            Ok(Found::Directory) if !wanted.is_directory => ControlFlow::Break(with_slash(request)),
            Ok(Found::Directory | Found::Other) => ControlFlow::Break(not_found()),
            Err(error) if file::is_no_such_file(&error) => ControlFlow::Break(not_found()),
            Err(error) => {
                let name = name.escape_ascii();
                tracing::error!("the file `{name}` could not be opened: {error}");
                ControlFlow::Break(Response::new(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// The file, or the variant of it that the client prefers.
    async fn choose(&self, request: &Request, mut name: Vec<u8>, plain: SiteFile) -> Chosen {
        let media_type = media_type::of(&name);
        let mut left: SmallVec<[_; 3]> = SmallVec::new();
        left.extend(VARIANTS.iter().filter(|_| self.has_variants).copied());
        loop {
            let codings: SmallVec<[_; 3]> = left.iter().map(|(coding, _)| *coding).collect();
            let Some(coding) = preferred_encoding(request, &codings) else {
                break;
            };
            let at = codings.iter().position(|known| *known == coding);
            let (_, ending) = left.remove(at.expect("it is one of them"));
            let len = name.len();
            name.extend_from_slice(ending.as_bytes());
            if let Ok(Found::File(file)) = site_file::find(&self.root, &name).await {
                let coding = Some(coding);
                return Chosen {
                    file,
                    media_type,
                    coding,
                };
            }
            name.truncate(len);
        }
        let coding = None;
        Chosen {
            file: plain,
            media_type,
            coding,
        }
    }

    /// What is to be sent of a file.
    async fn answer(&self, request: &Request, chosen: Chosen) -> Response {
        let validators = chosen.validators(runtime::wall_clock());
        let mut response = Response::new(StatusCode::OK);
        validators.mark(&mut response);
        self.describe(&mut response, &chosen);
        match validators.check(request) {
            Condition::Failed => return Response::new(StatusCode::PRECONDITION_FAILED),
            Condition::NotModified => {
                for name in [&header::CONTENT_TYPE, &header::CONTENT_ENCODING] {
                    response.fields.remove(name);
                }
                response.status = StatusCode::NOT_MODIFIED;
                return response;
            }
            Condition::Holds => {}
        }
        let len = chosen.file.len;
        let pieces = plan(
            &mut response,
            Ranges::requested(request, &validators, len),
            len,
        );
        if request.method() == Method::HEAD {
            response
                .fields
                .insert(header::CONTENT_LENGTH, HeaderValue::from(len));
            return response;
        }
        let lens = pieces
            .iter()
            .map(|piece| piece.head.len() as u64 + (piece.range.end - piece.range.start));
        let total = lens.sum();
        if total <= self.gathered_max {
            gathered(response, &chosen.file, pieces, total).await
        } else {
            response.with_sized_stream(total, generate(|out| stream(out, chosen.file, pieces)))
        }
    }

    /// Sets the fields that say what the file is.
    fn describe(&self, response: &mut Response, chosen: &Chosen) {
        let fields = &mut response.fields;
        let media_type = HeaderValue::from_static(chosen.media_type);
        fields.append(header::CONTENT_TYPE, media_type);
        let nosniff = HeaderValue::from_static("nosniff");
        fields.append(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        if let Some(value) = &self.cache_control {
            fields.append(header::CACHE_CONTROL, value.clone());
        }
        if self.has_variants {
            let vary = HeaderValue::from_static("Accept-Encoding");
            fields.append(header::VARY, vary);
        }
        if let Some(coding) = chosen.coding {
            fields.append(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
    }
}

impl Service for ServeDir {
    fn call(&self, request: Request) -> Reply {
        let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
        let status = match *request.method() {
            Method::GET | Method::HEAD => {
                let site = Rc::clone(&self.site);
                return now_or_later(async move { site.respond(&request).await });
            }
            Method::OPTIONS => StatusCode::NO_CONTENT,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        Response::new(status)
            .with_field(header::ALLOW, allowed)
            .into()
    }
}

/// The file that is sent for a request.
struct Chosen {
    file: SiteFile,
    media_type: &'static str,
    coding: Option<&'static str>,
}

impl Chosen {
    /// The tag names time, length and coding. It is weak as long as the file might change again
    /// without a sign (RFC 9110 section 8.8.1).
    fn validators(&self, now: SystemTime) -> Validators {
        let modified = self.file.modified;
        let since = modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let coding = self
            .coding
            .map_or(Cow::Borrowed(""), |coding| format!("-{coding}").into());
        let opaque = format!("{:x}-{:x}{coding}", since.as_nanos(), self.file.len);
        let settled = now
            .duration_since(modified)
            .is_ok_and(|age| age >= SETTLED_AFTER);
        let etag = if settled {
            ETag::strong(opaque)
        } else {
            ETag::weak(opaque)
        };
        Validators::new(etag).with_last_modified(modified)
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// Relative and decoded; empty for the directory itself.
    path: Vec<u8>,
    /// Whether the path ends with `/`.
    is_directory: bool,
}

impl Wanted {
    /// Reads what stands behind the prefix that the service is mounted at; the whole path if it is
    /// not mounted.
    fn by(request: &Request, dot_files: bool) -> Option<Wanted> {
        let rest = request.params().find(|(name, _)| *name == REST);
        let rest = match rest {
            Some((_, rest)) => rest,
            None => request.path().strip_prefix('/')?,
        };
        let is_directory = request.path().ends_with('/');
        let path = relative(rest, dot_files)?;
        Some(Wanted { path, is_directory })
    }
}

/// Decodes a path, one segment at a time. `None` for what names no file to be served.
fn relative(encoded: &str, dot_files: bool) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(encoded.len());
    if encoded.is_empty() {
        return Some(path);
    }
    let encoded = encoded.strip_suffix('/').unwrap_or(encoded);
    for segment in encoded.split('/') {
        let start = path.len() + usize::from(!path.is_empty());
        if start > 0 {
            path.push(b'/');
        }
        path.extend(percent_decode_str(segment));
        let segment = &path[start..];
        let is_hidden = segment.starts_with(b".") && !dot_files;
        let is_name = !matches!(segment, b"" | b"." | b"..");
        if is_hidden || !is_name || segment.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return None;
        }
    }
    Some(path)
}

fn not_found() -> Response {
    Response::new(StatusCode::NOT_FOUND)
}

/// Sends the client to the same path with a slash behind it, so that relative links are right.
fn with_slash(request: &Request) -> Response {
    let path = request.path();
    // Such a path would be read as the name of another host.
    if path.starts_with("//") {
        return not_found();
    }
    let query = request
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    Redirect::permanent(&format!("{path}/{query}")).into_response(request.pool())
}

/// Most files are in memory: then there is nothing to wait for.
fn now_or_later(response: impl Future<Output = Response> + 'static) -> Reply {
    let mut response = Box::pin(response);
    let mut context = Context::from_waker(Waker::noop());
    match response.as_mut().poll(&mut context) {
        Poll::Ready(response) => response.into(),
        // Whoever has the reply polls it before anything else happens.
        Poll::Pending => Reply::Later(response),
    }
}

/// Reads all pieces, and sends them then.
async fn gathered(
    response: Response,
    file: &SiteFile,
    pieces: SmallVec<[Piece; 1]>,
    total: u64,
) -> Response {
    let total = usize::try_from(total).expect("bounded by what is gathered");
    let mut content = Vec::with_capacity(total);
    for piece in pieces {
        content.extend_from_slice(&piece.head);
        if let Err(error) = file.read(piece.range, &mut content).await {
            tracing::error!("a file could not be read: {error}");
            return Response::new(StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    if content.is_empty() {
        return response;
    }
    response.with_content(Buf::from(content))
}

/// Sends the pieces as they are read. An error cuts the answer off.
async fn stream(
    mut out: Outflow,
    file: SiteFile,
    pieces: SmallVec<[Piece; 1]>,
) -> std::io::Result<()> {
    for piece in pieces {
        let mut range = piece.range;
        if !piece.head.is_empty() {
            out.send(piece.head).await;
        }
        while !range.is_empty() {
            let end = range.end.min(range.start + PIECE_LEN);
            let len = usize::try_from(end - range.start).expect("a piece fits into memory");
            let mut content = Vec::with_capacity(len);
            file.read_piece(range.start..end, &mut content).await?;
            out.send(content).await;
            range.start = end;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "serve_dir/tests.rs"]
mod tests;
