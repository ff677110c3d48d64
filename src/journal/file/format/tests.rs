//! What another program makes of the format, and that every byte counts.

use super::*;

fn unhex(text: &serde_json::Value) -> Vec<u8> {
    crate::crypto::vectors::hex(text.as_str().unwrap())
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
        head = head.advanced_by(entry);
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

/// Every state between the syncs of section 13: what was being written is there or reads as zeros, up to any length.
#[test]
fn nothing_that_a_crash_leaves_is_called_damage() {
    let base = unhex(&vectors()["file"]);
    let (entries, _) = read(&base);
    let head = entries.iter().fold(Head::EMPTY, |head, entry| head.advanced_by(entry));
    let next = entries[1].clone();
    let (start, rest) = frame(&next, &head.advanced_by(&next));
    let whole = [&start[..], &rest].concat();
    let judge = |tail: &[u8]| {
        let (read, found) = read(&[&base[..], tail].concat());
        match found.unwrap() {
            Tail::Uncommitted(entry) => assert!(entry == next && tail == whole),
            Tail::Torn => assert!(!tail.is_empty() && tail != whole),
            Tail::Nothing => assert!(tail.is_empty() || read[3..] == [next.clone()]),
        }
    };
    // The first sync: any of the first bytes, over nothing or over what is left of a torn entry.
    for (under, len) in (0..=START_LEN).map(|len| ([0; START_LEN], len)).chain([([0, 0, 1, 0, 0], START_LEN)]) {
        for written in 0..1 << len {
            let byte = |i: usize| if written >> i & 1 == 1 { start[i] } else { under[i] };
            judge(&(0..len).map(byte).collect::<Vec<_>>());
        }
    }
    // The second: any part of the rest. The same is what a torn entry looks like while it is cut to its start.
    for len in START_LEN..=whole.len() {
        for edge in START_LEN..=len {
            for zeros in [START_LEN..edge, edge..len] {
                let mut tail = whole[..len].to_vec();
                tail[zeros].fill(0);
                judge(&tail);
            }
        }
    }
    // The third.
    judge(&[&[COMMITTED], &whole[1..]].concat());
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
