//! The bytes of a keyring file: `docs/format.md`, section 12. No I/O, and no key is used here.
//!
//! What parses is canonical: written again, it is the same bytes.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crypto::password::Cost;
use crate::envelope::KeyId;
use crate::keys::{KeyMaterial, MasterKeyId, WRAPPED_LEN};

/// What a keyring file says.
#[derive(Debug)]
pub(super) struct KeyringFile {
    pub(super) protection: Protection,
    /// In the order of their making; exactly one is current.
    pub(super) keys: Vec<KeyLine>,
}

/// How the keys in the file are protected beyond its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    None,
    Passphrase(PassphraseParams),
}

/// Everything but the passphrase itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PassphraseParams {
    pub(super) cost: Cost,
    pub(super) salt: [u8; SALT_LEN],
    /// The id of the passphrase key: tells a wrong passphrase from a damaged file.
    pub(super) key_id: KeyId,
}

#[derive(Debug)]
pub(super) struct KeyLine {
    pub(super) id: MasterKeyId,
    pub(super) created: Timestamp,
    pub(super) state: LineState,
}

#[derive(Debug)]
pub(super) enum LineState {
    Current(StoredKey),
    Available(StoredKey),
    Destroyed(Timestamp),
}

/// A master key as the file holds it.
pub(super) enum StoredKey {
    Clear(KeyMaterial),
    Wrapped(Box<[u8; WRAPPED_LEN]>),
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredKey(..)")
    }
}

/// A file that is well formed. Whether it is whole is for the check to say.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) file: KeyringFile,
    /// What the check covers: every byte before the check line.
    pub(super) checked: &'a [u8],
    pub(super) check: [u8; CHECK_LEN],
}

/// Why bytes are no keyring file of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Something else.
    Foreign,
    /// Of a later version.
    Newer,
    /// A keyring file once.
    Damaged(&'static str),
}

impl KeyringFile {
    pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Unreadable> {
        if bytes.len() > MAX_FILE_LEN {
            return Err(if bytes.starts_with(MAGIC) {
                Unreadable::Damaged("it is too long")
            } else {
                Unreadable::Foreign
            });
        }
        let rest = after_first_line(bytes)?;
        let text = std::str::from_utf8(rest).map_err(|_| Unreadable::Damaged("it is not text"))?;
        let cut = Unreadable::Damaged("it is cut short: the check line is missing");
        let (lines, check_line) = text.strip_suffix('\n').and_then(|t| t.rsplit_once('\n')).ok_or(cut)?;
        let check = decode(check_line.strip_prefix(CHECK).ok_or(cut)?).ok_or(Unreadable::Damaged("the check line"))?;
        let checked = bytes.get(..bytes.len() - check_line.len() - 1).unwrap_or_default();

        let mut lines = lines.split('\n');
        let protection = lines.next().and_then(protection).ok_or(Unreadable::Damaged("the protection line"))?;
        let mut keys = Vec::new();
        let mut ids = BTreeSet::new();
        for line in lines {
            if keys.len() == MAX_KEYS {
                return Err(Unreadable::Damaged("it has too many keys"));
            }
            let key = key_line(line, protection).ok_or(Unreadable::Damaged("a key line"))?;
            if !ids.insert(key.id.clone()) {
                return Err(Unreadable::Damaged("two keys have one id"));
            }
            keys.push(key);
        }
        match keys.iter().filter(|k| matches!(k.state, LineState::Current(_))).count() {
            1 => Ok(Parsed { file: Self { protection, keys }, checked, check }),
            _ => Err(Unreadable::Damaged("it must have exactly one current key")),
        }
    }

    /// Appends a line; where it is the current key, the one that was is so no longer.
    pub(super) fn push(&mut self, line: KeyLine) {
        if matches!(line.state, LineState::Current(_)) {
            for KeyLine { state, .. } in &mut self.keys {
                *state = match std::mem::replace(state, LineState::Destroyed(line.created)) {
                    LineState::Current(key) => LineState::Available(key),
                    other => other,
                };
            }
        }
        self.keys.push(line);
    }

