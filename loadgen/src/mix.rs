//! [`Mix`]: requests made from several templates by weight, with places that are filled in.
//!
//! What must hold: which template a request is made from depends on seed and number alone;
//! `Content-Length` is right for each; nothing that is filled in can start another line.

use std::sync::Arc;

use crate::feed::Feed;
use crate::placeholder::Filling;
use crate::random::Random;
use crate::template::{Header, Template};
use crate::url::Url;

/// The most templates: each has accounts of its own.
pub(crate) const TEMPLATE_COUNT_MAX: usize = 64;

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// How reports call it.
    pub(crate) name: String,
    /// How often it comes, in proportion to the others.
    pub(crate) weight: u64,
    /// Whether its method is HEAD.
    pub(crate) head: bool,
    /// The request up to the value of `Content-Length`, or the whole of it.
    before: Filling,
    /// The content, when there is one that is not in `before`.
    body: Option<Filling>,
}

/// What a kind is made from.
pub(crate) struct Recipe<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// Where to.
    pub(crate) url: &'a Url,
    /// The user's fields.
    pub(crate) headers: &'a [Header],
    /// The content.
    pub(crate) body: Option<&'a [u8]>,
    /// How often.
    pub(crate) weight: u64,
}

/// All kinds of a run.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    kinds: Vec<Kind>,
    weights: u64,
    random: Random,
    feed: Option<Arc<Feed>>,
}

/// Gathers the kinds of a run.
pub(crate) struct Builder {
    kinds: Vec<Kind>,
    seed: u64,
    stream: u64,
    feed: Option<Arc<Feed>>,
}

impl Builder {
    /// Without kinds yet.
    pub(crate) fn new(seed: u64, feed: Option<Feed>) -> Builder {
        Builder {
            kinds: Vec::new(),
            seed,
            stream: 0,
            feed: feed.map(Arc::new),
        }
    }

    /// Adds requests that are laid out by loadgen.
    ///
    /// # Errors
    /// One sentence about a wrong placeholder.
    pub(crate) fn add(&mut self, recipe: &Recipe<'_>) -> Result<(), String> {
        let body = recipe.body.map(|body| self.fill(body)).transpose()?;
        let varies = body.as_ref().is_some_and(|body| !body.is_fixed());
        let template = Template::new(
            recipe.method,
            recipe.url,
            recipe.headers,
            recipe.body.filter(|_| !varies),
        );
        let mut before = template.bytes().to_vec();
        if varies {
            before.truncate(before.len() - 2);
            let head = String::from_utf8_lossy(&before).into_owned();
            before = head.replace("Content-Length: 0\r\n", "").into_bytes();
            before.extend_from_slice(b"Content-Length: ");
        }
        let before = self.fill(&before)?;
        if let Some(feed) = &self.feed
            && before.columns().any(|column| !feed.fits_head(column))
        {
            return Err("a column with control characters cannot stand in a head".into());
        }
        self.kinds.push(Kind {
            name: format!("{} {}", recipe.method, recipe.url.target),
            weight: recipe.weight,
            head: recipe.method == "HEAD",
            before,
            body: body.filter(|_| varies),
        });
        Ok(())
    }

    /// Adds a request that is sent as it is, to the byte.
    pub(crate) fn add_raw(&mut self, name: &str, bytes: Vec<u8>, weight: u64) {
        let head = bytes.starts_with(b"HEAD ");
        let before = Filling::verbatim(bytes);
        let (name, body) = (name.to_owned(), None);
        self.kinds.push(Kind {
            name,
            weight,
            head,
            before,
            body,
        });
    }

    fn fill(&mut self, text: &[u8]) -> Result<Filling, String> {
        Filling::parse(text, self.feed.as_deref(), self.seed, &mut self.stream)
    }

    /// All kinds together; they need not be mixed when there is one and it never changes.
    ///
    /// # Errors
    /// One sentence when there are none, too many, or all have the weight 0.
    pub(crate) fn build(self) -> Result<Mix, String> {
        let weights: u64 = self.kinds.iter().map(|kind| kind.weight).sum();
        if self.kinds.len() > TEMPLATE_COUNT_MAX {
            return Err(format!(
                "there may be {TEMPLATE_COUNT_MAX} templates, and no more"
            ));
        }
        if weights == 0 {
            return Err("no template has a weight above 0".into());
        }
        Ok(Mix {
            kinds: self.kinds,
            weights,
            random: Random::new(self.seed, u64::MAX),
            feed: self.feed,
        })
    }
}

