"""Writes the examples of tags, slots, journals, journal files, provider contexts and keys that several
providers wrap (docs/format.md, sections 2, 10, 11, 13 and 14).

    python slots.py > slots.json      generate
    python slots.py --check           exit 1 when the committed slots.json differs

Needs Python 3.11 and nothing else: a slot holds wrapped keys as bytes, so no cipher takes part, and
the wrapped keys here are patterns that unwrap to nothing. Written from the document alone.

What a reader must make of a journal stands in the cases as it was meant when the case was built.
`reader.py` works it out from the bytes.
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


NO_POINT = struct.pack(">Q", 0) + bytes(32)
UNDATED, AT_ONCE = struct.pack(">BQ", 0, 0), struct.pack(">BQ", 2, 0)


def dated(moment: int) -> bytes:
    return struct.pack(">BQ", 1, moment)


def point(position: int, first: int) -> bytes:
    return struct.pack(">Q", position) + pattern(first, 32)


def vault_body(
    journal: bytes = b"\x01" + b"J" * 16,
    applied: bytes | None = None,
    settled: bytes | None = None,
    settling: bytes = b"\x00",
    told: int = 2,
    waits: tuple[int, ...] = (),
    indexes: bytes = b"\x00",
) -> bytes:
    body = wrapped_root(2, pattern(1, 24), "arn:key/2", pattern(2, 40))
    body += struct.pack(">Q", 300_000)  # max_age
    body += journal
    body += applied or point(7, 4)
    body += settled or NO_POINT
    body += settling
    body += struct.pack(">Q", told)
    body += struct.pack(f">H{len(waits)}Q", len(waits), *waits)
    body += struct.pack(">H", 2)
    body += struct.pack(">IBQ", 1, 2, 1_700_000_000_000) + short(b"arn:key/1")
    body += struct.pack(">IBQ", 2, 1, 1_700_000_086_400) + short(b"arn:key/2")
    return body + indexes


def index_epoch(number: int, state: int, date: bytes) -> bytes:
    return struct.pack(">IQB", number, 1_710_000_000_000, state) + date


def vault_slot(root: bytes) -> bytes:
    body = vault_body(
        journal=b"\x01" + pattern(3, 16),
        applied=point(40, 4),
        settled=point(7, 5),
        settling=b"\x01" + point(33, 6) + struct.pack(">Q", 1_720_000_000_000),
        told=38,
        waits=(12, 39, 40),
        indexes=b"\x02" + index_epoch(4, 2, dated(1_730_000_000_000)) + index_epoch(5, 1, UNDATED),
    )
    return slot(VAULT, root, "", b"", LIVE, 2, 0, body)


def vault_without_journal(root: bytes) -> bytes:
    body = vault_body(journal=b"\x00", applied=NO_POINT, told=0)
    return slot(VAULT, root, "", b"", LIVE, 2, 0, body)


def index_key(number: int, date: bytes, wrapped: bytes) -> bytes:
    return struct.pack(">IQ", number, 1_710_000_000_000) + date + wrapped


def tenant_body(
    erased: int = 0, told: int = 3, epoch_keys: int = 2, indexes: bytes | None = None
) -> bytes:
    body = wrapped_root(3, pattern(1, 24), "key-3", pattern(2, 60))
    body += struct.pack(">QQ", erased, told)
    keys = [wrapped_root(1, pattern(3, 24), "key-1", pattern(4, 61)),
            wrapped_root(3, pattern(5, 24), "key-3", pattern(6, 62))][:epoch_keys]
    body += bytes([len(keys)]) + b"".join(keys)
    if indexes is None:
        wrapped = wrapped_root(2, pattern(7, 24), "key-2", pattern(8, 63))
        indexes = b"\x01" + index_key(4, dated(1_711_000_000_000), wrapped)
    return body + indexes


def tenant_slot(root: bytes) -> bytes:
    # The column is the lowest epoch of the root and the index keys; epoch keys don't count.
    return slot(TENANT, root, "acme", b"", LIVE, 2, 0, tenant_body())


def erased_tenant(root: bytes) -> bytes:
    body = tenant_body(1_700_000_000_000, 14, 0, b"\x00")
    return slot(TENANT, root, "acme", b"", ERASED, 3, 0, body)


def version(number: int, made: int, date: bytes, first: int) -> bytes:
    return struct.pack(">IQ", number, made) + date + pattern(first, 24) + pattern(first + 1, 98)


def purpose(
    name: str, line: int, erased: int, destroyed: tuple[int, ...], versions: tuple[bytes, ...]
) -> bytes:
    out = short(name.encode()) + struct.pack(">IQH", line, erased, len(destroyed))
    out += b"".join(pattern(first, 24) for first in destroyed)
    return out + bytes([len(versions)]) + b"".join(versions)


def subject_body(
    *purposes: bytes,
    epoch: int = 3,
    retained: int = 0,
    scheduled: int = 0,
    closed: int = 0,
    whole: int = 0,
    held: int = 0,
    lost: int = 0,
    told: int = 0,
) -> bytes:
    head = struct.pack(">IQQQQBBQ", epoch, retained, scheduled, closed, whole, held, lost, told)
    return head + bytes([len(purposes)]) + b"".join(purposes)


ONE = 1_600_000_000_000
ERASED_AT = 1_700_000_000_000


def one_live(name: str = "default", line: int = 1, date: bytes = AT_ONCE) -> bytes:
    return purpose(name, line, 0, (), (version(1, ONE, date, 3),))


def one_erased(name: str = "default", line: int = 1, first: int = 1) -> bytes:
    return purpose(name, line, ERASED_AT, (first,), ())


def subject_slot(root: bytes, tag: bytes) -> bytes:
    body = subject_body(
        # Erased: two destroyed keys, no version.
        purpose("billing", 2, ERASED_AT, (1, 2), ()),
        # Live: nothing destroyed, three versions, one of each state.
        purpose("default", 1, 0, (), (
            version(1, ONE, AT_ONCE, 3),
            version(3, 1_650_000_000_000, dated(1_650_000_300_000), 5),
            version(4, 1_660_000_000_000, UNDATED, 7),
        )),
        retained=1_900_000_000_000, scheduled=1_800_000_000_000, held=1, told=12,
    )
    return slot(SUBJECT, root, "acme", tag, SCHEDULED, 3, 1_800_000_000_000, body)


def closed_subject(root: bytes, tag: bytes) -> bytes:
    body = subject_body(one_live(), retained=ERASED_AT, closed=ERASED_AT + 5)
    return slot(SUBJECT, root, "acme", tag, SCHEDULED, 3, ERASED_AT, body)


def tombstone(root: bytes, tag: bytes) -> bytes:
    """Of one purpose alone, and there is no other."""
    return slot(SUBJECT, root, "acme", tag, ERASED, 0, 0, subject_body(one_erased(), epoch=0, told=8))


def whole_tombstone(root: bytes, tag: bytes) -> bytes:
    body = subject_body(one_erased(), epoch=0, whole=ERASED_AT, told=8)
    return slot(SUBJECT, root, "acme", tag, ERASED, 0, 0, body)


def replaced(root: bytes, tag: bytes) -> bytes:
    """A tombstone in the place of a slot that was damaged: no key id is known."""
    gone = purpose("default", 1, ERASED_AT, (), ())
    body = subject_body(gone, epoch=0, whole=ERASED_AT, lost=1, told=8)
    return slot(SUBJECT, root, "acme", tag, ERASED, 0, 0, body)


def enrolled_again(root: bytes, tag: bytes) -> bytes:
    """Erased as a whole, then enrolled again: the purpose that was named, and one that wasn't."""
    named = purpose("default", 2, ERASED_AT, (1,), (version(1, ERASED_AT + 9, AT_ONCE, 3),))
    unnamed = purpose("research", 2, 0, (), (version(1, ERASED_AT + 9, AT_ONCE, 5),))
    body = subject_body(named, unnamed, whole=ERASED_AT, told=11)
    return slot(SUBJECT, root, "acme", tag, LIVE, 3, 0, body)


