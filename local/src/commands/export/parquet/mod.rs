//! The records of a run as one Parquet file. One file for each run, not for each output: an output holds the records of a thousand inputs at
//! most, so there would be hundreds of small files, each with columns of its own. Memory is bounded by a row group either way.
//!
//! | JSON | Parquet |
//! |---|---|
//! | field of the records | column, `null` where it is missing |
//! | object, list | group, list |
//! | integers that 64 bits hold | int64 |
//! | other numbers, and integers beside them | double; JSON text if that would change an integer |
//! | string | string. Times, too: JSON has none, and what all strings of one run look like says nothing about the next run |
//! | values of different types, integers beyond 64 bits, objects that are always empty or name a field twice, half surrogate pairs, what is nested deeper than 16 levels | string with the JSON text as it was written |
//! | record that is no object, or names a field twice | JSON text in the column `value` |
//! | records with more than 2,000 columns | the widest fields become JSON text, or whole records do, in the column `value` |

mod columns;
mod file;
mod leaf;
#[cfg(test)]
mod tests;

pub(super) use file::ParquetFile;
