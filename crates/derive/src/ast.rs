//! Stage two: a record that makes sense. Every rule on how attributes and types go together is here, and every error
//! names the remedy.

use std::collections::HashMap;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Fields, Generics, Meta, Path, Type, Visibility};

use super::attr::{ContainerAttrs, Errors, FieldAttrs, MAX_NAME};

/// A struct that a record can be made of.
pub(crate) struct Record {
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// What the struct allows, for the twin and the impls.
    pub(crate) lints: Vec<TokenStream>,
    /// The path to the library.
    pub(crate) krate: TokenStream,
    pub(crate) schema: String,
    /// Those of the fields, in the order of their first use.
    pub(crate) purposes: Vec<String>,
    pub(crate) twin: Twin,
    pub(crate) fields: Vec<Field>,
}

/// The plaintext twin.
pub(crate) struct Twin {
    pub(crate) ident: Ident,
    pub(crate) derives: Vec<Path>,
    pub(crate) attrs: Vec<Meta>,
}

pub(crate) struct Field {
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) lints: Vec<TokenStream>,
    pub(crate) twin_attrs: Vec<Meta>,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Clear(Clear),
    Sealed(Column),
}

/// What a field in the clear names, if anything.
pub(crate) struct Clear {
    pub(crate) id: bool,
    /// 0 is an id like any other.
    pub(crate) zero: bool,
    pub(crate) subject: Option<Subject>,
}

/// A field that names the subject.
pub(crate) struct Subject {
    /// What the subject is.
    pub(crate) kind: String,
    /// The field's name, which outlives renames of it.
    pub(crate) name: String,
}

pub(crate) struct Column {
    pub(crate) constant: Ident,
    /// In the context.
    pub(crate) name: String,
    pub(crate) purpose: String,
    /// 0 where values aren't padded.
    pub(crate) pad: usize,
    pub(crate) of_other_purpose: bool,
}