def retired_version(root: bytes, tag: bytes) -> bytes:
    """Live, never erased, and its first version was retired: only its id is left."""
    left = purpose("default", 1, 0, (1,), (version(2, ONE, dated(ONE), 3),))
    return slot(SUBJECT, root, "acme", tag, LIVE, 3, 0, subject_body(left))


def slot_rejects(root: bytes, tag: bytes) -> list[dict]:
    """What its MAC fits, as it was made with the root, and is refused all the same; and what the MAC
    alone refuses."""
    out = []

    def add(name: str, kind: int, data: bytes, error: str = "Corrupt", tenant: str = "acme",
            of: bytes | None = None) -> None:
        of = (tag if kind == SUBJECT else b"") if of is None else of
        tenant = "" if kind == VAULT else tenant
        out.append({"name": name, "kind": kind, "tenant": tenant, "tag": of.hex(),
                    "slot": data.hex(), "error": error})

    def vault(name: str, **parts) -> None:
        add(name, VAULT, slot(VAULT, root, "", b"", LIVE, 2, 0, vault_body(**parts)))

    vault("vault: settled above applied", settled=point(8, 5))
    vault("vault: settled at 0 with a hash", settled=point(0, 5))
    vault("vault: settling above applied",
          settling=b"\x01" + point(8, 6) + struct.pack(">Q", 1))
    vault("vault: settling at settled", settled=point(5, 5),
          settling=b"\x01" + point(5, 5) + struct.pack(">Q", 1))
    vault("vault: settling flagged 2", settling=b"\x02" + point(6, 6) + struct.pack(">Q", 1))
    vault("vault: a wait above applied", waits=(8,))
    vault("vault: a wait at 0", waits=(0,))
    vault("vault: waits out of order", waits=(5, 4))
    vault("vault: a wait twice", waits=(4, 4))
    vault("vault: 1025 waits", applied=point(2000, 4), waits=tuple(range(1, 1026)))
    vault("vault: no journal, and applied", journal=b"\x00", told=0)
    vault("vault: no journal, and an entry", journal=b"\x00", applied=NO_POINT)
    vault("vault: an open index epoch with a date",
          indexes=b"\x01" + index_epoch(4, 1, dated(ONE)))
    vault("vault: index epoch 0", indexes=b"\x01" + index_epoch(0, 1, UNDATED))
    vault("vault: an index epoch of state 3", indexes=b"\x01" + index_epoch(4, 3, UNDATED))
    vault("vault: index epochs out of order",
          indexes=b"\x02" + index_epoch(5, 1, UNDATED) + index_epoch(4, 1, UNDATED))
    vault("vault: an index epoch too few", indexes=b"\x02" + index_epoch(4, 1, UNDATED))

    def tenant(name: str, state: int = LIVE, epoch: int = 2, **parts) -> None:
        add(name, TENANT, slot(TENANT, root, "acme", b"", state, epoch, 0, tenant_body(**parts)))

    wrapped = wrapped_root(2, pattern(7, 24), "key-2", pattern(8, 63))
    for name, date in (
        ("state 3", struct.pack(">BQ", 3, 0)),
        ("undated, with a moment", struct.pack(">BQ", 0, 1)),
        ("dated, without a moment", struct.pack(">BQ", 1, 0)),
        ("at once, with a moment", struct.pack(">BQ", 2, 1)),
    ):
        tenant(f"tenant: an index key's date, {name}", indexes=b"\x01" + index_key(4, date, wrapped))
        body = subject_body(one_live(date=date))
        add(f"subject: a version's date, {name}", SUBJECT,
            slot(SUBJECT, root, "acme", tag, LIVE, 3, 0, body))
    tenant("tenant: index epoch 0", indexes=b"\x01" + index_key(0, UNDATED, wrapped))
    tenant("tenant: erased, with an epoch key", ERASED, 3, erased=1, indexes=b"\x00")
    tenant("tenant: erased, with an index key", ERASED, 2, erased=1, epoch_keys=0)
    tenant("tenant: alive, without an epoch key", epoch_keys=0)
    tenant("tenant: the head's epoch is an epoch key's", LIVE, 1)

    def subject(name: str, body: bytes, state: int = LIVE, epoch: int = 3, due: int = 0) -> None:
        add(f"subject: {name}", SUBJECT, slot(SUBJECT, root, "acme", tag, state, epoch, due, body))

    subject("closed without a period", subject_body(one_live(), closed=5), SCHEDULED)
    subject("closed before its period ended", subject_body(one_live(), retained=6, closed=5),
            SCHEDULED, 3, 6)
    subject("closed, and live in the head", subject_body(one_live(), retained=5, closed=5), LIVE, 3, 5)
    subject("not closed, and closed in the head", subject_body(one_live()), SCHEDULED)
    subject("due when it was closed", subject_body(one_live(), retained=5, closed=6), SCHEDULED, 3, 6)
    subject("a damaged one replaced, and not whole",
            subject_body(one_erased(), epoch=0, lost=1), ERASED, 0)
    subject("a hold flagged 2", subject_body(one_live(), held=2))
    subject("a replacement flagged 2",
            subject_body(one_erased(), epoch=0, whole=ERASED_AT, lost=2), ERASED, 0)
    subject("no purpose", subject_body(epoch=0, whole=ERASED_AT), ERASED, 0)
    subject("line 0", subject_body(one_live(line=0)))
    subject("version 0", subject_body(purpose("p", 1, 0, (), (version(0, ONE, AT_ONCE, 3),))))
    subject("a tombstone of no moment", subject_body(purpose("p", 1, 0, (1,), ()), epoch=0), ERASED, 0)
    subject("a key and no epoch", subject_body(one_live(), epoch=0), ERASED, 0)
    subject("an epoch and no key", subject_body(one_erased()), LIVE)
    subject("a byte too many", subject_body(one_live()) + b"\x00")
    subject("a byte too few", subject_body(one_live())[:-1])

    good = slot(SUBJECT, root, "acme", tag, LIVE, 3, 0, subject_body(one_live()))
    add("another subject's", SUBJECT, good, of=pattern(12, 16))
    add("another tenant's", SUBJECT, good, tenant="acme2")
    add("a MAC of zeros", SUBJECT, good[:-32] + bytes(32))
    add("its MAC gone", SUBJECT, good[:-32])
    add("a subject's in a tenant's place", TENANT, good)
    # A slot of a later version: the head keeps its meaning, and the last 32 bytes are the MAC.
    later = b"\x02" + good[1:-32] + b"and more"
    mac = hmac_sha256(slot_mac_key(root), enc("slot", b"acme", tag, b"\x03", later))
    add("of version 2", SUBJECT, later + mac, "NewerSchema")
    add("of version 2, changed", SUBJECT, later[:-1] + b"!" + mac)
    add("of version 2, as version 1 was", SUBJECT, b"\x02" + good[1:])
    body = b"\xff" + later[1:]
    mac = hmac_sha256(slot_mac_key(root), enc("slot", b"acme", tag, b"\x03", body))
    add("of version 255", SUBJECT, body + mac, "NewerSchema")
    none = b"\x00" + good[1:-32]
    mac = hmac_sha256(slot_mac_key(root), enc("slot", b"acme", tag, b"\x03", none))
    add("of version 0", SUBJECT, none + mac)
    later = b"\x02" + vault_slot(root)[1:-32] + b"and more"
    mac = hmac_sha256(slot_mac_key(root), enc("slot", b"", b"", b"\x01", later))
    add("a vault's of version 2", VAULT, later + mac, "NewerSchema")
    return out


