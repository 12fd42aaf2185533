//! [`Feed`]: rows of a CSV file, for `{csv:COLUMN}`.
//!
//! What must hold: it is read whole before the run, so that nothing waits for a disk during it.

use std::path::Path;

/// The rows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    columns: Vec<String>,
    rows: Vec<Vec<Vec<u8>>>,
}

impl Feed {
    /// Reads a file whose first row names the columns (RFC 4180).
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn read(path: &Path) -> Result<Feed, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Feed::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The same from bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Feed, String> {
        let mut reader = csv::Reader::from_reader(bytes);
        let columns = reader.headers().map_err(|error| error.to_string())?;
        let columns: Vec<String> = columns.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.byte_records() {
            let record = record.map_err(|error| error.to_string())?;
            rows.push(record.iter().map(<[u8]>::to_vec).collect());
        }
        if rows.is_empty() {
            return Err("it has no rows below the names of its columns".into());
        }
        Ok(Feed { columns, rows })
    }

    /// The number of a column.
    ///
    /// # Errors
    /// One sentence with the names that there are.
    pub(crate) fn column(&self, name: &str) -> Result<usize, String> {
        let found = self.columns.iter().position(|column| column == name);
        found.ok_or_else(|| {
            let columns = self.columns.join(", ");
            format!("the file has no column '{name}', only {columns}")
        })
    }

    /// What stands in the row of request `index`.
    pub(crate) fn value(&self, index: u64, column: usize) -> &[u8] {
        let row = usize::try_from(index % self.rows.len() as u64).expect("less than a length");
        &self.rows[row][column]
    }

    /// Whether every value of a column may stand in the head of a request.
    pub(crate) fn fits_head(&self, column: usize) -> bool {
        let mut values = self.rows.iter().map(|row| &row[column]);
        values.all(|value| value.iter().all(|&byte| crate::head::is_value_byte(byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_turn_and_quotes_are_understood() {
        let feed = Feed::parse(b"a,b\r\n1,\"x, \"\"y\"\"\"\r\n2,\"line\nbreak\"\r\n").unwrap();
        let b = feed.column("b").unwrap();
        assert_eq!((feed.value(0, 0), feed.value(3, 0)), (&b"1"[..], &b"2"[..]));
        assert_eq!(feed.value(2, b), b"x, \"y\"");
        assert!(feed.fits_head(0) && !feed.fits_head(b));
    }

    #[test]
    fn what_is_no_feed_is_refused() {
        assert!(Feed::parse(b"a,b\n").unwrap_err().contains("no rows"));
        assert!(Feed::parse(b"").is_err());
        assert!(Feed::parse(b"a,b\n1\n").is_err(), "rows differ in length");
        let feed = Feed::parse(b"a,b\n1,2\n").unwrap();
        assert!(feed.column("c").unwrap_err().contains("a, b"));
        assert!(
            Feed::read(Path::new("/does/not/exist"))
                .unwrap_err()
                .contains("/does/not")
        );
    }
}
