//! The media type of a file, by its extension.
//!
//! What must hold: a type that a browser would run is given only to an extension that says so; all
//! text is declared as UTF-8. Extensions stand in order.

/// Extension and type, for what sites are made of.
const TYPES: [(&str, &str); 52] = [
    ("aac", "audio/aac"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonld", "application/ld+json"),
    ("jxl", "image/jxl"),
    ("m4a", "audio/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("rss", "application/rss+xml"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// The type of a file of this name; `application/octet-stream` if its extension says nothing.
pub(super) fn of(name: &[u8]) -> &'static str {
    let extension = name.rsplit(|&byte| byte == b'.').next();
    let extension = extension.filter(|extension| extension.len() < name.len());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let found = TYPES.binary_search_by(|(known, _)| known.as_bytes().cmp(&extension));
    found.map_or("application/octet-stream", |at| TYPES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_is_found() {
        for (extension, media_type) in TYPES {
            assert_eq!(of(format!("a.{extension}").as_bytes()), media_type);
        }
        assert!(TYPES.is_sorted());
    }

    #[test]
    fn the_last_extension_counts_without_case() {
        assert_eq!(of(b"a.png.HTML"), "text/html; charset=utf-8");
        for name in ["html", "", ".", "a.", "a.html.x", "a.htmlx", "\u{fc}"] {
            assert_eq!(of(name.as_bytes()), "application/octet-stream", "{name}");
        }
    }
}