# --- Section 11 ------------------------------------------------------------------------------


def journal_mac_key(root: bytes) -> bytes:
    return derive(root, b"fieldseal/1 journal", 32)


def after(hash_before: bytes, entry: bytes) -> bytes:
    return hashlib.sha256(enc("journal", hash_before, entry)).digest()


class Journal:
    """A journal being written. It knows of each entry what a reader has to make of it."""

    def __init__(self, root: bytes) -> None:
        self.key = journal_mac_key(root)
        self.entries: list[bytes] = []
        self.heads: list[bytes] = []
        self.judged: list[str] = []
        self.last: dict[tuple[str, bytes], int] = {}
        self.at = 1_700_000_000_000

    def head(self) -> bytes:
        return self.heads[-1] if self.heads else bytes(32)

    def put(self, entry: bytes, judged: str) -> int:
        """Appended by anybody."""
        self.heads.append(after(self.head(), entry))
        self.entries.append(entry)
        self.judged.append(judged)
        return len(self.entries)

    def content(self, tenant: str, tag: bytes, event: bytes, previous: int | None = None,
                version: int = 1) -> bytes:
        if previous is None:
            previous = self.last.get((tenant, tag), 0)
        self.at += 1
        head = struct.pack(">BQ", version, self.at - 1) + short(tenant.encode()) + short(tag)
        return head + struct.pack(">Q", previous) + event

    def mac(self, content: bytes, key: bytes | None = None) -> bytes:
        position = struct.pack(">Q", len(self.entries) + 1)
        message = enc("journal entry", self.head(), position, content)
        return hmac_sha256(key or self.key, message)

    def say(self, tenant: str, tag: bytes, event: bytes, judged: str = "accepted", **parts) -> int:
        """Appended by a vault."""
        content = self.content(tenant, tag, event, **parts)
        position = self.put(content + self.mac(content), judged)
        if judged != "damage":
            self.last[tenant, tag] = position
        return position

    def forge(self, tenant: str, tag: bytes, event: bytes, judged: str = "passed",
              key: bytes = bytes(32), **parts) -> int:
        """Appended by somebody who has no root, or another."""
        content = self.content(tenant, tag, event, **parts)
        return self.put(content + self.mac(content, key), judged)

    def case(self, name: str, **members) -> dict:
        out = {"name": name, "entries": [entry.hex() for entry in self.entries],
               "head": self.head().hex(), "judged": self.judged, "refused": None}
        return out | members


