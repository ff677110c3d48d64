//! Compiles what the derive macro emits where the dependency has another name.
