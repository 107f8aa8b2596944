//! Keys as paths, one to one, and listing in the order of keys.
//!
//! A segment of a key is a name on the disk. File systems take 255 bytes, keys may have more, so every 250 bytes of a longer
//! segment are a folder, and what follows in it begins with `+`: 600 times `x` is the file `x…x/+x…x/+x…x`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pipeline::ports::Listing;

use super::disk::PRIVATE;
use super::is_absent;

/// Keys of one page, as in S3.
const PAGE_KEYS: usize = 1_000;
/// Longest key in bytes, as in S3.
const KEY_BYTES_MAX: usize = 1_024;
/// A name of this many bytes is the beginning of a longer segment (or the whole of one that has exactly as many).
const NAME_BYTES: usize = 250;

/// The file of a key.
pub(super) fn path_of(root: &Path, key: &str) -> io::Result<PathBuf> {
    if key.len() > KEY_BYTES_MAX {
        return Err(invalid("a key has at most 1,024 bytes"));
    }
    let mut path = root.to_owned();
    for (at, segment) in key.split('/').enumerate() {
        if matches!(segment, "" | "." | "..") || segment.contains('\0') || (at == 0 && segment == PRIVATE) {
            return Err(invalid(
                "no segment of a key may be empty, `.`, `..` or have a NUL, nor the first be `.dropcollect`",
            ));
        }
        let (mut rest, mut mark) = (segment, "");
        while rest.len() >= NAME_BYTES {
            let (name, more) = rest.split_at_checked(NAME_BYTES).ok_or_else(|| invalid("a long segment is ASCII"))?;
            path.push(format!("{mark}{name}"));
            (rest, mark) = (more, "+");
        }
        path.push(format!("{mark}{rest}"));
    }
    Ok(path)
}

/// One page of the keys that begin with `prefix`, behind `after`. Reads the folders that have some of them, from the one that the prefix
/// names, and no others.
pub(super) fn list(root: &Path, prefix: &str, after: Option<&str>) -> io::Result<Listing> {
    let mut page = Page { prefix, after, keys: Vec::new() };
    match prefix.rfind('/') {
        // What is no path has no objects below it.
        Some(end) => match path_of(root, &prefix[..end]) {
            Ok(folder) => page.read(&folder, &prefix[..=end], false)?,
            Err(_) => return Ok(Listing::default()),
        },
        None => page.read(root, "", false)?,
    }
    let more = page.keys.len() > PAGE_KEYS;
    page.keys.truncate(PAGE_KEYS);
    Ok(Listing { keys: page.keys, more })
}

struct Page<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    keys: Vec<String>,
}

/// An entry of a folder and where it stands among the keys: a key, or what all keys below it begin with.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    begin: String,
    name: String,
    is_folder: bool,
    /// Whether the names in this folder go on with the same segment.
    is_cut: bool,
}

impl Page<'_> {
    /// Sorting by what keys begin with gives byte order of whole keys: `a-b` stands before `a/b`, so the folder `a` counts as `a/`.
    fn read(&mut self, folder: &Path, begin: &str, is_cut: bool) -> io::Result<()> {
        let mut entries = Vec::new();
        match fs::read_dir(folder) {
            Ok(found) => {
                for entry in found {
                    entries.extend(self.entry(&entry?, begin, is_cut)?);
                }
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
        entries.sort();
        for entry in entries {
            if self.keys.len() > PAGE_KEYS {
                break;
            } else if entry.is_folder {
                self.read(&folder.join(entry.name), &entry.begin, entry.is_cut)?;
            } else {
                self.keys.push(entry.begin);
            }
        }
        Ok(())
    }

    /// The entry, if it is a key of this page or may have some below it.
    fn entry(&self, found: &fs::DirEntry, begin: &str, is_cut: bool) -> io::Result<Option<Entry>> {
        // A name that is not UTF-8, or has no mark where it needs one, is not ours.
        let Ok(name) = found.file_name().into_string() else { return Ok(None) };
        let Some(text) = (if is_cut { name.strip_prefix('+') } else { Some(name.as_str()) }) else { return Ok(None) };
        if begin.is_empty() && name == PRIVATE {
            return Ok(None);
        }
        let is_folder = found.file_type()?.is_dir();
        let cuts = is_folder && text.len() == NAME_BYTES;
        let begin = format!("{begin}{text}{}", if is_folder && !cuts { "/" } else { "" });
        let matches = begin.starts_with(self.prefix) || (is_folder && self.prefix.starts_with(&begin));
        let is_behind =
            self.after.is_none_or(|after| begin.as_str() > after || (is_folder && after.starts_with(&begin)));
        Ok((matches && is_behind).then_some(Entry { begin, name, is_folder, is_cut: cuts }))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