HELD, RELEASED = b"\x09", b"\x0a"
TENANT_INTENDED = b"\x0d\x01"
MAX_AGE_RAISED = b"\x03" + struct.pack(">Q", 600_000)


def made(root_id: bytes) -> bytes:
    return b"\x01" + root_id


def opened(number: int, master: str = "arn:key/1") -> bytes:
    return b"\x02" + struct.pack(">I", number) + short(master.encode())


def lines(*named: tuple[str, int]) -> bytes:
    out = bytes([len(named)])
    return out + b"".join(short(name.encode()) + struct.pack(">I", line) for name, line in named)


def root_id_of(root: bytes) -> bytes:
    return derive(root, b"fieldseal/1 key id", 24)


def begun(root: bytes) -> Journal:
    """With the two entries that a store begins with."""
    journal = Journal(root)
    journal.say("", b"", made(root_id_of(root)), "creation")
    journal.say("", b"", opened(1))
    return journal


def journal_entries(root: bytes, tag: bytes) -> tuple[list[str], Journal]:
    """One of each event."""
    both = lines(("billing", 2), ("default", 1))
    later = struct.pack(">Q", 1_800_000_000_000)
    journal, names = Journal(root), []
    for name, tenant, of, event in (
        ("the vault's root", "", b"", made(root_id_of(root))),
        ("an epoch", "", b"", opened(1)),
        ("a tenant's root", "acme", b"", made(pattern(2, 24))),
        ("a raised max_age", "", b"", MAX_AGE_RAISED),
        ("a re-enrollment", "acme", tag, b"\x04" + short(b"default") + u32(2)),
        ("a root in the store", "acme", b"", b"\x05" + pattern(2, 24)),
        ("a root given up", "acme", b"", b"\x06" + pattern(2, 24)),
        ("an intended erasure", "acme", tag, b"\x07\x01\x01" + both),
        ("an erasure", "acme", tag, b"\x08\x01" + u32(3) + both),
        ("a hold", "acme", tag, HELD),
        ("its release", "acme", tag, RELEASED),
        ("a scheduled erasure", "acme", tag, b"\x0b" + later),
        ("a cancelled one", "acme", tag, b"\x0c"),
        ("a tenant's intended erasure", "acme", b"", TENANT_INTENDED),
        ("a tenant's erasure", "acme", b"", b"\x0e" + u32(3)),
        ("an intended erasure of a tenant that nobody knew", "acme2", b"", b"\x0d\x00"),
        ("a destroyed master key", "", b"", b"\x0f" + short(b"arn:key/1")),
        ("an intended erasure of a purpose, of somebody unknown", "acme", pattern(11, 16),
         b"\x07\x00\x00" + lines(("default", 1))),
        ("an erasure of a purpose", "acme", pattern(11, 16),
         b"\x08\x00" + u32(3) + lines(("default", 1))),
        ("a restored store", "", b"", b"\x10" + struct.pack(">Q", 12)),
        ("retention resumed", "", b"", b"\x11"),
        ("an index epoch opens", "", b"", b"\x12" + u32(1)),
        ("an index epoch is settled", "", b"", b"\x13" + u32(1)),
        ("an index epoch is given up", "", b"", b"\x14" + u32(2) + u32(3)),
        ("an index epoch is retired", "", b"", b"\x15" + u32(1) + u32(3)),
    ):
        journal.say(tenant, of, event, "accepted" if names else "creation")
        names.append(name)
    return names, journal


