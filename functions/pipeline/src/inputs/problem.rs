//! What can be wrong with a file or a row, in words that say what, where and what to do.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::json_cut::CutError;

/// A problem that rejects a file or ends its reading. It is serialised as its code and message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// The name says nothing that can be read.
    #[error(
        "{name:?} has no known extension; name the file .txt, .csv, .tsv, .json, .ndjson or .jsonl, with .gz or .zst behind it if it is compressed"
    )]
    UnknownExtension {
        /// The last segment of the key.
        name: String,
    },
    /// No bytes, or nothing but white space.
    #[error("the file is empty; add at least one input")]
    Empty,
    /// A header, brackets or comments, and nothing else.
    #[error("the file has no rows; add at least one input")]
    NoRows,
    /// The beginning of the file is that of another kind of file.
    #[error("the file begins like {found}, which its extension does not say; export it again or rename it")]
    WrongContent {
        /// What it looks like.
        found: &'static str,
    },
    /// UTF-16 or UTF-32.
    #[error("the file is {encoding}; save it as UTF-8 (Excel: \"CSV UTF-8\"; a shell: iconv -f {encoding} -t UTF-8)")]
    WrongEncoding {
        /// Its name.
        encoding: &'static str,
    },
    /// The name says that the file is compressed, and it is not.
    #[error(
        "the extension says {expected}, but the file is not compressed so; remove the extension or compress the file"
    )]
    NotCompressed {
        /// `gzip` or `zstd`.
        expected: &'static str,
    },
    /// The compressed data ends too early.
    #[error(
        "the compressed file is cut off; rows before the cut were read, the last one was rejected if it had no end; upload the whole file"
    )]
    Truncated,
    /// The compressed data is wrong inside, or its checksum is. Rows before that were read; they may be damaged too.
    #[error("the compressed file is damaged: {reason}; compress and upload it again")]
    Damaged {
        /// The decompressor's reason.
        reason: String,
    },
    /// The file expands to too much.
    #[error(
        "the compressed file expands to more than {expansion_max} times its size plus {free_bytes} bytes and was taken for a decompression bomb; upload it uncompressed if it is not"
    )]
    Bomb {
        /// The factor that is allowed.
        expansion_max: u64,
        /// What is allowed beyond it.
        free_bytes: u64,
    },
    /// Something follows the compressed data.
    #[error("something that is not {expected} follows the compressed data; compress and upload the file again")]
    TrailingGarbage {
        /// `gzip` or `zstd`.
        expected: &'static str,
    },
    /// Two columns have one name.
    #[error("columns {first} and {second} are both named {name:?}; rename one")]
    DuplicateColumn {
        /// The name.
        name: String,
        /// The first column that has it, counted from 1.
        first: usize,
        /// The second.
        second: usize,
    },
    /// A column has no name.
    #[error("column {column} has no name in the header; name or remove it")]
    EmptyColumn {
        /// Which column, counted from 1.
        column: usize,
    },
    /// The header cannot be read.
    #[error("the header cannot be read: {problem}")]
    BadHeader {
        /// Why.
        problem: RowProblem,
    },
    /// The header has a line end inside that nobody uses any more.
    #[error("the header contains a carriage return; save the file with LF or CRLF as line ends")]
    OldLineEnds,
    /// The first row looks like an input.
    #[error("the first row must name the columns, but it contains {cell:?}; add a header, for example: url")]
    HeaderIsData {
        /// The cell that gives it away.
        cell: String,
    },
    /// A single column whose name contains another separator.
    #[error("the header has one column, {header:?}; the cells of this file must be separated by {expected}")]
    WrongDelimiter {
        /// The header.
        header: String,
        /// The separator that the extension asks for.
        expected: &'static str,
    },
    /// So many quotes are unclosed that reading on would take for ever.
    #[error("line {line}: too many quotes are opened and not closed; check how the file quotes its cells")]
    TooManyOpenQuotes {
        /// Where reading ended.
        line: u64,
    },
    /// A `.json` file that holds something else than an array.
    #[error(
        "the file must be one JSON array, [ … ], but it begins with {found}; put brackets around it, or name it .ndjson if it has one object a line"
    )]
    NotAnArray {
        /// What it begins with.
        found: &'static str,
    },
    /// The array cannot be cut into elements.
    #[error("{0}; elements before it were read")]
    BrokenArray(CutError),
}

