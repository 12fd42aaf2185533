//! Which bodies are events and which are not: every row of the challenge's table, and agreement
//! with `serde_json` on bodies that are damaged at random.
#![expect(clippy::float_cmp, reason = "numbers are to be read to the last bit")]

#[path = "oracle/random.rs"]
mod random;

use std::borrow::Cow;

use app_1mrc::event::{Event, Reject};
use random::Random;
use serde_json::Value;

/// The event that `body` tells.
#[track_caller]
fn good(body: &str) -> (String, f64) {
    match Event::parse(body.as_bytes(), |user| user) {
        Ok(event) => (event.user.into_owned(), event.value),
        Err(reject) => panic!("{body}: {}", reject.message()),
    }
}

/// The value of an event whose number is written as `number`.
#[track_caller]
fn value(number: &str) -> f64 {
    good(&format!(r#"{{"userId":"u","value":{number}}}"#)).1
}

/// The user of an event whose string is written as `string`.
#[track_caller]
fn user(string: &str) -> String {
    good(&format!(r#"{{"userId":{string},"value":1}}"#)).0
}

#[track_caller]
fn bad(body: impl AsRef<[u8]>) -> Reject {
    let body = body.as_ref();
    Event::parse(body, |user| user).expect_err(&String::from_utf8_lossy(body))
}

#[track_caller]
fn bad_value(number: &str) -> Reject {
    bad(format!(r#"{{"userId":"u","value":{number}}}"#))
}

#[track_caller]
fn bad_user(string: &str) -> Reject {
    bad(format!(r#"{{"userId":{string},"value":1}}"#))
}

#[test]
fn what_the_official_clients_send_is_good() {
    let go = r#"{"userId":"user_74999","value":999.5}"#;
    assert_eq!(good(go), ("user_74999".into(), 999.5));
    let java = r#"{"userId": "user_1_req_1", "value": 1.500000}"#;
    assert_eq!(good(java), ("user_1_req_1".into(), 1.5));
    let aiohttp = r#"{"userId": "user_3", "value": 3}"#;
    assert_eq!(good(aiohttp), ("user_3".into(), 3.0));
}

#[test]
fn a_plain_user_is_borrowed_from_the_body() {
    let event = Event::parse(br#"{"userId":"plain","value":1}"#, |user| user).unwrap();
    assert!(matches!(event.user, Cow::Borrowed("plain")));
}

#[test]
fn every_json_number_is_the_nearest_double() {
    assert_eq!(value("1"), 1.0);
    assert_eq!(value("-0").to_bits(), (-0.0_f64).to_bits());
    assert_eq!(value("0"), 0.0);
    assert_eq!(value("1e3"), 1000.0);
    assert_eq!(value("1E+2"), 100.0);
    assert_eq!(value("12.5e-1"), 1.25);
    assert_eq!(value("0.1"), 0.1);
    assert_eq!(value("9007199254740993"), 9_007_199_254_740_992.0);
    assert_eq!(
        value("9007199254740993.0000000000000000000000000000001"),
        9_007_199_254_740_994.0
    );
    assert_eq!(
        value("3.14159265358979323846264338327950288419716939937510"),
        std::f64::consts::PI
    );
    assert_eq!(
        value("12345678901234567890123456789012345678901234567890"),
        1.234_567_890_123_456_7e49
    );
    assert_eq!(value("5e-324").to_bits(), 1);
    assert_eq!(value("2.4703282292062327e-324"), 0.0);
    assert_eq!(value("2.2250738585072011e-308"), 2.225_073_858_507_201e-308);
    assert_eq!(value("1.7976931348623157e308"), f64::MAX);
    assert_eq!(value("-1.7976931348623157e308"), f64::MIN);
    assert_eq!(value("1e-99999999999999999999"), 0.0);
    assert_eq!(value("0e99999999999999999999"), 0.0);
    assert_eq!(value(&format!("0.{}1e400", "0".repeat(399))), 1.0);
}

#[test]
fn members_come_in_any_order_and_others_are_ignored() {
    let expected = ("u".to_string(), 2.0);
    let bodies = [
        r#"{"value":2,"userId":"u"}"#,
        " \t\r\n{ \"userId\" : \"u\" , \"value\" : 2 } \t\r\n",
        r#"{"a":null,"userId":"u","b":true,"c":false,"value":2,"d":-1.5e9,"e":"x\n"}"#,
        r#"{"userId":"u","meta":{"userId":"other","value":7,"list":[1,[2,{}],[]]},"value":2}"#,
        r#"{"userId":"u","value":2,"userid":5,"Value":null,"":0}"#,
        r#"{"userId":"u","big":1e309,"value":2}"#,
    ];
    for body in bodies {
        assert_eq!(good(body), expected, "{body}");
    }
}

#[test]
fn keys_may_be_escaped() {
    let body = r#"{"user\u0049d":"u","\u0076\u0061\u006C\u0075\u0065":2}"#;
    assert_eq!(good(body), ("u".into(), 2.0));
}

#[test]
fn of_equal_keys_the_last_one_counts() {
    let expected = ("b".to_string(), 2.0);
    assert_eq!(
        good(r#"{"userId":"a","userId":"b","value":1,"value":2}"#),
        expected
    );
    assert_eq!(
        good(r#"{"userId":5,"userId":"b","value":"x","value":2}"#),
        expected
    );
    assert_eq!(
        good(r#"{"userId":"a","value":1e309,"value":2,"user\u0049d":"b"}"#),
        expected
    );
    assert_eq!(
        bad(r#"{"userId":"a","userId":"","value":1}"#),
        Reject::UserEmpty
    );
    assert_eq!(
        bad(r#"{"userId":"a","value":1,"value":null}"#),
        Reject::ValueNotNumber
    );
}

#[test]
fn users_are_compared_as_decoded_strings() {
    assert_eq!(user(r#""\u0061""#), "a");
    assert_eq!(user(r#""\ud83c\udf1f""#), "\u{1f31f}");
    assert_eq!(user(r#""\uD83C\uDF1F!""#), "\u{1f31f}!");
    assert_eq!(user("\"\u{1f31f}\""), "\u{1f31f}");
    assert_eq!(user(r#""\"\\\/\b\f\n\r\t""#), "\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(user(r#""a\u0000b""#), "a\0b");
    assert_eq!(user(r#"" ""#), " ");
    assert_eq!(user("\"\u{7f}\u{e4}\u{ffff}\""), "\u{7f}\u{e4}\u{ffff}");
    assert_ne!(user("\"\u{e4}\""), user("\"a\u{308}\"")); // no normalisation
    let long = "x".repeat(60_000);
    assert_eq!(user(&format!("\"{long}\"")), long);
}

#[test]
fn a_user_must_be_a_string_that_is_not_empty() {
    assert_eq!(bad(r#"{"value":1}"#), Reject::UserMissing);
    assert_eq!(bad(r#"{"userid":"u","value":1}"#), Reject::UserMissing);
    assert_eq!(bad_user(r#""""#), Reject::UserEmpty);
    for other in ["null", "5", "true", "[]", r#"["u"]"#, r#"{"userId":"u"}"#] {
        assert_eq!(bad_user(other), Reject::UserNotString, "{other}");
    }
}

#[test]
fn a_value_must_be_a_number() {
    assert_eq!(bad(r#"{"userId":"u"}"#), Reject::ValueMissing);
    for other in ["null", r#""1""#, "true", "false", "[1]", "{}"] {
        assert_eq!(bad_value(other), Reject::ValueNotNumber, "{other}");
    }
    for large in [
        "1e309",
        "-1e309",
        "1.7976931348623159e308",
        "1e99999999999999999999",
    ] {
        assert_eq!(bad_value(large), Reject::ValueTooLarge, "{large}");
    }
    assert_eq!(bad_value(&"9".repeat(400)), Reject::ValueTooLarge);
}

#[test]
fn what_is_no_json_number_is_malformed() {
    let numbers = [
        "NaN",
        "Infinity",
        "-Infinity",
        "inf",
        "nan",
        "01",
        "-01",
        "00",
        "+1",
        ".5",
        "5.",
        "-",
        "-.5",
        "1e",
        "1e+",
        "1E-",
        "1.e3",
        "0x10",
        "1_000",
        "1,5",
        "1 5",
        "--1",
        "e5",
        "1f",
        "",
        "tru",
        "nul",
        "fals",
        "True",
        "'1'",
        "\u{661}",
    ];
    for number in numbers {
        assert_eq!(bad_value(number), Reject::Malformed, "{number}");
    }
}

#[test]
fn broken_grammar_is_malformed() {
    let bodies = [
        "{",
        "{}}",
        r#"{"userId":"u","value":1,}"#,
        r#"{,"userId":"u","value":1}"#,
        r#"{"userId":"u","value":1} x"#,
        r#"{"userId":"u","value":1}{"userId":"u","value":1}"#,
        r#"{"userId":"u","value":1}]"#,
        r#"{"userId":"u" "value":1}"#,
        r#"{"userId","u","value":1}"#,
        r#"{"userId":"u","value":1"#,
        r#"{"userId":"u","value":1]"#,
        r#"{userId:"u","value":1}"#,
        r"{'userId':'u','value':1}",
        r#"{"userId":"u","value":1,"x":[1,]}"#,
        r#"{"userId":"u","value":1,"x":[1}"#,
        r#"{"userId":"u","value":1,"x":01}"#,
        r#"{"userId":"u","value":1,"x":nulL}"#,
        r#"{"userId":"u","value":1} // note"#,
        "{\"userId\":\"u\",\"value\":1}\0",
        "{\"userId\":\"u\",\"value\":1}\u{c}",
        "{\"userId\":\"u\",\u{a0}\"value\":1}",
    ];
    for body in bodies {
        assert_eq!(bad(body), Reject::Malformed, "{body}");
    }
}

#[test]
fn what_is_not_an_object_is_refused() {
    let bodies = [
        "",
        " ",
        "null",
        "1",
        "\"userId\"",
        "true",
        r#"[{"userId":"u","value":1}]"#,
        "NaN",
        "}",
        "\u{feff}{\"userId\":\"u\",\"value\":1}",
    ];
    for body in bodies {
        assert_eq!(bad(body), Reject::NotObject, "{body}");
    }
}

#[test]
fn a_truncated_body_is_refused_wherever_it_ends() {
    let body =
        r#"{"userId":"us\u0065r \ud83c\udf1f","extra":[{"a":null},-1.5e+3],"value":12.5e-1}"#;
    good(body);
    for end in 0..body.len() {
        bad(&body[..end]);
    }
}

#[test]
fn strings_must_be_unicode_without_control_characters() {
    for control in 0..0x20_u8 {
        assert_eq!(
            bad_user(&format!("\"a{}\"", char::from(control))),
            Reject::Malformed
        );
    }
    let escapes = [
        r#""\ud83c""#,
        r#""\udf1f""#,
        r#""\udf1f\ud83c""#,
        r#""\ud83cx""#,
        r#""\ud83c\n""#,
        r#""\ud83c\u0061""#,
        r#""\ud83c\ud83c""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\x41""#,
        r#""\'""#,
        r#""\U0041""#,
        r#""\"#,
        r#""a"#,
    ];
    for escape in escapes {
        assert_eq!(bad_user(escape), Reject::Malformed, "{escape}");
        let ignored = format!(r#"{{"userId":"u","value":1,"x":{escape}}}"#);
        assert_eq!(
            bad(ignored),
            Reject::Malformed,
            "{escape} where it is ignored"
        );
    }
    let invalid: [&[u8]; 6] = [
        b"\xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
    ];
    for bytes in invalid {
        let user = [b"{\"userId\":\"", bytes, b"\",\"value\":1}"].concat();
        assert_eq!(bad(user), Reject::NotUtf8);
        let ignored = [b"{\"userId\":\"u\",\"value\":1,\"x\":\"", bytes, b"\"}"].concat();
        assert_eq!(bad(ignored), Reject::NotUtf8);
    }
}

#[test]
fn nesting_ends_at_128() {
    // The event itself is the first of the nested containers.
    let nested = |open: &str, close: &str, depth: usize| {
        let (open, close) = (open.repeat(depth - 1), close.repeat(depth - 1));
        format!(r#"{{"userId":"u","x":{open}0{close},"value":1}}"#)
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        good(&nested(open, close, 128));
        assert_eq!(bad(nested(open, close, 129)), Reject::TooDeep);
        assert_eq!(bad(nested(open, "", 60_000 / open.len())), Reject::TooDeep);
    }
    let siblings = "[],".repeat(500);
    good(&format!(r#"{{"userId":"u","x":[{siblings}0],"value":1}}"#));
}

#[test]
fn every_reason_is_one_line_fit_for_json() {
    for (number, reason) in Reject::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, number);
        assert!(!reason.message().contains(['"', '\\', '\n']));
        assert!(
            reason
                .label()
                .bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        );
    }
}

/// What `serde_json` makes of a body by the same rules, if it can tell.
fn oracle(body: &[u8]) -> Option<Result<String, ()>> {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        // It refuses 1e309 also where the member is ignored or a later one counts.
        Err(error) if error.to_string().contains("out of range") => return None,
        Err(_) => return Some(Err(())),
    };
    let user = value
        .get("userId")
        .and_then(Value::as_str)
        .filter(|user| !user.is_empty());
    let is_good = value.get("value").is_some_and(Value::is_number);
    Some(user.filter(|_| is_good).map(str::to_owned).ok_or(()))
}

#[test]
fn damaged_bodies_are_judged_as_serde_json_does() {
    let seeds: [&[u8]; 4] = [
        br#"{"userId":"user_1","value":1.5e3}"#,
        br#"{"value":-0.25,"a":{"b":[1,true,null,"\u00e4"]},"userId":"\ud83c\udf1f"}"#,
        b" { \"userId\" : \"\xc3\xa4\\n\" , \"value\" : 10 } ",
        br#"{"userId":"a","userId":"b","value":"c","value":2}"#,
    ];
    let alphabet = b"{}[]:,\"\\/u0159eE+-. \n\t\x1f\x80\xc3\xa4ntfdDabc";
    let mut random = Random::new(7);
    let (mut good_count, mut bad_count) = (0, 0);
    for round in 0..60_000 {
        let mut body = seeds[round % seeds.len()].to_vec();
        for _ in 0..=random.below(3) {
            let last = body.len() - 1;
            let at = random.below(last + 1);
            let byte = alphabet[random.below(alphabet.len())];
            match random.below(4) {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.swap(at, (at + 1).min(last)),
            }
        }
        let Some(expected) = oracle(&body) else {
            continue;
        };
        let seen = Event::parse(&body, |user| user)
            .map(|event| event.user.into_owned())
            .map_err(drop);
        assert_eq!(seen, expected, "{}", String::from_utf8_lossy(&body));
        *(if seen.is_ok() {
            &mut good_count
        } else {
            &mut bad_count
        }) += 1;
    }
    assert!(
        good_count > 5000 && bad_count > 5000,
        "{good_count} good, {bad_count} bad"
    );
}