def journal_reads(root: bytes, tag: bytes) -> list[dict]:
    """Whole journals, and what a reader makes of each entry."""
    other = pattern(13, 32)
    own = root_id_of(root)
    bob = pattern(12, 16)
    intended = b"\x07\x01\x01" + lines(("default", 1))
    out = [journal_entries(root, tag)[1].case("one of each")]

    j = Journal(root)
    for key in (other, pattern(14, 32)):
        j.forge("", b"", made(root_id_of(key)), "before", journal_mac_key(key), previous=0)
        j.forge("", b"", opened(1), "before", journal_mac_key(key), previous=len(j.entries))
    j.say("", b"", made(own), "creation")
    j.say("", b"", opened(1))
    out.append(j.case("attempts before the creation"))

    j = Journal(root)
    j.forge("", b"", made(own), "before")
    j.forge("acme", tag, HELD)
    j.forge("", b"", MAX_AGE_RAISED)
    j.forge("acme", b"", made(pattern(2, 24)))
    j.forge("", b"", b"\x7f")
    j.say("", b"", made(own), "creation")
    j.say("", b"", opened(1))
    out.append(j.case("forgeries before the creation"))

    j = begun(root)
    j.forge("acme", tag, intended)
    j.forge("acme", tag, intended, key=journal_mac_key(other))
    j.forge("", b"", made(own))
    j.forge("", b"", made(root_id_of(other)), key=journal_mac_key(other))
    j.forge("", b"", opened(9))
    j.say("acme", tag, HELD)
    j.forge("acme", tag, RELEASED)
    j.say("acme", tag, RELEASED)
    out.append(j.case("forgeries after it"))

    j = begun(root)
    j.say("acme", tag, HELD)
    held = j.entries[-1]
    j.say("acme", tag, RELEASED)
    j.put(held, "passed")
    j.say("acme", tag, RELEASED)
    out.append(j.case("a genuine entry once more"))

    for name, change in (
        ("the moment", lambda e: e[:8] + bytes([e[8] ^ 1]) + e[9:]),
        ("the tag", lambda e: e.replace(tag, bob)),
        ("the position before", lambda e: e[:-34] + bytes([e[-34] ^ 1]) + e[-33:]),
        ("the event", lambda e: e[:-33] + RELEASED + e[-32:]),
        ("the first byte of the MAC", lambda e: e[:-32] + bytes([e[-32] ^ 1]) + e[-31:]),
        ("the last byte of the MAC", lambda e: e[:-1] + bytes([e[-1] ^ 1])),
        ("the MAC to zeros", lambda e: e[:-32] + bytes(32)),
    ):
        j = begun(root)
        content = j.content("acme", tag, HELD)
        j.put(change(content + j.mac(content)), "passed")
        j.say("acme", bob, HELD)
        out.append(j.case(f"changed and chained anew: {name}"))

    def rewritten(name: str, order: list[int]) -> None:
        honest = begun(root)
        for of in (tag, bob, tag, bob):
            honest.say("acme", of, HELD)
        j = Journal(root)
        for n, at in enumerate(order):
            kept = order[: n + 1] == list(range(n + 1))
            j.put(honest.entries[at], honest.judged[at] if kept else "passed")
        out.append(j.case(name))

    rewritten("an entry cut out and chained anew", [0, 1, 3, 4, 5])
    rewritten("two entries exchanged and chained anew", [0, 1, 3, 2, 4, 5])
    rewritten("an entry twice and chained anew", [0, 1, 2, 2, 3, 4, 5])

    j = begun(root)
    content = j.content("acme", tag, HELD)
    j.put(content, "damage")
    out.append(j.case("a MAC stripped from a hold", refused="Corrupt"))
    j = begun(root)
    j.put(j.content("acme", tag, intended), "damage")
    out.append(j.case("a MAC stripped from an intent", refused="Corrupt"))
    j = begun(root)
    j.put(j.content("acme", tag, b"\xc8" + bytes(range(40))), "passed")
    j.say("acme", tag, HELD)
    out.append(j.case("a MAC stripped from what may be skipped"))

    for name, event, judged in (
        ("event 22", b"\x16", "later"),
        ("event 23", b"\x17", "later"),
        ("event 127 and bytes", b"\x7f" + bytes(range(9)), "later"),
        ("event 128", b"\x80", "skipped"),
        ("event 255 and bytes", b"\xff" + bytes(range(9)), "skipped"),
    ):
        j = begun(root)
        j.forge("acme", tag, event)
        j.say("acme", tag, event, judged)
        j.say("acme", bob, HELD)
        j.say("acme", tag, HELD)
        out.append(j.case(name))
    for version in (2, 255):
        j = begun(root)
        j.forge("acme", tag, b"and more", version=version)
        j.say("acme", tag, b"and more", "later", version=version)
        j.say("acme", tag, b"", "later", version=version)
        j.say("acme", tag, HELD)
        out.append(j.case(f"entries of version {version}"))

    for name, tenant, of, event in (
        ("event 0", "acme", tag, b"\x00"),
        ("no event", "acme", tag, b""),
        ("a hold and a byte", "acme", tag, HELD + b"\x00"),
        ("a hold on a tenant", "acme", b"", HELD),
        ("a hold on the store", "", b"", HELD),
        ("an epoch of a tenant", "acme", b"", opened(2)),
        ("a restore of a tenant", "acme", b"", b"\x10" + bytes(8)),
        ("a root of a subject", "acme", tag, made(own)),
        ("a tenant's intent about the store", "", b"", TENANT_INTENDED),
        ("a tag without a tenant", "", tag, HELD),
        ("a tag of 15 bytes", "acme", tag[:15], HELD),
        ("epoch 0", "", b"", opened(0)),
        ("an index epoch 0", "", b"", b"\x12" + u32(0)),
        ("line 0 of a new line", "acme", tag, b"\x04" + short(b"p") + u32(0)),
        ("an empty purpose", "acme", tag, b"\x04" + short(b"") + u32(2)),
        ("an intent whole by 2", "acme", tag, b"\x07\x02\x01" + lines(("p", 1))),
        ("an intent known by 2", "acme", tag, b"\x07\x01\x02" + lines(("p", 1))),
        ("a done whole by 2", "acme", tag, b"\x08\x02" + u32(1) + lines(("p", 1))),
        ("a tenant's intent known by 2", "acme", b"", b"\x0d\x02"),
        ("no lines", "acme", tag, b"\x07\x01\x01" + lines()),
        ("a line 0", "acme", tag, b"\x07\x01\x01" + lines(("p", 0))),
        ("lines out of order", "acme", tag, b"\x07\x01\x01" + lines(("b", 1), ("a", 1))),
        ("a purpose twice", "acme", tag, b"\x07\x01\x01" + lines(("a", 1), ("a", 2))),
        ("33 lines", "acme", tag,
         b"\x07\x01\x01" + lines(*((f"{n:02}", 1) for n in range(33)))),
    ):
        j = begun(root)
        j.say(tenant, of, event, "damage")
        out.append(j.case(f"damage: {name}", refused="Corrupt"))
    j = begun(root)
    j.say("acme", tag, HELD, "damage", version=0)
    out.append(j.case("damage: version 0", refused="Corrupt"))
    j = begun(root)
    j.say("acme", tag, b"\xc8" + bytes(65_537 - 32 - len(j.content("acme", tag, b"\xc8"))), "damage")
    out.append(j.case("damage: 65 537 bytes", refused="Corrupt"))
    j = begun(root)
    j.say("acme", tag, b"\xc8" + bytes(65_536 - 32 - len(j.content("acme", tag, b"\xc8"))), "skipped")
    out.append(j.case("65 536 bytes"))

    # By a vault that has the root, and an error.
    for name, previous in (("0", 0), ("another subject's", 4), ("its own", 5), ("one to come", 6)):
        j = begun(root)
        j.say("acme", tag, HELD)
        j.say("acme", bob, HELD)
        j.say("acme", tag, RELEASED, "left out", previous=previous)
        j.say("acme", bob, RELEASED)
        out.append(j.case(f"the position before is {name}"))
    j = begun(root)
    j.say("acme", tag, HELD, "left out", previous=2)
    out.append(j.case("a position before the first"))
    j = begun(root)
    forged = j.forge("acme", tag, HELD)
    j.say("acme", tag, RELEASED, "left out", previous=forged)
    out.append(j.case("a forgery named as the entry before"))

    j = begun(root)
    out.append(j.case("another head", head=bytes(32).hex(), refused="Corrupt"))
    j = Journal(other)
    j.say("", b"", made(root_id_of(other)), "before")
    j.say("", b"", opened(1), "before")
    j.say("acme", tag, HELD, "passed")
    out.append(j.case("another store's", refused="JournalTruncated"))
    out.append(Journal(root).case("empty", refused="JournalTruncated"))
    return out


