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
    let (Some(last), Some(other_last)) = (one.last_chunk(), other.last_chunk()) else {
        return one == other;
    };
    let (words, _) = one.as_chunks();
    let (other_words, _) = other.as_chunks();
    // The last word takes in what is behind the whole ones.
    let mut pairs = words.iter().zip(other_words);
    one.len() == other.len()
        && word(*last) == word(*other_last)
        && pairs.all(|(one, other)| word(*one) == word(*other))
}

#[inline]
fn word(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes)
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
            "/plaintexT",
            "/Plaintext",
            "/plaintex",
            "/events",
            "/A",
            "/a/very/long/path/that/is/nowhere",
        ] {
            assert_eq!(literals.find(path.as_bytes()), None, "{path}");
        }
    }
}
