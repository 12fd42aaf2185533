//! Executes the style guide over every Rust file of the workspace.
//!
//! What must hold: each rule names file and line and says what to do instead; each rule has at
//! least one bad sample in `tidy/samples.rs` on which it must fire, so that a rule that has gone
//! blind is noticed.

#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/source.rs"]
mod source;

use std::path::Path;

use source::{Name, Source};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
/// How many `#[cfg(` the workspace may hold, `#[cfg(test)]` not counted.
const CFG_COUNT_MAX: usize = 40;

/// The modules of `framework/src` and their layers: a module may name only lower ones.
const LAYERS: [(&str, u8); 17] = [
    ("lib", 9),
    ("manual", 9),
    ("cli", 8),
    ("server", 7),
    ("testing", 7),
    ("service", 6),
    ("metrics", 5),
    ("sharded", 4),
    ("net", 4),
    ("fs", 4),
    ("future", 3),
    ("sync", 2),
    ("runtime", 1),
    ("http", 1),
    ("sys", 0),
    ("mem", 0),
    ("error", 0),
];

/// Where `unsafe` may stand, and why there.
const UNSAFE_PLACES: [&str; 10] = [
    "framework/src/sys/",
    "framework/src/mem/buf.rs",
    "framework/src/mem/pool.rs",
    "framework/src/mem/prefetch.rs",
    "framework/src/runtime/uring.rs",
    "framework/src/runtime/op.rs",
    // An allocator that counts is unsafe to write.
    "framework/tests/allocations.rs",
    "app-1mrc/tests/allocations.rs",
    // The limits that we measure against stand on the kernel itself, not on ours.
    "benches/peers/bare_epoll.rs",
    "benches/peers/bare_ring.rs",
];
/// Tests of this name hold a counting allocator, which is unsafe by its trait.
const UNSAFE_TESTS: &str = "allocations.rs";

/// Where the kernel's interface may be named: `libc`, and the crate of the ring.
const KERNEL_PLACES: [&str; 3] = [
    "framework/src/sys/",
    "benches/peers/bare_epoll.rs",
    "benches/peers/bare_ring.rs",
];
/// Where the operations of the ring may be named.
const OPCODE_PLACES: [&str; 4] = [
    "framework/src/sys/probe.rs",
    "framework/src/sys/ring.rs",
    "framework/src/runtime/uring.rs",
    "benches/peers/bare_ring.rs",
];

const FILE_NAMES_BANNED: [&str; 7] = [
    "util", "utils", "common", "helper", "helpers", "types", "misc",
];

/// Words of which the house has another, and that one.
const WORDS_BANNED: [(&str, &str); 4] = [
    ("worker", "shard"),
    ("event loop", "reactor, or turn for one pass of it"),
    ("backend", "driver"),
    ("poller", "driver"),
];

/// What a rule has found.
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    what: String,
}

/// Looks at all files and reports what breaks the rule.
type Check = fn(&[Source], &mut Vec<Finding>);

const RULES: [(&str, Check); 14] = [
    ("layers", layers),
    ("pure-http", pure_http),
    ("file-length", file_length),
    ("function-length", function_length),
    ("columns", columns),
    ("opening", opening),
    ("file-names", file_names),
    ("names", names),
    ("mod-files", mod_files),
    ("ignored-tests", ignored_tests),
    ("cfg-budget", cfg_budget),
    ("unsafe", unsafe_places),
    ("kernel", kernel),
    ("words", words),
];

#[test]
fn the_workspace_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    assert!(sources.len() > 10, "the walk has lost the workspace");
    let mut report = Vec::new();
    for (rule, check) in RULES {
        let mut findings = Vec::new();
        check(&sources, &mut findings);
        for Finding { path, line, what } in findings {
            report.push(format!("{path}:{line}: [{rule}] {what}"));
        }
    }
    assert!(report.is_empty(), "\n{}\n", report.join("\n"));
}

/// Reads every `.rs` file below `directory`, except what cargo builds and hidden directories.
fn collect(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    let entries = std::fs::read_dir(directory).expect("the workspace can be listed");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a directory can be read to its end").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("source is UTF-8");
            let inside = path.strip_prefix(root).expect("found below the root");
            sources.push(Source::new(&inside.to_string_lossy(), &text));
        }
    }
}

impl Source {
    fn report(&self, findings: &mut Vec<Finding>, line: usize, what: String) {
        let path = self.path.clone();
        findings.push(Finding {
            path,
            line: line + 1,
            what,
        });
    }

    fn is_in_any(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.is_in(place))
    }
}

/// A module names only modules of strictly lower layers; modules of one layer never meet.
fn layers(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let Some(inside) = source.path.strip_prefix("framework/src/") else {
            continue;
        };
        let own = inside.split(['/', '.']).next().unwrap_or_default();
        let Some(own_layer) = layer(own) else {
            let what = format!("`{own}` has no layer: add it to LAYERS in framework/tests/tidy.rs");
            source.report(findings, 0, what);
            continue;
        };
        for name in source.names() {
            for seen in named_modules(source, inside, &name) {
                // What is re-exported at the root belongs to the root's layer.
                let seen = if layer(&seen).is_some() {
                    seen
                } else {
                    "lib".into()
                };
                let seen_layer = layer(&seen).expect("looked up above");
                if seen != own && seen_layer >= own_layer {
                    let what = format!(
                        "`{own}` (layer {own_layer}) may not name `{seen}` (layer {seen_layer}): \
                         name it where it lives, or move what is shared to a lower layer"
                    );
                    source.report(findings, name.line, what);
                }
            }
        }
    }
}

