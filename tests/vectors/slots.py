"""Writes the examples of tags, slots, journal entries and provider contexts (docs/format.md,
sections 2, 10 and 11).

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
        ("a re-enrolment", entry(now + 4, "acme", tag, again)),
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


# --- Output ----------------------------------------------------------------------------------


def pattern(first: int, length: int) -> bytes:
    """Bytes that count up, so that no two neighbours are equal and a shifted field shows."""
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
        "contexts": contexts,
    }
    return (json.dumps(out, indent=2, ensure_ascii=True) + "\n").encode("ascii")


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
