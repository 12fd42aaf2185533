//! The challenge's table of good and bad events, a body or more for every row of it.

/// A body, its user, and its value.
pub(crate) type Good = (&'static str, &'static str, f64);

/// Bodies that are events.
pub(crate) const GOOD: &[Good] = &[
    // Every JSON number.
    (r#"{"userId":"u","value":1}"#, "u", 1.0),
    (r#"{"userId":"u","value":-0}"#, "u", -0.0),
    (r#"{"userId":"u","value":1e3}"#, "u", 1e3),
    (r#"{"userId":"u","value":1E+2}"#, "u", 1e2),
    (
        r#"{"userId":"u","value":12345678901234567890123456789012345678901234567890}"#,
        "u",
        1.234_567_890_123_456_7e49,
    ),
    (r#"{"userId":"u","value":5e-324}"#, "u", 5e-324),
    (
        r#"{"userId":"u","value":9007199254740993}"#,
        "u",
        9_007_199_254_740_992.0,
    ),
    // Keys in any order, escaped, with others between them, twice, in another case.
    (r#"{"value":2,"userId":"u"}"#, "u", 2.0),
    (r#"{"user\u0049d":"u","v\u0061lue":2}"#, "u", 2.0),
    (
        r#"{"a":[{"userId":"x"},null],"userId":"u","b":{"value":9},"value":2,"c":true}"#,
        "u",
        2.0,
    ),
    (
        r#"{"userId":"a","userId":"b","value":1,"value":2}"#,
        "b",
        2.0,
    ),
    (
        r#"{"USERID":5,"userId":"u","Value":null,"value":2}"#,
        "u",
        2.0,
    ),
    // The user as the decoded string, without normalisation.
    (r#"{"userId":"\u0061","value":2}"#, "a", 2.0),
    (r#"{"userId":"\ud83c\udf1f","value":2}"#, "\u{1f31f}", 2.0),
    ("{\"userId\":\"a\u{308}\",\"value\":2}", "a\u{308}", 2.0),
    ("{\"userId\":\"\u{e4}\",\"value\":2}", "\u{e4}", 2.0),
];

/// Bodies that are not.
pub(crate) const BAD: &[&[u8]] = &[
    // No user: missing, empty, null, a number.
    br#"{"value":1}"#,
    br#"{"userId":"","value":1}"#,
    br#"{"userId":null,"value":1}"#,
    br#"{"userId":5,"value":1}"#,
    // No value: missing, null, a string, a boolean.
    br#"{"userId":"u"}"#,
    br#"{"userId":"u","value":null}"#,
    br#"{"userId":"u","value":"1"}"#,
    br#"{"userId":"u","value":true}"#,
    // No JSON number, or none that a double holds.
    br#"{"userId":"u","value":NaN}"#,
    br#"{"userId":"u","value":Infinity}"#,
    br#"{"userId":"u","value":1e309}"#,
    br#"{"userId":"u","value":01}"#,
    br#"{"userId":"u","value":+1}"#,
    br#"{"userId":"u","value":.5}"#,
    br#"{"userId":"u","value":5.}"#,
    // Trailing comma, trailing garbage, a second object.
    br#"{"userId":"u","value":1,}"#,
    br#"{"userId":"u","value":1}x"#,
    br#"{"userId":"u","value":1}{"userId":"u","value":1}"#,
    // Not an object, or not all of it.
    br#"[{"userId":"u","value":1}]"#,
    b"null",
    b"",
    br#"{"userId":"u","value":1"#,
    b"\xef\xbb\xbf{\"userId\":\"u\",\"value\":1}",
    // A raw control character, invalid UTF-8, a lone surrogate.
    b"{\"userId\":\"a\nb\",\"value\":1}",
    b"{\"userId\":\"a\xff\",\"value\":1}",
    br#"{"userId":"\ud83c","value":1}"#,
];
