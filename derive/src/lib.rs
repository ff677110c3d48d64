//! The derive macro of `fieldseal`.