impl Mix {
    /// How many kinds there are.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// All kinds.
    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The only request, when there is one kind that never changes.
    pub(crate) fn only(&self) -> Option<(Vec<u8>, bool)> {
        match self.kinds.as_slice() {
            [only] if only.body.is_none() && only.before.is_fixed() => {
                let mut bytes = Vec::new();
                only.before.write(0, None, &mut bytes);
                Some((bytes, only.head))
            }
            _ => None,
        }
    }

    /// Which kind request `index` is.
    #[inline]
    pub(crate) fn kind_of(&self, index: u64) -> usize {
        let mut point = self.random.below(self.weights, index);
        let mut kinds = self.kinds.iter();
        let found = kinds.position(|kind| {
            let here = point < kind.weight;
            point = point.wrapping_sub(kind.weight);
            here
        });
        found.expect("the point is below the sum of all weights")
    }

    /// Appends request `index` to `out`; `scratch` is for its content.
    pub(crate) fn write(&self, index: u64, out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        let kind = &self.kinds[self.kind_of(index)];
        let feed = self.feed.as_deref();
        kind.before.write(index, feed, out);
        if let Some(body) = &kind.body {
            scratch.clear();
            body.write(index, feed, scratch);
            out.extend_from_slice(itoa::Buffer::new().format(scratch.len()).as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
            out.extend_from_slice(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe<'a>(
        method: &'a str,
        url: &'a Url,
        body: Option<&'a [u8]>,
        weight: u64,
    ) -> Recipe<'a> {
        Recipe {
            method,
            url,
            headers: &[],
            body,
            weight,
        }
    }

    fn text(mix: &Mix, index: u64) -> String {
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        mix.write(index, &mut out, &mut scratch);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_length_is_right_for_every_content() {
        let url = Url::parse("http://a/x/{seq}").unwrap();
        let mut builder = Builder::new(1, None);
        let body = Some(&b"{\"n\":{seq:8}}"[..]);
        builder.add(&recipe("POST", &url, body, 1)).unwrap();
        let mix = builder.build().unwrap();
        let head = "POST /x/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(text(&mix, 1), format!("{head}{{\"n\":9}}"));
        let head = "POST /x/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n";
        assert_eq!(text(&mix, 2), format!("{head}{{\"n\":10}}"));
        assert!(mix.only().is_none());
    }

    #[test]
    fn weights_are_kept_per_request() {
        let (a, b) = (
            Url::parse("http://a/a").unwrap(),
            Url::parse("http://a/b").unwrap(),
        );
        let mut builder = Builder::new(1, None);
        builder.add(&recipe("GET", &a, None, 3)).unwrap();
        builder.add(&recipe("HEAD", &b, None, 1)).unwrap();
        builder.add_raw("raw", b"GET /{seq} HTTP/1.1\r\n\r\n".to_vec(), 0);
        let mix = builder.build().unwrap();
        let mut counts = [0_u32; 3];
        (0..40_000).for_each(|index| counts[mix.kind_of(index)] += 1);
        assert!(
            (29_500..30_500).contains(&counts[0]) && counts[2] == 0,
            "{counts:?}"
        );
        assert_eq!(
            mix.kinds().iter().map(|kind| kind.head).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!(mix.kinds()[1].name, "HEAD /b");
    }

    #[test]
    fn a_raw_request_is_sent_to_the_byte() {
        let mut builder = Builder::new(1, None);
        let bytes = b"GET /{seq} HTTP/1.0\n\n{uuid}";
        builder.add_raw("raw", bytes.to_vec(), 1);
        let (only, head) = builder.build().unwrap().only().unwrap();
        assert_eq!((only.as_slice(), head), (&bytes[..], false));
    }

    #[test]
    fn nothing_filled_in_can_start_another_line() {
        let feed = Feed::parse(b"a,b\nx,\"1\n2\"\n").unwrap();
        let url = Url::parse("http://a/{csv:b}").unwrap();
        let mut builder = Builder::new(1, Some(feed));
        assert!(builder.add(&recipe("GET", &url, None, 1)).is_err());
        let url = Url::parse("http://a/{csv:a}").unwrap();
        let body = Some(&b"{csv:b}"[..]);
        builder.add(&recipe("POST", &url, body, 1)).unwrap();
        assert!(text(&builder.build().unwrap(), 0).ends_with("Content-Length: 3\r\n\r\n1\n2"));
        assert!(Builder::new(1, None).build().is_err(), "nothing at all");
    }
}
