//! A record as an application writes it, for tests of drivers. What the derive macro of fieldseal would make is written
//! out, so that these tests need nothing of it.

use fieldseal::id::{Id, RecordIds as _};
use fieldseal::record::private::{FieldVisitor, IdSpec, Owner, RecordOpener, RecordSealer, SubjectSpec};
use fieldseal::record::{Field, FieldSpec, Record};
use fieldseal::{Plain, Result, Sealed, SubjectId, SubjectKeys};
use fieldseal_testkit::customer;
use sqlx::types::Text;

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Customer {
    pub(crate) id: i64,
    pub(crate) email: Sealed<String>,
    pub(crate) phone: Option<Sealed<String>>,
    pub(crate) note: Text<Sealed<String>>,
    pub(crate) remark: Option<Text<Sealed<String>>>,
}

#[derive(Debug)]
pub(crate) struct CustomerPlain {
    pub(crate) id: i64,
    pub(crate) email: Plain<String>,
    pub(crate) phone: Option<Plain<String>>,
    pub(crate) note: Plain<String>,
    pub(crate) remark: Option<Plain<String>>,
}

impl CustomerPlain {
    /// With everything that can be NULL there.
    pub(crate) fn full(id: i64) -> Self {
        Self {
            id,
            email: Plain::new(format!("ada{id}@example.com")),
            phone: Some("+44 20 7946 0018".into()),
            note: "a note".into(),
            remark: Some("a remark".into()),
        }
    }

    /// With everything NULL that can be.
    pub(crate) fn sparse(id: i64) -> Self {
        Self { phone: None, remark: None, ..Self::full(id) }
    }
}

const fn field(name: &'static str) -> FieldSpec {
    FieldSpec::new(name, "default", 0, false)
}

impl Customer {
    pub(crate) const EMAIL: Field<Self, Sealed<String>> =
        Field::new(field("email"), |row| &row.email, |row| &mut row.email);
    pub(crate) const PHONE: Field<Self, Option<Sealed<String>>> =
        Field::new(field("phone"), |row| &row.phone, |row| &mut row.phone);
    pub(crate) const NOTE: Field<Self, Text<Sealed<String>>> =
        Field::new(field("note"), |row| &row.note, |row| &mut row.note);
    pub(crate) const REMARK: Field<Self, Option<Text<Sealed<String>>>> =
        Field::new(field("remark"), |row| &row.remark, |row| &mut row.remark);

    /// Sealed under keys of its own.
    pub(crate) fn sealed(plain: &CustomerPlain) -> (Self, SubjectKeys) {
        let keys = fieldseal_testkit::keys(&customer(plain.id));
        (Self::seal(plain, &keys).unwrap(), keys)
    }

    /// Whether both are one row, to the byte.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let bytes = |row: &Self| {
            let phone = row.phone.as_ref().map(|sealed| sealed.as_bytes().to_vec());
            let remark = row.remark.as_ref().map(|Text(sealed)| sealed.as_bytes().to_vec());
            (row.id, [&row.email, &row.note.0].map(|sealed| sealed.as_bytes().to_vec()), phone, remark)
        };
        bytes(self) == bytes(other)
    }

    /// Whether it opens to what `plain` holds.
    pub(crate) fn holds(&self, keys: &SubjectKeys, plain: &CustomerPlain) -> bool {
        let opened = self.open(keys).unwrap();
        let text = |value: &Option<Plain<String>>| value.as_ref().map(|v| v.expose().clone());
        opened.email.expose() == plain.email.expose()
            && opened.note.expose() == plain.note.expose()
            && text(&opened.phone) == text(&plain.phone)
            && text(&opened.remark) == text(&plain.remark)
    }
}

impl Record for Customer {
    type Plain = CustomerPlain;
    type Id = i64;
    type Subject = i64;
    const SCHEMA: &'static str = "customer";
    const PURPOSES: &'static [&'static str] = &["default"];
    const SUBJECT_KIND: Option<&'static str> = Some("customer");
    const IDS: &'static [IdSpec] = &[IdSpec::of::<i64>(false, true)];
    const SUBJECT_FIELD: Option<SubjectSpec> = None;

    fn seal_owned(plain: &CustomerPlain, keys: &SubjectKeys, named: Option<&SubjectId>) -> Result<Self> {
        let mut sealer = RecordSealer::new::<Self>(keys, &Owner::of("customer", &plain.id)?, named, &plain.id)?;
        Ok(Self {
            id: plain.id,
            email: sealer.seal(Self::EMAIL, &plain.email)?,
            phone: sealer.seal(Self::PHONE, &plain.phone)?,
            note: sealer.seal(Self::NOTE, &plain.note)?,
            remark: sealer.seal(Self::REMARK, &plain.remark)?,
        })
    }

    fn open(&self, keys: &SubjectKeys) -> Result<CustomerPlain> {
        let mut opener = RecordOpener::new(keys, self)?;
        Ok(CustomerPlain {
            id: self.id,
            email: opener.open(Self::EMAIL, self)?,
            phone: opener.open(Self::PHONE, self)?,
            note: opener.open(Self::NOTE, self)?,
            remark: opener.open(Self::REMARK, self)?,
        })
    }

    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        self.id.each_id(each)
    }

    fn each_id_of(id: &i64, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        id.each_id(each)
    }

    fn set_id(&mut self, id: i64) {
        self.id = id;
    }

    fn each_field(visitor: &mut impl FieldVisitor<Self>) {
        visitor.visit(Self::EMAIL);
        visitor.visit(Self::PHONE);
        visitor.visit(Self::NOTE);
        visitor.visit(Self::REMARK);
    }

    fn owner(&self) -> Result<Owner<'_>> {
        Owner::of("customer", &self.id)
    }
}
