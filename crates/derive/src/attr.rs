//! Stage one: what `#[record(..)]` and `#[plaintext(..)]` say, item by item, and where. What the items mean together is for
//! `ast` and `plaintext`.
//!
//! Imports `syn`, `quote` and `proc-macro2` only, as the others do: a fuzz target includes them by path.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Path, Token, Type};

/// What the struct's attributes say.
#[derive(Default)]
pub(crate) struct ContainerAttrs {
    pub(crate) schema: Said<String>,
    pub(crate) purpose: Said<String>,
    pub(crate) unbound: Said<()>,
    pub(crate) any_subject: Said<()>,
    pub(crate) krate: Said<Path>,
    pub(crate) twin_name: Said<Ident>,
    pub(crate) twin_derives: Said<Vec<Path>>,
    pub(crate) twin_attrs: Vec<Meta>,
}

/// What a field's attributes say.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) id: Said<()>,
    pub(crate) zero: Said<()>,
    /// The kind of the subject that the field names.
    pub(crate) subject: Said<String>,
    pub(crate) clear: Said<()>,
    pub(crate) sealed: Said<()>,
    pub(crate) purpose: Said<String>,
    pub(crate) pad: Said<usize>,
    pub(crate) rename: Said<String>,
    pub(crate) twin_attrs: Vec<Meta>,
}

/// What `#[plaintext(..)]` says on a type.
#[derive(Default)]
pub(crate) struct TypeAttrs {
    pub(crate) krate: Said<Path>,
}

/// What `#[plaintext(..)]` says on a variant.
#[derive(Default)]
pub(crate) struct VariantAttrs {
    pub(crate) rename: Said<String>,
}

/// An item that may be said once, and the tokens that say it.
pub(crate) struct Said<T>(Option<(T, Meta)>);

/// Every error of one input, so that a user meets them all at once.
#[derive(Default)]
#[must_use]
pub(crate) struct Errors(Option<syn::Error>);

impl ContainerAttrs {
    pub(crate) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut said = Self::default();
        for meta in items("record", attrs, errors) {
            let read = match name_of(&meta).as_str() {
                "schema" => said.schema.set(meta, name),
                "purpose" => said.purpose.set(meta, name),
                "unbound" => said.unbound.set(meta, flag),
                "any_subject" => said.any_subject.set(meta, flag),
                "crate" => said.krate.set(meta, path),
                "plain" => {
                    nested(&meta).map(|nested| nested.into_iter().for_each(|meta| said.read_plain(meta, errors)))
                }
                other => Err(unknown(&meta, other, "a record", CONTAINER, FIELD, "a field")),
            };
            errors.take(read);
        }
        said
    }

    fn read_plain(&mut self, meta: Meta, errors: &mut Errors) {
        let read = match name_of(&meta).as_str() {
            "name" => self.twin_name.set(meta, ident),
            "derive" => self.twin_derives.set(meta, derives),
            "attr" => twin_attrs(&meta).map(|attrs| self.twin_attrs.extend(attrs)),
            other => Err(unknown(&meta, other, "`plain`", CONTAINER_PLAIN, &[], "")),
        };
        errors.take(read);
    }
}

impl FieldAttrs {
    pub(crate) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut said = Self::default();
        for meta in items("record", attrs, errors) {
            let read = match name_of(&meta).as_str() {
                "id" => said.id.set(meta, flag),
                "zero" => said.zero.set(meta, flag),
                "subject" => said.subject.set(meta, kind),
                "clear" => said.clear.set(meta, flag),
                "sealed" => said.sealed.set(meta, flag),
                "purpose" => said.purpose.set(meta, name),
                "pad" => said.pad.set(meta, pad),
                "rename" => said.rename.set(meta, name),
                "plain" => {
                    nested(&meta).map(|nested| nested.into_iter().for_each(|meta| said.read_plain(&meta, errors)))
                }
                other => Err(unknown(&meta, other, "a field", FIELD, CONTAINER, "the struct")),
            };
            errors.take(read);
        }
        said
    }

    fn read_plain(&mut self, meta: &Meta, errors: &mut Errors) {
        let read = match name_of(meta).as_str() {
            "attr" => twin_attrs(meta).map(|attrs| self.twin_attrs.extend(attrs)),
            other => Err(unknown(meta, other, "a field's `plain`", &["attr"], CONTAINER_PLAIN, "the struct's `plain`")),
        };
        errors.take(read);
    }
}

