//! Which bytes may stand where: the character classes of HTTP and of URIs, and what is made of
//! them.
//!
//! What must hold: these are the RFCs' own rules, without lenience, except where a comment names
//! who needs it.

use std::net::Ipv6Addr;

/// `tchar` (RFC 9110 section 5.6.2).
const TOKEN: u8 = 1;
/// What a field value may hold: visible bytes, space and tab (RFC 9110 section 5.5).
const VALUE: u8 = 1 << 1;
/// `reg-name` without escapes (RFC 3986 section 3.2.2).
const REG_NAME: u8 = 1 << 2;
/// `path` without escapes (RFC 3986 section 3.3).
const PATH: u8 = 1 << 3;
/// `query` without escapes (RFC 3986 section 3.4).
const QUERY: u8 = 1 << 4;

const ALPHA_DIGIT: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    mark(&mut table, TOKEN | REG_NAME | PATH | QUERY, ALPHA_DIGIT);
    mark(&mut table, TOKEN, b"!#$%&'*+-.^_`|~");
    mark(&mut table, REG_NAME | PATH | QUERY, b"-._~!$&'()*+,;=");
    mark(&mut table, PATH | QUERY, b":@/");
    mark(&mut table, QUERY, b"?");
    // Not in RFC 3986, but what browsers send unescaped (URL Standard, percent-encode sets).
    mark(&mut table, PATH | QUERY, b"[]|");
    mark(&mut table, QUERY, b"\\^`{}");
    let mut byte = 0;
    while byte < 256 {
        if byte == 0x09 || (byte >= 0x20 && byte != 0x7f) {
            table[byte] |= VALUE;
        }
        byte += 1;
    }
    table
};

const fn mark(table: &mut [u8; 256], class: u8, bytes: &[u8]) {
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] |= class;
        at += 1;
    }
}

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether `byte` may stand in a token.
pub(super) fn is_tchar(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether `byte` may stand in a field value.
pub(super) fn is_value_byte(byte: u8) -> bool {
    is(byte, VALUE)
}

/// Whether all of `bytes` are of the class: without a branch for each.
#[inline]
fn are(bytes: &[u8], class: u8) -> bool {
    let of = |byte: u8| CLASSES[usize::from(byte)];
    let (fours, rest) = bytes.as_chunks();
    let common = fours.iter().fold(class, |common, &[a, b, c, d]| {
        common & of(a) & of(b) & of(c) & of(d)
    });
    rest.iter().fold(common, |common, &byte| common & of(byte)) != 0
}

const WORD_LEN: usize = size_of::<u64>();
/// One in each byte of a word, and the highest bit of each.
const ONES: u64 = u64::from_le_bytes([1; WORD_LEN]);
const HIGH: u64 = ONES << 7;

/// Marks the bytes of a word that are 0 by their highest bit. What is behind the first mark may be
/// wrong.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// Where the first marked byte of a word is.
#[inline]
fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Where `wanted` first stands. For what is near: a call of `memchr` costs more than eight bytes.
#[inline]
pub(super) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let marks = zeros(u64::from_le_bytes(*word) ^ (ONES * u64::from(wanted)));
        if marks != 0 {
            return Some(index * WORD_LEN + first(marks));
        }
    }
    let at = rest.iter().position(|&byte| byte == wanted)?;
    Some(words.len() * WORD_LEN + at)
}

/// How many bytes at the front may stand in a field value.
#[inline]
pub(super) fn value_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    while let Some(word) = bytes[len..].first_chunk() {
        let word = u64::from_le_bytes(*word);
        // Controls, and what is no ASCII, which may follow.
        let below_space = word.wrapping_sub(ONES * 0x20) & HIGH;
        let is_delete = zeros(word ^ (ONES * 0x7f));
        let marks = below_space | is_delete | (word & HIGH);
        if marks == 0 {
            len += WORD_LEN;
            continue;
        }
        len += first(marks);
        if !is_value_byte(bytes[len]) {
            return len;
        }
        len += 1;
    }
    let rest = bytes[len..].iter().position(|&byte| !is_value_byte(byte));
    len + rest.unwrap_or(bytes.len() - len)
}

/// Whether `bytes` is a token (RFC 9110 section 5.6.2).
#[inline]
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && are(bytes, TOKEN)
}

/// How long the path is in `bytes`, if they are a path that may be followed by `?` and a query
/// (RFC 3986 section 3).
#[inline]
pub(super) fn path_len(bytes: &[u8]) -> Option<usize> {
    if are(bytes, PATH) {
        return Some(bytes.len());
    }
    let path = run(bytes, PATH);
    let is_good = path == bytes.len()
        || bytes[path] == b'?' && path + 1 + run(&bytes[path + 1..], QUERY) == bytes.len();
    is_good.then_some(path)
}

/// Whether `bytes` is `uri-host [ ":" port ]` (RFC 9110 section 7.2).
#[inline]
pub(super) fn is_host(bytes: &[u8]) -> bool {
    split_host(bytes).is_some_and(|(_, port)| port.is_none_or(is_port))
}

/// Whether `bytes` is `uri-host ":" port` with neither empty: what CONNECT asks for (RFC 9112
/// section 3.2.3).
pub(super) fn is_host_and_port(bytes: &[u8]) -> bool {
    split_host(bytes).is_some_and(|(host, port)| {
        !host.is_empty() && port.is_some_and(|port| !port.is_empty() && is_port(port))
    })
}

/// Whether `bytes` is a host that is not empty, with or without a port: the authority of an `http`
/// URI, in which user information is an error (RFC 9110 section 4.2).
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    is_host(bytes) && !matches!(bytes.first(), None | Some(b':'))
}

