//! Why a stream cannot be cut.

/// Why a stream cannot be cut further. Values found before it were already handed out, and stay good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// There was nothing but white space.
    #[error("there is no JSON: nothing but white space was found")]
    Empty,
    /// The first byte cannot begin a JSON text; an error page in HTML, for example.
    #[error("this is not JSON; it begins with {head:?}")]
    NotJson {
        /// The first 80 bytes or so.
        head: String,
    },
    /// Two elements of the array have no comma between them.
    #[error("line {line}: a comma or the end of the array was expected, but {found:?} was found")]
    MissingComma {
        /// Where it was found.
        line: u64,
        /// The byte that stands where the comma should be.
        found: char,
    },
    /// A comma that no element follows, or a comma before the first element.
    #[error("line {line}: a value was expected after a comma or an opening bracket, but {found:?} was found")]
    MissingValue {
        /// Where it was found.
        line: u64,
        /// The byte that stands where the value should be.
        found: char,
    },
    /// Something stands after the end of the array.
    #[error("line {line}: the array has ended, but {found:?} follows")]
    AfterEnd {
        /// Where it was found.
        line: u64,
        /// The first byte of it.
        found: char,
    },
    /// In a sequence of values: a byte that cannot begin one.
    #[error("line {line}: a value was expected, but {found:?} was found")]
    Unexpected {
        /// Where it was found.
        line: u64,
        /// The byte.
        found: char,
    },
    /// The stream ended between two elements of the array.
    #[error("line {line}: the array has no end")]
    NoEnd {
        /// The last line.
        line: u64,
    },
    /// The stream ended inside a value.
    #[error("line {line}: the value that starts here has no end")]
    ValueCut {
        /// Where the value starts.
        line: u64,
    },
}
