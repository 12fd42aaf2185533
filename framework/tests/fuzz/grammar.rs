//! The grammar of chunked content (RFC 9112 section 7.1), read word by word from the whole input.
//!
//! It is slow and knows no limits but that of a size: the judge over what is neither.

/// Chunked content and what is behind it.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) rest: &'a [u8],
}

/// Why there is no body.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The input ends too early, with this content so far.
    Incomplete(Vec<u8>),
    Malformed,
}

/// What stands between an input's front and the end of a production.
type Parsed<T> = Result<T, Wrong>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    /// Nothing so far.
    Ends,
    Malformed,
}

/// `chunked-body = *chunk last-chunk trailer-section CRLF`
pub(crate) fn chunked_body(input: &[u8]) -> Result<Body<'_>, Refusal> {
    let mut content = Vec::new();
    let mut text = Text(input);
    match text.body(&mut content) {
        Ok(trailers) => Ok(Body {
            content,
            trailers,
            rest: text.0,
        }),
        Err(Wrong::Ends) => Err(Refusal::Incomplete(content)),
        Err(Wrong::Malformed) => Err(Refusal::Malformed),
    }
}

/// Whether the sizes at the front of `input` add up to more than `max`.
pub(crate) fn announces_over(input: &[u8], max: u64) -> bool {
    let (mut text, mut sum) = (Text(input), 0_u64);
    while let Ok(size) = text.chunk_header() {
        sum = sum.saturating_add(size);
        if sum > max || text.data(size, &mut Vec::new()).is_err() || text.crlf().is_err() {
            break;
        }
    }
    sum > max
}

/// What is left of the input.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn body(&mut self, content: &mut Vec<u8>) -> Parsed<Vec<(String, Vec<u8>)>> {
        loop {
            let size = self.chunk_header()?;
            if size == 0 {
                return self.trailers();
            }
            self.data(size, content)?;
            self.crlf()?;
        }
    }

    /// `chunk-size [ chunk-ext ] CRLF`; their reading of the size is asked for as well.
    fn chunk_header(&mut self) -> Parsed<u64> {
        let before = self.0;
        let digits = self.some(|byte| byte.is_ascii_hexdigit())?;
        let digits = std::str::from_utf8(digits).expect("digits");
        // A size that does not fit is one that nobody can have.
        let size = u64::from_str_radix(digits.trim_start_matches('0'), 16).or(
            if digits.trim_start_matches('0').is_empty() {
                Ok(0)
            } else {
                Err(())
            },
        );
        let size = size.map_err(|()| Wrong::Malformed)?;
        self.extensions()?;
        self.crlf()?;
        // They know at most 15 digits, and do not look at extensions.
        if digits.len() <= 15 {
            let theirs = httparse::parse_chunk_size(before);
            let len = before.len() - self.0.len();
            assert_eq!(theirs, Ok(httparse::Status::Complete((len, size))));
        }
        Ok(size)
    }

    /// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`
    fn extensions(&mut self) -> Parsed<()> {
        loop {
            let is_spaced = self.bws();
            match self.peek() {
                Ok(b';') => self.skip(1),
                Err(wrong) => return Err(wrong),
                Ok(_) if is_spaced => return Err(Wrong::Malformed),
                Ok(_) => return Ok(()),
            }
            self.bws();
            self.some(is_tchar)?;
            let behind_name = self.0;
            let is_spaced = self.bws();
            match self.peek() {
                Ok(b'=') => {
                    self.skip(1);
                    self.bws();
                    self.value()?;
                }
                Err(wrong) => return Err(wrong),
                Ok(_) if is_spaced => self.0 = behind_name,
                Ok(_) => {}
            }
        }
    }

    /// `chunk-ext-val = token / quoted-string`
    fn value(&mut self) -> Parsed<()> {
        if self.peek()? != b'"' {
            return self.some(is_tchar).map(|_| ());
        }
        self.skip(1);
        loop {
            match self.take()? {
                b'"' => return Ok(()),
                // `qdtext` and what may be escaped are, with the escape itself, what a field value
                // may hold.
                b'\\' if is_text(self.peek()?) => self.skip(1),
                b'\\' => return Err(Wrong::Malformed),
                byte if is_text(byte) => {}
                _ => return Err(Wrong::Malformed),
            }
        }
    }

    fn data(&mut self, size: u64, content: &mut Vec<u8>) -> Parsed<()> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let len = size.min(self.0.len());
        content.extend_from_slice(&self.0[..len]);
        self.skip(len);
        if len < size { Err(Wrong::Ends) } else { Ok(()) }
    }

    /// `trailer-section CRLF`, where a line is looked at when it is here.
    fn trailers(&mut self) -> Parsed<Vec<(String, Vec<u8>)>> {
        let mut trailers = Vec::new();
        loop {
            let end = self
                .0
                .iter()
                .position(|&byte| byte == b'\n')
                .ok_or(Wrong::Ends)?;
            let line = self.0[..end].strip_suffix(b"\r").ok_or(Wrong::Malformed)?;
            self.skip(end + 1);
            if line.is_empty() {
                return Ok(trailers);
            }
            let colon = line
                .iter()
                .position(|&byte| byte == b':')
                .ok_or(Wrong::Malformed)?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            let is_name = !name.is_empty() && name.iter().all(|&byte| is_tchar(byte));
            if !is_name || !value.iter().all(|&byte| is_text(byte)) {
                return Err(Wrong::Malformed);
            }
            let name = String::from_utf8(name.to_vec()).expect("a token is ASCII");
            trailers.push((name, value.trim_ascii().to_vec()));
        }
    }

    /// Spaces and tabs; whether there are any.
    fn bws(&mut self) -> bool {
        let len = self
            .0
            .iter()
            .take_while(|&&byte| matches!(byte, b' ' | b'\t'))
            .count();
        self.skip(len);
        len > 0
    }

    fn crlf(&mut self) -> Parsed<()> {
        match (self.take()?, self.0.first()) {
            (b'\r', Some(b'\n')) => {
                self.skip(1);
                Ok(())
            }
            (b'\r', None) => Err(Wrong::Ends),
            _ => Err(Wrong::Malformed),
        }
    }

    /// One byte of the class and all that follow.
    fn some(&mut self, class: impl Fn(u8) -> bool) -> Parsed<&'a [u8]> {
        let len = self.0.iter().take_while(|&&byte| class(byte)).count();
        if len == 0 {
            return Err(self.peek().map_or(Wrong::Ends, |_| Wrong::Malformed));
        }
        let found = &self.0[..len];
        self.0 = &self.0[len..];
        Ok(found)
    }

    fn peek(&self) -> Parsed<u8> {
        self.0.first().copied().ok_or(Wrong::Ends)
    }

    fn take(&mut self) -> Parsed<u8> {
        let byte = self.peek()?;
        self.skip(1);
        Ok(byte)
    }

    fn skip(&mut self, len: usize) {
        self.0 = &self.0[len..];
    }
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `byte` may stand in a field value.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}
