//! A crate of its own for the derive macro's messages: trybuild builds the dependencies of the crate that it is run in, and
//! these are few.