def journal_lists(root: bytes, tag: bytes) -> list[dict]:
    """Lists of the entries about somebody, as a query gives them out of one journal. `told` is the
    position that the slot names."""
    j = Journal(root)
    other = pattern(13, 32)
    j.forge("", b"", made(root_id_of(other)), "before", journal_mac_key(other))  # 1
    j.say("", b"", made(root_id_of(root)), "creation")  # 2
    j.say("", b"", opened(1))  # 3
    j.say("acme", b"", made(pattern(2, 24)))  # 4
    j.say("acme", b"", b"\x05" + pattern(2, 24))  # 5
    j.say("acme", tag, HELD)  # 6
    j.forge("acme", tag, RELEASED)  # 7
    j.say("acme", tag, RELEASED)  # 8
    j.say("", b"", opened(2, "arn:key/2"))  # 9
    j.say("acme", tag, HELD)  # 10
    j.say("acme", b"", TENANT_INTENDED)  # 11
    j.say("", b"", b"\x0f" + short(b"arn:key/1"))  # 12
    cases = []
    for name, tenant, of, told, given, accepted, is_ in (
        ("all about a subject", "acme", tag, 10, [6, 7, 8, 10], [6, 8, 10], "whole"),
        ("a forgery kept back", "acme", tag, 10, [6, 8, 10], [6, 8, 10], "whole"),
        ("an older slot", "acme", tag, 6, [6, 7, 8, 10], [6, 8, 10], "whole"),
        ("a slot that names none", "acme", tag, 0, [6, 7, 8, 10], [6, 8, 10], "whole"),
        ("the first hidden", "acme", tag, 10, [7, 8, 10], [8, 10], "left out"),
        ("one in the middle hidden", "acme", tag, 10, [6, 7, 10], [6, 10], "left out"),
        ("the last hidden", "acme", tag, 10, [6, 7, 8], [6, 8], "left out"),
        ("the last hidden, and the slot older", "acme", tag, 8, [6, 7, 8], [6, 8], "whole"),
        ("all hidden", "acme", tag, 10, [], [], "left out"),
        ("all hidden from a slot that names none", "acme", tag, 0, [], [], "whole"),
        ("only a forgery left", "acme", tag, 6, [7], [], "left out"),
        ("a slot that names a forgery", "acme", tag, 7, [6, 7, 8, 10], [6, 8, 10], "left out"),
        ("a slot that names what is about another", "acme", tag, 9, [6, 7, 8, 10], [6, 8, 10],
         "left out"),
        ("a slot above the head", "acme", tag, 13, [6, 7, 8, 10], [6, 8, 10], "truncated"),
        ("all about a tenant", "acme", b"", 4, [4, 5, 11], [4, 5, 11], "whole"),
        ("a tenant's intent alone", "acme", b"", 4, [11], [11], "left out"),
        ("a root in the store hidden", "acme", b"", 4, [4, 11], [4, 11], "left out"),
        ("all about the store", "", b"", 9, [1, 2, 3, 9, 12], [2, 3, 9, 12], "whole"),
        ("an epoch hidden", "", b"", 3, [1, 2, 3, 12], [2, 3, 12], "left out"),
        ("the attempts hidden", "", b"", 9, [2, 3, 9, 12], [2, 3, 9, 12], "whole"),
    ):
        cases.append({"name": name, "tenant": tenant, "tag": of.hex(), "told": told, "given": given,
                      "accepted": accepted, "is": is_})
    return [j.case("the journal") | {"lists": cases}]


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
    data, hash_after = tail[5 : 5 + length], tail[5 + length : 37 + length]
    good = reads(data) and hash_after == after(head, data)
    if committed:
        return "committed" if good else "damage"
    return "uncommitted" if good else "torn"