    /// The whole file, with the check line that `check` makes of the bytes before it.
    pub(super) fn encode(&self, check: impl FnOnce(&[u8]) -> [u8; CHECK_LEN]) -> Zeroizing<Vec<u8>> {
        let capacity = MAX_HEAD_LEN + self.keys.len() * MAX_LINE_LEN;
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        out.extend_from_slice(FIRST_LINE);
        match &self.protection {
            Protection::None => out.extend_from_slice(b"protection: none\n"),
            Protection::Passphrase(PassphraseParams { cost, salt, key_id }) => {
                let Cost { memory_kib, passes, lanes } = cost;
                let params = format!("protection: argon2id m={memory_kib} t={passes} p={lanes} salt=");
                out.extend_from_slice(params.as_bytes());
                put_base64(&mut out, salt);
                out.extend_from_slice(b" id=");
                put_base64(&mut out, key_id.as_bytes());
                out.push(b'\n');
            }
        }
        for KeyLine { id, created, state } in &self.keys {
            out.extend_from_slice(format!("key: {id} created={} ", created.as_millis()).as_bytes());
            match state {
                LineState::Current(key) => put_key(&mut out, b"current ", key),
                LineState::Available(key) => put_key(&mut out, b"available ", key),
                LineState::Destroyed(at) => {
                    out.extend_from_slice(format!("destroyed={} -", at.as_millis()).as_bytes());
                }
            }
            out.push(b'\n');
        }
        let check = check(&out);
        out.extend_from_slice(CHECK.as_bytes());
        put_base64(&mut out, &check);
        out.push(b'\n');
        debug_assert!(out.len() <= capacity, "a buffer that grows leaves keys behind");
        out
    }
}

/// The bytes after `fieldseal keyring 1`.
fn after_first_line(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    if let Some(rest) = bytes.strip_prefix(FIRST_LINE) {
        return Ok(rest);
    }
    if FIRST_LINE.starts_with(bytes) {
        return Err(Unreadable::Damaged("it is empty or cut short"));
    }
    let version = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
    let digits = version.iter().take_while(|b| b.is_ascii_digit()).count();
    match version.split_at_checked(digits) {
        Some((number @ [b'1'..=b'9', ..], [b'\n', ..])) if number.len() <= 9 => Err(Unreadable::Newer),
        _ => Err(Unreadable::Damaged("the first line")),
    }
}

fn protection(line: &str) -> Option<Protection> {
    let line = line.strip_prefix("protection: ")?;
    if line == "none" {
        return Some(Protection::None);
    }
    let mut words = line.strip_prefix("argon2id ")?.split(' ');
    let mut word = |name| words.next().and_then(|w| w.strip_prefix(name));
    let cost = Cost {
        memory_kib: decimal(word("m=")?)?.try_into().ok()?,
        passes: decimal(word("t=")?)?.try_into().ok()?,
        lanes: decimal(word("p=")?)?.try_into().ok()?,
    };
    let salt = decode(word("salt=")?)?;
    let key_id = KeyId::from_bytes(decode(word("id=")?)?);
    // Bounded here, before anybody computes with them.
    (words.next().is_none() && in_bounds(&cost)).then_some(Protection::Passphrase(PassphraseParams {
        cost,
        salt,
        key_id,
    }))
}

pub(super) fn in_bounds(cost: &Cost) -> bool {
    MEMORY_KIB.contains(&cost.memory_kib) && PASSES.contains(&cost.passes) && LANES.contains(&cost.lanes)
}

