//! The primitives, exactly as they are put together here, against answers that others published: C2SP, the
//! XChaCha draft, RFC 5869 and Wycheproof.

use aes_gcm::Nonce;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{Aead as _, AeadInOut as _, KeyInit as _, Payload};
use hkdf::Hkdf;
use proptest::prelude::*;
use sha2::Sha256;
use shake::Shake128;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use wycheproof::TestResult;
use wycheproof::{aead, hkdf as wycheproof_hkdf};
use xaes_256_gcm::Xaes256Gcm;

use super::Suite;
use super::aead::{Aes256Gcm, Cipher};
use super::kdf::Prk;

const ALPHABET: &[u8; 24] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

/// Ciphertext and tag.
fn encrypt(suite: Suite, key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = plaintext.to_vec();
    let tag = Cipher::new(suite, key, nonce).encrypt(nonce, aad, &mut out).unwrap();
    out.extend_from_slice(&tag);
    out
}

fn decrypt(suite: Suite, key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (ciphertext, tag) = sealed.split_last_chunk::<16>()?;
    let mut out = ciphertext.to_vec();
    Cipher::new(suite, key, nonce).decrypt(nonce, aad, &mut out, tag).ok().map(|()| out)
}

/// The bytes that hexadecimal digits in a file of vectors stand for.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.is_ascii() && text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn xaes_gives_the_known_answers() {
    for (key, aad, expected) in [
        // The top bit of AES_K(0) is 0 for the first key and 1 for the second.
        ([1; 32], &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        ([3; 32], b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ] {
        let sealed = encrypt(Suite::Xaes256Gcm, &key, ALPHABET, aad, b"XAES-256-GCM");
        assert_eq!(sealed, hex(expected));
        assert_eq!(decrypt(Suite::Xaes256Gcm, &key, ALPHABET, aad, &sealed).unwrap(), b"XAES-256-GCM");
        assert!(decrypt(Suite::Xaes256Gcm, &key, ALPHABET, b"other", &sealed).is_none());
        assert!(decrypt(Suite::XChaCha20Poly1305, &key, ALPHABET, aad, &sealed).is_none());
    }
}

/// C2SP's accumulated vector: SHAKE128 of nothing gives keys, nonces, messages; SHAKE128 of the ciphertexts the answer.
fn xaes_accumulated(rounds: u32) -> Vec<u8> {
    let mut inputs = Shake128::default().finalize_xof();
    let mut outputs = Shake128::default();
    for _ in 0..rounds {
        let (mut key, mut nonce) = ([0; 32], [0; 24]);
        inputs.read(&mut key);
        inputs.read(&mut nonce);
        let [plaintext, aad] = [(); 2].map(|()| {
            let mut len = [0];
            inputs.read(&mut len);
            let mut bytes = vec![0; len[0].into()];
            inputs.read(&mut bytes);
            bytes
        });
        outputs.update(&encrypt(Suite::Xaes256Gcm, &key, &nonce, &aad, &plaintext));
    }
    let mut digest = vec![0; 32];
    outputs.finalize_xof().read(&mut digest);
    digest
}

#[test]
fn xaes_gives_the_answer_accumulated_over_10_000_rounds() {
    let expected = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939";
    assert_eq!(xaes_accumulated(10_000), hex(expected));
}

#[test]
#[ignore = "ten seconds in an optimized build, minutes in another: .ci/run xaes"]
fn xaes_gives_the_answer_accumulated_over_1_000_000_rounds() {
    let expected = "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15";
    assert_eq!(xaes_accumulated(1_000_000), hex(expected));
}

#[test]
fn xchacha_gives_the_answer_of_the_draft() {
    // draft-irtf-cfrg-xchacha-03, appendix A.3.1
    let key: [u8; 32] = std::array::from_fn(|i| 0x80 + u8::try_from(i).unwrap());
    let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap());
    let aad = hex("50515253c0c1c2c3c4c5c6c7");
    let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                      sunscreen would be it.";
    let expected = hex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
                        731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
                        2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
                        21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49");
    assert_eq!(encrypt(Suite::XChaCha20Poly1305, &key, &nonce, &aad, plaintext), expected);
    assert_eq!(decrypt(Suite::XChaCha20Poly1305, &key, &nonce, &aad, &expected).unwrap(), plaintext);
    assert!(decrypt(Suite::Xaes256Gcm, &key, &nonce, &aad, &expected).is_none());
}

#[test]
fn hchacha20_gives_the_answer_of_the_draft() {
    // draft-irtf-cfrg-xchacha-03, section 2.2.1
    let key: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let nonce: [u8; 16] = hex("000000090000004a0000000031415927").try_into().unwrap();
    let subkey = chacha20::hchacha::<chacha20::R20>(&key.into(), &nonce.into());
    let expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc";
    assert_eq!(subkey.as_slice(), hex(expected));
}

