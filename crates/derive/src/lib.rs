//! The derive macros of `fieldseal`. Use them through that crate, as `fieldseal::Record` and `fieldseal::Plaintext`.
//!
//! Three stages: `attr` reads what the attributes say, `ast` makes of it a record that is known to make sense or collects
//! every error, `expand` emits the code; of `Plaintext` the last two are `plaintext`. None of them names `proc_macro`, so that
//! tests and a fuzz target can call `expand::derive` and `plaintext::derive`.

mod ast;
mod attr;
mod expand;
mod plaintext;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a struct a record: a row as it is stored, whose personal fields are sealed.
///
/// ```
/// use fieldseal::{Record, Sealed};
///
/// #[derive(Record)] // and sqlx::FromRow, Serialize, ..: the row is a struct like any other
/// #[record(schema = "customer")]
/// pub struct Customer {
///     #[record(id, subject = "customer")]
///     pub id: i64,
///     pub email: Sealed<String>,
///     #[record(purpose = "billing")]
///     pub iban: Option<Sealed<String>>,
///     #[record(pad = 64)]
///     pub note: Sealed<String>,
///     #[record(clear)]
///     pub plan: String,
/// }
///
/// # let keys = fieldseal_testkit::keys_for(&Customer::subject_of(&7)?, &["default", "billing"], &[]);
/// let form = CustomerPlain {
///     id: 7,
///     email: "ada@example.com".into(),
///     iban: None,
///     note: "prefers letters".into(),
///     plan: "free".to_owned(),
/// };
/// let row = Customer::seal(&form, &keys)?;
/// assert_eq!(keys.open(&row, Customer::EMAIL)?.expose(), "ada@example.com");
/// assert_eq!(row.open(&keys)?.note.expose(), "prefers letters");
/// # Ok::<(), fieldseal::Error>(())
/// ```
///
/// # What it makes
/// - `CustomerPlain`, the plaintext twin: the same fields, with the same visibility, each sealed one a `Plain` (which is
///   wiped when dropped). Its `Debug` prints its name alone.
/// - `Customer::EMAIL`, a `Field` for each sealed field, to open and change it alone.
/// - `impl Record for Customer`. Sealing and opening clone the fields that are in the clear.
/// - `impl HasSubject` for row and twin, where a field is marked as the subject.
///
/// Generics, bounds and lifetimes of the struct are those of the twin too; what it `allow`s or `expect`s is allowed of all
/// that is made.
///
/// # Attributes of the struct
/// | `#[record(..)]` | means |
/// | --- | --- |
/// | `schema = "customer"` | Required: the record type's name, bound into every value. It stays when the struct is renamed. |
/// | `purpose = "billing"` | What the record is held for, where a field doesn't say otherwise. Without it: `default`. |
/// | `unbound` | The record has no id. See *Security*. |
/// | `any_subject` | No field names the person whose data it is. See *Security*. |
/// | `plain(name = CustomerForm)` | The twin's name. Without it: the struct's and `Plain`. |
/// | `plain(derive(Deserialize))` | Derives of the twin. |
/// | `plain(attr(serde(rename_all = "camelCase")))` | Attributes of the twin, as often as needed. |
/// | `crate = "sealing"` | The path to this library, where it is not `::fieldseal`. |
///
/// # Attributes of a field
/// Each field is either sealed or in the clear, and what is in the clear says so.
///
/// | `#[record(..)]` | means |
/// | --- | --- |
/// | `id` | Names the row: bound into every value, in the clear. Up to four, in the order of their declaration. |
/// | `zero` | With `id`: an integer that may be 0, in one of several ids. Elsewhere 0 is refused as a placeholder. |
/// | `subject = "customer"` | Names the person whose data it is, in the clear, and what they are. Alone or with `id`; one field. Alone it may be an `Option`: a row in which it is `None` is sealed with `Record::seal_for`, and no job that looks for a person finds it. |
/// | `clear` | Left in the clear. |
/// | `sealed` | Sealed, where an alias hides the `Sealed`. |
/// | `purpose = "billing"` | What the field is held for. If that is not the record's purpose, the field is an `Option`: once the purpose is erased it opens as `None`. |
/// | `pad = 64` | Pads values to a multiple of so many bytes (2 to 65536), because an envelope is as long as its value. |
/// | `rename = "e_mail"` | The field's name in the context. It stays when the field is renamed. Of a subject that is no id, the name by which `assert_schema!` knows it. |
/// | `plain(attr(serde(default)))` | Attributes of the twin's field. |
///
/// Names that are bound into values are part of the stored data. To rename a struct is free; to rename a field, keep its
/// old name as `rename`; what changes `schema`, `rename`, a purpose, the ids or their order makes stored values unreadable, and
/// what changes the kind of a subject loses everybody of that kind. A test with `fieldseal_testkit::assert_schema!` fails before
/// that happens.
///
/// # What an error means
/// All errors of a struct are told at once, each with its remedy. Those that rustc tells in its own words are unmet bounds
/// on a field's type, and point at it:
///
/// | unmet | because |
/// | --- | --- |
/// | `ToId` | An `id` or `subject` must be text, an integer, a UUID or a type of yours that implements it. |
/// | `ToIdOrZero` | An id with `zero` must be an integer, or a type of yours that implements it. |
/// | `Clone` | Fields in the clear are cloned from row to twin, and from twin to row. |
/// | `Column` | A sealed field is a `Sealed<T>`, an `Option` of one, or another column type. |
/// | `Plaintext` | What is sealed must have an encoding; a type of yours can implement it. |
/// | `OptionalColumn` | A field of another purpose than its record's must be an `Option`. |
///
/// # Security
/// - **`clear`**, `id` and `subject` leave a field readable to whoever reads the database, its backups and its logs, also
///   after an erasure; and whoever writes to the database can change it unnoticed, but for what is bound. Prefer ids that
///   mean nothing elsewhere to names and addresses.
/// - **`unbound`** leaves out what ties a value to its row: who can write to the database can swap the values of one field
///   among the rows of one subject, and they open. It is for tables with one row a subject.
/// - **`any_subject`** has a record opened and sealed with whatever keys it is given. With a subject, keys of another one are
///   refused as `Error::WrongSubject` or `Error::WrongSubjectKind` before anything is sealed with them.
/// - The id must be known before the row is sealed. Placeholders (0, empty, nil) are refused.
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    expand::derive(input.into()).into()
}

