//! What is done in a session: keys are found and made, keys are wrapped by them, and they are destroyed.

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use zeroize::Zeroizing;

use super::failure::{self, Failure};
use fieldseal::error::{Error, ProviderError, ProviderErrorKind};
use fieldseal::provider::{KeyMaterial, MasterKeyId};
use rand::TryRng as _;
use rand::rngs::SysRng;

/// The name that keys have in common: their labels are `NAME-1`, `NAME-2` and so on.
#[derive(Clone)]
pub(super) struct KeyLabel(String);

impl KeyLabel {
    pub(super) fn new(name: &str) -> Result<Self, ProviderError> {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(ProviderError::misconfigured(
                "the name of master keys has 1 to 128 bytes, and no control characters",
            ));
        }
        Ok(Self(name.to_owned()))
    }

    fn of(&self, number: u64) -> String {
        format!("{}-{number}", self.0)
    }

    /// The number of a key that has this name.
    fn number(&self, label: &[u8]) -> Option<u64> {
        let number = std::str::from_utf8(label).ok()?.strip_prefix(&self.0)?.strip_prefix('-')?.parse().ok()?;
        (self.of(number).as_bytes() == label).then_some(number) // one number, one label
    }
}

/// `pkcs11:HEX`: the 16 bytes of a key's `CKA_ID`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HsmKeyId([u8; 16]);

impl HsmKeyId {
    pub(super) fn random() -> Result<Self, ProviderError> {
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).map_err(|_| ProviderError::internal(Error::Entropy))?;
        Ok(Self(id))
    }

    /// The id of a key that a token could have, or `UnknownKey`.
    pub(super) fn of(master: &MasterKeyId) -> Result<Self, ProviderError> {
        Self::parse(master.as_str()).ok_or_else(|| ProviderError::new(ProviderErrorKind::UnknownKey))
    }

    fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?;
        let id = Self(u128::from_str_radix(hex, 16).ok()?.to_be_bytes());
        (id.hex() == hex).then_some(id) // one key has one id
    }

    pub(super) fn to_master(self) -> Result<MasterKeyId, ProviderError> {
        MasterKeyId::new(format!("{PREFIX}{}", self.hex())).map_err(ProviderError::internal)
    }

    fn hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// The label of the trace that the key leaves.
    fn trace(&self) -> String {
        format!("fieldseal: destroyed {}", self.hex())
    }
}

/// A key of this name in the token.
pub(super) struct HsmKey {
    pub(super) handle: ObjectHandle,
    pub(super) id: HsmKeyId,
    number: u64,
    stays: bool,
    is_long: bool,
}

impl HsmKey {
    /// Its handle, if it may be used: nobody gets it out, and it has 256 bits.
    pub(super) fn fit(&self) -> Result<ObjectHandle, Failure> {
        if !self.stays {
            return Err(misconfigured(
                "the key may leave the token (extractable, or not sensitive), so its destruction would end nothing: make \
                 one that may not",
            ));
        }
        if !self.is_long {
            return Err(misconfigured("the key has not 256 bits: make one that has"));
        }
        Ok(self.handle)
    }
}

/// The key that wraps.
pub(super) struct Current {
    pub(super) handle: ObjectHandle,
    pub(super) id: HsmKeyId,
}

/// The key of the highest number. Of two that were made at once and have the same, every process takes the same one.
pub(super) fn current(session: &Session, name: &KeyLabel) -> Result<Current, Failure> {
    let Some((_, newest)) = numbered(session, name)?.pop() else {
        return Err(Failure::Said(
            ProviderError::new(ProviderErrorKind::UnknownKey)
                .with_hint("the token has no key of this name: make one, by `Pkcs11::add_key` or the vendor's tool"),
        ));
    };
    let Some(key) = look(session, name, newest)? else {
        return Err(misconfigured("the current key's CKA_ID has not 16 bytes: give it 16 random ones"));
    };
    Ok(Current { handle: key.fit()?, id: key.id })
}

