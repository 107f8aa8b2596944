use proptest::prelude::*;

use super::*;

/// What cutting a stream gave: lines with values (or the lengths of values that are too long), and how it ended.
type Outcome = (Vec<(u64, Result<String, u64>)>, Result<Container, CutError>);

fn cut_chunks<'a>(max: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut cuts = Vec::new();
    let mut each = |cut: Cut<'_>| {
        let text = cut.text.map(|text| String::from_utf8_lossy(text).into_owned()).map_err(|long| {
            assert!(long.head.len() <= HEAD_BYTES && !long.head.is_empty());
            long.bytes
        });
        cuts.push((cut.line, text));
    };
    let mut cutter = Cutter::new(max);
    let mut pushed = Ok(());
    for chunk in chunks {
        pushed = cutter.push(chunk, &mut each);
    }
    let ended = cutter.finish(&mut each);
    assert_eq!(ended.clone().err().filter(|_| pushed.is_err()), pushed.err(), "an error is given again");
    (cuts, ended)
}

fn cut(text: &str) -> Outcome {
    cut_chunks(1000, [text.as_bytes()])
}

fn values(text: &str) -> (Vec<(u64, String)>, Result<Container, CutError>) {
    let (cuts, ended) = cut(text);
    (cuts.into_iter().map(|(line, text)| (line, text.unwrap())).collect(), ended)
}

#[test]
fn arrays_are_cut_into_elements() {
    let text = "\u{FEFF}\n[ {\"a\": \"]},\\\"\"},\n\"x,\\\\\" ,[1,[2]],-1.5e3\n,true ,{\"url\": } , nope]\n";
    let (cuts, ended) = values(text);
    assert_eq!(ended, Ok(Container::Array));
    let found: Vec<(u64, &str)> = cuts.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(
        found,
        [
            (2, "{\"a\": \"]},\\\"\"}"),
            (3, "\"x,\\\\\""),
            (3, "[1,[2]]"),
            (3, "-1.5e3"),
            (4, "true"),
            (4, "{\"url\": }"),
            (4, "nope")
        ]
    );
}

#[test]
fn sequences_are_cut_into_values() {
    let (cuts, ended) = values("{\"a\":1}\n{\"b\":2}{\"c\":3} 1 \"x\"\r\n[1]\n17");
    assert_eq!(ended, Ok(Container::Values));
    let found: Vec<&str> = cuts.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(found, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}", "1", "\"x\"", "[1]", "17"]);
    assert_eq!(cuts.last().map(|(line, _)| *line), Some(4));
}

#[test]
fn errors_say_where() {
    let error = |text: &str| cut(text).1.unwrap_err();
    assert_eq!(error(""), CutError::Empty);
    assert_eq!(error("\u{FEFF} \n"), CutError::Empty);
    assert_eq!(error("[1,\n]"), CutError::MissingValue { line: 2, found: ']' });
    assert_eq!(error("[,1]"), CutError::MissingValue { line: 1, found: ',' });
    assert_eq!(error("[1\n2]"), CutError::MissingComma { line: 2, found: '2' });
    assert_eq!(error("[1]\n\n,"), CutError::AfterEnd { line: 3, found: ',' });
    assert_eq!(error("[1"), CutError::ValueCut { line: 1 });
    assert_eq!(error("[1\n"), CutError::NoEnd { line: 2 });
    assert_eq!(error("["), CutError::NoEnd { line: 1 });
    assert_eq!(error("\n{\"a"), CutError::ValueCut { line: 2 });
    assert_eq!(error("{}\n}"), CutError::Unexpected { line: 2, found: '}' });
    assert_eq!(error("<html>"), CutError::NotJson { head: "<html>".to_owned() });
    assert_eq!(error(&"<".repeat(200)), CutError::NotJson { head: "<".repeat(QUOTED_BYTES) });
    assert!(matches!(cut_chunks(9, [b"\xEF\xBB".as_slice()]).1, Err(CutError::NotJson { .. })));
}

#[test]
fn what_is_too_long_is_passed_over() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    for size in [1, 7, 100, 1_000_000] {
        let text = format!("[1,{long},\n2]");
        let (cuts, ended) = cut_chunks(1000, text.as_bytes().chunks(size));
        assert_eq!(ended, Ok(Container::Array));
        assert_eq!(cuts, [(1, Ok("1".to_owned())), (1, Err(long.len() as u64)), (2, Ok("2".to_owned()))]);
    }
}

#[test]
fn a_value_that_lies_in_one_chunk_is_not_copied() {
    let chunk = b"[{\"a\":1},{\"b\":2},{\"c";
    let range = chunk.as_ptr_range();
    let mut cutter = Cutter::new(100);
    cutter.push(chunk, &mut |cut| assert!(range.contains(&cut.text.unwrap().as_ptr()))).unwrap();
    assert_eq!(cutter.unfinished(), Some((1, b"{\"c".as_slice())));
    assert_eq!(cutter.container(), Some(Container::Array));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-c\"\\\\{}\\[\\],\n é]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-c\"\\\\}]{0,3}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn bits() -> impl Strategy<Value = Vec<u8>> {
    let bit = prop::sample::select(vec![
        "[", "]", "{", "}", "\"", "\\", ",", ":", " ", "\n", "1", "nul", "<", "\u{FEFF}", "\"a\"", "{}",
    ]);
    prop::collection::vec(bit, 0..40).prop_map(|bits| bits.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_documents_are_cut_as_serde_json_reads_them(elements in prop::collection::vec(json(), 0..8), pretty in any::<bool>()) {
        let array = serde_json::Value::Array(elements.clone());
        let text = if pretty { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) }.unwrap();
        let (cuts, ended) = cut_chunks(1_000_000, [text.as_bytes()]);
        prop_assert_eq!(ended, Ok(Container::Array));
        let parse = |(_, text): (u64, Result<String, u64>)| serde_json::from_str::<serde_json::Value>(&text.unwrap()).unwrap();
        prop_assert_eq!(cuts.into_iter().map(parse).collect::<Vec<_>>(), elements.clone());

        let lines: Vec<String> = elements.iter().filter(|value| !value.is_array()).map(ToString::to_string).collect();
        let (cuts, _) = cut_chunks(1_000_000, [lines.join("\n").as_bytes()]);
        prop_assert_eq!(cuts.into_iter().map(|(_, text)| text.unwrap()).collect::<Vec<_>>(), lines);
    }

    #[test]
    fn chunks_change_nothing(bytes in bits(), size in 1_usize..5, max in 1_usize..12) {
        prop_assert_eq!(cut_chunks(max, bytes.chunks(size)), cut_chunks(max, [bytes.as_slice()]));
    }
}