fn layer(module: &str) -> Option<u8> {
    let mut rows = LAYERS.iter();
    rows.find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// The top-level modules that a path starting at `name` leads to; none if it starts elsewhere.
fn named_modules(source: &Source, inside: &str, name: &Name<'_>) -> Vec<String> {
    let rest = match name.text {
        "crate" | "super" => name.rest.to_owned() + "\n" + &source.code_from(name.line + 1),
        _ => return Vec::new(),
    };
    if name.text == "crate" {
        return rest.strip_prefix("::").map(path_heads).unwrap_or_default();
    }
    let mut climbed = 1;
    let mut rest = rest.as_str();
    while let Some(further) = rest.strip_prefix("::super") {
        climbed += 1;
        rest = further;
    }
    let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let in_tests = source.code[..name.line]
        .iter()
        .any(|line| line.contains("mod tests {"));
    if climbed < module.split('/').count() + usize::from(in_tests) {
        return Vec::new();
    }
    let heads = rest.strip_prefix("::").map(path_heads).unwrap_or_default();
    heads.into_iter().filter(|head| head != "*").collect()
}

/// The first names of a path's tail: one for `a::b`, all of them for `{a::b, c}`.
fn path_heads(tail: &str) -> Vec<String> {
    let head = |part: &str| {
        let part = part.trim_start();
        let len = part.find(|character: char| !character.is_alphanumeric() && character != '_');
        match len.unwrap_or(part.len()) {
            0 => part.chars().take(1).collect(),
            len => part[..len].to_owned(),
        }
    };
    let Some(group) = tail.trim_start().strip_prefix('{') else {
        return vec![head(tail)];
    };
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => part.push(character),
        }
    }
    parts.push(part);
    let named = parts.iter().filter(|part| !part.trim().is_empty());
    named.map(|part| head(part)).collect()
}

/// The protocol objects wait for nothing.
fn pure_http(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources.iter().filter(|s| s.is_in("framework/src/http/")) {
        for name in source.names() {
            if matches!(name.text, "async" | "await") {
                let what = "`http` waits for nothing and reads no clock: take bytes and time as \
                            arguments";
                source.report(findings, name.line, what.into());
            }
        }
    }
}

fn file_length(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let len = source.lines.len();
        if len > FILE_LINES_MAX {
            let what = format!("{len} lines: split it by concept below {FILE_LINES_MAX}");
            source.report(findings, FILE_LINES_MAX, what);
        }
    }
}

fn function_length(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let mut names = source.names();
        while let Some(keyword) = names.next() {
            let is_pointer = !keyword.rest.starts_with(char::is_whitespace);
            if keyword.text != "fn" || is_pointer {
                continue;
            }
            let Some(name) = names.next() else { break };
            let len = function_lines(&source.code_from(keyword.line));
            if len > FUNCTION_LINES_MAX {
                let what = format!(
                    "`{}` has {len} lines: take it apart, {FUNCTION_LINES_MAX} are the most",
                    name.text
                );
                source.report(findings, keyword.line, what);
            }
        }
    }
}

/// The lines of the function that starts on the first line of `code`; 0 without a body.
fn function_lines(code: &str) -> usize {
    let start = code.find("fn ").unwrap_or(0);
    let (mut braces, mut brackets, mut lines) = (0_usize, 0_usize, 1);
    for character in code[start..].chars() {
        match character {
            '\n' => lines += 1,
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return 0,
            '{' => braces += 1,
            '}' if braces <= 1 => return lines,
            '}' => braces -= 1,
            _ => {}
        }
    }
    lines
}

fn columns(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        for (line, text) in source.lines.iter().enumerate() {
            let len = text.chars().count();
            // An address cannot be broken.
            if len > COLUMNS_MAX && !text.contains("://") {
                let what = format!("{len} columns: break it before {COLUMNS_MAX}");
                source.report(findings, line, what);
            }
        }
    }
}

fn opening(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let first = source.lines.first().map_or("", String::as_str);
        if !first.starts_with("//! ") {
            let what = "open the file with `//!`: one sentence, then what must hold";
            source.report(findings, 0, what.into());
        }
    }
}

fn file_names(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let parts = source.path.trim_end_matches(".rs").split('/');
        for part in parts.filter(|part| FILE_NAMES_BANNED.contains(part)) {
            let what = format!("`{part}` names nothing: name the file after its main type");
            source.report(findings, 0, what);
        }
    }
}

