//! The context that an envelope is bound to, in one encoding: `ENC` of section 1. It is the associated data, section 4.
//!
//! Imports `error` and `id`.

use std::fmt;

use crate::error::{Error, Result};
use crate::id::{Id, Purpose, RecordIds, ToId};

/// What every encoding begins with.
const DOMAIN: &[u8] = b"fieldseal/1";

/// `ENC(label, parts)`: injective, because every part carries its length and the list its count.
pub(crate) fn encode(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|p| 4 + p.len()).sum::<usize>();
    let mut out = Vec::with_capacity(12 + DOMAIN.len() + label.len() + len);
    put_start(&mut out, label, parts.len());
    parts.iter().for_each(|part| put_part(&mut out, part));
    out
}

/// Where a value belongs within a subject: record type, field and record; and for which purpose it is held.
///
/// The derive macro makes these; by hand they serve values that are no field of a [`Record`](crate::Record).
///
/// ```
/// use fieldseal::FieldContext;
///
/// let context = FieldContext::new("customer", "email", &42)?.purpose("billing");
/// # Ok::<(), fieldseal::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FieldContext<'a> {
    schema: &'a str,
    field: &'a str,
    purpose: &'a str,
    ids: Vec<Id<'a>>,
}

impl<'a> FieldContext<'a> {
    /// The field of the record with this id.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a name is empty or the id a placeholder (empty, 0, nil).
    pub fn new(schema: &'a str, field: &'a str, record_id: &'a (impl ToId + ?Sized)) -> Result<Self> {
        Ok(Self { ids: vec![record_id.to_id()?], ..Self::unbound(schema, field)? })
    }

    /// The field of a record that has no id. Its values open in any record of the same schema and subject.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a name is empty.
    ///
    /// # Security
    /// Somebody who can write to the database can swap such values among one subject's records unnoticed.
    pub fn unbound(schema: &'a str, field: &'a str) -> Result<Self> {
        for name in [schema, field] {
            name.to_id()?;
        }
        Ok(Self { schema, field, purpose: Purpose::DEFAULT, ids: Vec::new() })
    }

    /// One more record id, for records that are named by several.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the id is a placeholder (empty, 0, nil).
    pub fn and_id(mut self, record_id: &'a (impl ToId + ?Sized)) -> Result<Self> {
        self.ids.push(record_id.to_id()?);
        Ok(self)
    }

    /// Held for this purpose; without it, for `default`.
    #[must_use]
    pub fn purpose(mut self, purpose: &'a str) -> Self {
        self.purpose = purpose;
        self
    }

    pub(crate) fn schema(&self) -> &'a str {
        self.schema
    }

    pub(crate) fn field(&self) -> &'a str {
        self.field
    }

    pub(crate) fn purpose_name(&self) -> &'a str {
        self.purpose
    }
}

impl RecordIds for FieldContext<'_> {
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        self.ids.iter().try_for_each(|id| each(id.clone()))
    }
}

/// The contexts of the fields of one record, which are their associated data. What the fields share is encoded once.
///
/// Whose the record is, and for which purpose a field is held, is not in it: the key says so. See section 2.
#[derive(Clone)]
pub(crate) struct FieldAad {
    /// As far as the schema; behind it the field that was asked for last, and the ids.
    buf: Vec<u8>,
    head_len: usize,
    /// `lp(id1) ‖ .. ‖ lp(idk)`
    ids: Vec<u8>,
}

impl FieldAad {
    pub(crate) fn new(schema: &str, ids: &(impl RecordIds + ?Sized)) -> Result<Self> {
        if schema.is_empty() {
            return Err(Error::invalid("a schema name must not be empty"));
        }
        let (mut encoded, mut count) = (Vec::with_capacity(48), 0);
        ids.each_id(&mut |id| {
            put_part(&mut encoded, id.as_str().as_bytes());
            count += 1;
            Ok(())
        })?;
        let mut buf = Vec::with_capacity(64 + schema.len() + encoded.len() + 32);
        put_start(&mut buf, if count == 0 { "field unbound" } else { "field" }, 2 + count);
        put_part(&mut buf, schema.as_bytes());
        Ok(Self { head_len: buf.len(), buf, ids: encoded })
    }

    /// `ENC("field", schema, field, id1, .., idk)`, or `ENC("field unbound", schema, field)`.
    pub(crate) fn of(&mut self, field: &str) -> Result<&[u8]> {
        if field.is_empty() {
            return Err(Error::invalid("a field name must not be empty"));
        }
        self.buf.truncate(self.head_len);
        put_part(&mut self.buf, field.as_bytes());
        self.buf.extend_from_slice(&self.ids);
        Ok(&self.buf)
    }
}

/// Opaque: record ids are personal data.
impl fmt::Debug for FieldAad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldAad(..)")
    }
}

fn put_start(out: &mut Vec<u8>, label: &str, count: usize) {
    put_part(out, DOMAIN);
    put_part(out, label.as_bytes());
    put_len(out, count);
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    put_len(out, part.len());
    out.extend_from_slice(part);
}

/// Every part is an id (1 KiB) or a record's body (256 KiB) at most, so its length fits.
fn put_len(out: &mut Vec<u8>, len: usize) {
    debug_assert!(u32::try_from(len).is_ok());
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LABELS: [&str; 19] = [
        "field",
        "field unbound",
        "wrap",
        "tag",
        "slot",
        "journal",
        "journal entry",
        "vault root",
        "root",
        "epoch key",
        "index key",
        "keyring",
        "openbao",
        "any of",
        "halves",
        "index",
        "index shared",
        "token",
        "damaged slot",
    ];

    proptest! {
        #[test]
        fn no_two_lists_of_parts_encode_alike(
            a in (0..LABELS.len(), prop::collection::vec(prop::collection::vec(0u8..4, 0..4), 0..5)),
            b in (0..LABELS.len(), prop::collection::vec(prop::collection::vec(0u8..4, 0..4), 0..5)),
        ) {
            let enc = |(label, parts): &(usize, Vec<Vec<u8>>)| {
                encode(LABELS[*label], &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
            };
            prop_assert_eq!(a == b, enc(&a) == enc(&b));
        }
    }

    /// Whatever the parts: an encoding begins with its length-prefixed label, and no label is another's.
    #[test]
    fn no_two_labels_encode_alike() {
        for (i, a) in LABELS.iter().enumerate() {
            for b in &LABELS[i + 1..] {
                let start = |label| {
                    let mut out = Vec::new();
                    put_part(&mut out, DOMAIN);
                    put_part(&mut out, str::as_bytes(label));
                    out
                };
                let (a, b) = (start(a), start(b));
                assert!(!a.starts_with(&b) && !b.starts_with(&a));
            }
        }
    }

    #[test]
    fn the_record_encoder_agrees_with_enc() {
        let (order, line) = (17i64, "a");
        let mut record = FieldAad::new("order", &(order, line)).unwrap();
        for field in ["note", "total", "note"] {
            assert_eq!(record.of(field).unwrap(), encode("field", &[b"order", field.as_bytes(), b"17", b"a"]));
        }
        let mut unbound = FieldAad::new("order", &()).unwrap();
        for field in ["total", "note"] {
            assert_eq!(unbound.of(field).unwrap(), encode("field unbound", &[b"order", field.as_bytes()]));
        }
    }

    #[test]
    fn no_name_in_a_context_is_empty() {
        assert!(FieldAad::new("", &17).is_err());
        assert!(FieldAad::new("order", &17).unwrap().of("").is_err());
        assert!(FieldAad::new("order", &("a", "")).is_err());
    }
}