proptest! {
    #[test]
    fn xaes_agrees_with_another_implementation(
        key: [u8; 32], nonce: [u8; 24], aad: Vec<u8>, plaintext: Vec<u8>,
    ) {
        let theirs = Xaes256Gcm::new(&key.into());
        let payload = Payload { msg: &plaintext, aad: &aad };
        let sealed = theirs.encrypt(&nonce.into(), payload).unwrap();
        prop_assert_eq!(&encrypt(Suite::Xaes256Gcm, &key, &nonce, &aad, &plaintext), &sealed);
        prop_assert_eq!(decrypt(Suite::Xaes256Gcm, &key, &nonce, &aad, &sealed), Some(plaintext));
    }

    /// What a record rests on: one state serves every nonce with its prefix, and each message is as if sealed alone.
    #[test]
    fn a_state_serves_the_nonces_of_its_prefix_and_no_others(
        key: [u8; 32], first: [u8; 24], counter: u64, flip in 0usize..128, plaintext: Vec<u8>,
    ) {
        for suite in Suite::ALL {
            let state = Cipher::new(suite, &key, &first);
            let mut nonce = first;
            nonce[16..].copy_from_slice(&counter.to_be_bytes());
            prop_assert!(state.covers(suite, &nonce));
            let mut sealed = plaintext.clone();
            let tag = state.encrypt(&nonce, b"aad", &mut sealed).unwrap();
            sealed.extend_from_slice(&tag);
            prop_assert_eq!(&sealed, &encrypt(suite, &key, &nonce, b"aad", &plaintext));

            nonce[flip / 8] ^= 1 << (flip % 8);
            prop_assert_eq!(state.covers(suite, &nonce), flip / 8 >= suite.prefix_len());
            prop_assert!(decrypt(suite, &key, &nonce, b"aad", &sealed).is_none());
            prop_assert!(Suite::ALL.iter().all(|s| *s == suite || !state.covers(*s, &first)));
        }
    }
}

/// One case of a set, with the group's widths in bits already known to be ours.
struct Case<'a> {
    key: [u8; 32],
    nonce: &'a [u8],
    aad: &'a [u8],
    plaintext: &'a [u8],
    /// Ciphertext and tag.
    sealed: Vec<u8>,
    valid: bool,
}

/// Runs the cases of a set with 256-bit keys, 128-bit tags and nonces of so many bits; gives how many were valid and
/// how many not.
fn wycheproof_aead(name: aead::TestName, nonce_bits: usize, mut check: impl FnMut(&Case<'_>)) -> (usize, usize) {
    let set = aead::TestSet::load(name).unwrap();
    let groups = set.test_groups.iter();
    let groups = groups.filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, nonce_bits, 128));
    let (mut valid, mut invalid) = (0, 0);
    for test in groups.flat_map(|g| &g.tests) {
        let case = Case {
            key: test.key.as_slice().try_into().unwrap(),
            nonce: &test.nonce,
            aad: &test.aad,
            plaintext: &test.pt,
            sealed: [&test.ct[..], &test.tag[..]].concat(),
            valid: match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("case {}: these sets have no grey area", test.tc_id),
            },
        };
        check(&case);
        *if case.valid { &mut valid } else { &mut invalid } += 1;
    }
    (valid, invalid)
}

#[test]
fn aes_256_gcm_passes_wycheproof() {
    let counts = wycheproof_aead(aead::TestName::AesGcm, 96, |case| {
        let gcm = Aes256Gcm::new(&case.key.into());
        let nonce = Nonce::try_from(case.nonce).unwrap();
        let (ciphertext, tag) = case.sealed.split_last_chunk::<16>().unwrap();
        let mut opened = ciphertext.to_vec();
        let verified = gcm.decrypt_inout_detached(&nonce, case.aad, InOutBuf::from(&mut opened[..]), tag.into());
        assert_eq!(verified.is_ok(), case.valid);
        if case.valid {
            assert_eq!(opened, case.plaintext);
            let mut sealed = case.plaintext.to_vec();
            let tag = gcm.encrypt_inout_detached(&nonce, case.aad, InOutBuf::from(&mut sealed[..])).unwrap();
            sealed.extend_from_slice(&tag);
            assert_eq!(sealed, case.sealed);
        }
    });
    assert_eq!(counts, (39, 27));
}

#[test]
fn xchacha20_poly1305_passes_wycheproof() {
    let suite = Suite::XChaCha20Poly1305;
    let counts = wycheproof_aead(aead::TestName::XChaCha20Poly1305, 192, |case| {
        let nonce = case.nonce.try_into().unwrap();
        let opened = decrypt(suite, &case.key, nonce, case.aad, &case.sealed);
        assert_eq!(opened.as_deref(), case.valid.then_some(case.plaintext));
        if case.valid {
            assert_eq!(encrypt(suite, &case.key, nonce, case.aad, case.plaintext), case.sealed);
        }
    });
    assert_eq!(counts, (246, 60));
}

#[test]
fn hkdf_sha256_passes_wycheproof() {
    let set = wycheproof_hkdf::TestSet::load(wycheproof_hkdf::TestName::HkdfSha256).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        let mut okm = vec![0; test.size];
        match test.result {
            TestResult::Valid => {
                // In two parts, because that is how the suite byte gets into the info.
                let (head, tail) = test.info.split_at(test.info.len() / 2);
                Prk::extract(&test.salt, &test.ikm).expand(&[head, tail], &mut okm);
                assert_eq!(okm, test.okm[..], "case {}", test.tc_id);
                valid += 1;
            }
            _ => {
                let hkdf = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm);
                assert!(hkdf.expand(&test.info, &mut okm).is_err(), "case {}", test.tc_id);
                invalid += 1;
            }
        }
    }
    assert_eq!((valid, invalid), (83, 3));
}

#[test]
fn hkdf_sha256_gives_the_answers_of_rfc_5869() {
    let range = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    for (ikm, salt, info, okm) in [
        (
            vec![0x0b; 22],
            range(0, 0x0c),
            range(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            range(0, 0x4f),
            range(0x60, 0xaf),
            range(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ] {
        let expected = hex(okm);
        let mut okm = vec![0; expected.len()];
        Prk::extract(&salt, &ikm).expand(&[&info], &mut okm);
        assert_eq!(okm, expected);
        Prk::extract(&salt, &ikm).expand(&[&info, b"x"], &mut okm);
        assert_ne!(okm, expected, "the info counts");
    }
}
