"""Writes the examples of tags, slots, journal entries, journal files, provider contexts
and keys that several providers wrap (docs/format.md, sections 2, 10, 11, 13 and 14).

    python slots.py > slots.json      generate
    python slots.py --check           exit 1 when the committed slots.json differs

Needs Python 3.11 and nothing else: a slot holds wrapped keys as bytes, so no cipher takes part, and
the wrapped keys here are patterns that unwrap to nothing. Written from the document alone.
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

COMMITTED = pathlib.Path(__file__).resolve().parent / "slots.json"

VAULT, TENANT, SUBJECT = 1, 2, 3
LIVE, SCHEDULED, ERASED = 1, 2, 3


# --- Sections 1 and 2 ------------------------------------------------------------------------


def lp(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def enc(label: str, *parts: bytes) -> bytes:
    count = struct.pack(">I", len(parts))
    return lp(b"fieldseal/1") + lp(label.encode()) + count + b"".join(map(lp, parts))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def derive(key: bytes, info: bytes, length: int) -> bytes:
    # 32 bytes are one block of HKDF-Expand, and nothing here is longer.
    assert length <= 32
    return hmac_sha256(hmac_sha256(b"fieldseal/1", key), info + b"\x01")[:length]


def slot_mac_key(root: bytes) -> bytes:
    return derive(root, b"fieldseal/1 slot", 32)


# --- Section 10 ------------------------------------------------------------------------------


def short(data: bytes) -> bytes:
    """A u16 length and the bytes."""
    return struct.pack(">H", len(data)) + data


def wrapped_root(epoch: int, key_id: bytes, master: str, wrapped: bytes) -> bytes:
    assert len(key_id) == 24
    return struct.pack(">I", epoch) + key_id + short(master.encode()) + short(wrapped)


def slot(
    kind: int,
    root: bytes,
    tenant: str,
    tag: bytes,
    state: int,
    epoch: int,
    due: int,
    body: bytes,
) -> bytes:
    content = struct.pack(">BBBIQ", 1, kind, state, epoch, due) + body
    message = enc("slot", tenant.encode(), tag, bytes([kind]), content)
    return content + hmac_sha256(slot_mac_key(root), message)


def vault_slot(root: bytes) -> bytes:
    body = wrapped_root(2, pattern(1, 24), "arn:key/2", pattern(2, 40))
    body += struct.pack(">Q", 300_000)  # max_age
    body += b"\x01" + pattern(3, 16)  # journal
    body += struct.pack(">Q", 7) + pattern(4, 32)  # applied
    body += struct.pack(">H", 2)
    body += struct.pack(">IBQ", 1, 2, 1_700_000_000_000) + short(b"arn:key/1")
    body += struct.pack(">IBQ", 2, 1, 1_700_000_086_400) + short(b"arn:key/2")
    return slot(VAULT, root, "", b"", LIVE, 2, 0, body)


def tenant_slot(root: bytes) -> bytes:
    body = wrapped_root(3, pattern(1, 24), "key-3", pattern(2, 60))
    body += struct.pack(">Q", 0)
    body += bytes([2])
    body += wrapped_root(1, pattern(3, 24), "key-1", pattern(4, 61))
    body += wrapped_root(3, pattern(5, 24), "key-3", pattern(6, 62))
    body += bytes([1])
    body += struct.pack(">I", 4) + wrapped_root(2, pattern(7, 24), "key-2", pattern(8, 63))
    # The column is the lowest epoch of the root and the index keys; epoch keys don't count.
    return slot(TENANT, root, "acme", b"", LIVE, 2, 0, body)


def erased_tenant(root: bytes) -> bytes:
    body = wrapped_root(3, pattern(1, 24), "key-3", pattern(2, 60))
    body += struct.pack(">Q", 1_700_000_000_000) + bytes([0, 0])
    return slot(TENANT, root, "acme", b"", ERASED, 3, 0, body)


def subject_slot(root: bytes, tag: bytes) -> bytes:
    body = struct.pack(">IQQB", 3, 1_900_000_000_000, 1_800_000_000_000, 1)
    body += bytes([2])
    # Erased: two destroyed keys, no version.
    body += short("billing".encode()) + struct.pack(">IIQ", 2, 1, 1_700_000_000_000)
    body += struct.pack(">H", 2) + pattern(1, 24) + pattern(2, 24) + bytes([0])
    # Live: nothing destroyed, two versions, the second of them without a date.
    body += short("default".encode()) + struct.pack(">IIQ", 1, 3, 0)
    body += struct.pack(">H", 0) + bytes([2])
    body += struct.pack(">IQQ", 1, 1_600_000_000_000, 1_600_000_000_000)
    body += pattern(3, 24) + pattern(4, 98)
    body += struct.pack(">IQQ", 3, 1_650_000_000_000, 0)
    body += pattern(5, 24) + pattern(6, 98)
    return slot(SUBJECT, root, "acme", tag, SCHEDULED, 3, 1_800_000_000_000, body)


def tombstone(root: bytes, tag: bytes) -> bytes:
    body = struct.pack(">IQQB", 0, 0, 0, 0) + bytes([1])
    body += short("default".encode()) + struct.pack(">IIQ", 1, 1, 1_700_000_000_000)
    body += struct.pack(">H", 1) + pattern(1, 24) + bytes([0])
    return slot(SUBJECT, root, "acme", tag, ERASED, 0, 0, body)


def retired_version(root: bytes, tag: bytes) -> bytes:
    """Live, never erased, and its first version was retired: only its id is left."""
    body = struct.pack(">IQQB", 3, 0, 0, 0) + bytes([1])
    body += short("default".encode()) + struct.pack(">IIQ", 1, 3, 0)
    body += struct.pack(">H", 1) + pattern(1, 24) + bytes([1])
    body += struct.pack(">IQQ", 2, 1_600_000_000_000, 1_600_000_000_000)
    body += pattern(3, 24) + pattern(4, 98)
    return slot(SUBJECT, root, "acme", tag, LIVE, 3, 0, body)


# --- Section 11 ------------------------------------------------------------------------------


def entry(at: int, tenant: str, tag: bytes, event: bytes) -> bytes:
    return struct.pack(">BQ", 1, at) + short(tenant.encode()) + short(tag) + event


def journal_entries(tag: bytes) -> list[tuple[str, bytes]]:
    now = 1_700_000_000_000
    root = b"\x01"
    epoch = b"\x02" + struct.pack(">I", 1) + short(b"arn:key/1")
    max_age = b"\x03" + struct.pack(">Q", 600_000)
    again = b"\x04" + short(b"default") + struct.pack(">I", 2)
    lines = b"\x02" + short(b"billing") + u32(2) + short(b"default") + u32(1)
    later = struct.pack(">Q", 1_800_000_000_000)
    return [
        ("the vault's root", entry(now, "", b"", root + pattern(1, 24))),
        ("an epoch", entry(now + 1, "", b"", epoch)),
        ("a tenant's root", entry(now + 2, "acme", b"", root + pattern(2, 24))),
        ("a raised max_age", entry(now + 3, "", b"", max_age)),
        ("a re-enrollment", entry(now + 4, "acme", tag, again)),
        ("a root in the store", entry(now + 5, "acme", b"", b"\x05" + pattern(2, 24))),
        ("a root given up", entry(now + 6, "acme", b"", b"\x06" + pattern(2, 24))),
        ("an intended erasure", entry(now + 7, "acme", tag, b"\x07\x01" + lines)),
        ("an erasure", entry(now + 8, "acme", tag, b"\x08" + u32(3) + lines)),
        ("a hold", entry(now + 9, "acme", tag, b"\x09")),
        ("its release", entry(now + 10, "acme", tag, b"\x0a")),
        ("a scheduled erasure", entry(now + 11, "acme", tag, b"\x0b" + later)),
        ("a cancelled one", entry(now + 12, "acme", tag, b"\x0c")),
        ("a tenant's intended erasure", entry(now + 13, "acme", b"", b"\x0d")),
        ("a tenant's erasure", entry(now + 14, "acme", b"", b"\x0e" + u32(3))),
        ("a destroyed master key", entry(now + 15, "", b"", b"\x0f" + short(b"arn:key/1"))),
    ]


def chain(entries: list[bytes]) -> list[bytes]:
    heads, head = [], bytes(32)
    for data in entries:
        head = hashlib.sha256(enc("journal", head, data)).digest()
        heads.append(head)
    return heads


# --- Section 13 ------------------------------------------------------------------------------


def journal_header(journal_id: bytes) -> bytes:
    head = b"fieldseal journal 1\n" + journal_id
    return head + hashlib.sha256(head).digest()


def frame(commit: int, data: bytes, head: bytes) -> bytes:
    return bytes([commit]) + u32(len(data)) + data + head


def judge(tail: bytes, head: bytes, reads) -> str:
    """What follows the committed frames; `reads` tells whether bytes are an entry."""
    if not tail:
        return "end"
    if tail[0] > 1:
        return "damage"
    committed, left = tail[0] == 1, len(tail)
    if left < 5:
        return "damage" if committed else "torn"
    if not committed and left == 5:
        return "torn"
    (length,) = struct.unpack(">I", tail[1:5])
    if not 1 <= length <= 65_536:
        return "damage"
    if left < 37 + length:
        return "damage" if committed else "torn"
    if not committed and left > 37 + length:
        return "damage"
    data, after = tail[5 : 5 + length], tail[5 + length : 37 + length]
    good = reads(data) and after == hashlib.sha256(enc("journal", head, data)).digest()
    if committed:
        return "committed" if good else "damage"
    return "uncommitted" if good else "torn"


def journal_file(tag: bytes) -> dict:
    """A file of three entries, and what may follow them."""
    data = [data for _, data in journal_entries(tag)][:5]
    heads = chain(data)
    base = journal_header(pattern(12, 16))
    for n in range(3):
        base += frame(1, data[n], heads[n])
    head, next_, after = heads[2], data[3], heads[3]
    whole, done = frame(0, next_, after), frame(1, next_, after)
    wrong = after[:-1] + bytes([after[-1] ^ 1])
    unread = b"\x02" + next_[1:]
    unread_after = hashlib.sha256(enc("journal", head, unread)).digest()
    tails = [
        ("nothing", b""),
        ("a commit byte", whole[:1]),
        ("half a length", whole[:3]),
        ("a length", whole[:5]),
        ("a start of zeros", bytes(5)),
        ("half an entry", whole[:20]),
        ("all but one byte", whole[:-1]),
        ("zeros for an entry", whole[:5] + bytes(len(whole) - 5)),
        ("another hash", frame(0, next_, wrong)),
        ("an entry of another version", frame(0, unread, unread_after)),
        ("a whole frame", whole),
        ("a whole frame and a byte", whole + b"\x00"),
        ("two of them", whole + frame(0, data[4], heads[4])),
        ("one that was committed, and another", whole + frame(1, data[4], heads[4])),
        ("zeros", bytes(6)),
        ("many zeros", bytes(4096)),
        ("a length out of bounds", b"\x00" + u32(65_537) + bytes(200)),
        ("one more", done),
        ("committed and cut", done[:-1]),
        ("committed and cut to its length", done[:5]),
        ("committed and cut to its commit byte", done[:1]),
        ("committed, with another hash", frame(1, next_, wrong)),
        ("committed, of another version", frame(1, unread, unread_after)),
        ("committed, out of place", frame(1, data[4], heads[4])),
        ("committed, without length", b"\x01" + u32(0) + after),
        ("neither", b"\x02" + done[1:]),
    ]
    known = set(data)
    return {
        "id": pattern(12, 16).hex(),
        "entries": 3,
        "file": base.hex(),
        "tails": [
            {"name": name, "tail": tail.hex(), "is": judge(tail, head, known.__contains__)}
            for name, tail in tails
        ],
    }


# --- Output ----------------------------------------------------------------------------------


def pattern(first: int, length: int) -> bytes:
    """Bytes that count up, so that no two neighbors are equal and a shifted field shows."""
    return bytes((first * 16 + i) % 256 for i in range(length))


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def document() -> bytes:
    root, tag, key_id = pattern(9, 32), pattern(10, 16), pattern(11, 24)
    slots = [
        {"name": name, "tenant": tenant, "tag": of.hex(), "slot": data.hex()}
        for name, tenant, of, data in (
            ("vault", "", b"", vault_slot(root)),
            ("tenant", "acme", b"", tenant_slot(root)),
            ("erased tenant", "acme", b"", erased_tenant(root)),
            ("subject", "acme", tag, subject_slot(root, tag)),
            ("tombstone", "acme", tag, tombstone(root, tag)),
            ("retired version", "acme", tag, retired_version(root, tag)),
        )
    ]
    entries = journal_entries(tag)
    journal = [
        {"name": name, "entry": data.hex(), "head": head.hex()}
        for (name, data), head in zip(entries, chain([data for _, data in entries]))
    ]
    contexts = [
        {"role": "vault root", "context": enc("vault root", u32(2), key_id).hex()},
        {"role": "epoch key", "context": enc("epoch key", b"acme", u32(2), key_id).hex()},
        {"role": "root", "context": enc("root", b"acme", u32(2), key_id).hex()},
        {"role": "index key", "context": enc("index key", b"acme", u32(2), u32(5), key_id).hex()},
    ]
    out = {
        "format": "fieldseal/1",
        "root": root.hex(),
        "root_id": derive(root, b"fieldseal/1 key id", 24).hex(),
        "tags": [
            {"tenant": tenant, "subject": subject,
             "tag": derive(root, enc("tag", tenant.encode(), subject.encode()), 16).hex()}
            for tenant, subject in (("acme", "user-1"), ("acme", "user-2"), ("acm", "euser-1"))
        ],
        "key_id": key_id.hex(),
        "slots": slots,
        "journal": journal,
        "journal_file": journal_file(tag),
        "contexts": contexts,
        "parts": parts(),
    }
    return (json.dumps(out, indent=2, ensure_ascii=True) + "\n").encode("ascii")


# --- Section 14 ------------------------------------------------------------------------------


def mac_of_parts(label: str, key: bytes, bound: str, *wrapped: bytes) -> bytes:
    return hmac_sha256(derive(key, b"fieldseal/1 parts", 32), enc(label, bound.encode(), *wrapped))


def any_of(key: bytes, members: list[tuple[str, bytes]]) -> dict:
    assert members == sorted(members, key=lambda member: member[0].encode())
    master = "any-of:" + "".join(f"{len(name.encode())}:{name}" for name, _ in members)
    wrapped = [data for _, data in members]
    joined = b"".join(map(short, wrapped)) + mac_of_parts("any of", key, master, *wrapped)
    return {"label": "any of", "key": key.hex(), "bound": master, "parts": [data.hex() for data in wrapped],
            "joined": joined.hex()}


def halves(half: bytes, master: str, common: bytes, own_master: str, own: bytes) -> dict:
    wrapped = [common, own_master.encode(), own]
    joined = b"".join(map(short, wrapped)) + mac_of_parts("halves", half, master, *wrapped)
    return {"label": "halves", "key": half.hex(), "bound": master, "parts": [data.hex() for data in wrapped],
            "joined": joined.hex()}


def parts() -> list[dict]:
    key = bytes(range(32))
    return [
        any_of(key, [("clé", bytes([2] * 3)), ("local-5d1c0e5f3a9b2744", bytes([1] * 98))]),
        any_of(key, [("a", b"\x00"), ("b", b"\x01"), ("c", bytes(300))]),
        halves(key, "local-5d1c0e5f3a9b2744", bytes([3] * 98), "arn:of:acme", bytes([4] * 180)),
    ]


def main() -> int:
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    generated = document()
    if not arguments:
        sys.stdout.buffer.write(generated)
        return 0
    if not COMMITTED.exists() or COMMITTED.read_bytes() != generated:
        print(f"{COMMITTED.name} is not what slots.py generates", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