/// The keys of this name, lowest number first.
fn numbered(session: &Session, name: &KeyLabel) -> Result<Vec<(Order, ObjectHandle)>, Failure> {
    let mut found = Vec::new();
    for handle in session.find_objects(&TEMPLATE)? {
        let (mut number, mut id) = (None, Vec::new());
        for attribute in attributes(session, handle, &[AttributeType::Label, AttributeType::Id])? {
            match attribute {
                Attribute::Label(label) => number = name.number(&label),
                Attribute::Id(bytes) => id = bytes,
                _ => {}
            }
        }
        found.extend(number.map(|number| ((number, id), handle)));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// A key's number, then its id.
type Order = (u64, Vec<u8>);

/// The key with this id; none if there is none, or if it has another name.
pub(super) fn find(session: &Session, name: &KeyLabel, id: &HsmKeyId) -> Result<Option<HsmKey>, Failure> {
    let mut template = TEMPLATE.to_vec();
    template.push(Attribute::Id(id.0.to_vec()));
    let mut found = None;
    for handle in session.find_objects(&template)? {
        if let Some(key) = look(session, name, handle)?
            && found.replace(key).is_some()
        {
            return Err(misconfigured("two keys of the token have the same CKA_ID: give each its own"));
        }
    }
    Ok(found)
}

/// What the token says of a key; none if it is not one of this name with an id of 16 bytes.
fn look(session: &Session, name: &KeyLabel, handle: ObjectHandle) -> Result<Option<HsmKey>, Failure> {
    let asked = [
        AttributeType::Label,
        AttributeType::Id,
        AttributeType::Extractable,
        AttributeType::Sensitive,
        AttributeType::ValueLen,
    ];
    let (mut number, mut id, mut extractable, mut sensitive, mut len) = (None, None, true, false, 0);
    for attribute in attributes(session, handle, &asked)? {
        match attribute {
            Attribute::Label(label) => number = name.number(&label),
            Attribute::Id(bytes) => id = bytes.try_into().ok().map(HsmKeyId),
            Attribute::Extractable(is) => extractable = is,
            Attribute::Sensitive(is) => sensitive = is,
            Attribute::ValueLen(bytes) => len = usize::from(bytes),
            _ => {}
        }
    }
    let key = number.zip(id).map(|(number, id)| HsmKey {
        handle,
        id,
        number,
        stays: sensitive && !extractable,
        is_long: len == KeyMaterial::LEN,
    });
    Ok(key)
}

/// None of a key that was destroyed since it was found.
fn attributes(session: &Session, handle: ObjectHandle, asked: &[AttributeType]) -> Result<Vec<Attribute>, Failure> {
    match session.get_attributes(handle, asked) {
        Err(e) if failure::is_gone(&e) => Ok(Vec::new()),
        answer => Ok(answer?),
    }
}

/// Makes a key with this id, and the highest number of its name.
pub(super) fn generate(session: &Session, name: &KeyLabel, id: &HsmKeyId) -> Result<(), Failure> {
    if find(session, name, id)?.is_some() {
        return Ok(()); // a session that ended behind the call
    }
    let highest = numbered(session, name)?.pop().map_or(0, |((number, _), _)| number);
    let label = name.of(highest.saturating_add(1));
    let len = Ulong::try_from(KeyMaterial::LEN)?;
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(len),
        Attribute::Label(label.into_bytes()),
        Attribute::Id(id.0.to_vec()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template)?;
    Ok(())
}

/// `nonce (12) ‖ ciphertext (32) ‖ tag (16)`
pub(super) type Sealed = [u8; NONCE_LEN + KeyMaterial::LEN + TAG_LEN];

/// AES-GCM in the token, under a nonce that is random.
pub(super) fn seal(
    session: &Session,
    key: ObjectHandle,
    plain: &[u8; KeyMaterial::LEN],
    context: &[u8],
) -> Result<Sealed, Failure> {
    let mut nonce = [0; NONCE_LEN];
    SysRng.try_fill_bytes(&mut nonce).map_err(|_| Failure::Said(ProviderError::internal(Error::Entropy)))?;
    let params = GcmParams::new(&mut nonce, context, TAG_BITS)?;
    let sealed = session.encrypt(&Mechanism::AesGcm(params), key, plain)?;
    // After the call: some tokens put a nonce of their own in its place.
    let wrong = |_| Failure::Said(ProviderError::corrupt("the token made something else of a key than AES-GCM does"));
    [&nonce, sealed.as_slice()].concat().try_into().map_err(wrong)
}

/// The key that was wrapped.
pub(super) fn open(
    session: &Session,
    key: ObjectHandle,
    sealed: &Sealed,
    context: &[u8],
) -> Result<KeyMaterial, Failure> {
    let (nonce, body) = sealed.split_at(NONCE_LEN);
    let mut nonce = nonce.to_vec();
    let params = GcmParams::new(&mut nonce, context, TAG_BITS)?;
    let plain = match session.decrypt(&Mechanism::AesGcm(params), key, body) {
        Ok(plain) => Zeroizing::new(plain),
        Err(e) => {
            return Err(match failure::is_about_ciphertext(&e) {
                Some(true) => Failure::authentication(),
                // The key opens what it wraps now, so it is what it was given that it doesn't open.
                Some(false) if opens_its_own(session, key, context) => Failure::authentication(),
                _ => e.into(),
            });
        }
    };
    KeyMaterial::from_slice(&plain).map_err(|_| Failure::Said(ProviderError::corrupt("what was unwrapped is no key")))
}

/// Whether the token works, with this key.
fn opens_its_own(session: &Session, key: ObjectHandle, context: &[u8]) -> bool {
    let plain = [0; KeyMaterial::LEN];
    let Ok(mut sealed) = seal(session, key, &plain, context) else { return false };
    let (nonce, body) = sealed.split_at_mut(NONCE_LEN);
    let Ok(params) = GcmParams::new(nonce, context, TAG_BITS) else { return false };
    session.decrypt(&Mechanism::AesGcm(params), key, body).is_ok_and(|opened| opened == plain)
}

/// Leaves a trace, then destroys the key: a crash in between leaves a key that is there.
pub(super) fn destroy(session: &Session, name: &KeyLabel, key: &HsmKey) -> Result<(), Failure> {
    let is_newest = |((number, id), _): &(Order, _)| (*number, id.as_slice()) == (key.number, key.id.0.as_slice());
    if numbered(session, name)?.last().is_some_and(is_newest) {
        return Err(misconfigured(
            "the current master key is not destroyed: make another one first (`Pkcs11::add_key`)",
        ));
    }
    if !was_destroyed(session, &key.id)? {
        let mut trace = trace(&key.id);
        trace.push(Attribute::Application(b"fieldseal".to_vec()));
        trace.push(Attribute::Value(name.of(key.number).into_bytes()));
        match session.create_object(&trace) {
            Err(e) if failure::is_about_template(&e) => {
                return Err(misconfigured(
                    "the token takes no data object, which would tell that the key was destroyed: the key was left as it is",
                ));
            }
            created => created?,
        };
    }
    match session.destroy_object(key.handle) {
        Err(e) if failure::is_gone(&e) => Ok(()), // somebody else was faster
        destroyed => Ok(destroyed?),
    }
}

/// Whether the key left a trace. It counts only where the key is not there.
pub(super) fn was_destroyed(session: &Session, id: &HsmKeyId) -> Result<bool, Failure> {
    Ok(!session.find_objects(&trace(id))?.is_empty())
}

fn trace(id: &HsmKeyId) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Label(id.trace().into_bytes()),
    ]
}