/// Makes a newtype or a plain enum a type that can be sealed.
///
/// ```
/// use fieldseal::{FieldContext, Plaintext};
///
/// #[derive(Plaintext)] // sealed as the text that it wraps: a field of `String` may become one, and nothing is sealed anew
/// struct Email(String);
///
/// #[derive(Debug, PartialEq, Plaintext)] // sealed as text: the variant's name
/// enum Plan {
///     Free,
///     #[plaintext(rename = "Paid")] // what it was called when values were sealed
///     Professional,
/// }
///
/// # let keys = fieldseal_testkit::keys(&fieldseal_testkit::customer(7));
/// let context = FieldContext::new("customer", "plan", &7)?;
/// let sealed = keys.seal_value(&Plan::Professional.into(), &context)?;
/// assert_eq!(*keys.open_value(&sealed, &context)?.expose(), Plan::Professional);
/// # Ok::<(), fieldseal::Error>(())
/// ```
///
/// # What it makes
/// - **A newtype**, a struct of one field, is sealed as what that is, opens what that opens, and is wiped as that is. What a
///   constructor of it checks is not checked when it is opened: that was sealed by who holds the keys.
/// - **A plain enum**, whose variants have no fields, is sealed as the variant's name. A name that no variant has is
///   `Error::Malformed`. The name's length shows in that of the envelope: pad the field.
///
/// # Attributes
/// | `#[plaintext(..)]` | on | means |
/// | --- | --- | --- |
/// | `rename = "Paid"` | a variant | What it is sealed as. It stays when the variant is renamed. |
/// | `crate = "sealing"` | the type | The path to this library, where it is not `::fieldseal`. |
///
/// The names of variants, and what a newtype wraps, are part of the stored data.
#[proc_macro_derive(Plaintext, attributes(plaintext))]
pub fn derive_plaintext(input: TokenStream) -> TokenStream {
    plaintext::derive(input.into()).into()
}

