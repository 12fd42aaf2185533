//! [`Multipart`]: forms that send files (RFC 7578), of content that is there as a whole.
//!
//! What must hold: no byte of the content is copied; whatever a client sends, the parts lie inside
//! of it and are at most as many as allowed.

use memchr::memmem;

use super::{FromRequest, Rejection, Request};
use crate::http::{StatusCode, header};
use crate::mem::Buf;
use crate::sharded::Sharded;

/// The most parts of a form.
const PARTS_MAX: usize = 128;
/// The most bytes between a part's delimiter and its content.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// The most fields of a part.
const FIELDS_MAX: usize = 16;
/// The longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_LEN_MAX: usize = 70;

/// The parts of a form that was sent as `multipart/form-data`. Their content is not copied.
///
/// Refused with 415 if the content is declared otherwise, with 413 if it has more than 128 parts,
/// with 400 if it is malformed: a part without a name, a head of more than 8 KiB or 16 fields, no
/// closing delimiter. How long the content may be is the server's
/// [`content_len_max`](crate::http::Limits::content_len_max).
///
/// # Examples
/// ```
/// use sunstar::service::Multipart;
///
/// fn upload(form: Multipart) -> String {
///     let Some(photo) = form.part("photo") else { return "no photo".into() };
///     format!("{} bytes of {:?}", photo.content.len(), photo.media_type)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    parts: Vec<Part>,
}

/// One field of a form, or one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of the field.
    pub name: String,
    /// What the client calls the file. Never to be used as a path.
    pub file_name: Option<String>,
    /// The type that the client declares.
    pub media_type: Option<String>,
    /// The content.
    pub content: Buf,
}

impl Multipart {
    /// The first part of this name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The content of the first part of this name, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        str::from_utf8(&self.part(name)?.content).ok()
    }

    /// All parts in the order in which they were sent.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl<T> FromRequest<T> for Multipart {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Multipart, Rejection> {
        let declared = request.field(&header::CONTENT_TYPE).unwrap_or_default();
        let declared = str::from_utf8(declared).unwrap_or_default();
        let (essence, parameters) = declared.split_once(';').unwrap_or((declared, ""));
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(Rejection::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content is not declared: send `Content-Type: multipart/form-data` with its \
                 boundary",
            ));
        }
        let boundary = parameter(parameters, "boundary").unwrap_or_default();
        if !(1..=BOUNDARY_LEN_MAX).contains(&boundary.len()) {
            return Err(malformed("a boundary has 1 to 70 characters"));
        }
        let parts = parse(request.content(), boundary.as_bytes())?;
        Ok(Multipart { parts })
    }
}

fn malformed(reason: &'static str) -> Rejection {
    Rejection::bad_request(format!("multipart: {reason}"))
}

