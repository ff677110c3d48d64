//! Fields named like what the macro uses, like keywords, and like nothing usual.
#![deny(warnings)]

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "odd")]
pub struct Odd {
    #[record(id)]
    pub keys: i64,
    #[record(id, subject = "customer")]
    pub r#type: String,
    pub schema: Sealed<String>,
    pub plain: Sealed<String>,
    pub id: Sealed<String>,
    pub self_: Sealed<String>,
    pub r#fn: Sealed<String>,
    pub seal: Sealed<String>,
    pub open: Sealed<String>,
    pub purposes: Sealed<String>,
    pub sealer: Sealed<String>,
    pub opener: Sealed<String>,
    pub row: Sealed<String>,
    pub each: Sealed<String>,
    pub visitor: Sealed<String>,
    pub reseal: Sealed<String>,
    pub f: Sealed<String>,
    pub _unused: Sealed<String>,
    pub größe: Sealed<String>,
    pub 名: Sealed<String>,
    #[record(clear)]
    pub __keys: i64,
    #[record(clear)]
    pub __plain: i64,
    #[record(clear)]
    pub __sealer: i64,
    #[record(clear)]
    pub __visitor: i64,
    #[record(clear)]
    pub r#struct: i64,
}

/// Of a raw name.
#[derive(Record)]
#[record(schema = "match", any_subject)]
#[allow(non_camel_case_types, non_snake_case)]
pub struct r#match {
    #[record(id)]
    pub rowId: i64,
    pub emailAddress: Sealed<String>,
}

/// A field may be of the type itself.
#[derive(Record)]
#[record(schema = "node", any_subject)]
pub struct Node<T: Clone> {
    #[record(id)]
    pub id: i64,
    pub name: Sealed<String>,
    #[record(clear)]
    pub by: std::marker::PhantomData<(Self, [Option<Self>; 2])>,
    #[record(clear)]
    pub of: std::marker::PhantomData<T>,
    #[record(clear)]
    pub kind: <Self as HasKind>::Kind,
}

/// To name a type by `Self`.
pub trait HasKind {
    /// The type.
    type Kind: Clone;
}

impl<T: Clone> HasKind for Node<T> {
    type Kind = u8;
}

mod inner {
    use fieldseal::{Record, Sealed};

    #[derive(Record)]
    #[record(schema = "scoped", any_subject, unbound)]
    pub(crate) struct Scoped {
        pub(super) of_super: Sealed<String>,
        pub(in crate::pass::odd_names::inner) of_path: Sealed<String>,
        private: Sealed<String>,
    }

    pub(crate) fn nameable() -> usize {
        [Scoped::OF_SUPER, Scoped::OF_PATH, Scoped::PRIVATE].len()
    }
}

macro_rules! record {
    ($name:ident, $schema:expr, $pad:literal, $field:ident: $ty:ty) => {
        #[derive(Record)]
        #[record(schema = $schema, any_subject)]
        pub(crate) struct $name {
            #[record(id)]
            pub id: i64,
            #[record(pad = $pad)]
            pub $field: $ty,
        }
    };
}
record!(Made, "made", 64, note: Sealed<String>);

#[test]
fn fields_may_be_named_like_anything() {
    assert_eq!(r#match::EMAIL_ADDRESS.spec().name(), "emailAddress");
    assert_eq!(Odd::FN.spec().name(), "fn");
    assert_eq!(Odd::SELF_.spec().name(), "self_");
    assert_eq!(<Odd as Record>::SCHEMA, "odd");
    assert_eq!(Odd::SCHEMA.spec().name(), "schema");
    assert_eq!(inner::Scoped::OF_SUPER.spec().name(), "of_super");
    assert_eq!(inner::nameable(), 3);
    assert_eq!(Made::NOTE.spec().pad(), 64);
    let _ = |plain: matchPlain| plain.emailAddress;

    #[derive(Record)]
    #[record(schema = "local", any_subject)]
    struct Local {
        #[record(id)]
        id: i64,
        name: Sealed<String>,
    }
    let _ = (Local::NAME, |local: Local| (local.id, local.name));
}
