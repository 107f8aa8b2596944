//! Records as columns: the second reading. Every leaf of the shape is a column of values with two levels for each place: how much of the path to
//! it is there (definition), and which list it goes on with (repetition), as the Parquet format's "Nested Encoding" lays down.

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::super::file::Problem;
use super::super::json::{Members, Value, take_apart};
use super::super::names::{WHOLE, names};
use super::super::shape::{Fields, Shape, Table};
use super::leaf::{Leaf, Values};

/// The columns of a file, with the records that are not written yet.
pub(super) struct Columns {
    schema: TypePtr,
    fields: Struct,
    /// The column of the records that are kept whole.
    whole: Option<usize>,
    leaves: Vec<Leaf>,
    /// Columns that hold JSON text, by their path.
    pub(super) as_text: Vec<String>,
    /// Fields that had to get another name, by their path: the name, and the new one.
    pub(super) renamed: Vec<(String, String)>,
}

/// What becomes of a field.
enum Node {
    Leaf(usize),
    List { element: Box<Self>, leaves: Range<usize>, repetition: i16 },
    Struct(Struct),
}

struct Struct {
    positions: HashMap<String, usize>,
    children: Vec<Node>,
    leaves: Range<usize>,
}

impl Columns {
    /// Columns for records of this shape.
    pub(super) fn new(table: Table) -> Result<Self, Problem> {
        let mut plan = Plan::default();
        // A file needs a column, and a record a place, so the column for whole records is also there when there is nothing else.
        let whole = table.whole || table.fields.shapes.is_empty();
        let reserved = whole.then_some(WHOLE);
        let (fields, mut types) = plan.fields(table.fields, reserved, "", Levels::default())?;
        let mut columns = None;
        if whole {
            let (_, column) = plan.leaf(Shape::Json, WHOLE, WHOLE, Levels::default())?;
            columns = Some(plan.leaves.len() - 1);
            types.push(column);
        }
        let schema = Arc::new(Type::group_type_builder("record").with_fields(types).build()?);
        let Plan { leaves, as_text, renamed } = plan;
        Ok(Self { schema, fields, whole: columns, leaves, as_text, renamed })
    }

    /// The schema of the file.
    pub(super) fn schema(&self) -> TypePtr {
        self.schema.clone()
    }

    /// How many columns there are.
    pub(super) fn count(&self) -> usize {
        self.leaves.len()
    }

    /// Bytes of the records that are not written yet, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.leaves.iter().map(Leaf::size).sum()
    }

    /// Takes one more record.
    pub(super) fn put(&mut self, record: &str) -> Result<(), Problem> {
        let whole = match take_apart(record) {
            Value::Object(members) if !self.fields.children.is_empty() => {
                self.fields.put(&members, Levels::default(), 0, &mut self.leaves)?;
                None
            }
            _ => {
                absent(&mut self.leaves, &self.fields.leaves, Levels::default().definition, 0);
                Some(record.trim())
            }
        };
        match (self.whole.and_then(|column| self.leaves.get_mut(column)), whole) {
            (Some(leaf), Some(record)) => leaf.text(record, 0),
            (Some(leaf), None) => leaf.place(0, 0),
            (None, Some(_)) => return Err(Problem::Changed),
            (None, None) => {}
        }
        Ok(())
    }

    /// Writes the records as a row group, and forgets them.
    pub(super) fn flush<W: Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> Result<(), Problem> {
        let mut group = file.next_row_group()?;
        for leaf in &mut self.leaves {
            leaf.flush(&mut group)?;
        }
        group.close()?;
        Ok(())
    }
}

/// How many optional and repeated fields are above a place, and how many repeated ones among them.
#[derive(Clone, Copy, Default)]
struct Levels {
    definition: i16,
    repetition: i16,
}

/// The columns while they are laid out.
#[derive(Default)]
struct Plan {
    leaves: Vec<Leaf>,
    as_text: Vec<String>,
    renamed: Vec<(String, String)>,
}

impl Plan {
    fn fields(
        &mut self,
        fields: Fields,
        reserved: Option<&str>,
        path: &str,
        levels: Levels,
    ) -> Result<(Struct, Vec<TypePtr>), Problem> {
        let first = self.leaves.len();
        let names = names(fields.shapes.iter().map(|(name, _)| name.as_str()), reserved);
        let (mut children, mut types) = (Vec::new(), Vec::new());
        for ((field, shape), name) in fields.shapes.into_iter().zip(names) {
            if field != name {
                self.renamed.push((format!("{path}{field}"), name.clone()));
            }
            let (child, column) = self.node(shape, &name, &format!("{path}{name}"), levels)?;
            children.push(child);
            types.push(column);
        }
        Ok((Struct { positions: fields.positions, children, leaves: first..self.leaves.len() }, types))
    }