fn key_line(line: &str, protection: Protection) -> Option<KeyLine> {
    let mut words = line.strip_prefix("key: ")?.split(' ');
    let id = key_name(words.next()?)?;
    let created = Timestamp::from_millis(decimal(words.next()?.strip_prefix("created=")?)?);
    let (state, key) = (words.next()?, words.next()?);
    let state = match state {
        "current" => LineState::Current(stored(key, protection)?),
        "available" => LineState::Available(stored(key, protection)?),
        _ if key == "-" => LineState::Destroyed(Timestamp::from_millis(decimal(state.strip_prefix("destroyed=")?)?)),
        _ => return None,
    };
    words.next().is_none().then_some(KeyLine { id, created, state })
}

/// `local-` and 16 hexadecimal digits.
fn key_name(text: &str) -> Option<MasterKeyId> {
    let digits = text.strip_prefix(ID_PREFIX)?;
    let known = digits.len() == ID_DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if known { MasterKeyId::new(text).ok() } else { None }
}

fn stored(text: &str, protection: Protection) -> Option<StoredKey> {
    match protection {
        Protection::None => {
            let mut key = Zeroizing::new([0; KeyMaterial::LEN]);
            decode_into(text, key.as_mut_slice())?;
            KeyMaterial::from_slice(key.as_slice()).ok().map(StoredKey::Clear)
        }
        Protection::Passphrase(_) => Some(StoredKey::Wrapped(Box::new(decode(text)?))),
    }
}

/// Canonical base64url of exactly `N` bytes, without padding.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    decode_into(text, &mut out)?;
    Some(out)
}

/// The same where no copy may be left on the stack.
fn decode_into(text: &str, out: &mut [u8]) -> Option<()> {
    let wanted = out.len();
    let decoded = Base64UrlUnpadded::decode(text, out).ok()?;
    (decoded.len() == wanted).then_some(())
}

/// A number in decimal: digits alone, no leading zero.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn put_key(out: &mut Vec<u8>, state: &[u8], key: &StoredKey) {
    out.extend_from_slice(state);
    match key {
        StoredKey::Clear(key) => put_base64(out, key.expose()),
        StoredKey::Wrapped(envelope) => put_base64(out, envelope.as_slice()),
    }
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + Base64UrlUnpadded::encoded_len(bytes), 0);
    if let Some(room) = out.get_mut(start..) {
        let encoded = Base64UrlUnpadded::encode(bytes, room);
        debug_assert!(encoded.is_ok(), "the room is as long as the encoding");
    }
}

/// For the fuzzer: no bytes panic, and what parses is what is written.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_for_fuzz(bytes: &[u8]) {
    if let Ok(parsed) = KeyringFile::parse(bytes) {
        let check = parsed.check;
        assert_eq!(parsed.file.encode(|_| check).as_slice(), bytes, "only the canonical form is read");
    }
}

/// The longest keyring file. One with [`MAX_KEYS`] keys is shorter.
pub(super) const MAX_FILE_LEN: usize = 256 * 1024;
/// The most keys in a file, destroyed ones included.
pub(super) const MAX_KEYS: usize = 1024;
pub(super) const SALT_LEN: usize = 16;
pub(super) const ID_PREFIX: &str = "local-";
pub(super) const MEMORY_KIB: RangeInclusive<u32> = 8 * 1024..=1024 * 1024;
pub(super) const PASSES: RangeInclusive<u32> = 1..=16;
pub(super) const LANES: RangeInclusive<u32> = 1..=16;

const MAGIC: &[u8] = b"fieldseal keyring ";
const FIRST_LINE: &[u8] = b"fieldseal keyring 1\n";
const CHECK: &str = "check: ";
const CHECK_LEN: usize = 32;
const ID_DIGITS: usize = 16;
/// The first line, the longest protection line, the check line.
const MAX_HEAD_LEN: usize = 256;
/// `key: local-0123456789abcdef created=<20 digits> available <131 characters>` and its end.
const MAX_LINE_LEN: usize = 200;
const _: () = assert!(MAX_HEAD_LEN + MAX_KEYS * MAX_LINE_LEN <= MAX_FILE_LEN);

#[cfg(test)]
mod tests;
