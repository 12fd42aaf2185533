//! The manual's page on conformance names tests: each of them exists.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The names of all tests below a directory.
fn tests(directory: &Path, names: &mut HashSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for after in text.split("#[test]").skip(1) {
                let name = after
                    .split("fn ")
                    .nth(1)
                    .and_then(|it| it.split('(').next());
                names.insert(name.unwrap_or_default().to_owned());
            }
        }
    }
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = HashSet::new();
    for directory in ["src", "tests"] {
        tests(&root.join(directory), &mut known);
    }
    let page = fs::read_to_string(root.join("docs/manual/conformance.md")).unwrap();
    let mut named = 0;
    let (binding, _) = page.split_once("## Not applicable").unwrap();
    let rows = binding
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    for row in rows {
        let column = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in column.split('`').skip(1).step_by(2) {
            assert!(known.contains(name), "no test is called {name}: {row}");
            named += 1;
        }
    }
    assert!(
        named > 50,
        "the page has lost its rows: {named} tests are named"
    );
}