    /// A field, which may be absent, at a place with these levels above it.
    fn node(&mut self, shape: Shape, name: &str, path: &str, levels: Levels) -> Result<(Node, TypePtr), Problem> {
        let first = self.leaves.len();
        let present = Levels { definition: levels.definition + 1, ..levels };
        let group = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
        match shape {
            Shape::List(element) => {
                let inside = Levels { definition: present.definition + 1, repetition: levels.repetition + 1 };
                let (element, column) = self.node(*element, "element", &format!("{path}[]"), inside)?;
                let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
                let list = Arc::new(list.with_fields(vec![column]).build()?);
                let list = group.with_logical_type(Some(LogicalType::List)).with_fields(vec![list]).build()?;
                let leaves = first..self.leaves.len();
                let node = Node::List { element: Box::new(element), leaves, repetition: inside.repetition };
                Ok((node, Arc::new(list)))
            }
            // The format has no group without fields.
            Shape::Object(fields) if !fields.shapes.is_empty() => {
                let (fields, types) = self.fields(fields, None, &format!("{path}."), present)?;
                Ok((Node::Struct(fields), Arc::new(group.with_fields(types).build()?)))
            }
            leaf => self.leaf(leaf, name, path, levels),
        }
    }

    fn leaf(&mut self, shape: Shape, name: &str, path: &str, levels: Levels) -> Result<(Node, TypePtr), Problem> {
        let (values, physical, logical) = match shape {
            Shape::Bool => (Values::Bool(Vec::new()), Physical::BOOLEAN, None),
            Shape::Int { .. } => (Values::Int(Vec::new()), Physical::INT64, None),
            Shape::Double => (Values::Double(Vec::new()), Physical::DOUBLE, None),
            Shape::String | Shape::Unknown => {
                (Values::String(Vec::new()), Physical::BYTE_ARRAY, Some(LogicalType::String))
            }
            // Not the logical type JSON: Athena and older readers take such a column for bytes.
            Shape::Json | Shape::Object(_) | Shape::List(_) => {
                self.as_text.push(path.to_owned());
                (Values::Json(Vec::new()), Physical::BYTE_ARRAY, Some(LogicalType::String))
            }
        };
        self.leaves.push(Leaf::new(values, levels.definition, levels.repetition));
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        Ok((Node::Leaf(self.leaves.len() - 1), Arc::new(column.with_logical_type(logical).build()?)))
    }
}

/// Notes in all these columns that the path ends at this level.
fn absent(leaves: &mut [Leaf], which: &Range<usize>, definition: i16, repetition: i16) {
    for leaf in leaves.get_mut(which.clone()).unwrap_or_default() {
        leaf.place(definition, repetition);
    }
}

impl Node {
    /// Takes a value of this field, at a place with these levels above it; it goes on with the list of the level `repetition`.
    fn put(&self, text: &str, levels: Levels, repetition: i16, leaves: &mut [Leaf]) -> Result<(), Problem> {
        let present = Levels { definition: levels.definition + 1, ..levels };
        match self {
            Self::Leaf(leaf) => {
                let leaf = leaves.get_mut(*leaf).ok_or(Problem::Changed)?;
                if text == "null" {
                    leaf.place(levels.definition, repetition);
                    return Ok(());
                }
                leaf.put(text, repetition)
            }
            Self::Struct(fields) => match take_apart(text) {
                Value::Null => {
                    absent(leaves, &fields.leaves, levels.definition, repetition);
                    Ok(())
                }
                Value::Object(members) => fields.put(&members, present, repetition, leaves),
                _ => Err(Problem::Changed),
            },
            Self::List { element, leaves: inside, repetition: own } => match take_apart(text) {
                Value::Null => {
                    absent(leaves, inside, levels.definition, repetition);
                    Ok(())
                }
                Value::List(elements) if elements.is_empty() => {
                    absent(leaves, inside, present.definition, repetition);
                    Ok(())
                }
                Value::List(elements) => {
                    let within = Levels { definition: present.definition + 1, repetition: *own };
                    // The first element goes on with what the list itself goes on with.
                    let begins = std::iter::once(repetition).chain(std::iter::repeat(*own));
                    elements.iter().zip(begins).try_for_each(|(text, at)| element.put(text.get(), within, at, leaves))
                }
                _ => Err(Problem::Changed),
            },
        }
    }

    /// The columns that it makes.
    fn leaves(&self) -> Range<usize> {
        match self {
            Self::Leaf(leaf) => *leaf..*leaf + 1,
            Self::Struct(Struct { leaves, .. }) | Self::List { leaves, .. } => leaves.clone(),
        }
    }
}

impl Struct {
    /// Takes the fields of an object; `levels` are those inside of it.
    fn put(&self, members: &Members<'_>, levels: Levels, repetition: i16, leaves: &mut [Leaf]) -> Result<(), Problem> {
        let mut texts: Vec<Option<&str>> = vec![None; self.children.len()];
        for (name, value) in members {
            let position = self.positions.get(&**name).ok_or(Problem::Changed)?;
            *texts.get_mut(*position).ok_or(Problem::Changed)? = Some(value.get());
        }
        for (child, text) in self.children.iter().zip(texts) {
            match text {
                Some(text) => child.put(text, levels, repetition, leaves)?,
                None => absent(leaves, &child.leaves(), levels.definition, repetition),
            }
        }
        Ok(())
    }
}