fn misconfigured(what: &'static str) -> Failure {
    Failure::Said(ProviderError::misconfigured(what))
}

const TEMPLATE: [Attribute; 3] =
    [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Token(true), Attribute::KeyType(KeyType::AES)];
const PREFIX: &str = "pkcs11:";
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const TAG_BITS: Ulong = Ulong::new(128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = HsmKeyId([0x0a; 16]);
        let master = id.to_master().unwrap();
        assert_eq!(master.as_str(), "pkcs11:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
        assert!(HsmKeyId::of(&master).unwrap() == id);
    }

    #[test]
    fn what_is_no_id_of_ours_is_unknown() {
        for text in [
            "local-0011223344556677",
            "pkcs11:",
            "pkcs11:0A0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            "pkcs11:+a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            "pkcs11:a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            "pkcs11:000a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            "pkcs11:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0g",
        ] {
            let answer = HsmKeyId::of(&MasterKeyId::new(text).unwrap());
            assert_eq!(answer.err().unwrap().kind(), ProviderErrorKind::UnknownKey, "{text}");
        }
    }

    #[test]
    fn a_label_has_one_number() {
        let name = KeyLabel::new("customers").unwrap();
        assert_eq!(name.number(b"customers-12"), Some(12));
        for label in
            ["customers", "customers-", "customers-01", "customers-+1", "customers-a", "customers--1", "shop-1"]
        {
            assert_eq!(name.number(label.as_bytes()), None, "{label}");
        }
        assert_eq!(name.number(b"customers-1\xff"), None);
        // A name that begins like another is another.
        assert_eq!(name.number(b"customers-eu-1"), None);
        assert_eq!(KeyLabel::new("customers-1").unwrap().number(b"customers-12"), None);
    }
}