impl TypeAttrs {
    pub(crate) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut said = Self::default();
        for meta in items("plaintext", attrs, errors) {
            let read = match name_of(&meta).as_str() {
                "crate" => said.krate.set(meta, path),
                other => Err(unknown(&meta, other, "the type", TYPE, VARIANT, "a variant")),
            };
            errors.take(read);
        }
        said
    }
}

impl VariantAttrs {
    pub(crate) fn read(attrs: &[Attribute], errors: &mut Errors) -> Self {
        let mut said = Self::default();
        for meta in items("plaintext", attrs, errors) {
            let read = match name_of(&meta).as_str() {
                "rename" => said.rename.set(meta, |meta| text(meta).map(|text| text.value())),
                other => Err(unknown(&meta, other, "a variant", VARIANT, TYPE, "the type")),
            };
            errors.take(read);
        }
        said
    }
}

impl<T> Said<T> {
    pub(crate) fn value(&self) -> Option<&T> {
        self.0.as_ref().map(|(value, _)| value)
    }

    /// What to point at.
    pub(crate) fn meta(&self) -> Option<&Meta> {
        self.0.as_ref().map(|(_, meta)| meta)
    }

    pub(crate) fn is_said(&self) -> bool {
        self.0.is_some()
    }

    fn set(&mut self, meta: Meta, read: impl FnOnce(&Meta) -> syn::Result<T>) -> syn::Result<()> {
        if self.is_said() {
            let name = name_of(&meta);
            return Err(syn::Error::new_spanned(meta, format!("`{name}` is said twice: say it once")));
        }
        let value = read(&meta)?;
        self.0 = Some((value, meta));
        Ok(())
    }
}