def journal_file(root: bytes, tag: bytes) -> dict:
    """A file of three entries, and what may follow them."""
    honest = journal_entries(root, tag)[1]
    data, heads = honest.entries, honest.heads
    base = journal_header(pattern(12, 16))
    for n in range(3):
        base += frame(1, data[n], heads[n])
    head, next_, next_hash = heads[2], data[3], heads[3]
    whole, done = frame(0, next_, next_hash), frame(1, next_, next_hash)
    wrong = next_hash[:-1] + bytes([next_hash[-1] ^ 1])
    # Damaged in its form, and a later version of a good one.
    unread, later = b"\x00" + next_[1:], b"\x02" + next_[1:]
    unread_after, later_after = after(head, unread), after(head, later)
    # No journal knows a key, so what was forged is an entry to it.
    forged = next_[:-1] + bytes([next_[-1] ^ 1])
    forged_after = after(head, forged)
    stripped = next_[:-32]
    stripped_after = after(head, stripped)
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
        ("an entry of version 0", frame(0, unread, unread_after)),
        ("an entry of a later version", frame(0, later, later_after)),
        ("an entry with a wrong MAC", frame(0, forged, forged_after)),
        ("an entry without its MAC", frame(0, stripped, stripped_after)),
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
        ("committed, of version 0", frame(1, unread, unread_after)),
        ("committed, of a later version", frame(1, later, later_after)),
        ("committed, with a wrong MAC", frame(1, forged, forged_after)),
        ("committed, without its MAC", frame(1, stripped, stripped_after)),
        ("committed, out of place", frame(1, data[4], heads[4])),
        ("committed, without length", b"\x01" + u32(0) + next_hash),
        ("neither", b"\x02" + done[1:]),
    ]
    known = {*data, later, forged}
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
        {"name": name, "kind": kind, "tenant": tenant, "tag": of.hex(), "slot": data.hex()}
        for name, kind, tenant, of, data in (
            ("vault", VAULT, "", b"", vault_slot(root)),
            ("vault without a journal", VAULT, "", b"", vault_without_journal(root)),
            ("tenant", TENANT, "acme", b"", tenant_slot(root)),
            ("erased tenant", TENANT, "acme", b"", erased_tenant(root)),
            ("subject", SUBJECT, "acme", tag, subject_slot(root, tag)),
            ("closed subject", SUBJECT, "acme", tag, closed_subject(root, tag)),
            ("tombstone", SUBJECT, "acme", tag, tombstone(root, tag)),
            ("whole tombstone", SUBJECT, "acme", tag, whole_tombstone(root, tag)),
            ("replaced", SUBJECT, "acme", tag, replaced(root, tag)),
            ("enrolled again", SUBJECT, "acme", tag, enrolled_again(root, tag)),
            ("retired version", SUBJECT, "acme", tag, retired_version(root, tag)),
        )
    ]
    names, honest = journal_entries(root, tag)
    journal = [
        {"name": name, "entry": data.hex(), "head": head.hex()}
        for name, data, head in zip(names, honest.entries, honest.heads)
    ]
    contexts = [
        {"role": "vault root", "context": enc("vault root", u32(2), key_id).hex()},
        {"role": "epoch key", "context": enc("epoch key", b"acme", u32(2), key_id).hex()},
        {"role": "root", "context": enc("root", b"acme", u32(2), key_id).hex()},
        {"role": "index key", "context": enc("index key", b"acme", u32(2), u32(5), key_id).hex()},
    ]
    people = (
        ("acme", "customer", "1"), ("acme", "customer", "2"), ("acme", "employee", "1"),
        ("acme", "customer_settings", "1"), ("acm", "customer", "1"), ("acme", "customer", "ключ"),
        ("acmecustomer", "x", "1"), ("acme", "customerx", "1"), ("acme", "customer", "x1"),
        ("acme", "a-z_0.9", "1"),
    )
    tags = [
        {"tenant": tenant, "kind": kind, "subject": subject, "tag": derive(
            root, enc("tag", tenant.encode(), kind.encode(), subject.encode()), 16).hex()}
        for tenant, kind, subject in people
    ]
    assert len({entry["tag"] for entry in tags}) == len(tags)
    out = {
        "format": "fieldseal/1",
        "root": root.hex(),
        "root_id": root_id_of(root).hex(),
        "journal_mac_key": journal_mac_key(root).hex(),
        "tags": tags,
        "key_id": key_id.hex(),
        "slots": slots,
        "slot_rejects": slot_rejects(root, tag),
        "journal": journal,
        "journal_reads": journal_reads(root, tag),
        "journal_lists": journal_lists(root, tag),
        "journal_file": journal_file(root, tag),
        "contexts": contexts,
        "parts": parts(),
    }
    for section in ("slots", "slot_rejects", "journal", "journal_reads"):
        given = [entry["name"] for entry in out[section]]
        assert len(given) == len(set(given)), f"two of {section} have one name"
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
