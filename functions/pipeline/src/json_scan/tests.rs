use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn seen(text: &str) -> Seen {
    object(text.as_bytes())
}

fn members(text: &str) -> Vec<Option<String>> {
    let Seen::Object(object) = seen(text) else { panic!("{text}") };
    Member::ALL.iter().map(|member| object.member(*member).map(|place| text[place].to_owned())).collect()
}

/// What a general parser says: the length of the object that the text begins with.
fn general(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let first = values.next()?.ok()?;
    first.get().starts_with('{').then_some(first.get().len())
}

#[test]
fn members_are_found_wherever_they_stand() {
    let text = "{\n \"input\" : {\"error\":[1,{\"input\":2}]} ,\"a\":[{\"error\":1}],\"error\":null,\"warning_code\"\t:\"w\\\"}\" }";
    let expected = [Some(r#"{"error":[1,{"input":2}]}"#), Some("null"), None, None, Some(r#""w\"}""#)];
    assert_eq!(members(text), expected.map(|text| text.map(str::to_owned)));
    assert!(matches!(seen(text), Seen::Object(Object { has_lines: true, .. })));
    assert!(matches!(seen(r#"{"a":"\n"}"#), Seen::Object(Object { has_lines: false, bytes: 10, .. })));
    assert_eq!(members("{}"), vec![None::<String>; 5]);
}

#[test]
fn what_the_general_parser_must_read_is_odd() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    for text in [r#"{"inp\u0075t":1}"#, r#"{"\u0069nput":1}"#, r#"{"input":1,"input":2}"#, &deep, "[1]", "7", "", " {}"]
    {
        assert_eq!(seen(text), Seen::Odd, "{text}");
    }
    // Names that only begin like one of ours are no matter.
    assert!(matches!(seen(r#"{"i":1,"inputs":2,"error_codes":3,"n\u0061me":4}"#), Seen::Object(_)));
}

#[test]
fn what_is_not_valid_is_no_object() {
    let inside = [
        "",
        "1",
        "\"a\"",
        "\"a\":",
        "\"a\":1,",
        ",\"a\":1",
        "\"a\" 1",
        "\"a\"::1",
        "\"a\":1 2",
        "\"a\":1 \"b\":2",
        "a:1",
        "'a':1",
        "\"a\":01",
        "\"a\":-",
        "\"a\":1.",
        "\"a\":.5",
        "\"a\":1e",
        "\"a\":1e+",
        "\"a\":+1",
        "\"a\":0x1",
        "\"a\":tru",
        "\"a\":truey",
        "\"a\":True",
        "\"a\":nul",
        "\"a\":NaN",
        "\"a\":[1,]",
        "\"a\":[,1]",
        "\"a\":[1 2]",
        "\"a\":[1}",
        "\"a\":{\"b\"}",
        "\"a\":{1:2}",
        "\"a\":[\"b\":1]",
        "\"a\":\"\t\"",
        "\"a\":\"\n\"",
        "\"a\":\"\\x\"",
        "\"a\":\"\\u12\"",
        "\"a\":\"\\u12g4\"",
        "\"a\":y",
        "\"a\":_",
        "\"a\":1_0",
        "\"a\":\\\"b\\\"",
        "\"a\":1,\"b\"",
        "\"a\":{}}",
        "]",
        "\"a\":[]]",
        "\"a\":\u{7f}",
        "\"a\":é",
    ];
    for inside in inside.into_iter().skip(1) {
        for fill in [0, 50, 57, 61, 64, 100] {
            // Behind text of any length, so that every case lies across the border of a block, too.
            let text = format!("{{\"x\":\"{}\",{inside}}}", "x".repeat(fill));
            let valid = general(&text);
            match seen(&text) {
                Seen::Object(object) => assert_eq!(Some(object.bytes), valid, "{text}"),
                _ => assert_eq!(valid, None, "{text}"),
            }
        }
    }
}

/// Objects as APIs write them, and worse.
fn objects() -> impl Strategy<Value = String> {
    let space = prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\n"), 1 => Just("\r\n\t  ")];
    let string = "([ -!#-\\[\\]-~é😀]{0,70}|(\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|[a-z]){0,20})"
        .prop_map(|text| format!("\"{text}\""));
    let scalar = prop_oneof![
        string.clone(),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
    ];
    let name = prop_oneof![3 => string, 1 => "\"(input|error|error_code|warning|warning_code)\""];
    let value = scalar.prop_recursive(5, 40, 6, {
        let (space, name) = (space.clone(), name.clone());
        move |inner| {
            let element = (space.clone(), inner.clone(), space.clone()).prop_map(|(a, b, c)| format!("{a}{b}{c}"));
            let pair = (name.clone(), space.clone(), element.clone(), space.clone())
                .prop_map(|(name, a, value, b)| format!("{b}{name}{a}:{value}"));
            prop_oneof![
                prop::collection::vec(element, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec(pair, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
            ]
        }
    });
    let pair =
        (name, space.clone(), value, space).prop_map(|(name, a, value, b)| format!("{b}{name}{a}:{a}{value}{b}"));
    prop::collection::vec(pair, 0..6).prop_map(|all| format!("{{{}}}", all.join(",")))
}

/// Whether the text is one of those that are left to the general parser.
fn for_the_general_parser(text: &str) -> bool {
    let names = ["input", "error", "error_code", "warning", "warning_code"];
    names.iter().any(|name| text.matches(&format!("\"{name}\"")).count() > 1) || text.contains('\\')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn valid_objects_are_seen_as_the_general_parser_sees_them(text in objects(), behind in "[ ,\\]{}\"a1]{0,80}") {
        let all = format!("{text}{behind}");
        match object(all.as_bytes()) {
            Seen::Object(object) => prop_assert_eq!(object.bytes, text.len()),
            Seen::Cut => prop_assert!(false, "cut: {}", all),
            Seen::Odd => prop_assert!(for_the_general_parser(&text), "odd: {}", all),
        }
    }

    #[test]
    fn a_beginning_is_cut(text in objects(), at in any::<prop::sample::Index>()) {
        let at = at.index(text.len());
        if at > 0 && !for_the_general_parser(&text) {
            prop_assert_eq!(object(&text.as_bytes()[..at]), Seen::Cut);
        }
    }

    #[test]
    fn no_change_of_a_byte_makes_something_else_an_object(text in objects(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = std::str::from_utf8(&bytes)
            && let Seen::Object(object) = object(&bytes)
        {
            prop_assert_eq!(general(text), Some(object.bytes), "{}", text);
        }
    }
}