fn names(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let all: Vec<_> = source.names().collect();
        for pair in all.windows(2) {
            let (kind, name) = (pair[0].text, pair[1].text);
            let advice = match kind {
                "struct" | "enum" | "trait" | "type" | "union" if is_vague_type(name) => {
                    "name what it is"
                }
                "mod" if FILE_NAMES_BANNED.contains(&name) => "name the concept it holds",
                // Seastar's word for it, which says what is done and when it ends.
                "fn" if name.starts_with("do_") && name != "do_until" => {
                    "name what it does, without `do_`"
                }
                "fn" if name.starts_with("get_") && source.is_in("framework/src/") => {
                    "a getter is named after what it returns, without `get_`"
                }
                _ => continue,
            };
            source.report(findings, pair[1].line, format!("`{name}`: {advice}"));
        }
    }
}

fn is_vague_type(name: &str) -> bool {
    name.contains("Manager") || name.contains("Helper") || name.ends_with("Impl")
}

/// A `mod.rs` holds documentation, `mod` and `use`; what does something has a file of its own.
fn mod_files(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources.iter().filter(|s| s.path.ends_with("/mod.rs")) {
        for name in source.names() {
            if matches!(name.text, "fn" | "struct" | "enum" | "trait" | "impl") {
                let what = "`mod.rs` only re-exports: move this to a file named after its type";
                source.report(findings, name.line, what.into());
            }
        }
    }
}

fn ignored_tests(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        for (line, code) in source.code.iter().enumerate() {
            let compact: String = code.split_whitespace().collect();
            if compact.contains("#[ignore]") {
                let what = "say why: `#[ignore = \"reason\"]`, or run it";
                source.report(findings, line, what.into());
            }
        }
    }
}

fn cfg_budget(sources: &[Source], findings: &mut Vec<Finding>) {
    let mut count = 0;
    for source in sources {
        for (line, code) in source.code.iter().enumerate() {
            if code.contains("#[cfg(") && !code.contains("#[cfg(test)]") {
                count += 1;
                if count > CFG_COUNT_MAX {
                    let what = format!(
                        "{count}th `#[cfg(`, {CFG_COUNT_MAX} are the budget: decide at run time, \
                         or put what belongs to the feature in one module"
                    );
                    source.report(findings, line, what);
                }
            }
        }
    }
}

fn unsafe_places(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        let counts = source.path.contains("/tests/") && source.path.ends_with(UNSAFE_TESTS);
        if counts || source.is_in_any(&UNSAFE_PLACES) {
            continue;
        }
        for name in source.names().filter(|name| name.text == "unsafe") {
            let what = "no `unsafe` here: a safe interface in `sys`, `mem` or `runtime::op` is \
                        where it belongs";
            source.report(findings, name.line, what.into());
        }
    }
}

fn kernel(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources {
        for name in source.names() {
            let advice = match name.text {
                "opcode" if !source.is_in_any(&OPCODE_PLACES) => {
                    "only `runtime::uring` and the probe name an opcode: add a verb to the driver"
                }
                "libc" | "io_uring"
                    if !source.is_in_any(&KERNEL_PLACES) && !source.is_in_any(&OPCODE_PLACES) =>
                {
                    "only `sys` names the kernel's interface: give `sys` a function for it"
                }
                _ => continue,
            };
            if name.rest.trim_start().starts_with("::") {
                source.report(findings, name.line, advice.into());
            }
        }
    }
}

fn words(sources: &[Source], findings: &mut Vec<Finding>) {
    for source in sources.iter().filter(|s| s.is_in("framework/src/")) {
        for (line, text) in source.lines.iter().enumerate() {
            // The kernel's name for an error is not one of our words.
            let text = text.replace("EPOLLERR", "").to_lowercase();
            let text = text.replace(['-', '_'], " ");
            for (banned, instead) in WORDS_BANNED {
                if text.contains(banned) || text.contains(&banned.replace(' ', "")) {
                    let what = format!("\"{banned}\" is not one of our words: say {instead}");
                    source.report(findings, line, what);
                }
            }
        }
    }
}

#[test]
fn every_rule_fires_on_its_bad_samples() {
    let samples = samples::bad();
    for (rule, check) in RULES {
        let own: Vec<_> = samples.iter().filter(|s| s.rule == rule).collect();
        assert!(!own.is_empty(), "the rule `{rule}` has no bad sample");
        for sample in own {
            let mut findings = Vec::new();
            check(&[Source::new(sample.path, &sample.text)], &mut findings);
            let lines: Vec<_> = findings.iter().map(|finding| finding.line).collect();
            assert_eq!(lines, sample.lines, "[{rule}] on\n{}", sample.text);
        }
    }
    let known = |rule| RULES.iter().any(|(name, _)| *name == rule);
    assert!(samples.iter().all(|sample| known(sample.rule)));
}

#[test]
fn no_rule_fires_on_the_good_samples() {
    for (path, text) in samples::good() {
        for (rule, check) in RULES {
            let mut findings = Vec::new();
            check(&[Source::new(path, &text)], &mut findings);
            let first = findings
                .first()
                .map(|finding| (finding.line, &finding.what));
            assert_eq!(first, None, "[{rule}] on\n{text}");
        }
    }
}
