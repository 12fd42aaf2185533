//! What a client would rather have: the quality values of `Accept` and `Accept-Encoding`.
//!
//! What must hold: an element that is malformed is passed over, never an error (RFC 9110 section
//! 12.4.2 leaves a server free to send what it has); nothing here allocates.

use super::Request;
use crate::http::{HeaderName, header};

/// A quality value in thousandths, 0 to 1,000 (RFC 9110 section 12.4.2).
type Quality = u16;

/// The best quality there is.
const BEST: Quality = 1_000;

/// The media type of `offers` that the client prefers by its `Accept` (RFC 9110 section 12.5.1);
/// of several that it likes the same, the first. `None` if it takes none of them: answer 406, or
/// send what there is.
///
/// Each offer is a type without parameters. The range that is most specific for an offer counts.
/// Without `Accept` the first offer is taken. Who chooses by it adds `Vary: Accept`.
///
/// # Examples
/// ```
/// use sunstar::http::header;
/// use sunstar::service::{Request, preferred_media_type};
///
/// let request = Request::get("/").with_field(header::ACCEPT, "text/*;q=0.5, application/json");
/// let offers = ["text/html", "application/json"];
/// assert_eq!(preferred_media_type(&request, &offers), Some("application/json"));
/// ```
pub fn preferred_media_type<'o>(request: &Request, offers: &[&'o str]) -> Option<&'o str> {
    if request.field(&header::ACCEPT).is_none() {
        return offers.first().copied();
    }
    let quality = |offer: &str| {
        let all = elements(request, &header::ACCEPT);
        let matching = all.filter_map(|(range, quality)| Some((fit(range, offer)?, quality)));
        // A `max_by_key` would take the last of equals; the first one that stands there counts.
        let best = matching.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map_or(0, |(_, quality)| quality)
    };
    best_of(offers.iter().map(|offer| (*offer, quality(offer))))
}

/// The content coding of `offers` that the client prefers by its `Accept-Encoding` (RFC 9110
/// section 12.5.3); of several that it likes the same, the first. `None` is `identity`: no coding.
///
/// `identity` is chosen only if nothing else is acceptable or it is preferred. Without the field no
/// coding is used. Who chooses by it adds `Vary: Accept-Encoding`.
pub fn preferred_encoding<'o>(request: &Request, offers: &[&'o str]) -> Option<&'o str> {
    let quality = |coding: &str| {
        let named = |name: &str| {
            let mut all = elements(request, &header::ACCEPT_ENCODING);
            all.find(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        // `x-gzip` is another name of gzip (RFC 9110 section 8.4.1.3).
        let alias = if coding == "gzip" {
            named("x-gzip")
        } else {
            None
        };
        let found = named(coding).or(alias).or_else(|| named("*"));
        found.map(|(_, quality)| quality)
    };
    let best = best_of(
        offers
            .iter()
            .map(|offer| (*offer, quality(offer).unwrap_or(0))),
    );
    // Not to be named is no wish for it, so only a quality that was given to it counts.
    let identity = elements(request, &header::ACCEPT_ENCODING)
        .find(|(name, _)| name.eq_ignore_ascii_case("identity"))
        .map_or(0, |(_, quality)| quality);
    best.filter(|best| quality(best) >= Some(identity))
}

/// The first offer of the highest quality above 0.
fn best_of<'o>(offers: impl Iterator<Item = (&'o str, Quality)>) -> Option<&'o str> {
    let liked = offers.filter(|(_, quality)| *quality > 0);
    let best = liked.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(offer, _)| offer)
}

/// The elements of all lines of a field, each with its quality.
fn elements<'a>(
    request: &'a Request,
    name: &'a HeaderName,
) -> impl Iterator<Item = (&'a str, Quality)> {
    let values = request.fields().named(name.as_str());
    values.flat_map(|value| {
        let text = str::from_utf8(value).unwrap_or_default();
        text.split(',').filter_map(element)
    })
}

/// One element: what stands before its parameters, and its quality.
fn element(text: &str) -> Option<(&str, Quality)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.eq_ignore_ascii_case("q").then_some(value)
    });
    Some((name, weight.map_or(Some(BEST), quality)?))
}

/// Reads `0`, `0.5`, `0.125`, `1`, `1.000` (RFC 9110 section 12.4.2).
fn quality(text: &str) -> Option<Quality> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if digits.len() > 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digit = |at| {
        digits
            .as_bytes()
            .get(at)
            .map_or(0, |digit| Quality::from(digit - b'0'))
    };
    let thousandths = 100 * digit(0) + 10 * digit(1) + digit(2);
    match whole {
        "0" => Some(thousandths),
        "1" => (thousandths == 0).then_some(BEST),
        _ => None,
    }
}

