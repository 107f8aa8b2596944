//! A column of values, each with its levels.

use std::io::Write;

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::writer::SerializedRowGroupWriter;

use super::super::file::Problem;
use super::super::json::{Value, take_apart};

/// What a text takes in memory beside its bytes.
const TEXT_BYTES: usize = 64;

/// One column, with the values that are not written yet.
pub(super) struct Leaf {
    values: Values,
    /// The definition level of a value that is there.
    defined: i16,
    /// How many lists there are around it.
    lists: i16,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    bytes: usize,
}

pub(super) enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    String(Vec<ByteArray>),
    Json(Vec<ByteArray>),
}

impl Leaf {
    /// A column with so many optional and repeated fields above it, and so many repeated ones among them.
    pub(super) fn new(values: Values, above: i16, lists: i16) -> Self {
        let (definitions, repetitions) = (Vec::new(), Vec::new());
        Self { values, defined: above + 1, lists, definitions, repetitions, bytes: 0 }
    }

    /// Notes how much of the path is there, and which list it goes on with. Without a value, the path ends above it.
    pub(super) fn place(&mut self, definition: i16, repetition: i16) {
        self.definitions.push(definition);
        if self.lists > 0 {
            self.repetitions.push(repetition);
        }
    }

    /// Takes a value, which is not `null`.
    pub(super) fn put(&mut self, text: &str, repetition: i16) -> Result<(), Problem> {
        if matches!(self.values, Values::Json(_)) {
            self.text(text, repetition);
            return Ok(());
        }
        match (&mut self.values, take_apart(text)) {
            (Values::Bool(values), Value::Bool(value)) => values.push(value),
            (Values::Int(values), Value::Int(value)) => values.push(value),
            (Values::Double(values), Value::Double(value)) => values.push(value),
            // The first reading has seen that doubles hold all integers of this column.
            (Values::Double(values), Value::Int(value)) => values.push(value as f64),
            (Values::String(values), Value::String(value)) => {
                self.bytes += value.len() + TEXT_BYTES;
                values.push(ByteArray::from(value.as_bytes()));
            }
            _ => return Err(Problem::Changed),
        }
        self.place(self.defined, repetition);
        Ok(())
    }

    /// Takes JSON text.
    pub(super) fn text(&mut self, text: &str, repetition: i16) {
        if let Values::Json(values) = &mut self.values {
            self.bytes += text.len() + TEXT_BYTES;
            values.push(ByteArray::from(text.as_bytes()));
        }
        self.place(self.defined, repetition);
    }

    /// Bytes in memory, roughly.
    pub(super) fn size(&self) -> usize {
        let values = match &self.values {
            Values::Bool(values) => values.len(),
            Values::Int(values) => values.len() * 8,
            Values::Double(values) => values.len() * 8,
            Values::String(_) | Values::Json(_) => self.bytes,
        };
        values + 2 * (self.definitions.len() + self.repetitions.len())
    }

    /// Writes the values as the next column of a row group, and forgets them.
    pub(super) fn flush<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), Problem> {
        let Some(mut column) = group.next_column()? else { return Err(Problem::Changed) };
        let definitions = Some(self.definitions.as_slice());
        let repetitions = (self.lists > 0).then_some(self.repetitions.as_slice());
        match &self.values {
            Values::Bool(values) => column.typed::<BoolType>().write_batch(values, definitions, repetitions)?,
            Values::Int(values) => column.typed::<Int64Type>().write_batch(values, definitions, repetitions)?,
            Values::Double(values) => column.typed::<DoubleType>().write_batch(values, definitions, repetitions)?,
            Values::String(values) | Values::Json(values) => {
                column.typed::<ByteArrayType>().write_batch(values, definitions, repetitions)?
            }
        };
        column.close()?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.clear(),
            Values::Int(values) => values.clear(),
            Values::Double(values) => values.clear(),
            Values::String(values) | Values::Json(values) => values.clear(),
        }
        self.definitions.clear();
        self.repetitions.clear();
        self.bytes = 0;
    }
}
