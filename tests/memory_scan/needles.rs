//! [`Needles`]: what must not be found in memory. Kept masked, so that the list itself is not found.

use std::thread;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing, zeroize_stack};

/// No byte of a needle stands in memory as it is.
pub(crate) const MASK: u8 = 0xA5;
/// A needle is looked for in pieces of this length: half a key is as bad.
pub(crate) const PIECE: usize = 16;

/// A secret, masked.
#[derive(Clone)]
pub(crate) struct Masked(Vec<u8>);

impl Masked {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(secret.iter().map(|byte| byte ^ MASK).collect())
    }

    /// The secret itself: for [`in_private`].
    pub(crate) fn reveal(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new(Vec::with_capacity(self.0.len()));
        secret.extend(self.0.iter().map(|byte| byte ^ MASK));
        secret
    }
}

#[derive(Clone, Default)]
pub(crate) struct Needles(Vec<([u8; PIECE], String)>);

impl Needles {
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&[u8; PIECE], &str)> {
        self.0.iter().map(|(masked, what)| (masked, what.as_str()))
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Without those whose names end in one of these.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let stays = |(_, what): &&([u8; PIECE], String)| !names.iter().any(|name| what.ends_with(name));
        Self(self.0.iter().filter(stays).cloned().collect())
    }

    /// Bytes that are secret as they are.
    pub(crate) fn add(&mut self, what: &str, secret: &Masked) {
        let masked = &secret.0;
        assert!(masked.len() >= PIECE, "{what} is too short to be told from chance");
        let mut piece = |piece: &[u8]| self.0.push((piece.try_into().unwrap(), what.to_owned()));
        masked.chunks_exact(PIECE).for_each(&mut piece);
        piece(masked.last_chunk::<PIECE>().unwrap());
    }

    /// A key, and all that is derived from it and as good as it.
    pub(crate) fn add_key(&mut self, what: &str, key: &Masked) {
        let derived = in_private(|| {
            let key = key.reveal();
            let mut derived = Self::default();
            let (mut prk, hkdf) = Hkdf::<Sha256>::extract(Some(b"fieldseal/1"), &key);
            derived.add_words(what, &key);
            derived.add(&format!("{what}, as text"), &Masked::new(base64(&key).as_bytes()));
            derived.add_mac_key(&format!("{what}'s PRK"), &prk);
            prk.as_mut_slice().zeroize();
            let outs: [(&str, &[u8]); 5] = [
                ("cipher key", b"fieldseal/1 encrypt \xF9"),
                ("other cipher key", b"fieldseal/1 encrypt \xFA"),
                ("slot MAC key", b"fieldseal/1 slot"),
                ("journal MAC key", b"fieldseal/1 journal"),
                ("keyring MAC key", b"fieldseal/1 keyring"),
            ];
            for (name, info) in outs {
                let mut out = Zeroizing::new([0; 32]);
                hkdf.expand(info, out.as_mut_slice()).unwrap();
                let name = format!("{what}'s {name}");
                if name.ends_with("MAC key") {
                    derived.add_mac_key(&name, out.as_slice());
                } else {
                    derived.add_words(&name, out.as_slice());
                }
            }
            derived
        });
        self.0.extend(derived.0);
    }

    /// The key of one record, or one wrapping: what its suite derives from a cipher key for a nonce.
    pub(crate) fn add_record_key(&mut self, what: &str, data_key: &Masked, envelope: &[u8]) {
        let nonce: [u8; 24] = envelope[25..49].try_into().unwrap();
        let derived = in_private(|| {
            let mut cipher_key = Zeroizing::new([0; 32]);
            let hkdf = Hkdf::<Sha256>::new(Some(b"fieldseal/1"), &data_key.reveal());
            hkdf.expand(&[b"fieldseal/1 encrypt ", &envelope[..1]].concat(), cipher_key.as_mut_slice()).unwrap();
            let mut derived = Self::default();
            if envelope[0] == 0xF9 {
                derived.add_words(what, xaes_key(&cipher_key, &nonce).as_slice());
            } else {
                let prefix: [u8; 16] = nonce[..16].try_into().unwrap();
                let mut key = chacha20::hchacha::<chacha20::R20>((&*cipher_key).into(), (&prefix).into());
                derived.add_words(what, &key);
                key.as_mut_slice().zeroize();
            }
            derived
        });
        self.0.extend(derived.0);
    }

    /// Also as words in the processor's order, as hashes and ciphers read them.
    fn add_words(&mut self, what: &str, secret: &[u8]) {
        self.add(what, &Masked::new(secret));
        let mut words = Zeroizing::new(secret.to_vec());
        words.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        self.add(&format!("{what}, in words"), &Masked::new(&words));
    }

    /// A key of HMAC, and the states that HMAC makes of it: who has those needs no key.
    fn add_mac_key(&mut self, what: &str, key: &[u8]) {
        self.add_words(what, key);
        for (name, pad) in [("inner", 0x36), ("outer", 0x5C)] {
            let mut block = Zeroizing::new([pad; 64]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            self.add_words(&format!("{what}, {name} block"), &block[..32]);
            let mut state = Zeroizing::new(SHA256_START);
            sha2::block_api::compress256(&mut state, std::slice::from_ref(&*block));
            let mut bytes = Zeroizing::new([0; 32]);
            for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&*state) {
                *bytes = word.to_ne_bytes();
            }
            self.add(&format!("{what}, {name} state"), &Masked::new(bytes.as_slice()));
        }
    }
}

/// Does what handles secrets unmasked, on a thread that leaves none behind.
pub(crate) fn in_private<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    #[inline(never)]
    fn run<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    thread::scope(|scope| {
        let private = scope.spawn(|| {
            let done = run(work);
            zeroize_stack::<{ 256 * 1024 }>();
            done
        });
        private.join().unwrap()
    })
}

fn base64(key: &[u8]) -> Zeroizing<String> {
    use base64ct::Encoding as _;
    Zeroizing::new(base64ct::Base64UrlUnpadded::encode_string(key))
}

/// As in the specification of XAES-256-GCM, and slow.
fn xaes_key(key: &[u8; 32], nonce: &[u8; 24]) -> Zeroizing<[u8; 32]> {
    use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};

    let cipher = aes::Aes256Enc::new(key.into());
    let mut l = Array::from([0; 16]);
    cipher.encrypt_block(&mut l);
    let l = u128::from_be_bytes(l.into());
    let k1 = ((l << 1) ^ ((l >> 127) * 0x87)).to_be_bytes();
    let mut out = Zeroizing::new([0; 32]);
    for (counter, half) in (1..).zip(out.as_chunks_mut::<16>().0) {
        let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        block[4..].copy_from_slice(&nonce[..12]);
        block.iter_mut().zip(&k1).for_each(|(byte, k)| *byte ^= k);
        let mut block = Array::from(block);
        cipher.encrypt_block(&mut block);
        half.copy_from_slice(&block);
    }
    out
}

const SHA256_START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
