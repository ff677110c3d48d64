//! [`LocalKeyring`]: master keys in a file.

/// Master keys in a file.
#[derive(Debug)]
pub struct LocalKeyring {}
/// How a keyring file is protected.
#[derive(Debug)]
pub struct KeyringOptions {}
/// A passphrase.
#[derive(Debug)]
pub struct Passphrase {}
