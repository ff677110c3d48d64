//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): the derivation of the AES-256-GCM key.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use zeroize::{Zeroize as _, Zeroizing};

/// `Kx` for the nonces that begin with `prefix`. NIST SP 800-108r1 counter mode with CMAC, over one block each.
pub(super) fn derive_key(key: &[u8; 32], prefix: &[u8; 12]) -> Zeroizing<[u8; 32]> {
    let cipher = Aes256::new(key.into());

    let mut k1 = Array::from([0u8; 16]); // L = AES_K(0^128), then L << 1
    cipher.encrypt_block(&mut k1);
    let mut carry = 0;
    for byte in k1.iter_mut().rev() {
        (*byte, carry) = ((*byte << 1) | carry, *byte >> 7);
    }
    // The reduction must not branch on a key bit.
    if let Some(last) = k1.last_mut() {
        *last ^= carry.wrapping_neg() & 0x87;
    }

    let mut out = Zeroizing::new([0; 32]);
    let (halves, _) = out.as_chunks_mut::<16>();
    for (half, counter) in halves.iter_mut().zip(1u8..) {
        let mut block = Array::from([0u8; 16]); // M = 00 counter 58 00 ‖ prefix
        let (head, tail) = block.split_at_mut(4);
        head.copy_from_slice(&[0, counter, 0x58, 0]);
        tail.copy_from_slice(prefix);
        block.iter_mut().zip(k1.iter()).for_each(|(b, k)| *b ^= k);
        cipher.encrypt_block(&mut block);
        half.copy_from_slice(&block);
        block.as_mut_slice().zeroize();
    }
    k1.as_mut_slice().zeroize();
    out
}
