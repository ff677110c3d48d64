//! What another program makes of the format, and that every byte counts.

use super::*;

fn unhex(text: &serde_json::Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn vectors() -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(include_str!("../../../../tests/vectors/slots.json")).unwrap();
    all["journal_file"].clone()
}

/// The committed entries, and what follows them.
fn read(bytes: &[u8]) -> (Vec<JournalEntry>, Result<Tail, Trouble>) {
    let rest = &bytes[HEADER_LEN..];
    let mut frames = Frames::new(rest, HEADER_LEN as u64, bytes.len() as u64, Head::EMPTY);
    let mut entries = Vec::new();
    loop {
        match frames.next() {
            Ok(Found::Entry(committed)) => entries.push(committed.entry),
            Ok(Found::End(tail)) => return (entries, Ok(tail)),
            Err(trouble) => return (entries, Err(trouble)),
        }
    }
}

#[test]
fn a_file_is_what_another_program_makes_of_the_format() {
    let vectors = vectors();
    let file = unhex(&vectors["file"]);
    let id = JournalId::from_bytes(unhex(&vectors["id"]).try_into().unwrap());
    assert_eq!(read_header(&file[..HEADER_LEN]).unwrap(), id);
    let (entries, tail) = read(&file);
    assert!(matches!(tail, Ok(Tail::Nothing)));
    assert_eq!(entries.len() as u64, vectors["entries"].as_u64().unwrap());
    let mut ours = header(&id).to_vec();
    let mut head = Head::EMPTY;
    for entry in &entries {
        head = head.after(entry);
        let (mut start, rest) = frame(entry, &head);
        start[0] = COMMITTED;
        ours.extend(start);
        ours.extend(rest);
    }
    assert_eq!(ours, file);
}

#[test]
fn what_follows_the_frames_is_judged_as_another_program_does() {
    let vectors = vectors();
    let base = unhex(&vectors["file"]);
    for case in vectors["tails"].as_array().unwrap() {
        let bytes = [&base[..], &unhex(&case["tail"])].concat();
        let (entries, tail) = read(&bytes);
        let judged = match tail {
            Ok(Tail::Nothing) if entries.len() == 3 => "end",
            Ok(Tail::Nothing) => "committed",
            Ok(Tail::Torn) => "torn",
            Ok(Tail::Uncommitted(_)) => "uncommitted",
            Err(Trouble::Damaged(Damage { at, .. })) => {
                assert_eq!(at, base.len() as u64, "{}", case["name"]);
                "damage"
            }
            Err(Trouble::Io(e)) => panic!("{e}"),
        };
        assert_eq!(judged, case["is"].as_str().unwrap(), "{}", case["name"]);
        parse_for_fuzz(&bytes);
    }
}

#[test]
fn a_header_is_whole_or_is_refused() {
    let id = JournalId::from_bytes([7; 16]);
    let good = header(&id);
    assert_eq!(read_header(&good).unwrap(), id);
    for len in 0..good.len() {
        let Err(Unreadable::Damaged(damage)) = read_header(&good[..len]) else { panic!("cut at {len}") };
        assert_eq!(damage.at, len as u64);
    }
    for at in 0..good.len() {
        let mut changed = good;
        changed[at] ^= 1;
        match read_header(&changed).unwrap_err() {
            Unreadable::Foreign => assert!(at < MAGIC.len()),
            Unreadable::Newer => panic!("the number became 0"),
            Unreadable::Damaged(damage) => assert!(at >= MAGIC.len() && damage.at <= at as u64),
        }
    }
    for (text, expected) in [
        (&b"fieldseal journal 2\nanything"[..], Unreadable::Newer),
        (b"fieldseal journal 999999999\n", Unreadable::Newer),
        (b"fieldseal keyring 1\nprotection: none\n", Unreadable::Foreign),
        (b"SQLite format 3\0", Unreadable::Foreign),
    ] {
        assert_eq!(read_header(text), Err(expected));
    }
    for text in
        ["fieldseal journal 0\n", "fieldseal journal 01\n", "fieldseal journal 1000000000\n", "fieldseal journal \n"]
    {
        assert!(matches!(read_header(text.as_bytes()), Err(Unreadable::Damaged(_))), "{text}");
    }
}

#[test]
fn a_zeroed_block_is_never_taken_for_a_torn_append() {
    let file = unhex(&vectors()["file"]);
    let (all, _) = read(&file);
    for start in HEADER_LEN..file.len() {
        for len in [6, 16, 64, file.len()] {
            let end = file.len().min(start + len);
            let mut changed = file.clone();
            changed[start..end].fill(0);
            if changed == file {
                continue;
            }
            let (entries, tail) = read(&changed);
            let lost = all.len() - entries.len();
            assert!(matches!(tail, Err(Trouble::Damaged(_))), "{lost} entries lost: {start}..{end}: {tail:?}");
        }
    }
}
