//! Stage three: the code. Decides nothing: what it emits compiles, but for the bounds on the fields' types, whose errors
//! point at those types.
//!
//! Names are absolute and calls fully qualified, for a user's module may have a `Result`, a `std` or a `seal` of its own.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Generics, Type};

use super::ast::{Column, Field, Kind, Record, Subject};

/// The derive macro: a struct in, its code or all of its errors out.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    match syn::parse2(input).and_then(Record::check) {
        Ok(record) => expand(&record),
        Err(errors) => errors.into_compile_error(),
    }
}

fn expand(record: &Record) -> TokenStream {
    let twin = twin(record);
    let lints = &record.lints;
    let impls = [constants(record), record_impl(record), debug_impl(record), subject_impls(record)];
    quote! {
        #twin

        #(#lints)*
        const _: () = {
            #(#impls)*
        };
    }
}

fn twin(record: &Record) -> TokenStream {
    let Record { vis, krate, lints, generics, .. } = record;
    let (row, ident) = (&record.ident, generated(&record.twin.ident));
    let where_clause = &generics.where_clause;
    let (derives, attrs) = (&record.twin.derives, &record.twin.attrs);
    let derives = (!derives.is_empty()).then(|| quote!(#[derive(#(#derives),*)]));
    let doc = if *row == row.unraw() {
        format!("The plaintext twin of [`{row}`]: what is sealed there is in the clear here.")
    } else {
        format!("The plaintext twin of `{row}`: what is sealed there is in the clear here.")
    };
    let fields = record.fields.iter().map(|field| {
        let Field { vis, ident, ty, docs, lints, twin_attrs, .. } = field;
        let doc = if docs.is_empty() {
            let doc = format!("`{ident}` of `{row}`.");
            quote!(#[doc = #doc])
        } else {
            quote!(#(#docs)*)
        };
        let ty = match field.kind {
            Kind::Sealed(_) => {
                let (at, ty) = (on(ty), of_row(ty, record));
                quote_spanned!(at=> <#ty as #krate::Column>::Plain)
            }
            Kind::Clear(_) => of_row(ty, record),
        };
        quote! {
            #doc
            #(#lints)*
            #(#[#twin_attrs])*
            #vis #ident: #ty
        }
    });
    quote! {
        #[doc = #doc]
        #derives
        #(#lints)*
        #(#[#attrs])*
        #vis struct #ident #generics #where_clause {
            #(#fields,)*
        }
    }
}

/// One [`Field`] constant a column.
fn constants(record: &Record) -> TokenStream {
    let Record { krate, ident: row, .. } = record;
    let constants = record.columns().map(|(field, column)| {
        let Field { vis, ident, ty, .. } = field;
        let Column { name, purpose, pad, of_other_purpose, .. } = column;
        let constant = generated(&column.constant);
        let doc = format!("`{ident}` of `{row}`, for `SubjectKeys::open`, `SubjectKeys::change` and `RecordRef`.");
        let made = quote! {
            #krate::Field::new(
                #krate::record::FieldSpec::new(#name, #purpose, #pad, #of_other_purpose),
                |__row| &__row.#ident,
                |__row| &mut __row.#ident,
            )
        };
        // The bound that only such a field has: its error points at the type.
        let made = if *of_other_purpose {
            quote!(#krate::record::private::of_other_purpose::<Self, #ty>(#made))
        } else {
            made
        };
        quote! {
            #[doc = #doc]
            #vis const #constant: #krate::Field<Self, #ty> = #made;
        }
    });
    let (impl_generics, ty_generics, where_clause) = record.generics.split_for_impl();
    quote! {
        impl #impl_generics #row #ty_generics #where_clause {
            #(#constants)*
        }
    }
}

fn record_impl(record: &Record) -> TokenStream {
    let Record { krate, ident: row, schema, purposes, .. } = record;
    let twin = generated(&record.twin.ident);
    let (impl_generics, ty_generics, where_clause) = record.generics.split_for_impl();

    let id_types: Vec<_> = record.ids().map(|(field, _)| &field.ty).collect();
    let id_type = match id_types.as_slice() {
        [one] => one.to_token_stream(),
        several => quote!((#(#several),*)),
    };
    let ids_of_plain = ids_of(record, &quote!(__plain));
    let ids_of_self = ids_of(record, &quote!(self));
    let ids_of_id = ids_of_id(record);
    let set_id = set_id(record);
    let id_specs = record.ids().map(|(field, clear)| {
        let (ty, zero, subject) = (&field.ty, clear.zero, clear.subject.is_some());
        quote_spanned!(on(ty)=> #krate::record::private::IdSpec::of::<#ty>(#zero, #subject))
    });

    // Not as methods: those of a user's blanket impl with `&self` would come before ours with `&mut self`.
    let (sealer, opener) =
        (quote!(#krate::record::private::RecordSealer), quote!(#krate::record::private::RecordOpener));
    // Struct expressions are evaluated as written: in the order of the declaration, in which nonces are counted.
    let sealed = record.fields.iter().map(|field| {
        let Field { ident, ty, .. } = field;
        match &field.kind {
            Kind::Clear(_) => {
                quote_spanned!(on(ty)=> #ident: <#ty as ::core::clone::Clone>::clone(&__plain.#ident))
            }
            Kind::Sealed(column) => {
                let constant = generated(&column.constant);
                quote_spanned!(on(ty)=> #ident: #sealer::seal(&mut __sealer, Self::#constant, &__plain.#ident)?)
            }
        }
    });
    let opened = record.fields.iter().map(|field| {
        let Field { ident, ty, .. } = field;
        match &field.kind {
            Kind::Clear(_) => quote_spanned!(on(ty)=> #ident: <#ty as ::core::clone::Clone>::clone(&self.#ident)),
            Kind::Sealed(column) => {
                let constant = generated(&column.constant);
                quote_spanned!(on(ty)=> #ident: #opener::open(&mut __opener, Self::#constant, self)?)
            }
        }
    });
    let visited = record.columns().map(|(field, column)| {
        let constant = generated(&column.constant);
        quote_spanned!(on(&field.ty)=> #krate::record::private::FieldVisitor::visit(__visitor, Self::#constant);)
    });
    let none = quote!(::core::option::Option::None);
    let (subject_type, subject_kind, subject_field) = match record.subject() {
        Some((Field { ty, .. }, Subject { kind, name })) => {
            let spec = quote_spanned!(on(ty)=> #krate::record::private::SubjectSpec::of::<#ty>(#name));
            let is_id = record.ids().any(|(_, clear)| clear.subject.is_some());
            (
                quote_spanned!(on(ty)=> <#ty as #krate::record::private::SubjectField>::Id),
                quote!(::core::option::Option::Some(#kind)),
                if is_id { none } else { quote!(::core::option::Option::Some(#spec)) },
            )
        }
        None => (quote!(()), none.clone(), none),
    };
    let owner_of_plain = owner(record, &quote!(__plain));
    let owner_of_self = owner(record, &quote!(self));

    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::Record for #row #ty_generics #where_clause {
            type Plain = #twin #ty_generics;
            type Id = #id_type;
            type Subject = #subject_type;
            const SCHEMA: &'static ::core::primitive::str = #schema;
            const PURPOSES: &'static [&'static ::core::primitive::str] = &[#(#purposes),*];
            const SUBJECT_KIND: ::core::option::Option<&'static ::core::primitive::str> = #subject_kind;
            const IDS: &'static [#krate::record::private::IdSpec] = &[#(#id_specs),*];
            const SUBJECT_FIELD: ::core::option::Option<#krate::record::private::SubjectSpec> = #subject_field;

            fn seal_owned(
                __plain: &#twin #ty_generics,
                __keys: &#krate::SubjectKeys,
                __named: ::core::option::Option<&#krate::SubjectId>,
            ) -> #krate::Result<Self> {
                let mut __sealer = #sealer::new::<Self>(
                    __keys,
                    &#owner_of_plain?,
                    __named,
                    &#ids_of_plain,
                )?;
                ::core::result::Result::Ok(Self { #(#sealed,)* })
            }

            fn open(&self, __keys: &#krate::SubjectKeys) -> #krate::Result<#twin #ty_generics> {
                let mut __opener = #opener::new(__keys, self)?;
                ::core::result::Result::Ok(#twin { #(#opened,)* })
            }

            fn each_id(
                &self,
                __each: &mut dyn ::core::ops::FnMut(#krate::id::Id<'_>) -> #krate::Result<()>,
            ) -> #krate::Result<()> {
                #krate::id::RecordIds::each_id(&#ids_of_self, __each)
            }

            fn each_id_of(
                __id: &#id_type,
                __each: &mut dyn ::core::ops::FnMut(#krate::id::Id<'_>) -> #krate::Result<()>,
            ) -> #krate::Result<()> {
                #ids_of_id
            }

            fn set_id(&mut self, __id: #id_type) {
                #set_id
            }

            fn each_field(__visitor: &mut impl #krate::record::private::FieldVisitor<Self>) {
                #(#visited)*
            }

            fn owner(&self) -> #krate::Result<#krate::record::private::Owner<'_>> {
                #owner_of_self
            }
        }
    }
}

/// The ids of `value`, a row or a twin: one, or a tuple of none or several.
fn ids_of(record: &Record, value: &TokenStream) -> TokenStream {
    ids_in(record, |field| {
        let ident = &field.ident;
        quote!(&#value.#ident)
    })
}

/// Calls `__each` with the ids in `__id`.
fn ids_of_id(record: &Record) -> TokenStream {
    let krate = &record.krate;
    let names: Vec<_> = record.ids().map(|(field, _)| local(&field.ident)).collect();
    let ids = ids_in(record, |field| local(&field.ident).to_token_stream());
    let pattern = id_pattern(&names);
    quote! {
        let #pattern = __id;
        #krate::id::RecordIds::each_id(&#ids, __each)
    }
}

/// Sets the fields that are ids to those in `__id`.
fn set_id(record: &Record) -> TokenStream {
    let fields: Vec<_> = record.ids().map(|(field, _)| &field.ident).collect();
    let names: Vec<_> = fields.iter().map(|ident| local(ident)).collect();
    let pattern = id_pattern(&names);
    quote! {
        let #pattern = __id;
        #(self.#fields = #names;)*
    }
}

fn id_pattern(names: &[Ident]) -> TokenStream {
    match names {
        [one] => one.to_token_stream(),
        several => quote!((#(#several),*)),
    }
}

fn ids_in(record: &Record, reference: impl Fn(&Field) -> TokenStream) -> TokenStream {
    let krate = &record.krate;
    let ids = record.ids().map(|(field, clear)| {
        let id = reference(field);
        let made = if clear.zero { quote!(#krate::record::private::OrZero(#id)) } else { id };
        // The bound that an id has: its error points at the type.
        quote_spanned!(on(&field.ty)=> #made)
    });
    match ids.collect::<Vec<_>>().as_slice() {
        [one] => one.clone(),
        several => quote!((#(#several),*)),
    }
}

/// A variable for a field of this name, that shadows nothing.
fn local(name: &Ident) -> Ident {
    Ident::new(&format!("__id_{}", name.unraw()), Span::call_site())
}

/// Whose data `value`, a row or a twin, says it is: a result.
fn owner(record: &Record, value: &TokenStream) -> TokenStream {
    let krate = &record.krate;
    match record.subject() {
        Some((Field { ident, ty, .. }, Subject { kind, .. })) => {
            quote_spanned!(on(ty)=> #krate::record::private::Owner::of(#kind, &#value.#ident))
        }
        None => quote!(::core::result::Result::<_, #krate::Error>::Ok(#krate::record::private::Owner::Any)),
    }
}

/// The twin's name alone: what is in it is what the rest keeps sealed.
fn debug_impl(record: &Record) -> TokenStream {
    let twin = generated(&record.twin.ident);
    let name = twin.unraw().to_string();
    let (impl_generics, ty_generics, where_clause) = record.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #twin #ty_generics #where_clause {
            fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::DebugStruct::finish_non_exhaustive(&mut ::core::fmt::Formatter::debug_struct(__f, #name))
            }
        }
    }
}

/// Row and twin say whose they are.
fn subject_impls(record: &Record) -> TokenStream {
    let Some((Field { ident, ty, .. }, _)) = record.subject() else { return TokenStream::new() };
    let Record { krate, ident: row, .. } = record;
    let (impl_generics, ty_generics, where_clause) = record.generics.split_for_impl();
    let types = [row.clone(), generated(&record.twin.ident)];
    let subject = quote_spanned! {on(ty)=>
        #krate::record::private::subject_in::<#row #ty_generics, _>(&self.#ident)
    };
    quote! {
        #(
            #[automatically_derived]
            impl #impl_generics #krate::HasSubject for #types #ty_generics #where_clause {
                fn subject(&self) -> #krate::Result<#krate::SubjectId> {
                    #subject
                }
            }
        )*
    }
}

/// Generated code that stands on a type's place: an error in it is one of the type.
fn on(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}

/// A name that the user did not write: lints that a user can't act on pass over it.
fn generated(name: &Ident) -> Ident {
    let mut name = name.clone();
    name.set_span(Span::call_site().located_at(name.span()));
    name
}

/// The type of a row's field where it stands in the twin: `Self` is the row still.
fn of_row(ty: &Type, record: &Record) -> TokenStream {
    fn replace(tokens: TokenStream, row: &Ident, generics: &Generics) -> TokenStream {
        let (_, ty_generics, _) = generics.split_for_impl();
        let mut tokens = tokens.into_iter().peekable();
        let mut out = TokenStream::new();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "Self" => {
                    let path = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                    out.extend(if path { quote!(<#row #ty_generics>) } else { quote!(#row #ty_generics) });
                }
                TokenTree::Group(group) => {
                    let inner = replace(group.stream(), row, generics);
                    let mut replaced = proc_macro2::Group::new(group.delimiter(), inner);
                    replaced.set_span(group.span());
                    out.extend([TokenTree::Group(replaced)]);
                }
                other => out.extend([other]),
            }
        }
        out
    }
    replace(ty.to_token_stream(), &record.ident, &record.generics)
}
