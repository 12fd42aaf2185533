//! What the fuzzers run, over their corpora: what they have found and what they start from is
//! played again in every test run.
//!
//! The inputs are in `framework/fuzz/corpus`, a directory for each target; `scripts/fuzz.sh`
//! searches on from there.

mod answers;
mod cuts;
mod grammar;
mod h1_chunked;
mod h1_connection;
mod h1_head;
mod h1_httparse;

use std::fs;
use std::path::Path;

/// The fewest inputs of a corpus that is one.
const INPUT_COUNT_MIN: usize = 100;

/// Runs a target over all inputs of its corpus.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let inputs = fs::read_dir(&corpus).expect("the corpus is a directory");
    let mut count = 0;
    for input in inputs {
        let path = input.expect("the directory can be read to its end").path();
        // Shown when the target fails.
        println!("{}", path.display());
        run(&fs::read(&path).expect("an input can be read"));
        count += 1;
    }
    assert!(
        count >= INPUT_COUNT_MIN,
        "{} holds {count} inputs",
        corpus.display()
    );
}

#[test]
fn the_corpus_of_heads_is_understood_alike_however_it_is_cut() {
    replay("h1_head", h1_head::run);
}

#[test]
fn the_corpus_of_heads_is_read_as_httparse_reads_it_or_refused_for_a_reason() {
    replay("h1_httparse", h1_httparse::run);
}

#[test]
fn the_corpus_of_chunks_is_taken_apart_as_the_grammar_says() {
    replay("h1_chunked", h1_chunked::run);
}

#[test]
fn the_corpus_of_connections_is_answered_as_a_client_can_read() {
    replay("h1_connection", h1_connection::run);
}