impl<T> Default for Said<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl Errors {
    pub(crate) fn push(&mut self, at: impl ToTokens, message: impl std::fmt::Display) {
        self.take::<()>(Err(syn::Error::new_spanned(at, message)));
    }

    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
        None
    }

    /// Refuses a trait in a field's place: it has no size. Written as `A +` it can't stand in a path, either.
    pub(crate) fn of_trait(&mut self, ty: &Type) {
        if matches!(ty, Type::TraitObject(_) | Type::ImplTrait(_)) {
            self.push(ty, "this is a trait, and a field needs a type of a known size: name the type");
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn none_or(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The items of every attribute `#[word(..)]` among `attrs`.
fn items(word: &str, attrs: &[Attribute], errors: &mut Errors) -> Vec<Meta> {
    let ours = attrs.iter().filter(|attr| attr.path().is_ident(word));
    ours.filter_map(|attr| errors.take(nested(&attr.meta))).flatten().collect()
}

/// What stands in the parentheses of `name(..)`.
fn nested(meta: &Meta) -> syn::Result<Punctuated<Meta, Token![,]>> {
    match meta {
        Meta::List(list) => list.parse_args_with(Punctuated::parse_terminated),
        other => {
            let name = name_of(other);
            Err(syn::Error::new_spanned(other, format!("`{name}` takes a list: `{name}(..)`")))
        }
    }
}

fn name_of(meta: &Meta) -> String {
    meta.path().to_token_stream().to_string()
}

fn flag(meta: &Meta) -> syn::Result<()> {
    match meta {
        Meta::Path(_) => Ok(()),
        other => {
            let name = name_of(other);
            Err(syn::Error::new_spanned(other, format!("`{name}` takes no value: say `{name}`")))
        }
    }
}

/// The right side of `name = value`, out of the invisible groups that macros leave around it.
fn value(meta: &Meta) -> Option<&Expr> {
    let Meta::NameValue(pair) = meta else { return None };
    let mut value = &pair.value;
    while let Expr::Group(group) = value {
        value = &group.expr;
    }
    Some(value)
}

fn text(meta: &Meta) -> syn::Result<LitStr> {
    match value(meta) {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Ok(text.clone()),
        _ => {
            let name = name_of(meta);
            Err(syn::Error::new_spanned(meta, format!("`{name}` takes a string: `{name} = \"..\"`")))
        }
    }
}

fn path(meta: &Meta) -> syn::Result<Path> {
    let text = text(meta)?;
    text.parse_with(Path::parse_mod_style)
        .map_err(|_| syn::Error::new_spanned(text, "`crate` takes the path to the library: `crate = \"sealing\"`"))
}

/// A name that is bound into envelopes.
fn name(meta: &Meta) -> syn::Result<String> {
    let text = text(meta)?;
    match text.value() {
        name if name.is_empty() => {
            let what = name_of(meta);
            Err(syn::Error::new_spanned(text, format!("`{what}` must not be empty: it is bound into every value")))
        }
        name if name.len() > MAX_NAME => {
            let (what, len) = (name_of(meta), name.len());
            Err(syn::Error::new_spanned(
                text,
                format!("`{what}` has at most {MAX_NAME} bytes, and this one has {len}: shorten it"),
            ))
        }
        name => Ok(name),
    }
}

/// What a subject is: a part of who a person is.
fn kind(meta: &Meta) -> syn::Result<String> {
    let Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) = value(meta) else {
        let message = "`subject` takes the kind of the person that the field names: `subject = \"customer\"`, as customer \
                       17 is another person than employee 17";
        return Err(syn::Error::new_spanned(meta, message));
    };
    let kind = text.value();
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    if (1..=MAX_KIND).contains(&kind.len()) && kind.bytes().all(allowed) {
        return Ok(kind);
    }
    let message = format!("a kind of subject is 1 to {MAX_KIND} of the characters a-z, 0-9, _, . and -: `customer`");
    Err(syn::Error::new_spanned(text, message))
}

fn pad(meta: &Meta) -> syn::Result<usize> {
    let number = match value(meta) {
        Some(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => number.base10_parse().ok(),
        _ => None,
    };
    number.filter(|n| (2..=MAX_PAD).contains(n)).ok_or_else(|| {
        let message =
            format!("`pad` takes a number from 2 to {MAX_PAD}, to a multiple of which values are padded: `pad = 64`");
        syn::Error::new_spanned(meta, message)
    })
}

/// `name = Ident` or `name = "Ident"`.
fn ident(meta: &Meta) -> syn::Result<Ident> {
    let ident = match value(meta) {
        Some(Expr::Path(path)) => path.path.get_ident().cloned(),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => text.parse().ok(),
        _ => None,
    };
    ident.ok_or_else(|| syn::Error::new_spanned(meta, "`name` takes the name of a type: `name = CustomerForm`"))
}

/// The twin's derives. Its `Debug` is ours.
fn derives(meta: &Meta) -> syn::Result<Vec<Path>> {
    let Meta::List(list) = meta else {
        return Err(syn::Error::new_spanned(meta, "`derive` takes a list: `derive(..)`"));
    };
    let derives = list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)?;
    match derives.iter().find(|path| path.segments.last().is_some_and(|last| last.ident == "Debug")) {
        Some(debug) => {
            Err(syn::Error::new_spanned(debug, "the plaintext twin has a `Debug` that shows no field: drop this one"))
        }
        None => Ok(derives.into_iter().collect()),
    }
}

/// `attr(..)`: attributes as they are, but `derive`, which has an item of its own.
fn twin_attrs(meta: &Meta) -> syn::Result<Punctuated<Meta, Token![,]>> {
    let attrs = nested(meta)?;
    match attrs.iter().find(|attr| attr.path().is_ident("derive")) {
        Some(derive) => Err(syn::Error::new_spanned(derive, "say `plain(derive(..))` on the struct")),
        None => Ok(attrs),
    }
}

fn unknown(meta: &Meta, name: &str, of: &str, known: &[&str], elsewhere: &[&str], place: &str) -> syn::Error {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let hint = if elsewhere.contains(&name) { format!(" (`{name}` goes on {place})") } else { String::new() };
    syn::Error::new_spanned(meta.path(), format!("`{name}` is no attribute of {of}: it knows {list}{hint}"))
}

const CONTAINER: &[&str] = &["schema", "purpose", "unbound", "any_subject", "plain", "crate"];
const CONTAINER_PLAIN: &[&str] = &["name", "derive", "attr"];
const FIELD: &[&str] = &["id", "zero", "subject", "clear", "sealed", "purpose", "pad", "rename", "plain"];
const TYPE: &[&str] = &["crate"];
const VARIANT: &[&str] = &["rename"];

/// What the library takes for an id or a name, and for padding.
pub(crate) const MAX_NAME: usize = 1024;
const MAX_KIND: usize = 64;
const MAX_PAD: usize = 65536;
