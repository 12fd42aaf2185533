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
        let paths = self.by_len.get(path.len())?;
        let at = paths
            .binary_search_by(|(known, _)| (**known).cmp(path))
            .ok()?;
        Some(paths[at].1)
    }
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
