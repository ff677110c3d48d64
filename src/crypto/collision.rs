//! The attack that the key id is there for: one AES-GCM ciphertext that opens under two keys. GHASH is a polynomial in
//! GF(2^128), so one free block makes the tags of any two keys equal. Tests only.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};

use super::xaes;

/// What the attacker wants of the message.
pub(crate) struct Wish<'a> {
    /// Its length in bytes, more than 32.
    pub(crate) len: usize,
    /// The first block under the first key, and the second block under the second.
    pub(crate) texts: [&'a [u8; 16]; 2],
    /// The last byte, under both.
    pub(crate) last: u8,
}

/// A ciphertext and a tag that XAES-256-GCM accepts under both cipher keys, with one nonce, each with an associated data
/// of its own. None where the nonce doesn't allow the last byte: one nonce of 256 does.
pub(crate) fn opens_under_two_keys(
    cipher_keys: [&[u8; 32]; 2],
    nonce: &[u8; 24],
    aads: [&[u8]; 2],
    wish: &Wish<'_>,
) -> Option<(Vec<u8>, [u8; 16])> {
    let (prefix, inner) = nonce.split_first_chunk().unwrap();
    let gcms = cipher_keys.map(|key| Gcm::new(&xaes::derive_key(key, prefix), inner.try_into().unwrap()));
    two_keys(&gcms, aads, wish)
}

fn two_keys(gcms: &[Gcm; 2], aads: [&[u8]; 2], wish: &Wish<'_>) -> Option<(Vec<u8>, [u8; 16])> {
    let [a, b] = gcms;
    let mut ciphertext = vec![0; wish.len];
    let last = wish.len - 1;
    ciphertext[last] = wish.last ^ a.stream(last);
    if ciphertext[last] ^ b.stream(last) != wish.last {
        return None;
    }
    // The first whole block after the texts is the free one; of a short message it is the first.
    let free = if wish.len > 48 { 32..48 } else { 0..16 };
    for (i, byte) in ciphertext.iter_mut().enumerate().take(32) {
        let text = wish.texts[i / 16][i % 16];
        *byte = text ^ if i < 16 { a.stream(i) } else { b.stream(i) };
    }
    ciphertext[free.clone()].fill(0);

    // A tag is `mask + sum of block_i * H^(n - i)`. With the free block at 0 the tags differ by what its two terms must
    // make up for.
    let tags = |ciphertext: &[u8]| (a.tag(aads[0], ciphertext), b.tag(aads[1], ciphertext));
    let difference = {
        let (a, b) = tags(&ciphertext);
        a ^ b
    };
    let exponent = wish.len.div_ceil(16) - free.start / 16 + 1;
    let factor = power(a.h, exponent as u128) ^ power(b.h, exponent as u128);
    let solution = multiply(difference, power(factor, u128::MAX - 1));
    ciphertext[free].copy_from_slice(&solution.to_be_bytes());
    let (tag, other) = tags(&ciphertext);
    assert_eq!(tag, other);
    Some((ciphertext, tag.to_be_bytes()))
}

/// AES-256-GCM with one key and one nonce, taken apart. Blocks are big-endian numbers, as NIST SP 800-38D writes them.
struct Gcm {
    aes: Aes256,
    nonce: [u8; 12],
    h: u128,
}

impl Gcm {
    fn new(key: &[u8; 32], nonce: [u8; 12]) -> Self {
        let aes = Aes256::new(key.into());
        let h = block(&aes, [0; 16]);
        Self { aes, nonce, h }
    }

    /// What the plaintext's byte number `i` is xored with.
    fn stream(&self, i: usize) -> u8 {
        self.counter(u32::try_from(i / 16).unwrap() + 2).to_be_bytes()[i % 16]
    }

    fn counter(&self, counter: u32) -> u128 {
        let mut input = [0; 16];
        input[..12].copy_from_slice(&self.nonce);
        input[12..].copy_from_slice(&counter.to_be_bytes());
        block(&self.aes, input)
    }

    fn tag(&self, aad: &[u8], ciphertext: &[u8]) -> u128 {
        let padded = |chunk: &[u8]| {
            let mut block = [0; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            u128::from_be_bytes(block)
        };
        let lengths = ((aad.len() as u128 * 8) << 64) | (ciphertext.len() as u128 * 8);
        let blocks = aad.chunks(16).chain(ciphertext.chunks(16)).map(padded).chain([lengths]);
        blocks.fold(0, |hash, block| multiply(hash ^ block, self.h)) ^ self.counter(1)
    }
}

fn block(aes: &Aes256, input: [u8; 16]) -> u128 {
    let mut block = Array::from(input);
    aes.encrypt_block(&mut block);
    u128::from_be_bytes(block.into())
}

/// In GF(2^128) of GCM: the most significant bit is the coefficient of x^0.
fn multiply(a: u128, mut b: u128) -> u128 {
    let mut product = 0;
    for i in (0..128).rev() {
        if (a >> i) & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 { (b >> 1) ^ (0xE1 << 120) } else { b >> 1 };
    }
    product
}

fn power(mut base: u128, mut exponent: u128) -> u128 {
    let mut result = 1 << 127; // x^0
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    result
}

#[test]
fn plain_gcm_opens_one_ciphertext_under_two_keys() {
    use super::aead::Aes256Gcm;
    use aes_gcm::aead::AeadInOut as _;
    use aes_gcm::aead::inout::InOutBuf;

    let keys = [[0x11; 32], [0x22; 32]];
    let wish = Wish { len: 64, texts: [b"for ada, as sent", b"for bob: a trap."], last: 0x80 };
    let (nonce, ciphertext, tag) = (0u64..)
        .find_map(|n| {
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&n.to_be_bytes());
            let (ciphertext, tag) = two_keys(&keys.map(|key| Gcm::new(&key, nonce)), [b"aad"; 2], &wish)?;
            Some((nonce, ciphertext, tag))
        })
        .unwrap();
    let open = |key: [u8; 32], tag: [u8; 16]| {
        let mut bytes = ciphertext.clone();
        let gcm = Aes256Gcm::new(&key.into());
        let inout = InOutBuf::from(&mut bytes[..]);
        gcm.decrypt_inout_detached(&nonce.into(), b"aad", inout, &tag.into()).ok().map(|()| bytes)
    };
    let [a, b] = keys.map(|key| open(key, tag).expect("both keys accept it"));
    assert_eq!((&a[..16], &b[16..32]), (&wish.texts[0][..], &wish.texts[1][..]));
    assert_eq!((a.last(), b.last()), (Some(&0x80), Some(&0x80)));
    // Not because anything opens: another key, or another tag, does not.
    assert!(open([0x33; 32], tag).is_none());
    assert!(open(keys[0], tag.map(|byte| byte ^ 1)).is_none());
}