/// The host, if it is one, and the rest behind a colon, which ought to be a port.
#[inline]
fn split_host(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = match bytes.first() {
        Some(b'[') => {
            let close = memchr::memchr(b']', bytes)?;
            is_ip_literal(&bytes[1..close]).then_some(close + 1)?
        }
        _ => match find(bytes, b':') {
            Some(colon) if are(&bytes[..colon], REG_NAME) => colon,
            _ => run(bytes, REG_NAME),
        },
    };
    match bytes.get(end) {
        None => Some((bytes, None)),
        Some(b':') => Some((&bytes[..end], Some(&bytes[end + 1..]))),
        Some(_) => None,
    }
}

fn is_ip_literal(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// `port`, which may be empty. Four digits need not be worked out: none of them is too many.
#[inline]
fn is_port(bytes: &[u8]) -> bool {
    let is_short = bytes.len() <= 4;
    bytes.iter().all(u8::is_ascii_digit)
        && (is_short || decimal(bytes).is_some_and(|port| u16::try_from(port).is_ok()))
}

/// The number that `bytes` is in decimal; `None` if it is none or over 64 bits.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// How many bytes at the front are of the class or belong to a percent escape.
#[inline]
fn run(bytes: &[u8], class: u8) -> usize {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let stop = rest.iter().position(|&byte| !is(byte, class));
        at += stop.unwrap_or(rest.len());
        match bytes[at..] {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            _ => return at,
        }
    }
}

/// Whether a field name is `known`, which is in lower case, without regard to case.
#[inline]
pub(super) fn is_named<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    // Setting bit 5 makes letters lower and leaves `-` as it is; no other token byte becomes one
    // of these by it.
    name.len() == N
        && name
            .iter()
            .zip(known)
            .all(|(byte, known)| byte | 0x20 == *known)
}

/// The members of a comma-separated list, without white space; empty ones are left out (RFC 9110
/// section 5.6.1).
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// `bytes` without the spaces and tabs around it.
#[inline]
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_asked_of_every_byte_whatever_their_number() {
        for len in 1..14 {
            let mut bytes = vec![b'a'; len];
            assert!(is_token(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = b' ';
                assert!(!is_token(&bytes), "{at} of {len}");
                bytes[at] = b'a';
            }
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn only_the_space_around_is_trimmed() {
        for (bytes, left) in [
            ("", ""),
            (" ", ""),
            ("\t \t", ""),
            ("a", "a"),
            (" \ta b\t ", "a b"),
            ("a ", "a"),
            ("\na\r", "\na\r"),
        ] {
            assert_eq!(trim(bytes.as_bytes()), left.as_bytes(), "{bytes:?}");
        }
    }

    fn split(cases: &str) -> impl Iterator<Item = &[u8]> {
        cases.split(' ').map(str::as_bytes)
    }

    #[test]
    fn hosts_are_names_addresses_and_ports() {
        for good in split("h a.b 127.0.0.1:80 h: [::1] [::1]:80 [2001:db8::7]: a_b~! %41 h:65535") {
            assert!(is_host(good), "{}", good.escape_ascii());
        }
        let bad = "a/b a\\b \"h\" h:8a h:-1 h:65536 u@h [zz] [::1 ::1 [::1]x h:80:80 %4 h? h# <h>";
        for bad in split(bad) {
            assert!(!is_host(bad), "{}", bad.escape_ascii());
        }
        assert!(is_host(b"") && !is_host(b"a b") && !is_host(b"caf\xe9"));
    }

    #[test]
    fn an_authority_has_a_host_and_a_tunnel_also_a_port() {
        assert!(is_authority(b"h") && is_authority(b"h:80") && is_authority(b"[::1]"));
        assert!(!is_authority(b"") && !is_authority(b":80") && !is_authority(b"u@h"));
        assert!(is_host_and_port(b"h:80") && is_host_and_port(b"[::1]:80"));
        for bad in split("h h: :80 h:x u@h:80") {
            assert!(!is_host_and_port(bad), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn paths_and_queries_are_those_of_rfc_3986_and_of_browsers() {
        for good in split("/ /a/b;c=d,e /%2F%7e /? /a?b=c&d?/:@ /a?b[]={x}|^`\\ /a|[b] //a") {
            assert!(path_len(good).is_some(), "{}", good.escape_ascii());
        }
        for bad in split("/a#b /% /%4 /%zz /a?%4z /a?b#c /<a> /\"a\" /a\\b /{a} /^ /a?<b>") {
            assert!(path_len(bad).is_none(), "{}", bad.escape_ascii());
        }
        for byte in (0..=0x20).chain(0x7f..=0xff) {
            assert!(path_len(&[b'/', byte]).is_none(), "{byte}");
            assert!(path_len(&[b'/', b'?', byte]).is_none(), "{byte}");
        }
    }

    #[test]
    fn a_number_is_digits_and_fits() {
        assert_eq!(decimal(b"0000000000000000000000005"), Some(5));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in split("18446744073709551616 +5 -5 0x5 5e0 5,5 5.0 5_0 \u{0665}") {
            assert_eq!(decimal(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(decimal(b""), None);
    }

    #[test]
    fn names_compare_without_case_and_exactly() {
        assert!(is_named(b"CONTENT-length", b"content-length"));
        assert!(!is_named(b"content_length", b"content-length"));
        assert!(!is_named(b"hos", b"host") && !is_named(b"hosts", b"host"));
    }

    #[test]
    fn a_list_leaves_out_what_is_empty() {
        let found: Vec<_> = members(b" ,a,, b c\t,").collect();
        assert_eq!(found, [&b"a"[..], b"b c"]);
    }
}
