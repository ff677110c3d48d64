use proptest::prelude::*;

use super::*;
use crate::crypto::mac;

fn line(n: u64, state: LineState) -> KeyLine {
    KeyLine {
        id: MasterKeyId::new(format!("local-{n:016x}")).unwrap(),
        created: Timestamp::from_millis(u64::MAX - n),
        state,
    }
}

fn clear(byte: u8) -> StoredKey {
    StoredKey::Clear(KeyMaterial::from_slice(&[byte; 32]).unwrap())
}

fn unprotected() -> KeyringFile {
    KeyringFile {
        protection: Protection::None,
        keys: vec![
            line(1, LineState::Destroyed(Timestamp::from_millis(7))),
            line(2, LineState::Available(clear(2))),
            line(3, LineState::Current(clear(3))),
        ],
    }
}

fn protected() -> KeyringFile {
    let cost = Cost { memory_kib: 8192, passes: 1, lanes: 1 };
    let params = PassphraseParams { cost, salt: [9; 16], key_id: KeyId::from_bytes([8; 24]) };
    let wrapped = |byte| StoredKey::Wrapped(Box::new([byte; WRAPPED_LEN]));
    KeyringFile {
        protection: Protection::Passphrase(params),
        keys: vec![
            line(1, LineState::Destroyed(Timestamp::from_millis(0))),
            line(2, LineState::Available(wrapped(2))),
            line(3, LineState::Current(wrapped(3))),
        ],
    }
}

fn text(file: &KeyringFile) -> String {
    String::from_utf8(file.encode(|body| mac::sha256(&[body])).to_vec()).unwrap()
}

fn refused(text: &str) -> Unreadable {
    parse_for_fuzz(text.as_bytes());
    KeyringFile::parse(text.as_bytes()).err().unwrap_or_else(|| panic!("read: {text}"))
}

#[test]
fn the_file_is_as_specified() {
    let expected = "fieldseal keyring 1\n\
        protection: none\n\
        key: local-0000000000000001 created=18446744073709551614 destroyed=7 -\n\
        key: local-0000000000000002 created=18446744073709551613 available AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\n\
        key: local-0000000000000003 created=18446744073709551612 current AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM\n\
        check: ";
    let text = text(&unprotected());
    let (body, check) = text.split_at(expected.len());
    assert_eq!(body, expected);
    assert_eq!(check.len(), 44);
    assert!(
        protected_head().ends_with("m=8192 t=1 p=1 salt=CQkJCQkJCQkJCQkJCQkJCQ id=CAgICAgICAgICAgICAgICAgICAgICAgI")
    );
}

fn protected_head() -> String {
    text(&protected()).lines().nth(1).unwrap().to_owned()
}

#[test]
fn what_is_written_is_read() {
    for file in [unprotected(), protected()] {
        let text = text(&file);
        let parsed = KeyringFile::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.file.protection, file.protection);
        assert_eq!(mac::sha256(&[parsed.checked]), parsed.check);
        parse_for_fuzz(text.as_bytes());
    }
}

#[test]
fn a_file_cut_anywhere_is_not_read() {
    for file in [unprotected(), protected()] {
        let text = text(&file);
        for len in 0..text.len() {
            assert!(matches!(refused(&text[..len]), Unreadable::Damaged(_)), "at {len}");
        }
    }
}

