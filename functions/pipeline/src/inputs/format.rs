//! What a file is, by its name.

use serde::{Deserialize, Serialize};

use super::FileProblem;

/// How rows are held in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileContainer {
    /// `.txt`: one URL a line.
    Txt,
    /// `.csv`: a header row, cells separated by commas.
    Csv,
    /// `.tsv`: a header row, cells separated by tabs; quotes as in `.csv`.
    Tsv,
    /// `.json`: an array of objects or of URLs.
    Json,
    /// `.ndjson`, `.jsonl`: one object (or URL, in quotes) a line.
    Ndjson,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileCompression {
    /// Not at all.
    None,
    /// `.gz`; several members one after another are one file.
    Gzip,
    /// `.zst`; several frames one after another are one file. Windows above 8 MiB (`--ultra`, `--long`) are refused, because each
    /// costs as much memory.
    Zstd,
}

/// The format of an input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFormat {
    /// How rows are held.
    pub container: FileContainer,
    /// How the file is compressed.
    pub compression: FileCompression,
    /// The extension as it is written in the key, without the leading dot: `csv.gz`.
    pub extension: String,
}

impl FileFormat {
    /// The format that the extension of an object's key names, in upper or lower case.
    pub fn from_key(key: &str) -> Result<Self, FileProblem> {
        let name = key.rsplit('/').next().unwrap_or(key);
        let unknown = || FileProblem::UnknownExtension { name: name.to_owned() };
        let (stem, compression) = match name.rsplit_once('.') {
            Some((stem, last)) if last.eq_ignore_ascii_case("gz") => (stem, FileCompression::Gzip),
            Some((stem, last)) if last.eq_ignore_ascii_case("zst") => (stem, FileCompression::Zstd),
            _ => (name, FileCompression::None),
        };
        let (before, kind) = stem.rsplit_once('.').ok_or_else(unknown)?;
        let container = match kind.to_ascii_lowercase().as_str() {
            "txt" => FileContainer::Txt,
            "csv" => FileContainer::Csv,
            "tsv" => FileContainer::Tsv,
            "json" => FileContainer::Json,
            "ndjson" | "jsonl" => FileContainer::Ndjson,
            _ => return Err(unknown()),
        };
        let extension = name.get(before.len() + 1..).unwrap_or(kind).to_owned();
        Ok(Self { container, compression, extension })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_says_what_a_file_is() {
        let format = FileFormat::from_key("c_abc/2024.01/Shop.v2.CSV.gz").unwrap();
        assert_eq!(format.container, FileContainer::Csv);
        assert_eq!(format.compression, FileCompression::Gzip);
        assert_eq!(format.extension, "CSV.gz");
        assert_eq!(FileFormat::from_key("a.jsonl").unwrap().container, FileContainer::Ndjson);
        assert_eq!(FileFormat::from_key(".json.zst").unwrap().compression, FileCompression::Zstd);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for key in ["", "csv", "a.gz", "a.csv/b", "a.xlsx", "a.csv.bak", "a.csv.zip", "a."] {
            assert_eq!(FileFormat::from_key(key).unwrap_err().code(), "unknown_extension", "{key}");
        }
    }
}
