//! Servers that a test starts for itself.