#[test]
fn other_spellings_of_the_same_file_are_not_read() {
    let good = text(&unprotected());
    for (from, to) in [
        ("created=18446744073709551614", "created=018446744073709551614"),
        ("created=18446744073709551614", "created=18446744073709551616"),
        ("created=18446744073709551614", "created=+1"),
        ("created=18446744073709551614", "created="),
        ("destroyed=7 -", "destroyed=7"),
        ("destroyed=7 -", "destroyed=7 AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"),
        ("destroyed=7 -", "destroyed=7 - "),
        ("destroyed=7 -", "available -"),
        ("AgICAgI\n", "AgICAgJ\n"),
        ("AgICAgI\n", "AgICAgI=\n"),
        ("AgICAgI\n", "AgICAgI \n"),
        ("AgICAgI\n", "AgICAg\n"),
        ("AgICAgI\n", "AgICAgIAAAA\n"),
        ("available", "Available"),
        ("available", "current"),
        ("current", "available"),
        ("key: ", "key:  "),
        ("key: ", "key:\t"),
        ("key: ", "\nkey: "),
        ("\n", "\r\n"),
        ("local-0000000000000002", "local-0000000000000001"),
        ("local-0000000000000002", "local-000000000000000A"),
        ("local-0000000000000002", "local-000000000000002"),
        ("local-0000000000000002", "other-0000000000000002"),
        ("protection: none", "protection: none "),
        ("protection: none", "protection: "),
        ("check: ", "check:  "),
        ("check: ", "\ncheck: "),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(matches!(refused(&good.replacen(from, to, 1)), Unreadable::Damaged(_)), "{from} -> {to}");
    }
    assert!(matches!(refused(&format!("{good}\n")), Unreadable::Damaged(_)));
    assert!(matches!(refused(&format!("{good} ")), Unreadable::Damaged(_)));
}

#[test]
fn argon2_parameters_out_of_bounds_are_not_read() {
    let good = text(&protected());
    for (from, to) in [
        ("m=8192", "m=8191"),
        ("m=8192", "m=1048577"),
        ("m=8192", "m=4294967296"),
        ("m=8192", "m=08192"),
        ("t=1", "t=0"),
        ("t=1", "t=17"),
        ("p=1", "p=0"),
        ("p=1", "p=17"),
        ("m=8192 t=1", "t=1 m=8192"),
        ("salt=CQ", "salt="),
        ("salt=CQ", "salt=CQkJCQ"),
        ("argon2id", "argon2i"),
        (" id=", " di="),
        ("AgI\n", "AgI\nkey: -\n"),
    ] {
        assert!(good.contains(from), "{from}");
        assert!(matches!(refused(&good.replacen(from, to, 1)), Unreadable::Damaged(_)), "{from} -> {to}");
    }
}

#[test]
fn foreign_and_later_files_are_told_apart() {
    for foreign in
        ["{\"keys\": []}", "\u{89}PNG\r\n\u{1a}\n", "fieldseal keyrung 1\n", "Fieldseal keyring 1\n", "-----"]
    {
        assert_eq!(refused(foreign), Unreadable::Foreign);
    }
    assert_eq!(refused(&"x".repeat(MAX_FILE_LEN + 1)), Unreadable::Foreign);
    for newer in ["fieldseal keyring 2\n", "fieldseal keyring 17\nanything"] {
        assert_eq!(refused(newer), Unreadable::Newer);
    }
    for damaged in
        ["fieldseal keyring 0\n", "fieldseal keyring x\n", "fieldseal keyring 1 \n", "fieldseal keyring 01\n"]
    {
        assert_eq!(refused(damaged), Unreadable::Damaged("the first line"));
    }
}

#[test]
fn a_keyring_has_at_most_1024_keys() {
    let many = |n: u64| {
        let mut file = unprotected();
        file.keys = (1..n).map(|i| line(i, LineState::Destroyed(Timestamp::from_millis(u64::MAX)))).collect();
        file.keys.push(line(0, LineState::Current(clear(1))));
        text(&file)
    };
    assert!(KeyringFile::parse(many(1024).as_bytes()).is_ok());
    assert_eq!(refused(&many(1025)), Unreadable::Damaged("it has too many keys"));
}

proptest! {
    #[test]
    fn no_edit_panics_or_is_read_in_two_spellings(at in 0usize..600, byte: u8, insert: bool, which: bool) {
        let mut bytes = text(&if which { protected() } else { unprotected() }).into_bytes();
        let at = at % bytes.len();
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        parse_for_fuzz(&bytes);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        parse_for_fuzz(&bytes);
        parse_for_fuzz(&[FIRST_LINE, &bytes].concat());
    }
}
