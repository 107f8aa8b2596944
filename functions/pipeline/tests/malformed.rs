//! What becomes of files that are not as they should be: a table of files, each with its rows and problems.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use inputs_support::{gzip, read, read_chunks, zstd};
use pipeline::inputs::{FileProblem, ReadLimits};

mod inputs_support;

/// A file, and what is expected of it. A row is the line on which it starts, and its input or the code of its problem.
struct Case {
    name: &'static str,
    key: &'static str,
    bytes: Vec<u8>,
    rows: Vec<(u64, &'static str)>,
    problem: Option<&'static str>,
}

fn case(name: &'static str, key: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    Case { name, key, bytes: bytes.as_ref().to_vec(), rows: Vec::new(), problem: None }
}

impl Case {
    fn row(mut self, line: u64, input_or_code: &'static str) -> Self {
        self.rows.push((line, input_or_code));
        self
    }

    fn problem(mut self, code: &'static str) -> Self {
        self.problem = Some(code);
        self
    }

    fn check(&self) {
        let outcome = read(self.key, &self.bytes);
        let rows: Vec<(u64, &str)> = outcome
            .rows
            .iter()
            .map(|row| (row.line, row.input.as_ref().map_or_else(|problem| problem.code(), String::as_str)))
            .collect();
        assert_eq!(rows, self.rows, "rows of: {}", self.name);
        let problem = outcome.problem.as_ref().map(|problem| problem.code());
        assert_eq!(problem, self.problem, "problem of: {} ({:?})", self.name, outcome.problem);
        for row in &outcome.rows {
            assert!(row.input.is_ok() || row.source.len() <= 4096, "source of: {}", self.name);
        }
    }
}

fn check_all(cases: Vec<Case>) {
    for case in cases {
        case.check();
    }
}

const A: &str = r#"{"url":"https://a.example"}"#;
const B: &str = r#"{"url":"https://b.example"}"#;
const C: &str = r#"{"url":"https://c.example"}"#;
const UTF8_BOM: &str = "\u{FEFF}";

fn utf16(text: &str) -> Vec<u8> {
    [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn files_of_lines() {
    check_all(vec![
        case("empty", "a.txt", "").problem("empty_file"),
        case("blank", "a.txt", " \r\n\n").problem("empty_file"),
        case("only comments", "a.txt", "# nothing\n").problem("no_rows"),
        case("only a byte order mark", "a.txt", UTF8_BOM).problem("empty_file"),
        case(
            "comments, blank lines, CRLF, no end of line",
            "a.txt",
            "# x\r\n\r\nhttps://a.example \r\n #y\nhttps://b.example",
        )
        .row(3, A)
        .row(5, B),
        case("byte order mark", "a.txt", format!("{UTF8_BOM}https://a.example\n")).row(1, A),
        case("UTF-8 broken in the middle", "a.txt", b"https://a.example\nhttps://\xFF\nhttps://b.example\n")
            .row(1, A)
            .row(2, "invalid_utf8")
            .row(3, B),
        case("NUL bytes", "a.txt", "https://a.example\nx\0y\nhttps://b.example\n")
            .row(1, A)
            .row(2, "nul_byte")
            .row(3, B),
        case("UTF-16", "a.txt", utf16("https://a.example\n")).problem("wrong_encoding"),
        case("UTF-32", "a.txt", b"\xFF\xFE\0\0h\0\0\0").problem("wrong_encoding"),
        case("HTML", "a.txt", "\n<!doctype html><html>").problem("wrong_content"),
        case(
            "lines that are no URLs",
            "a.txt",
            "https://a.example\n<p>\n{\"url\":1}\n\u{FEFF}https://b.example\n\"x\"\n",
        )
        .row(1, A)
        .row(2, "not_a_url")
        .row(3, "not_a_url")
        .row(4, B)
        .row(5, "not_a_url"),
        case("JSON named .txt", "a.txt", "[\"https://a.example\"]").problem("wrong_content"),
        case("gzip named .txt", "a.txt", gzip(b"https://a.example\n")).problem("wrong_content"),
        case("an Excel workbook named .csv", "a.csv", b"PK\x03\x04\x14\0").problem("wrong_content"),
    ]);
}

#[test]
fn files_of_json_lines() {
    check_all(vec![
        case("empty", "a.jsonl", "\n").problem("empty_file"),
        case("good ones", "a.ndjson", format!("{UTF8_BOM}{A}\r\n\n\"https://b.example\"\n  {C}"))
            .row(1, A)
            .row(3, B)
            .row(4, C),
        case("no object", "a.ndjson", format!("1\n[{A}]\nnull\ntrue\n{A}\n"))
            .row(1, "not_an_object")
            .row(2, "not_an_object")
            .row(3, "not_an_object")
            .row(4, "not_an_object")
            .row(5, A),
        case("bad JSON", "a.ndjson", format!("{{\"url\": }}\n{A}\n{A} x\n{{\"url\": \"\n{B}\n"))
            .row(1, "bad_json")
            .row(2, A)
            .row(3, "bad_json")
            .row(4, "bad_json")
            .row(5, B),
        case("no values", "a.ndjson", format!("{{}}\n\"\"\n\" \"\n{A}\n"))
            .row(1, "empty_input")
            .row(2, "empty_input")
            .row(3, "empty_input")
            .row(4, A),
        case("half a surrogate pair", "a.ndjson", "{\"a\":\"\\ud800\"}\n").row(1, "bad_json"),
        case("too deep", "a.ndjson", format!("{{\"a\":{}{}}}\n{A}\n", "[".repeat(200), "]".repeat(200)))
            .row(1, "too_deep")
            .row(2, A),
        case("very deep", "a.ndjson", format!("{{\"a\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000)))
            .row(1, "too_deep"),
        case("numbers and order are kept", "a.ndjson", "{\"b\":12345678901234567890.10,\"a\":1e999}\n")
            .row(1, "{\"b\":12345678901234567890.10,\"a\":1e999}"),
        case("HTML", "a.ndjson", "<html>\n").problem("wrong_content"),
        case("UTF-16", "a.ndjson", utf16(A)).problem("wrong_encoding"),
    ]);
}

#[test]
fn arrays() {
    check_all(vec![
        case("empty", "a.json", "").problem("empty_file"),
        case("blank", "a.json", "  \n").problem("empty_file"),
        case("no elements", "a.json", "[ ]").problem("no_rows"),
        case("an object", "a.json", A).problem("not_an_array"),
        case("JSON lines", "a.json", format!("{A}\n{B}\n")).problem("not_an_array"),
        case("a string", "a.json", "\"https://a.example\"").problem("not_an_array"),
        case("objects and strings", "a.json", format!("{UTF8_BOM}\r\n[{A},\r\n \"https://b.example\"\n,{C}]\n"))
            .row(2, A)
            .row(3, B)
            .row(4, C),
        case(
            "written over several lines",
            "a.json",
            "[\n  {\n    \"url\": \"https://a.example\",\n    \"x\": \"a  \\\" b\"\n  }\n]",
        )
        .row(2, "{\"url\":\"https://a.example\",\"x\":\"a  \\\" b\"}"),
        case("nested", "a.json", "[{\"a\":{\"b\":[1,{\"c\":\"]}\"}]}}]").row(1, "{\"a\":{\"b\":[1,{\"c\":\"]}\"}]}}"),
        case("an array in an array", "a.json", format!("[[{A}],{B}]")).row(1, "not_an_object").row(1, B),
        case("bad elements", "a.json", format!("[{A},\n{{\"url\": }},\nnope,\n{B}]"))
            .row(1, A)
            .row(2, "bad_json")
            .row(3, "bad_json")
            .row(4, B),
        case("comma before the end", "a.json", format!("[{A},\n]")).row(1, A).problem("broken_array"),
        case("no comma", "a.json", format!("[{A}\n{B}]")).row(1, A).problem("broken_array"),
        case("no end", "a.json", format!("[{A},{B}")).row(1, A).row(1, B).problem("broken_array"),
        case("cut in an element", "a.json", format!("[{A},\n{{\"url\":\"htt"))
            .row(1, A)
            .row(2, "cut_off")
            .problem("broken_array"),
        case("something behind the array", "a.json", format!("[{A}]\nx")).row(1, A).problem("broken_array"),
        case("not JSON", "a.json", "url\nhttps://a.example").problem("not_json"),
        case("HTML", "a.json", "<html></html>").problem("wrong_content"),
        case("NUL and UTF-8", "a.json", b"[{\"a\":\"\0\"},{\"a\":\"\xFF\"},{\"a\":1}]")
            .row(1, "nul_byte")
            .row(1, "invalid_utf8")
            .row(1, "{\"a\":1}"),
    ]);
}

#[test]
fn tables() {
    check_all(vec![
        case("empty", "a.csv", "").problem("empty_file"),
        case("only a header", "a.csv", "url,sku\n").problem("no_rows"),
        case(
            "CRLF and byte order mark",
            "a.csv",
            format!("{UTF8_BOM}url\r\nhttps://a.example\r\n\r\nhttps://b.example"),
        )
        .row(2, A)
        .row(4, B),
        case("tabs", "a.tsv", "a\tb\n1,2\t3\n\t\n").row(2, r#"{"a":"1,2","b":"3"}"#).row(3, "empty_input"),
        case("white space around names", "a.csv", " a , b\n1, 2\n").row(2, r#"{"a":"1","b":" 2"}"#),
        case("quotes", "a.csv", "a,b\n\"x, \"\"y\"\"\",\"l\nm\"\nc,5\" d\n")
            .row(2, r#"{"a":"x, \"y\"","b":"l\nm"}"#)
            .row(4, r#"{"a":"c","b":"5\" d"}"#),
        case("ragged", "a.csv", "a,b\n1\n1,2\n1,2,3\n")
            .row(2, "ragged_row")
            .row(3, r#"{"a":"1","b":"2"}"#)
            .row(4, "ragged_row"),
        case("cells without text", "a.csv", "a,b\n,\n1,\n").row(2, "empty_input").row(3, r#"{"a":"1","b":""}"#),
        case("duplicate columns", "a.csv", "a,b, a\n1,2,3\n").problem("duplicate_column"),
        case("a column without name", "a.csv", "a,,b\n1,2,3\n").problem("empty_column"),
        case("header is not UTF-8", "a.csv", b"\xFFa\n1\n").problem("bad_header"),
        case("header with an open quote", "a.csv", "\"a\n1\n").problem("bad_header"),
        case("no header", "a.csv", "https://a.example\nhttps://b.example\n").problem("header_is_data"),
        case("semicolons", "a.csv", "url;sku\nhttps://a.example;1\n").problem("wrong_delimiter"),
        case("commas in a .tsv", "a.tsv", "url,sku\nhttps://a.example,1\n").problem("wrong_delimiter"),
        case("old Mac", "a.csv", "a,b\r1,2\r").problem("old_line_ends"),
        case("UTF-16", "a.csv", utf16("url\nx\n")).problem("wrong_encoding"),
        case("JSON named .csv", "a.csv", format!("[{A}]")).problem("wrong_content"),
        case("UTF-8 broken in the middle", "a.csv", b"url\nhttps://a.example\nx\xFFy\nhttps://b.example\n")
            .row(2, A)
            .row(3, "invalid_utf8")
            .row(4, B),
        case("NUL", "a.csv", "url\n\0\nhttps://a.example\n").row(2, "nul_byte").row(3, A),
    ]);
}

#[test]
fn quotes_that_are_not_closed() {
    check_all(vec![
        case("early", "a.csv", "url\n\"x\nhttps://a.example\nhttps://b.example\n")
            .row(2, "unclosed_quote")
            .row(3, A)
            .row(4, B),
        case("in the last line", "a.csv", "url\nhttps://a.example\n\"x").row(2, A).row(3, "unclosed_quote"),
        case("before rows with quotes", "a.csv", "url,n\n\"x,1\n\"y\",\"2\"\nz,\"3\"\n")
            .row(2, "unclosed_quote")
            .row(3, r#"{"url":"y","n":"2"}"#)
            .row(4, r#"{"url":"z","n":"3"}"#),
        case("twice", "a.csv", "url,n\n\"x,1\n\"y,2\nz,3\n")
            .row(2, "unclosed_quote")
            .row(3, "unclosed_quote")
            .row(4, r#"{"url":"z","n":"3"}"#),
        case("text behind a closing quote", "a.csv", "url,n\n\"x\"y,1\nz,3\n")
            .row(2, "text_after_quote")
            .row(3, r#"{"url":"z","n":"3"}"#),
    ]);
}

#[test]
fn an_open_quote_hides_no_more_than_its_line_however_long_the_file_is() {
    let rows = 200_000;
    let file = format!("url\n\"x\n{}", "https://a.example\n".repeat(rows));
    let outcome = read("a.csv", file.as_bytes());
    assert_eq!(outcome.problem, None);
    assert_eq!(outcome.rows.len(), rows + 1);
    assert_eq!(outcome.rows.iter().filter(|row| row.input.is_err()).map(|row| row.line).collect::<Vec<_>>(), [2]);
    assert_eq!(outcome.rows.last().map(|row| row.line), Some(rows as u64 + 2));
}

#[test]
fn a_file_made_of_open_quotes_is_given_up() {
    let file = format!("a,b\n{}", "\",x\",\"\n".repeat(100_000));
    assert_eq!(read("a.csv", file.as_bytes()).problem.map(|problem| problem.code()), Some("too_many_open_quotes"));
}

#[test]
fn a_line_of_50_mb_is_reported_and_passed_over() {
    let long = "x".repeat(50_000_000);
    for (key, before, after) in [
        ("a.txt", "https://a.example\n".to_owned(), "\nhttps://b.example\n".to_owned()),
        ("a.csv", "url\nhttps://a.example\n".to_owned(), "\nhttps://b.example\n".to_owned()),
        ("a.csv", "url\nhttps://a.example\n\"".to_owned(), "\"\nhttps://b.example\n".to_owned()),
        ("a.ndjson", format!("{A}\n\""), format!("\"\n{B}\n")),
        ("a.json", format!("[{A},\n\""), format!("\",\n{B}]")),
    ] {
        let file = [before.as_str(), &long, &after].concat();
        let outcome = read(key, file.as_bytes());
        let code = |at: usize| outcome.rows[at].input.as_ref().map_or_else(|problem| problem.code(), String::as_str);
        assert_eq!(outcome.problem, None, "{key}");
        assert_eq!(outcome.rows.len(), 3, "{key}");
        assert_eq!((code(0), code(2)), (A, B), "{key}");
        assert!(matches!(code(1), "row_too_long" | "unclosed_quote"), "{key}");
        assert_eq!(outcome.rows[1].line + 1, outcome.rows[2].line, "{key}");
        assert!(outcome.rows[1].source.len() >= 4095 && outcome.rows[1].source.len() <= 4096, "{key}");
    }
}

fn with_junk(mut bytes: Vec<u8>, junk: &[u8]) -> Vec<u8> {
    bytes.extend_from_slice(junk);
    bytes
}

fn cut(mut bytes: Vec<u8>, less: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - less);
    bytes
}

fn flip(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    bytes
}

/// Deflate blocks without compression, so that what is cut off is known to the byte.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files() {
    let (a, b) = (b"https://a.example\n", b"https://b.example\n");
    let both = [a.as_slice(), b].concat();
    let named = flate2::GzBuilder::new()
        .filename("x.txt")
        .comment("y")
        .extra("z")
        .write(Vec::new(), flate2::Compression::best());
    let named = {
        let mut named = named;
        std::io::Write::write_all(&mut named, a).unwrap();
        named.finish().unwrap()
    };
    check_all(vec![
        case("gzip", "a.txt.gz", gzip(&both)).row(1, A).row(2, B),
        case("gzip with name, comment and extra field", "a.txt.GZ", named).row(1, A),
        case("several members", "a.txt.gz", with_junk(gzip(a), &gzip(b))).row(1, A).row(2, B),
        case("an empty member", "a.txt.gz", with_junk(gzip(b""), &gzip(b))).row(1, B),
        case("zero bytes behind", "a.txt.gz", with_junk(gzip(a), &[0; 1000])).row(1, A),
        case("no bytes", "a.txt.gz", "").problem("empty_file"),
        case("gzip of nothing", "a.txt.gz", gzip(b"")).problem("empty_file"),
        case("not gzip", "a.txt.gz", a).problem("not_compressed"),
        case("gzip of UTF-16", "a.csv.gz", gzip(&utf16("a"))).problem("wrong_encoding"),
        case("cut in the trailer", "a.txt.gz", cut(gzip(&both), 4)).row(1, A).row(2, B).problem("truncated"),
        case("cut in the data", "a.txt.gz", cut(stored(&both), 8 + 5)).row(1, A).row(2, "cut_off").problem("truncated"),
        case("cut in a table", "a.csv.gz", cut(stored(b"url\nhttps://a.example\nhttps://b.example\n"), 8 + 5))
            .row(2, A)
            .row(3, "cut_off")
            .problem("truncated"),
        case("cut in an array", "a.json.gz", cut(stored(format!("[{A},\n{B}]").as_bytes()), 8 + 5))
            .row(1, A)
            .row(2, "cut_off")
            .problem("truncated"),
        case("cut in the header", "a.txt.gz", &gzip(a)[..7]).problem("truncated"),
        case("wrong checksum", "a.txt.gz", flip(gzip(a), 8)).row(1, A).problem("damaged"),
        case("damaged", "a.txt.gz", flip(stored(&both), 8 + both.len() + 1)).problem("damaged"),
        case("junk behind", "a.txt.gz", with_junk(gzip(a), b"junk")).row(1, A).problem("trailing_garbage"),
        case("zstd", "a.txt.zst", zstd(&both)).row(1, A).row(2, B),
        case("several frames", "a.txt.zst", with_junk(zstd(a), &zstd(b))).row(1, A).row(2, B),
        case("zstd, cut", "a.txt.zst", cut(zstd(&both), 3)).problem("truncated"),
        case("not zstd", "a.txt.zst", a).problem("not_compressed"),
        case("junk behind zstd", "a.txt.zst", with_junk(zstd(a), b"junk")).row(1, A).problem("trailing_garbage"),
        case("no bytes, zstd", "a.txt.zst", "").problem("empty_file"),
        case("gzip in gzip", "a.txt.gz", gzip(&gzip(a))).problem("wrong_content"),
    ]);
}

#[test]
fn a_decompression_bomb_is_stopped() {
    let limits = ReadLimits { expansion_free_bytes: 100_000, ..ReadLimits::default() };
    let blanks = vec![b'\n'; 3_000_000];
    for (key, bomb) in [("a.txt.gz", gzip(&blanks)), ("a.txt.zst", zstd(&blanks))] {
        let outcome = read_chunks(key, limits, [bomb.as_slice()]);
        assert_eq!(outcome.problem.map(|problem| problem.code()), Some("decompression_bomb"), "{key}");
        assert_eq!(
            read_chunks(key, ReadLimits::default(), [bomb.as_slice()]).problem,
            Some(FileProblem::Empty),
            "{key}"
        );
    }
}
