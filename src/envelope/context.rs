//! The context that an envelope is bound to, in one encoding: `ENC` of section 1, and the associated data of section 4.

use std::borrow::Cow;
use std::fmt;

use crate::crypto::Suite;
use crate::envelope::header::KeyId;
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

/// The associated data of the fields of one record. What the fields share is encoded once.
#[derive(Clone)]
pub(crate) struct FieldAad<'a> {
    tenant: &'a str,
    subject: &'a str,
    schema: Cow<'a, str>,
    /// `lp(id1) ‖ .. ‖ lp(idk)`
    ids: Vec<u8>,
    count: usize,
    /// Suite byte, key id and the context as far as the schema; for [`Self::head`].
    buf: Vec<u8>,
    head: Option<(Suite, KeyId, usize)>,
}

impl<'a> FieldAad<'a> {
    pub(crate) fn new(
        tenant: &'a str,
        subject: &'a str,
        schema: impl Into<Cow<'a, str>>,
        ids: &(impl RecordIds + ?Sized),
    ) -> Result<Self> {
        let schema = schema.into();
        let (mut encoded, mut count) = (Vec::with_capacity(48), 0);
        ids.each_id(&mut |id| {
            put_part(&mut encoded, id.as_str().as_bytes());
            count += 1;
            Ok(())
        })?;
        let len = 1 + KeyId::LEN + 96 + tenant.len() + subject.len() + schema.len() + encoded.len() + 64;
        Ok(Self { tenant, subject, schema, ids: encoded, count, buf: Vec::with_capacity(len), head: None })
    }

    /// `suite byte ‖ key id ‖ context`. The key id stands for the purpose too: no two purposes share a key.
    pub(crate) fn of(&mut self, suite: Suite, key_id: &KeyId, purpose: &str, field: &str) -> Result<&[u8]> {
        if field.is_empty() || self.schema.is_empty() || purpose.is_empty() {
            return Err(Error::invalid("schema, field and purpose names must not be empty"));
        }
        let head_len = match self.head {
            Some((s, k, len)) if s == suite && k == *key_id => len,
            _ => self.put_head(suite, key_id, purpose),
        };
        self.buf.truncate(head_len);
        put_part(&mut self.buf, field.as_bytes());
        self.buf.extend_from_slice(&self.ids);
        Ok(&self.buf)
    }

    fn put_head(&mut self, suite: Suite, key_id: &KeyId, purpose: &str) -> usize {
        self.buf.clear();
        self.buf.push(suite.byte());
        self.buf.extend_from_slice(key_id.as_bytes());
        let label = if self.count == 0 { "field unbound" } else { "field" };
        put_start(&mut self.buf, label, 5 + self.count);
        for part in [self.tenant, self.subject, purpose, &*self.schema] {
            put_part(&mut self.buf, part.as_bytes());
        }
        self.head = Some((suite, *key_id, self.buf.len()));
        self.buf.len()
    }
}

/// The schema alone: subject and record ids are personal data.
impl fmt::Debug for FieldAad<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldAad").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// `suite byte ‖ key id ‖ context`
pub(crate) fn aad(suite: Suite, key_id: &KeyId, context: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + KeyId::LEN + context.len());
    out.push(suite.byte());
    out.extend_from_slice(key_id.as_bytes());
    out.extend_from_slice(context);
    out
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

    const LABELS: [&str; 12] = [
        "field",
        "field unbound",
        "wrap",
        "vault root",
        "epoch key",
        "root",
        "index key",
        "tag",
        "slot",
        "journal",
        "keyring",
        "index",
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
        let key_id = KeyId::from_bytes([7; 24]);
        let (order, line) = (17i64, "a");
        let mut record = FieldAad::new("t", "s", "order", &(order, line)).unwrap();
        for (purpose, field) in [("p", "note"), ("p", "total"), ("p", "note")] {
            let context = encode("field", &[b"t", b"s", purpose.as_bytes(), b"order", field.as_bytes(), b"17", b"a"]);
            let expected = aad(Suite::Xaes256Gcm, &key_id, &context);
            assert_eq!(record.of(Suite::Xaes256Gcm, &key_id, purpose, field).unwrap(), expected);
        }
        let mut unbound = FieldAad::new("t", "s", "order", &()).unwrap();
        let context = encode("field unbound", &[b"t", b"s", b"p", b"order", b"note"]);
        let other = KeyId::from_bytes([8; 24]);
        unbound.of(Suite::Xaes256Gcm, &other, "q", "note").unwrap();
        assert_eq!(
            unbound.of(Suite::Xaes256Gcm, &key_id, "p", "note").unwrap(),
            aad(Suite::Xaes256Gcm, &key_id, &context)
        );
    }
}