impl Record {
    pub(crate) fn check(input: DeriveInput) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let record = Self::read(input, &mut errors);
        errors.none_or()?;
        // Whoever gave nothing has said why.
        record.ok_or_else(|| syn::Error::new(Span::call_site(), "a record that can't be read: please report it"))
    }

    /// Goes on after an error, for there may be more.
    fn read(input: DeriveInput, errors: &mut Errors) -> Option<Self> {
        let said = ContainerAttrs::read(&input.attrs, errors);
        let ident = input.ident;
        let fields = match input.data {
            Data::Struct(data) => data.fields,
            Data::Enum(_) => {
                errors
                    .push(&ident, "a record is a struct: put what the variants share into one, sealed or in the clear");
                return None;
            }
            Data::Union(_) => {
                errors.push(&ident, "a record is a struct: a union doesn't say what it holds");
                return None;
            }
        };
        let Fields::Named(fields) = fields else {
            let message = "a record has named fields, for their names are bound into the values: `struct Name { .. }`";
            errors.push(&ident, message);
            return None;
        };
        let own_purpose = said.purpose.value().map_or("default", String::as_str);
        let read = |field| Field::read(field, own_purpose, errors);
        let read: Vec<_> = fields.named.into_iter().map(read).collect();
        if said.unbound.is_said() || !mentions(&input.attrs, "unbound") {
            check_ids(&ident, &said, &read, errors);
        }
        if said.any_subject.is_said() || !mentions(&input.attrs, "any_subject") {
            check_subject(&ident, &said, &read, errors);
        }
        let fields: Vec<_> = read.into_iter().filter_map(|read| read.field).collect();
        check_names(&ident, &fields, errors);
        let purposes = purposes(&fields, errors);

        if !mentions(&input.attrs, "schema") {
            let example = screaming(&ident.unraw().to_string()).to_lowercase();
            let message = format!(
                "a record says its `schema`, the name that it keeps when the struct is renamed: \
                 `#[record(schema = \"{example}\")]`"
            );
            errors.push(&ident, message);
        }
        let twin = Twin::of(&ident, &said, errors)?;
        Some(Self {
            vis: input.vis,
            lints: lints(&input.attrs),
            generics: input.generics,
            krate: said.krate.value().map_or_else(|| quote!(::fieldseal), ToTokens::to_token_stream),
            schema: said.schema.value()?.clone(),
            purposes,
            twin,
            fields,
            ident,
        })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = (&Field, &Clear)> {
        self.clear().filter(|(_, clear)| clear.id)
    }

    /// The field that names the subject.
    pub(crate) fn subject(&self) -> Option<(&Field, &Subject)> {
        self.clear().find_map(|(field, clear)| Some((field, clear.subject.as_ref()?)))
    }

    fn clear(&self) -> impl Iterator<Item = (&Field, &Clear)> {
        self.fields.iter().filter_map(|field| match &field.kind {
            Kind::Clear(clear) => Some((field, clear)),
            Kind::Sealed(_) => None,
        })
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = (&Field, &Column)> {
        self.fields.iter().filter_map(|field| match &field.kind {
            Kind::Sealed(column) => Some((field, column)),
            Kind::Clear(_) => None,
        })
    }
}

impl Twin {
    fn of(row: &Ident, said: &ContainerAttrs, errors: &mut Errors) -> Option<Self> {
        let ident = match said.twin_name.value() {
            Some(name) if name == row => {
                errors.push(name, "the plaintext twin is another type than the row: give it another name");
                return None;
            }
            Some(name) => name.clone(),
            // An identifier and letters make an identifier.
            None => Ident::new(&format!("{}Plain", row.unraw()), row.span()),
        };
        let derives = said.twin_derives.value().cloned().unwrap_or_default();
        Some(Self { ident, derives, attrs: said.twin_attrs.clone() })
    }
}

/// A field, and what of it matters to the whole even where it has an error.
struct ReadField {
    said: FieldAttrs,
    /// Rightly or wrongly.
    mentions_id: bool,
    mentions_subject: bool,
    field: Option<Field>,
}

impl Field {
    fn read(field: syn::Field, own_purpose: &str, errors: &mut Errors) -> ReadField {
        let said = FieldAttrs::read(&field.attrs, errors);
        let (mentions_id, mentions_subject) = (mentions(&field.attrs, "id"), mentions(&field.attrs, "subject"));
        let field = Self::of(field, &said, own_purpose, errors);
        ReadField { said, mentions_id, mentions_subject, field }
    }

    fn of(field: syn::Field, said: &FieldAttrs, own_purpose: &str, errors: &mut Errors) -> Option<Self> {
        let ident = field.ident?;
        let ty = field.ty;
        errors.of_trait(&ty);
        let clear = [("id", said.id.is_said()), ("subject", said.subject.is_said()), ("clear", said.clear.is_said())];
        check_zero(&ident, said, &field.attrs, errors);
        let kind = if let Some((why, _)) = clear.into_iter().find(|(_, is_said)| *is_said) {
            check_clear(&ident, &ty, why, said, errors);
            let name = || said.rename.value().cloned().unwrap_or_else(|| ident.unraw().to_string());
            let subject = said.subject.value().map(|kind| Subject { kind: kind.clone(), name: name() });
            Kind::Clear(Clear { id: said.id.is_said(), zero: said.zero.is_said(), subject })
        } else {
            // What was said wrongly has its error, and says still which of the two the field is.
            let mentions = |names: &[&str]| names.iter().any(|name| mentions(&field.attrs, name));
            if mentions(&["id", "subject", "clear"]) {
                return None;
            }
            if !mentions(&["sealed", "pad", "purpose"]) && !mentions_sealed(ty.to_token_stream()) {
                let message = format!(
                    "`{ident}` is neither sealed nor said to be in the clear: make it a `Sealed<T>`, or say \
                     `#[record(clear)]`, or `#[record(id)]` or `#[record(subject = \"customer\")]` if it names the row or \
                     its subject (and `#[record(sealed)]` if an alias hides the `Sealed`)"
                );
                errors.push(quote!(#ident : #ty), message);
                return None;
            }
            Kind::Sealed(Column::of(&ident, said, own_purpose, errors)?)
        };
        let docs = field.attrs.iter().filter(|attr| attr.path().is_ident("doc")).cloned().collect();
        let lints = lints(&field.attrs);
        Some(Self { vis: field.vis, ident, ty, docs, lints, twin_attrs: said.twin_attrs.clone(), kind })
    }
}

impl Column {
    fn of(ident: &Ident, said: &FieldAttrs, own_purpose: &str, errors: &mut Errors) -> Option<Self> {
        let field_name = ident.unraw().to_string();
        let constant = screaming(&field_name);
        // Letters whose upper case is no letter of an identifier: too rare for an attribute of its own.
        let Ok(constant) = syn::parse_str::<Ident>(&constant) else {
            errors.push(ident, format!("`{constant}` can't be the constant's name: rename `{ident}`"));
            return None;
        };
        let name = said.rename.value().cloned().unwrap_or(field_name);
        if name.len() > MAX_NAME {
            errors.push(ident, format!("a field's name has at most {MAX_NAME} bytes: give it a shorter `rename`"));
        }
        let purpose = said.purpose.value().map_or(own_purpose, String::as_str);
        Some(Self {
            constant: Ident::new(&constant.to_string(), ident.span()),
            name,
            purpose: purpose.to_owned(),
            pad: said.pad.value().copied().unwrap_or(0),
            of_other_purpose: purpose != own_purpose,
        })
    }
}

/// A field in the clear has nothing of a sealed one.
fn check_clear(ident: &Ident, ty: &Type, why: &str, said: &FieldAttrs, errors: &mut Errors) {
    let sealed = [
        ("sealed", said.sealed.meta()),
        ("pad", said.pad.meta()),
        ("purpose", said.purpose.meta()),
        // That of a subject keeps it the same column. An id has no name that is kept.
        ("rename", said.rename.meta().filter(|_| why != "subject")),
    ];
    for (what, meta) in sealed {
        if let Some(meta) = meta {
            let message = format!(
                "`{what}` is for sealed fields, and `{why}` leaves `{ident}` in the clear: drop one of the two"
            );
            errors.push(meta, message);
        }
    }
    if why == "clear" {
        return;
    }
    if let Some(clear) = said.clear.meta() {
        errors.push(clear, format!("`{why}` leaves `{ident}` in the clear already: drop `clear`"));
    }
    let article = if why == "id" { "an" } else { "a" };
    match outer(ty).as_deref() {
        Some("Sealed") => errors.push(
            ty,
            format!("{article} `{why}` can't be sealed, for it is read before anything opens: leave it in the clear"),
        ),
        Some("Option") if said.id.is_said() => errors
            .push(ty, "an `id` can't be an `Option`, for it is bound into every value: make it known before sealing"),
        _ => {}
    }
}

/// 0 is a placeholder but for a part of several ids that says otherwise.
fn check_zero(ident: &Ident, said: &FieldAttrs, attrs: &[Attribute], errors: &mut Errors) {
    let Some(zero) = said.zero.meta() else { return };
    if !mentions(attrs, "id") {
        errors.push(zero, format!("`zero` allows an id to be 0, and `{ident}` is none: say `id`, or drop `zero`"));
    }
    if mentions(attrs, "subject") {
        errors.push(zero, "a subject is never 0: drop `zero`");
    }
}

fn check_ids(record: &Ident, said: &ContainerAttrs, fields: &[ReadField], errors: &mut Errors) {
    let ids: Vec<_> = fields.iter().filter_map(|field| field.said.id.meta()).collect();
    match said.unbound.meta() {
        Some(unbound) if !ids.is_empty() => errors.push(
            unbound,
            "an `unbound` record has no id: drop `unbound`, or say `clear` instead of `id` on the field",
        ),
        None if !fields.iter().any(|field| field.mentions_id) => errors.push(
            record,
            "nothing binds the values to their row: mark its id with `#[record(id)]`, or say `#[record(unbound)]` on the \
             struct if values may be swapped among one subject's rows",
        ),
        _ => {}
    }
    if let Some(fifth) = ids.get(MAX_IDS) {
        errors.push(fifth, format!("a record has at most {MAX_IDS} ids: leave out those that the others imply"));
    }
    let of_id = fields.iter().filter(|field| field.said.id.is_said() && !field.said.subject.is_said());
    let zeros: Vec<_> = of_id.filter_map(|field| field.said.zero.meta()).collect();
    match zeros.as_slice() {
        [zero] if ids.len() == 1 => {
            errors.push(zero, "an id that stands alone is never 0, which is a placeholder: drop `zero`");
        }
        [_, second, ..] => errors.push(second, "only one of a record's ids may be 0: drop `zero` on the others"),
        _ => {}
    }
}

fn check_subject(record: &Ident, said: &ContainerAttrs, fields: &[ReadField], errors: &mut Errors) {
    let subjects: Vec<_> = fields.iter().filter_map(|field| field.said.subject.meta()).collect();
    match said.any_subject.meta() {
        Some(any) if !subjects.is_empty() => errors.push(
            any,
            "a record of `any_subject` doesn't say whose it is, and this one does: drop `any_subject`, or say `clear` \
             instead of `subject` on the field",
        ),
        None if !fields.iter().any(|field| field.mentions_subject) => errors.push(
            record,
            "nothing says whose data it is: mark the field that names the person, and what they are, with \
             `#[record(subject = \"customer\")]` (or `#[record(id, subject = \"customer\")]`); or say \
             `#[record(any_subject)]` on the struct if no field does, and the keys decide",
        ),
        _ => {}
    }
    if let Some(second) = subjects.get(1) {
        errors.push(second, "a record has one subject, whose keys seal it: say `clear` on the others");
    }
}

fn check_names(record: &Ident, fields: &[Field], errors: &mut Errors) {
    let (mut names, mut constants) = (HashMap::new(), HashMap::new());
    let mut any = false;
    for field in fields {
        let Kind::Sealed(column) = &field.kind else { continue };
        any = true;
        if let Some(first) = names.insert(column.name.clone(), &field.ident) {
            let message = format!(
                "`{first}` is named \"{}\" already, and their values could be swapped: give one of them another `rename`",
                column.name
            );
            errors.push(&field.ident, message);
        }
        if let Some(first) = constants.insert(column.constant.to_string(), &field.ident) {
            let message = format!(
                "`{first}` makes the constant `{}` already: rename one of the fields (`rename` keeps its name in the context)",
                column.constant
            );
            errors.push(&field.ident, message);
        }
    }
    // With fields that can't be read there may be one.
    if !any && errors.is_empty() {
        errors.push(record, "nothing here is sealed: make a field a `Sealed<T>`, or drop `Record`");
    }
}

fn purposes(fields: &[Field], errors: &mut Errors) -> Vec<String> {
    let mut purposes = Vec::new();
    for field in fields {
        let Kind::Sealed(column) = &field.kind else { continue };
        if purposes.contains(&column.purpose) {
            continue;
        }
        if purposes.len() == MAX_PURPOSES {
            errors.push(&field.ident, format!("a tenant has at most {MAX_PURPOSES} purposes: let fields share them"));
            break;
        }
        purposes.push(column.purpose.clone());
    }
    purposes
}

/// Whether a `#[record(..)]` among `attrs` has the word at its top level, rightly used or not.
fn mentions(attrs: &[Attribute], word: &str) -> bool {
    let lists =
        attrs.iter().filter(|attr| attr.path().is_ident("record")).filter_map(|attr| attr.meta.require_list().ok());
    lists.flat_map(|list| list.tokens.clone()).any(|token| matches!(token, TokenTree::Ident(ident) if ident == word))
}

fn mentions_sealed(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident.unraw() == "Sealed",
        TokenTree::Group(group) => mentions_sealed(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The last name of the path that a type is.
fn outer(ty: &Type) -> Option<String> {
    match ty {
        Type::Group(group) => outer(&group.elem),
        Type::Paren(paren) => outer(&paren.elem),
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.unraw().to_string()),
        _ => None,
    }
}

/// What a user allowed of a definition is allowed of what is made of it. An expectation need not be met twice.
fn lints(attrs: &[Attribute]) -> Vec<TokenStream> {
    let lists = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => Some(&list.tokens),
        _ => None,
    });
    lists.map(|tokens| quote!(#[allow(#tokens)])).collect()
}

/// `email` and `emailAddress` as `EMAIL` and `EMAIL_ADDRESS`.
fn screaming(name: &str) -> String {
    let (mut out, mut after_lower) = (String::new(), false);
    for c in name.chars() {
        if c.is_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_uppercase());
    }
    out
}

/// The longest tuple that names a record.
const MAX_IDS: usize = 4;
/// Of a tenant.
const MAX_PURPOSES: usize = 16;