/// Takes the content apart (RFC 2046 section 5.1.1).
fn parse(content: &Buf, boundary: &[u8]) -> Result<Vec<Part>, Rejection> {
    let delimiter = [b"\r\n--", boundary].concat();
    let finder = memmem::Finder::new(&delimiter);
    let find = |from: usize| finder.find(&content[from..]).map(|at| from + at);
    // The first delimiter may stand at the very beginning, without its line end.
    let mut at = if content.starts_with(&delimiter[2..]) {
        delimiter.len() - 2
    } else {
        find(0).ok_or_else(|| malformed("no delimiter"))? + delimiter.len()
    };
    let mut parts = Vec::new();
    loop {
        let rest = &content[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let padding = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if !rest[padding..].starts_with(b"\r\n") {
            return Err(malformed("a delimiter does not end its line"));
        }
        if parts.len() == PARTS_MAX {
            let reason = format!("multipart: more than {PARTS_MAX} parts");
            return Err(Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        let start = at + padding;
        let end = find(start + 2).ok_or_else(|| malformed("no closing delimiter"))?;
        parts.push(part(&content.slice(start + 2..end))?);
        at = end + delimiter.len();
    }
}

/// Reads one part: its fields, an empty line, its content.
fn part(bytes: &Buf) -> Result<Part, Rejection> {
    let head_len = memmem::find(&bytes[..bytes.len().min(HEAD_LEN_MAX)], b"\r\n\r\n");
    let head_len =
        head_len.ok_or_else(|| malformed("a part without a head, or with a long one"))?;
    let (head, content) = (&bytes[..head_len + 4], bytes.slice(head_len + 4..));
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(head, &mut fields)
    else {
        return Err(malformed("a part with a malformed head"));
    };
    let text = |name: &str| {
        let field = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(field.value).ok()
    };
    let disposition = text("Content-Disposition").unwrap_or_default();
    let (kind, parameters) = disposition.split_once(';').unwrap_or_default();
    let name = parameter(parameters, "name").filter(|_| kind.trim() == "form-data");
    Ok(Part {
        name: name.ok_or_else(|| malformed("a part without a name"))?,
        file_name: parameter(parameters, "filename"),
        media_type: text("Content-Type").map(|value| value.trim().to_owned()),
        content,
    })
}

/// The value of a parameter (RFC 9110 section 5.6.6), unquoted.
fn parameter(mut text: &str, wanted: &str) -> Option<String> {
    loop {
        text = text.trim_start_matches([';', ' ', '\t']);
        let (name, rest) = text.split_once('=')?;
        let (value, behind) = parameter_value(rest)?;
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        text = behind;
    }
}

/// The value at the beginning of `text`, and what stands behind it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=X";

    fn read(media_type: &str, content: impl Into<Buf>) -> Result<Multipart, (u16, String)> {
        let request = Request::post("/")
            .with_field(header::CONTENT_TYPE, media_type)
            .with_content(content);
        let form = Multipart::from_request(&request, &Sharded::single(()));
        form.map_err(|error| (error.status().as_u16(), error.reason().to_owned()))
    }

    fn one(name: &str, content: &str) -> String {
        format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    }

    #[test]
    fn parts_have_a_name_a_file_name_a_type_and_content() {
        let content = "preamble\r\n--X\r\n\
            Content-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
            --X  \r\ncontent-disposition: form-data; filename=\"x \\\"y\\\".png\"; name=file\r\n\
            Content-Type: image/png\r\n\r\n\x01--X\r\n\r\n--X--\r\nepilogue";
        let form = read(TYPE, content).unwrap();
        assert_eq!(form.parts().len(), 2);
        assert_eq!(form.text("a"), Some("one"));
        let file = form.part("file").unwrap();
        assert_eq!(file.file_name.as_deref(), Some("x \"y\".png"));
        assert_eq!(file.media_type.as_deref(), Some("image/png"));
        assert_eq!(
            &file.content[..],
            b"\x01--X\r\n",
            "a delimiter begins on a line of its own"
        );
        assert!(form.part("b").is_none());
    }

    #[test]
    fn content_is_not_copied() {
        let content = Buf::from(one("a", &"x".repeat(9000)) + "--X--");
        let form = read(TYPE, content.clone()).unwrap();
        let inside = content.as_ptr_range();
        assert!(inside.contains(&form.parts()[0].content.as_ptr()));
        assert_eq!(form.parts()[0].content.len(), 9000);
    }

    #[test]
    fn empty_forms_and_empty_parts_are_fine() {
        assert!(read(TYPE, "--X--\r\n").unwrap().parts().is_empty());
        assert_eq!(
            read(TYPE, one("a", "") + "--X--").unwrap().text("a"),
            Some("")
        );
    }

    #[test]
    fn a_boundary_may_be_quoted_and_is_1_to_70_long() {
        let with = |boundary: &str| {
            let media_type = format!("Multipart/Form-Data; charset=x; BOUNDARY=\"{boundary}\"");
            read(&media_type, format!("--{boundary}--")).map(|_| ())
        };
        assert_eq!(with("a b"), Ok(()));
        assert_eq!(with(&"b".repeat(70)), Ok(()));
        assert_eq!(with(&"b".repeat(71)).unwrap_err().0, 400);
        assert_eq!(with("").unwrap_err().0, 400);
        assert_eq!(read("multipart/form-data", "--X--").unwrap_err().0, 400);
    }

    #[test]
    fn what_is_not_declared_as_multipart_is_415() {
        for media_type in ["", "text/plain", "multipart/mixed; boundary=X"] {
            assert_eq!(
                read(media_type, "--X--").unwrap_err().0,
                415,
                "{media_type}"
            );
        }
    }

    #[test]
    fn as_many_parts_as_allowed_are_taken_and_one_more_is_413() {
        let form = |count| read(TYPE, one("a", "1").repeat(count) + "--X--");
        assert_eq!(form(PARTS_MAX).unwrap().parts().len(), PARTS_MAX);
        assert_eq!(form(PARTS_MAX + 1).unwrap_err().0, 413);
    }

    #[test]
    fn a_head_at_the_limits_is_taken_and_beyond_them_is_400() {
        let disposition = "Content-Disposition: form-data; name=a\r\n";
        let with = |more: &str| {
            let content = format!("--X\r\n{disposition}{more}\r\n\r\n--X--");
            read(TYPE, content).map(|form| form.parts().len())
        };
        let field = |len: usize| format!("X: {}\r\n", "x".repeat(len));
        let room = HEAD_LEN_MAX - disposition.len() - "X: \r\n\r\n".len();
        assert_eq!(with(&field(room)), Ok(1));
        assert_eq!(with(&field(room + 1)).unwrap_err().0, 400);
        assert_eq!(with(&field(1).repeat(FIELDS_MAX - 1)), Ok(1));
        assert_eq!(with(&field(1).repeat(FIELDS_MAX)).unwrap_err().0, 400);
    }

    #[test]
    fn malformed_content_is_400_wherever_it_is_cut() {
        let whole = one("a", "1") + &one("b", "2") + "--X--";
        for len in 0..whole.len() {
            let (status, reason) = read(TYPE, whole[..len].to_owned()).unwrap_err();
            assert_eq!(status, 400, "{len}: {reason}");
        }
        for content in [
            "--Xx\r\n\r\n\r\n--X--",
            "--X\r\n\r\n--X--",
            "--X\r\nContent-Disposition: form-data\r\n\r\n1\r\n--X--",
            "--X\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--X--",
            "--X\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--X--",
            "--X\r\nno field\r\n\r\n1\r\n--X--",
        ] {
            assert_eq!(read(TYPE, content).unwrap_err().0, 400, "{content:?}");
        }
    }
}
