//! [`Literals`]: the paths without parameters, found by their bytes.
//!
//! What must hold: a path is compared as bytes, so no text has to be made of it for most requests;
//! the table is made when routes are registered and never changes afterwards.

/// Which literal path leads to which route.
#[derive(Default)]
pub(super) struct Literals {
    /// By length, and sorted within: most lengths have one path or none.
    by_len: Vec<Vec<(Box<[u8]>, usize)>>,
}

impl Literals {
    /// Adds a path that is not there yet.
    pub(super) fn insert(&mut self, path: &str, route: usize) {
        if self.by_len.len() <= path.len() {
            self.by_len.resize_with(path.len() + 1, Vec::new);
        }
        let paths = &mut self.by_len[path.len()];
        paths.push((path.as_bytes().into(), route));
        paths.sort_unstable();
    }

    /// The route of a path.
    #[inline]
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        match &**self.by_len.get(path.len())? {
            [] => None,
            [(known, route)] => is_same(known, path).then_some(*route),
            paths => {
                let at = paths.binary_search_by(|(known, _)| (**known).cmp(path));
                Some(paths[at.ok()?].1)
            }
        }
    }
}

/// Whether two slices are the same: in place, where a call of `memcmp` costs more than
/// to compare what a path usually is.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    let mut is_same = words.len() == other_words.len() && rest.len() == other_rest.len();
    for (word, other) in words.iter().zip(other_words) {
        is_same &= u64::from_ne_bytes(*word) == u64::from_ne_bytes(*other);
    }
    for (byte, other) in rest.iter().zip(other_rest) {
        is_same &= byte == other;
    }
    is_same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_found_and_no_other() {
        let mut literals = Literals::default();
        let paths = ["/", "/b", "/a", "/event", "/stats", "/plaintext"];
        for (route, path) in paths.iter().enumerate() {
            literals.insert(path, route);
        }
        for (route, path) in paths.iter().enumerate() {
            assert_eq!(literals.find(path.as_bytes()), Some(route), "{path}");
        }
        for path in [
            "",
            "/c",
            "/events",
            "/A",
            "/a/very/long/path/that/is/nowhere",
        ] {
            assert_eq!(literals.find(path.as_bytes()), None, "{path}");
        }
    }
}
