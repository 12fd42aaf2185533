//! What the manual says of tests is so: each that it names is there.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::path::Path;

/// Reads all Rust files below a directory.
fn read_all(directory: &Path, all: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_name_of_seastars_has_a_test_that_is_there_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("docs/manual/seastar.md")).unwrap();
    let mut sources = String::new();
    read_all(&root.join("src"), &mut sources);
    read_all(&root.join("tests"), &mut sources);
    let mut rows = 0;
    for line in table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| test |"))
    {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, here, test] = cells[..] else {
            panic!("three cells: {line}")
        };
        rows += 1;
        let has_reason = here.starts_with("none: ") || here.starts_with("not here");
        let is_plain = here.starts_with('`') && !here.contains("](crate::");
        let test = test.trim_matches('`');
        if test.is_empty() {
            assert!(
                has_reason || is_plain,
                "{name}: neither a test nor a reason"
            );
        } else {
            let signature = format!("fn {test}(");
            assert!(
                sources.contains(&signature),
                "{name}: there is no test `{test}`"
            );
        }
    }
    assert!(rows > 50, "the table has lost its rows");
}

#[test]
fn the_index_names_every_chapter_and_nothing_else() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manual");
    let index = std::fs::read_to_string(manual.join("README.md")).unwrap();
    let mut chapters = 0;
    for entry in std::fs::read_dir(&manual).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "README.md" {
            assert!(index.contains(&format!("({name})")), "{name} is missing");
            chapters += 1;
        }
    }
    let links = index.matches("](").count();
    // The two at its end lead out of the manual.
    assert_eq!(links, chapters + 2, "a chapter that is not there, or twice");
}
