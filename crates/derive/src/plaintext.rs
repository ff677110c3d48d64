//! `derive(Plaintext)`: newtypes, which are sealed as what they wrap, and plain enums, which are sealed as text.
//!
//! Imports `attr`. Names are absolute and calls fully qualified, as in `expand`.

use std::collections::HashMap;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Generics, Member, Type, Variant, parse_quote};

use super::attr::{Errors, TypeAttrs, VariantAttrs};

/// The derive macro: a type in, its code or all of its errors out.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    match syn::parse2(input).and_then(Value::check) {
        Ok(value) => value.expand(),
        Err(errors) => errors.into_compile_error(),
    }
}

/// A type that can be sealed as another.
struct Value {
    ident: Ident,
    generics: Generics,
    /// The path to the library.
    krate: TokenStream,
    shape: Shape,
}

enum Shape {
    /// Its field.
    Newtype(Member, Box<Type>),
    /// Its variants, at least one, and their names.
    Enum(Vec<(Ident, String)>),
}

impl Value {
    fn check(input: DeriveInput) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let said = TypeAttrs::read(&input.attrs, &mut errors);
        let shape = match input.data {
            Data::Struct(data) => newtype(&input.ident, data.fields, &mut errors),
            Data::Enum(data) => plain_enum(&input.ident, data.variants, &mut errors),
            Data::Union(_) => {
                errors.push(&input.ident, "a union doesn't say what it holds: make it an enum or a newtype");
                None
            }
        };
        errors.none_or()?;
        // Whoever gave nothing has said why.
        let shape =
            shape.ok_or_else(|| syn::Error::new(Span::call_site(), "a type that can't be read: please report it"))?;
        let krate = said.krate.value().map_or_else(|| quote!(::fieldseal), ToTokens::to_token_stream);
        Ok(Self { ident: input.ident, generics: input.generics, krate, shape })
    }

    fn expand(mut self) -> TokenStream {
        let krate = &self.krate;
        let items = match &self.shape {
            Shape::Newtype(member, ty) => {
                // A bound that depends on nothing is no bound, and rustc says so; the calls hold it.
                if self.generics.type_params().next().is_some() {
                    self.generics.make_where_clause().predicates.push(parse_quote!(#ty: #krate::Plaintext));
                }
                of_newtype(krate, member, ty)
            }
            Shape::Enum(variants) => of_enum(krate, variants),
        };
        let ident = &self.ident;
        let (impl_generics, ty_generics, where_clause) = self.generics.split_for_impl();
        quote! {
            #[automatically_derived]
            impl #impl_generics #krate::Plaintext for #ident #ty_generics #where_clause {
                #items
            }
        }
    }
}

fn newtype(ident: &Ident, fields: Fields, errors: &mut Errors) -> Option<Shape> {
    let mut fields = fields.into_iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        let message = "a newtype has one field, and is sealed as what that is; a struct of several is sealed as JSON \
                       (`AsJson`), field by field (`derive(Record)`), or by a `Plaintext` of its own";
        errors.push(ident, message);
        return None;
    };
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("plaintext")) {
        errors.push(attr, "the field of a newtype takes no attribute: it is sealed as what it is");
    }
    errors.of_trait(&field.ty);
    Some(Shape::Newtype(field.ident.map_or_else(|| Member::from(0), Member::from), Box::new(field.ty)))
}

fn plain_enum(ident: &Ident, variants: impl IntoIterator<Item = Variant>, errors: &mut Errors) -> Option<Shape> {
    let mut named = Vec::new();
    let mut names = HashMap::new();
    for variant in variants {
        let said = VariantAttrs::read(&variant.attrs, errors);
        let name = said.rename.value().cloned().unwrap_or_else(|| variant.ident.unraw().to_string());
        if !matches!(variant.fields, Fields::Unit) {
            let message = format!(
                "`{}` has fields, and a plain enum has none, for its names alone are sealed: seal it as JSON (`AsJson`), or \
                 by a `Plaintext` of its own",
                variant.ident
            );
            errors.push(&variant.ident, message);
        }
        if let Some(first) = names.insert(name.clone(), variant.ident.clone()) {
            let message = format!("`{first}` is sealed as {name:?} already: give one of the two another `rename`");
            errors.push(&variant.ident, message);
        }
        named.push((variant.ident, name));
    }
    if named.is_empty() {
        errors.push(ident, "an enum without variants has no value to seal");
        return None;
    }
    Some(Shape::Enum(named))
}

fn of_newtype(krate: &TokenStream, member: &Member, ty: &Type) -> TokenStream {
    let inner = quote_spanned!(on(ty.span())=> <#ty as #krate::Plaintext>);
    quote! {
        const KIND: #krate::value::Kind = #inner::KIND;
        const NULLABLE: ::core::primitive::bool = #inner::NULLABLE;

        fn shape() -> #krate::value::Shape {
            #inner::shape()
        }

        fn reads(__found: #krate::value::Kind) -> ::core::primitive::bool {
            #inner::reads(__found)
        }

        fn encoded_len(&self) -> #krate::Result<::core::primitive::usize> {
            #inner::encoded_len(&self.#member)
        }

        fn encode(&self, __out: &mut #krate::value::Encoder<'_>) -> #krate::Result<()> {
            #inner::encode(&self.#member, __out)
        }

        fn decode(__value: #krate::value::Decoder<'_>) -> #krate::Result<Self> {
            ::core::result::Result::Ok(Self { #member: #inner::decode(__value)? })
        }

        fn wipe(&mut self) {
            #inner::wipe(&mut self.#member)
        }
    }
}

fn of_enum(krate: &TokenStream, variants: &[(Ident, String)]) -> TokenStream {
    // Named because they are there: what a user deprecates of them is not ours to hear.
    let idents: Vec<_> = variants
        .iter()
        .map(|(ident, _)| {
            let mut ident = ident.clone();
            ident.set_span(on(ident.span()));
            ident
        })
        .collect();
    let names: Vec<_> = variants.iter().map(|(_, name)| name).collect();
    let bytes = names.iter().map(|name| Literal::byte_string(name.as_bytes()));
    let lens = names.iter().map(|name| name.len());
    let first = idents.first();
    quote! {
        const KIND: #krate::value::Kind = #krate::value::Kind::Text;

        fn shape() -> #krate::value::Shape {
            #krate::value::Shape::one_of(&[#(#names),*])
        }

        fn encoded_len(&self) -> #krate::Result<::core::primitive::usize> {
            ::core::result::Result::Ok(match self { #(Self::#idents => #lens,)* })
        }

        fn encode(&self, __out: &mut #krate::value::Encoder<'_>) -> #krate::Result<()> {
            let __name = match self { #(Self::#idents => #names,)* };
            #krate::value::Encoder::put(__out, ::core::primitive::str::as_bytes(__name))
        }

        fn decode(__value: #krate::value::Decoder<'_>) -> #krate::Result<Self> {
            ::core::result::Result::Ok(match #krate::value::Decoder::bytes(&__value)? {
                #(#bytes => Self::#idents,)*
                _ => return ::core::result::Result::Err(#krate::Error::Malformed),
            })
        }

        fn wipe(&mut self) {
            *self = Self::#first;
            // Else the optimizer may drop the write, as the value is dropped right after.
            ::core::hint::black_box(self);
        }
    }
}

/// Generated code that stands on a place of the user's: an error in it is one there.
fn on(span: Span) -> Span {
    Span::call_site().located_at(span)
}