impl FileProblem {
    /// A short stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownExtension { .. } => "unknown_extension",
            Self::Empty => "empty_file",
            Self::NoRows => "no_rows",
            Self::WrongContent { .. } => "wrong_content",
            Self::WrongEncoding { .. } => "wrong_encoding",
            Self::NotCompressed { .. } => "not_compressed",
            Self::Truncated => "truncated",
            Self::Damaged { .. } => "damaged",
            Self::Bomb { .. } => "decompression_bomb",
            Self::TrailingGarbage { .. } => "trailing_garbage",
            Self::DuplicateColumn { .. } => "duplicate_column",
            Self::EmptyColumn { .. } => "empty_column",
            Self::BadHeader { .. } => "bad_header",
            Self::OldLineEnds => "old_line_ends",
            Self::HeaderIsData { .. } => "header_is_data",
            Self::WrongDelimiter { .. } => "wrong_delimiter",
            Self::TooManyOpenQuotes { .. } => "too_many_open_quotes",
            Self::NotAnArray { .. } => "not_an_array",
            Self::BrokenArray(CutError::NotJson { .. }) => "not_json",
            Self::BrokenArray(_) => "broken_array",
        }
    }
}

/// Why one row is rejected. It is serialised as its code and message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    /// More or fewer cells than columns.
    #[error("the row has {cells} cells, but the header has {columns}")]
    Ragged {
        /// Cells in this row.
        cells: usize,
        /// Columns in the header.
        columns: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("byte {byte} of the row is not UTF-8; save the file as UTF-8")]
    InvalidUtf8 {
        /// Which byte, counted from 1.
        byte: usize,
    },
    /// A zero byte, as in binary files and in UTF-16.
    #[error("byte {byte} of the row is a NUL byte; remove it, or save the file as UTF-8")]
    NulByte {
        /// Which byte, counted from 1.
        byte: usize,
    },
    /// A line of a `.txt` file that begins as no URL does.
    #[error(
        "a line must be a URL, but this begins with {found:?}; put one URL on each line, or name the file by its format"
    )]
    NotAUrl {
        /// The first character.
        found: char,
    },
    /// JSON, but neither an object nor a URL.
    #[error("an input must be an object or a URL in quotes, but this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// Not JSON.
    #[error("the row is not valid JSON: {reason}")]
    BadJson {
        /// The parser's reason; line and column count from the beginning of the row.
        reason: String,
    },
    /// JSON that is nested too deep.
    #[error("the row {reason}")]
    TooDeep {
        /// The limit, in words.
        reason: String,
    },
    /// Longer than the limit.
    #[error("the row has {bytes} bytes, more than the {max} that are allowed")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: usize,
    },
    /// A quote that is opened and not closed.
    #[error("a quote is opened in this line and not closed; close it, or double the quotes that belong to the text")]
    UnclosedQuote,
    /// A cell goes on after its closing quote.
    #[error("text follows the closing quote of a cell; double the quotes that belong to the text")]
    TextAfterQuote,
    /// An object without members, a URL without characters, or a row whose cells are all empty.
    #[error("the row has no values")]
    EmptyInput,
    /// The file ended, by a problem of its own, before the row did.
    #[error("the file is broken off in this row")]
    CutOff,
}

impl RowProblem {
    /// A short stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ragged { .. } => "ragged_row",
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::NulByte { .. } => "nul_byte",
            Self::NotAUrl { .. } => "not_a_url",
            Self::NotAnObject { .. } => "not_an_object",
            Self::BadJson { .. } => "bad_json",
            Self::TooDeep { .. } => "too_deep",
            Self::TooLong { .. } => "row_too_long",
            Self::UnclosedQuote => "unclosed_quote",
            Self::TextAfterQuote => "text_after_quote",
            Self::EmptyInput => "empty_input",
            Self::CutOff => "cut_off",
        }
    }

    /// The text of a row, if it is text.
    pub(super) fn check_text(bytes: &[u8]) -> Result<&str, Self> {
        if let Some(at) = memchr::memchr(0, bytes) {
            return Err(Self::NulByte { byte: at + 1 });
        }
        simdutf8::compat::from_utf8(bytes).map_err(|error| Self::InvalidUtf8 { byte: error.valid_up_to() + 1 })
    }
}

impl Serialize for FileProblem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        code_and_message(serializer, "FileProblem", self.code(), &self.to_string())
    }
}

impl Serialize for RowProblem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        code_and_message(serializer, "RowProblem", self.code(), &self.to_string())
    }
}

fn code_and_message<S: Serializer>(
    serializer: S,
    name: &'static str,
    code: &str,
    message: &str,
) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct(name, 2)?;
    fields.serialize_field("code", code)?;
    fields.serialize_field("message", message)?;
    fields.end()
}
