//! A passphrase, and the key that Argon2id makes of it.

use std::fmt;

use zeroize::Zeroizing;

use super::format::{self, PassphraseParams, SALT_LEN};
use crate::crypto::kdf::Prk;
use crate::crypto::password::{self, Cost};
use crate::crypto::{self, Suite, mac, rng};
use crate::envelope::context;
use crate::error::{ProviderError, ProviderErrorKind};
use crate::keys::{KeyMaterial, MasterKeyId, UsableKey, WRAPPED_LEN, unwrap_in_envelope, wrap_in_envelope};

/// What opens a protected keyring file. Wiped on drop; neither `Clone` nor printable.
///
/// Compared byte for byte, without Unicode normalization.
///
/// # Security
/// A passphrase protects copies of the file (backups, stolen disks) as far as it can't be guessed: Argon2 makes each
/// guess cost memory and time, no more. Take one from a generator, of six words or twenty characters at least.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The longest passphrase, in bytes.
    pub const MAX_LEN: usize = 4096;

    /// Takes a passphrase of 1 to [`Passphrase::MAX_LEN`] bytes, as it is: the newline at the end of a file is the
    /// caller's to take off.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if it is empty or longer.
    ///
    /// # Security
    /// A `String` or `Vec<u8>` is moved and wiped; a borrowed one is copied, and the caller wipes the original.
    pub fn new(passphrase: impl Into<Vec<u8>>) -> Result<Self, ProviderError> {
        let passphrase = Zeroizing::new(passphrase.into());
        if passphrase.is_empty() || passphrase.len() > Self::MAX_LEN {
            return Err(ProviderError::misconfigured("a passphrase has 1 to 4096 bytes"));
        }
        Ok(Self(passphrase))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// `K = Argon2id(passphrase, salt, m, t, p, 32)`: wraps the keys in a file and authenticates it.
pub(super) struct PassphraseKey {
    params: PassphraseParams,
    key: UsableKey,
    mac_key: Box<Zeroizing<[u8; 32]>>,
}

impl PassphraseKey {
    /// For a new file: a salt of its own.
    pub(super) fn create(passphrase: &Passphrase, cost: Cost) -> Result<Self, ProviderError> {
        let mut salt = [0; SALT_LEN];
        rng::fill(&mut salt).map_err(ProviderError::internal)?;
        Self::derive(passphrase, cost, salt)
    }

    /// For the file that says `params`.
    pub(super) fn open(passphrase: &Passphrase, params: &PassphraseParams) -> Result<Self, ProviderError> {
        let derived = Self::derive(passphrase, params.cost, params.salt)?;
        if !derived.params.key_id.is(&params.key_id) {
            return Err(ProviderError::new(ProviderErrorKind::Denied).with_hint(
                "the passphrase is not that of this keyring (or somebody changed the file's protection line)",
            ));
        }
        Ok(derived)
    }

    fn derive(passphrase: &Passphrase, cost: Cost, salt: [u8; SALT_LEN]) -> Result<Self, ProviderError> {
        debug_assert!(format::in_bounds(&cost));
        let derived = password::argon2id(&passphrase.0, &salt, cost);
        crypto::wipe_stack();
        let derived = derived.map_err(|password::Refused| {
            ProviderError::new(ProviderErrorKind::Unavailable)
                .with_hint(format!("no memory for Argon2, which needs {} MiB here", cost.memory_kib / 1024))
        })?;
        let key = KeyMaterial::from_slice(derived.as_slice()).map_err(ProviderError::internal)?;
        let mac_key = Self::mac_key(&key);
        crypto::wipe_stack();
        let key = UsableKey::derive(&key);
        Ok(Self { params: PassphraseParams { cost, salt, key_id: *key.id() }, key, mac_key })
    }

    #[inline(never)] // so that the wipe covers its frame
    fn mac_key(key: &KeyMaterial) -> Box<Zeroizing<[u8; 32]>> {
        let mut mac_key = Box::new(Zeroizing::new([0; 32]));
        Prk::new(key.expose()).expand(&[b"fieldseal/1 keyring"], mac_key.as_mut_slice());
        mac_key
    }

    pub(super) fn params(&self) -> &PassphraseParams {
        &self.params
    }

    pub(super) fn wrap(&self, id: &MasterKeyId, key: &KeyMaterial) -> Result<Box<[u8; WRAPPED_LEN]>, ProviderError> {
        wrap_in_envelope(&self.key, Suite::default(), &place(id), key).map(Box::new).map_err(ProviderError::internal)
    }

    pub(super) fn unwrap(&self, id: &MasterKeyId, wrapped: &[u8; WRAPPED_LEN]) -> Option<KeyMaterial> {
        unwrap_in_envelope(&self.key, &place(id), wrapped).ok()
    }

    /// `HMAC-SHA256(Expand(PRK, "fieldseal/1 keyring", 32), bytes)`
    pub(super) fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        mac::hmac(&self.mac_key, &[bytes])
    }
}

impl fmt::Debug for PassphraseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassphraseKey(..)")
    }
}

/// `ENC("keyring", id)`: a wrapped key moved to another line does not open.
fn place(id: &MasterKeyId) -> Vec<u8> {
    context::encode("keyring", &[id.as_str().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8 * 1024, passes: 1, lanes: 1 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    #[test]
    fn an_empty_or_endless_passphrase_is_refused() {
        assert!(Passphrase::new("").is_err());
        assert!(Passphrase::new(vec![b'x'; Passphrase::MAX_LEN]).is_ok());
        assert!(Passphrase::new(vec![b'x'; Passphrase::MAX_LEN + 1]).is_err());
    }

    #[test]
    fn a_key_opens_under_its_own_id_and_passphrase_alone() {
        let key = PassphraseKey::create(&passphrase("correct horse"), CHEAP).unwrap();
        let [mine, other] = ["local-1", "local-2"].map(|id| MasterKeyId::new(id).unwrap());
        let master = KeyMaterial::generate().unwrap();
        let wrapped = key.wrap(&mine, &master).unwrap();

        let again = PassphraseKey::open(&passphrase("correct horse"), key.params()).unwrap();
        assert_eq!(again.unwrap(&mine, &wrapped).unwrap().expose(), master.expose());
        assert!(again.unwrap(&other, &wrapped).is_none());
        let error = PassphraseKey::open(&passphrase("correct horse "), key.params()).unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Denied);
        let another_salt = PassphraseKey::create(&passphrase("correct horse"), CHEAP).unwrap();
        assert!(another_salt.unwrap(&mine, &wrapped).is_none());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = PassphraseKey::create(&passphrase("correct horse"), CHEAP).unwrap();
        assert_eq!(format!("{:?} {key:?}", passphrase("correct horse")), "Passphrase(..) PassphraseKey(..)");
    }
}