/// Programs that the bounds of generated code refuse. Their messages are rustc's and no snapshots of ours; each stands
/// below one that differs in the refused type alone and compiles.
///
/// An id can be made text:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject)]
/// struct Row { #[record(id)] id: i64, name: Sealed<String> }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject)]
/// struct Row { #[record(id)] id: f64, name: Sealed<String> }
/// ```
/// So can a subject:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", unbound)]
/// struct Row { #[record(subject = "customer")] of: i64, name: Sealed<String> }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", unbound)]
/// struct Row { #[record(subject = "customer")] of: f64, name: Sealed<String> }
/// ```
/// A subject may be unknown still:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", unbound)]
/// struct Row { #[record(subject = "customer")] of: Option<i64>, name: Sealed<String> }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", unbound)]
/// struct Row { #[record(subject = "customer")] of: Option<f64>, name: Sealed<String> }
/// ```
/// A part of an id may be 0 if it is an integer:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject)]
/// struct Row { #[record(id)] order: i64, #[record(id, zero)] line: u16, name: Sealed<String> }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject)]
/// struct Row { #[record(id)] order: i64, #[record(id, zero)] line: String, name: Sealed<String> }
/// ```
/// A subject is named by an id of its own type, and of a record that names nobody there is none:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", unbound)]
/// struct Row { #[record(subject = "customer")] of: String, name: Sealed<String> }
/// Row::subject_of("ada").unwrap();
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", unbound)]
/// struct Row { #[record(subject = "customer")] of: String, name: Sealed<String> }
/// Row::subject_of(&17).unwrap();
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { name: Sealed<String> }
/// Row::subject_of(&()).unwrap();
/// ```
/// A bare id names nobody:
/// ```
/// # use fieldseal::SubjectId;
/// fieldseal_testkit::keys(&SubjectId::new("customer", &17).unwrap());
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::SubjectId;
/// fieldseal_testkit::keys(&17);
/// ```
/// A field of another purpose is an `Option`:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { #[record(purpose = "other")] name: Option<Sealed<String>> }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { #[record(purpose = "other")] name: Sealed<String> }
/// ```
/// But not one of the record's own:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound, purpose = "other")]
/// struct Row { #[record(purpose = "other")] name: Sealed<String> }
/// ```
/// A field in the clear can be cloned:
/// ```
/// # use fieldseal::{Record, Sealed};
/// #[derive(Clone)]
/// struct Plan;
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { #[record(clear)] plan: Plan, name: Sealed<String> }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::{Record, Sealed};
/// struct Plan;
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { #[record(clear)] plan: Plan, name: Sealed<String> }
/// ```
/// A newtype wraps what can be sealed:
/// ```
/// # use fieldseal::Plaintext;
/// #[derive(Plaintext)]
/// struct Name(String);
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::Plaintext;
/// #[derive(Plaintext)]
/// struct Name(std::rc::Rc<str>);
/// ```
/// A sealed field is a column, whatever it is called:
/// ```
/// # use fieldseal::Record;
/// type Secret = fieldseal::Sealed<String>;
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { #[record(sealed)] name: Secret }
/// ```
/// ```compile_fail,E0277
/// # use fieldseal::Record;
/// type Secret = String;
/// #[derive(Record)]
/// #[record(schema = "s", any_subject, unbound)]
/// struct Row { #[record(sealed)] name: Secret }
/// ```
#[cfg(doctest)]
#[derive(Debug)]
struct UnmetBounds;
