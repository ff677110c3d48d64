//! Items of a table: their keys, their attributes, and conditions on them.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

/// An attribute that is of another type, or can't be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damaged;

/// An item, or its key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The partition key: text.
pub(crate) const PK: &str = "pk";
/// The sort key: bytes.
pub(crate) const SK: &str = "sk";

pub(crate) fn key(partition: &str, sort: &[u8]) -> Item {
    [(PK.to_owned(), text_of(partition)), (SK.to_owned(), bytes_of(sort))].into()
}

pub(crate) fn text_of(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(crate) fn bytes_of(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(crate) fn number_of(number: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

/// Takes bytes out of an item; none where it has no such attribute.
pub(crate) fn binary(item: &mut Item, name: &str) -> Result<Option<Vec<u8>>, Damaged> {
    match item.remove(name) {
        None => Ok(None),
        Some(AttributeValue::B(bytes)) => Ok(Some(bytes.into_inner())),
        Some(_) => Err(Damaged),
    }
}

/// Takes text out of an item; none where it has no such attribute.
pub(crate) fn text(item: &mut Item, name: &str) -> Result<Option<String>, Damaged> {
    match item.remove(name) {
        None => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text)),
        Some(_) => Err(Damaged),
    }
}

/// Takes a number out of an item; none where it has no such attribute.
pub(crate) fn number<T: FromStr>(item: &mut Item, name: &str) -> Result<Option<T>, Damaged> {
    match item.remove(name) {
        None => Ok(None),
        Some(AttributeValue::N(text)) => text.parse().map(Some).map_err(|_| Damaged),
        Some(_) => Err(Damaged),
    }
}

/// What must be so of an item. Attributes are named with a `#`, because many words are DynamoDB's own.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(super) expression: String,
    pub(super) names: Vec<&'static str>,
    pub(super) values: Vec<(String, AttributeValue)>,
}

impl Condition {
    /// The item isn't there.
    pub(crate) fn absent() -> Self {
        Self::new("attribute_not_exists(#pk)", &[PK])
    }

    pub(crate) fn new(expression: &str, names: &[&'static str]) -> Self {
        Self { expression: expression.to_owned(), names: names.to_vec(), values: Vec::new() }
    }

    /// Of these attributes the item has what this one has, and no more.
    pub(crate) fn unchanged(item: &Item, names: &[&'static str]) -> Self {
        let expression = names.iter().map(|name| match item.contains_key(*name) {
            true => format!("#{name} = :{name}"),
            false => format!("attribute_not_exists(#{name})"),
        });
        let mut condition = Self::new(&expression.collect::<Vec<_>>().join(" AND "), names);
        for name in names {
            condition.values.extend(item.get(*name).map(|value| (format!(":{name}"), value.clone())));
        }
        condition
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.push((name.to_owned(), value));
        self
    }

    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        Some(self.names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect())
    }

    /// None rather than an empty map, which DynamoDB refuses.
    pub(super) fn values(&self) -> Option<Item> {
        let values: Item = self.values.iter().cloned().collect();
        Some(values).filter(|values| !values.is_empty())
    }
}
