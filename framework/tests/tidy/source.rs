//! [`Source`]: one file, taken apart into code and prose line by line.
//!
//! What must hold: `code` and `prose` have a line for every line of the file, each as wide as the
//! original, so that a finding's line and column are those of the file. Strings and comments are
//! blanked in `code`; everything but comments is blanked in `prose`.

/// A file under the rules.
pub(crate) struct Source {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    /// The lines as they stand.
    pub(crate) lines: Vec<String>,
    /// The lines without comments and without what strings and characters hold.
    pub(crate) code: Vec<String>,
    /// The comments alone.
    pub(crate) prose: Vec<String>,
}

/// A name in the code, and where it stands.
pub(crate) struct Name<'a> {
    pub(crate) text: &'a str,
    /// Index of the line, from 0.
    pub(crate) line: usize,
    /// What follows on the same line.
    pub(crate) rest: &'a str,
}

impl Source {
    /// Takes `text` apart.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (code, prose) = split(text);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        Source {
            path: path.to_owned(),
            lines: lines(text),
            code: lines(&code),
            prose: lines(&prose),
        }
    }

    /// Whether the file lies in the directory `prefix`, or is that file.
    pub(crate) fn is_in(&self, prefix: &str) -> bool {
        self.path.starts_with(prefix)
    }

    /// Every identifier and keyword of the code, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name<'_>> {
        self.code.iter().enumerate().flat_map(|(line, code)| {
            names_in(code).map(move |(start, text)| Name {
                text,
                line,
                rest: &code[start + text.len()..],
            })
        })
    }

    /// All code from the start of line `line`, as one text.
    pub(crate) fn code_from(&self, line: usize) -> String {
        self.code[line..].join("\n")
    }
}

/// The identifiers of one line with their byte offsets.
fn names_in(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + line[from..].find(is_name)?;
        let len = line[start..]
            .find(|character| !is_name(character))
            .unwrap_or(line.len() - start);
        from = start + len;
        Some((start, &line[start..from]))
    })
}

/// What the splitter is inside of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Code,
    LineComment,
    /// Nested this deep.
    BlockComment(usize),
    Text,
    /// A raw string closed by this many `#`.
    RawText(usize),
}

/// Copies `text` twice: its code, and its comments, each with blanks for the other.
fn split(text: &str) -> (String, String) {
    let characters: Vec<char> = text.chars().collect();
    let (mut code, mut prose) = (String::new(), String::new());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < characters.len() {
        let (next, len) = step(inside, &characters, at);
        let commented = [inside, next]
            .iter()
            .any(|side| matches!(side, Inside::LineComment | Inside::BlockComment(_)));
        let plain = inside == Inside::Code && next == Inside::Code && !is_char(&characters[at..]);
        for &character in &characters[at..at + len] {
            let line_end = character == '\n';
            code.push(if plain || line_end { character } else { ' ' });
            prose.push(if commented || line_end {
                character
            } else {
                ' '
            });
        }
        inside = next;
        at += len;
    }
    (code, prose)
}

/// What the splitter is inside of after the piece at `at`, and that piece's length.
fn step(inside: Inside, characters: &[char], at: usize) -> (Inside, usize) {
    let rest = &characters[at..];
    let pair = (rest[0], rest.get(1).copied().unwrap_or('\n'));
    match (inside, pair) {
        (Inside::Code, ('/', '/')) => (Inside::LineComment, 2),
        (Inside::Code, ('/', '*')) => (Inside::BlockComment(1), 2),
        (Inside::Code, ('"', _)) => (Inside::Text, 1),
        (Inside::Code, ('r', _)) => raw_start(characters, at).unwrap_or((Inside::Code, 1)),
        (Inside::Code, ('\'', _)) => (Inside::Code, char_len(rest).unwrap_or(1)),
        (Inside::BlockComment(depth), ('/', '*')) => (Inside::BlockComment(depth + 1), 2),
        (Inside::BlockComment(1), ('*', '/')) => (Inside::Code, 2),
        (Inside::BlockComment(depth), ('*', '/')) => (Inside::BlockComment(depth - 1), 2),
        (Inside::Text, ('\\', _)) if rest.len() > 1 => (Inside::Text, 2),
        (Inside::Text, ('"', _)) | (Inside::LineComment, ('\n', _)) => (Inside::Code, 1),
        (Inside::RawText(hashes), ('"', _)) if count_hashes(&rest[1..]) >= hashes => {
            (Inside::Code, 1 + hashes)
        }
        _ => (inside, 1),
    }
}

/// A raw string's opening at `at`, if the `r` there is one.
fn raw_start(characters: &[char], at: usize) -> Option<(Inside, usize)> {
    let prefix = at.checked_sub(1).map_or(' ', |before| characters[before]);
    let before = at.checked_sub(2).map_or(' ', |before| characters[before]);
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    if is_name(prefix) && (!matches!(prefix, 'b' | 'c') || is_name(before)) {
        return None;
    }
    let hashes = count_hashes(&characters[at + 1..]);
    let opens = characters.get(at + 1 + hashes) == Some(&'"');
    opens.then_some((Inside::RawText(hashes), hashes + 2))
}

fn count_hashes(rest: &[char]) -> usize {
    rest.iter()
        .take_while(|&&character| character == '#')
        .count()
}

/// Whether a character literal starts here (and not a lifetime).
fn is_char(rest: &[char]) -> bool {
    rest[0] == '\'' && char_len(rest).is_some()
}

/// The length of the character literal that starts here, if it is one.
fn char_len(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            let close = tail.iter().position(|&character| character == '\'')?;
            Some(close + 4)
        }
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

#[test]
fn code_and_prose_are_told_apart() {
    let text = "let a = \"// no \\\" /* comment\"; // yes \"no text\"\n\
                let b = r#\"raw \" { \"#; /* outer /* inner */ still */ let c = '{';\n\
                fn d<'a>(e: &'a str) { b'\\''; '\\u{7b}'; br\"}\"; }\n\
                let var\"; // not raw: \"";
    let source = Source::new("a.rs", text);
    assert_eq!(source.code[0].trim_end(), "let a =                      ;");
    assert_eq!(source.prose[0].trim(), "// yes \"no text\"");
    assert_eq!(
        source.code[1].split_whitespace().collect::<String>(),
        "letb=;letc=;"
    );
    assert_eq!(source.prose[1].trim(), "/* outer /* inner */ still */");
    assert_eq!(
        source.code[2].split_whitespace().collect::<String>(),
        "fnd<'a>(e:&'astr){b;;b;}"
    );
    assert_eq!(source.code[3].trim(), "let var");
    for (line, code) in source.lines.iter().zip(&source.code) {
        assert_eq!(line.chars().count(), code.chars().count());
    }
}
