//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): the derivation of the AES-256-GCM key.

use aes::Aes256Enc;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use zeroize::{Zeroize as _, Zeroizing};

/// `Kx` for the nonces that begin with `prefix`. NIST SP 800-108r1 counter mode with CMAC, over one block each.
pub(super) fn derive_key(key: &[u8; 32], prefix: &[u8; 12]) -> Zeroizing<[u8; 32]> {
    let cipher = Aes256Enc::new(key.into());
    let mut k1 = subkey(&cipher);
    let mut blocks = [1u8, 2].map(|counter| {
        let mut block = Array::from([0u8; 16]); // M = 00 counter 58 00 ‖ prefix
        let (head, tail) = block.split_at_mut(4);
        head.copy_from_slice(&[0, counter, 0x58, 0]);
        tail.copy_from_slice(prefix);
        block.iter_mut().zip(&k1).for_each(|(b, k)| *b ^= k);
        block
    });
    cipher.encrypt_blocks(&mut blocks);
    let mut out = Zeroizing::new([0; 32]);
    for (half, block) in out.as_chunks_mut::<16>().0.iter_mut().zip(&mut blocks) {
        half.copy_from_slice(block);
        block.as_mut_slice().zeroize();
    }
    k1.zeroize();
    out
}

/// The CMAC subkey: `L = AES_K(0^128)`, `K1 = L << 1`, reduced without a branch on a key bit.
fn subkey(cipher: &Aes256Enc) -> [u8; 16] {
    let mut l = Array::from([0u8; 16]);
    cipher.encrypt_block(&mut l);
    let bits = u128::from_be_bytes(l.into());
    l.as_mut_slice().zeroize();
    ((bits << 1) ^ ((bits >> 127) * 0x87)).to_be_bytes()
}
