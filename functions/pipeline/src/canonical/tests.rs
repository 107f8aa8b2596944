use proptest::prelude::*;

use super::*;

fn exact(json: &str) -> String {
    canonical(json).unwrap()
}

#[test]
fn keys_are_sorted_and_white_space_goes() {
    assert_eq!(exact(" { \"b\" : [ 1 , { } ] ,\n\"a\":null, \"c\" : [] } "), r#"{"a":null,"b":[1,{}],"c":[]}"#);
    assert_eq!(exact(r#"{"a":1,"a":2,"\u0061":3}"#), r#"{"a":3}"#, "of duplicate keys the last counts");
    assert_eq!(exact(r#"["\u00e9\/\ud83d\ude00\n","é"]"#), "[\"é/😀\\n\",\"é\"]");
}

#[test]
fn numbers_are_equal_by_value() {
    for (value, texts) in [
        ("0", ["0", "-0", "0.0", "-0.0", "0e5", "0.00e-7"].as_slice()),
        ("1", &["1", "1.0", "1e0", "10e-1", "0.1E+1"]),
        ("100", &["100", "1e2", "100.0", "1.00e2"]),
        ("-0.25", &["-0.25", "-25e-2", "-0.250"]),
        ("1.5", &["1.5", "15e-1"]),
        ("1e300", &["1e300", "10e299", "1.0E+300"]),
        ("1e-300", &["1e-300", "0.1e-299"]),
        ("9007199254740993", &["9007199254740993", "9007199254740993.0"]),
    ] {
        for text in texts {
            assert_eq!(exact(text), value, "{text}");
        }
    }
}

#[test]
fn numbers_that_differ_stay_different() {
    for (one, other) in [
        ("12345678901234567890", "12345678901234567891"),
        ("12345678901234567890.0", "12345678901234567891.0"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("1e999", "1e1000"),
        ("1e99999999999999999999", "1e99999999999999999998"),
        ("1", "-1"),
        ("1", "\"1\""),
        ("10", "100"),
        ("1.1", "1.01"),
    ] {
        assert_ne!(exact(one), exact(other));
    }
    let long = "9".repeat(1000);
    assert_eq!(exact(&long), long);
}

#[test]
fn what_is_not_json_is_refused() {
    for text in ["", "{", "[1,]", "{\"a\":}", "01", "1 2", "\"\\ud800\"", "NaN", "{\"a\":1}x"] {
        assert!(matches!(canonical(text), Err(NotJson::Syntax(_))), "{text}");
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(canonical(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(canonical(&nested(DEPTH_MAX + 1)), Err(NotJson::TooDeep));
    assert_eq!(canonical(&nested(1_000_000)), Err(NotJson::TooDeep));
}

#[test]
fn loose_forgets_types_and_javascripts_rounding() {
    for texts in [
        ["5", "\"5\"", "5.0"].as_slice(),
        &["true", "\"true\"", " true "],
        &["12345678901234567890", "12345678901234567000", "\"12345678901234567890\"", "1.2345678901234567e19"],
        &["0.1", "\"0.10\"", "0.1000000000000000055511151231257827"],
        &["0", "\"-0\"", "1e-999"],
        &["{\"b\":\"1\",\"a\":[\"false\"]}", "{\"a\":[false],\"b\":1}"],
    ] {
        for text in texts {
            assert_eq!(loose(text).unwrap(), loose(texts[0]).unwrap(), "{text}");
        }
    }
    for (one, other) in
        [("null", "\"null\""), ("\"007\"", "7"), ("\"\"", "null"), ("1", "true"), ("\" 5\"", "5"), ("1e999", "1e998")]
    {
        assert_ne!(loose(one).unwrap(), loose(other).unwrap());
    }
}

#[test]
fn fingerprints_never_change() {
    assert_eq!(format!("{:032x}", fingerprint("{}")), "44136fa355b3678a1146ad16f7e8649e");
    assert_ne!(fingerprint("1"), fingerprint("2"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn canonical_text_is_its_own_canonical_text(
        number in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        text in "[a-z\"\\\\\n\u{7f}é]{0,5}",
        key in "[a-c\"]{0,2}",
    ) {
        let json = serde_json::json!({key: [text.clone()], "z": text}).to_string().replacen('[', &format!("[{number}, "), 1);
        let once = exact(&json);
        prop_assert_eq!(&exact(&once), &once);
        let forgiving = loose(&json).unwrap();
        prop_assert_eq!(&loose(&forgiving).unwrap(), &forgiving);
        prop_assert_eq!(&loose(&once).unwrap(), &forgiving);
        let (read, same): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&json).unwrap_or_default(), serde_json::from_str(&once).unwrap_or_default());
        prop_assert_eq!(read["z"].as_str(), same["z"].as_str());
        let bare = Decimal::parse(&number).unwrap();
        let mut exact_text = String::new();
        bare.push_exact(&mut exact_text);
        prop_assert_eq!(exact_text.parse::<f64>().unwrap(), number.parse::<f64>().unwrap());
    }
}