/// How closely a media range fits a type: exactly, by its first part, or as `*/*`.
fn fit(range: &str, offer: &str) -> Option<u8> {
    let (kind, subtype) = range.split_once('/')?;
    let (offered_kind, offered_subtype) = offer.split_once('/')?;
    match (kind, subtype) {
        ("*", "*") => Some(1),
        (kind, "*") if kind.eq_ignore_ascii_case(offered_kind) => Some(2),
        (kind, subtype) => (kind.eq_ignore_ascii_case(offered_kind)
            && subtype.eq_ignore_ascii_case(offered_subtype))
        .then_some(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(accept: &str, offers: &[&'static str]) -> Option<&'static str> {
        let request = Request::get("/").with_field(header::ACCEPT, accept);
        preferred_media_type(&request, offers)
    }

    fn coding(accept: &str) -> Option<&'static str> {
        let request = Request::get("/").with_field(header::ACCEPT_ENCODING, accept);
        preferred_encoding(&request, &["br", "zstd", "gzip"])
    }

    #[test]
    fn a_quality_has_at_most_three_digits() {
        let good = [
            ("0", 0),
            ("1", 1000),
            ("0.5", 500),
            ("0.125", 125),
            ("1.", 1000),
            ("0.01", 10),
        ];
        for (text, value) in good {
            assert_eq!(quality(text), Some(value), "{text}");
        }
        for text in ["", "2", "1.1", "0.1234", "-1", "0.x", ".5", "01"] {
            assert_eq!(quality(text), None, "{text}");
        }
    }

    #[test]
    fn the_preferred_media_type_is_taken_and_the_first_of_equals() {
        let offers = ["text/html", "application/json"];
        assert_eq!(media("application/json", &offers), Some("application/json"));
        assert_eq!(media("*/*", &offers), Some("text/html"));
        assert_eq!(media("text/*;q=0.3, */*;q=0.2", &offers), Some("text/html"));
        assert_eq!(
            media("text/html;q=0.3, */*;q=0.4", &offers),
            Some("application/json")
        );
        assert_eq!(media("TEXT/HTML; level=1; Q=1", &offers), Some("text/html"));
        assert_eq!(media("image/png", &offers), None);
        assert_eq!(media("text/html;q=0, text/*", &["text/html"]), None);
        let bare = Request::get("/");
        assert_eq!(preferred_media_type(&bare, &offers), Some("text/html"));
    }

    #[test]
    fn the_most_specific_range_counts_wherever_it_stands() {
        let offers = ["text/plain", "text/html"];
        let accept = "text/*;q=0.9, text/plain;q=0.1, */*;q=0.8";
        assert_eq!(media(accept, &offers), Some("text/html"));
    }

    #[test]
    fn malformed_elements_are_passed_over() {
        assert_eq!(
            media(",, text;q=1, text/html;q=x, a/b", &["text/html", "a/b"]),
            Some("a/b")
        );
    }

    #[test]
    fn the_preferred_coding_is_taken_and_the_first_of_equals() {
        assert_eq!(coding("gzip, deflate, br, zstd"), Some("br"));
        assert_eq!(coding("gzip;q=1.0, br;q=0.9"), Some("gzip"));
        assert_eq!(coding("GZIP"), Some("gzip"));
        assert_eq!(coding("x-gzip"), Some("gzip"));
        assert_eq!(coding("*"), Some("br"));
        assert_eq!(coding("br;q=0, *"), Some("zstd"));
        assert_eq!(coding("deflate"), None);
        assert_eq!(coding(""), None);
    }

    #[test]
    fn identity_is_taken_only_if_it_is_preferred() {
        assert_eq!(coding("identity, br;q=0.5"), None);
        assert_eq!(coding("identity;q=0.5, br"), Some("br"));
        assert_eq!(coding("identity, br"), Some("br"));
        assert_eq!(coding("*;q=0"), None);
        assert_eq!(preferred_encoding(&Request::get("/"), &["gzip"]), None);
    }

    #[test]
    fn several_lines_are_one_list() {
        let request = Request::get("/")
            .with_field(header::ACCEPT_ENCODING, "gzip;q=0.5")
            .with_field(header::ACCEPT_ENCODING, "zstd");
        assert_eq!(
            preferred_encoding(&request, &["gzip", "zstd"]),
            Some("zstd")
        );
    }
}
