"""Writes the test vectors of the fieldseal format, version 1 (docs/format.md).

    python writer.py > v1.json      generate
    python writer.py --check        exit 1 when the committed v1.json differs from the generated

Needs Python 3.11 and the package `cryptography`. The output is the same on every run: keys and
nonces, which a real writer draws at random, come here from SHAKE-128 over the entry's name. Never
copy that into anything that protects data.

`reader.py` is written from the same document and shares no code with this program, so that an
error in one of the two shows as a disagreement.
"""

import base64
import hashlib
import hmac
import itertools
import json
import pathlib
import struct
import sys
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

COMMITTED = pathlib.Path(__file__).resolve().parent / "v1.json"

XAES = "XAES-256-GCM"
XCHACHA = "XChaCha20-Poly1305"
SUITES = (XAES, XCHACHA)
SUITE_BYTE = {XAES: 0xF9, XCHACHA: 0xFA}
SHORT = {XAES: "xaes", XCHACHA: "xchacha"}

VALUE, NONE = 0x80, 0x81


# --- Section 1: notation ---------------------------------------------------------------------


def lp(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def enc(label: str, *parts: bytes | str) -> bytes:
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    count = struct.pack(">I", len(raw))
    return lp(b"fieldseal/1") + lp(label.encode()) + count + b"".join(map(lp, raw))


# --- Section 2: keys -------------------------------------------------------------------------


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def derive(key: bytes, info: bytes, length: int) -> bytes:
    """Expand(Extract("fieldseal/1", key), info, length): HKDF-SHA256 of RFC 5869."""
    prk = hmac_sha256(b"fieldseal/1", key)
    out = block = b""
    for counter in itertools.count(1):
        if len(out) >= length:
            return out[:length]
        block = hmac_sha256(prk, block + info + bytes([counter]))
        out += block


def key_id(key: bytes) -> bytes:
    return derive(key, b"fieldseal/1 key id", 24)


def cipher_key(key: bytes, suite: str) -> bytes:
    return derive(key, b"fieldseal/1 encrypt " + bytes([SUITE_BYTE[suite]]), 32)


def subject_tag(root: bytes, tenant: str, subject: str) -> bytes:
    return derive(root, enc("tag", tenant, subject), 16)


# --- Section 3: suites -----------------------------------------------------------------------


def xaes_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    # ECB on single blocks is the raw AES permutation, which is what the derivation is built from.
    def aes(block: bytes) -> bytes:
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)

    top = int.from_bytes(aes(bytes(16)), "big")
    k1 = (top << 1) & (2**128 - 1)
    if top >> 127:
        k1 ^= 0x87
    halves = []
    for counter in (1, 2):
        m = bytes([0, counter, 0x58, 0]) + nonce[:12]
        halves.append(aes((int.from_bytes(m, "big") ^ k1).to_bytes(16, "big")))
    return AESGCM(b"".join(halves)).encrypt(nonce[12:], plaintext, aad)


def hchacha20(key: bytes, nonce16: bytes) -> bytes:
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce16))

    def rotate(word: int, count: int) -> int:
        return ((word << count) | (word >> (32 - count))) & 0xFFFFFFFF

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for x, y, z, count in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            state[z] = rotate(state[z] ^ state[x], count)

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            right = [4 * row + (column + row) % 4 for row in (1, 2, 3)]
            quarter(column, *right)
    # Unlike ChaCha20 the initial state is not added, and only the first and last row go out.
    return struct.pack("<8I", *state[:4], *state[12:])


def xchacha_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    subkey = hchacha20(key, nonce[:16])
    return ChaCha20Poly1305(subkey).encrypt(bytes(4) + nonce[16:], plaintext, aad)


AEAD_SEAL = {XAES: xaes_seal, XCHACHA: xchacha_seal}


# --- Sections 4, 5 and 7: envelope, frame, text form -----------------------------------------


@dataclass(frozen=True)
class Context:
    """What a field is sealed for. No record ids: an unbound record."""

    tenant: str = "acme"
    subject: str = "user-1"
    purpose: str = "default"
    schema: str = "person"
    field: str = "name"
    record_ids: tuple[str, ...] = ("17",)

    def encoded(self) -> bytes:
        label = "field" if self.record_ids else "field unbound"
        head = (self.tenant, self.subject, self.purpose, self.schema, self.field)
        return enc(label, *head, *self.record_ids)


def frame(value: bytes | None, pad: int = 1) -> bytes:
    framed = bytes([NONE]) if value is None else value + bytes([VALUE])
    return framed + bytes(-len(framed) % pad)


def seal(
    suite: str,
    key: bytes,
    nonce: bytes,
    context: bytes,
    framed: bytes,
    claimed_id: bytes | None = None,
) -> bytes:
    """`claimed_id` writes an envelope that names another key than the one it is sealed with."""
    header = bytes([SUITE_BYTE[suite]]) + (claimed_id or key_id(key))
    return header + nonce + AEAD_SEAL[suite](
        cipher_key(key, suite), nonce, framed, header + context
    )


def text_form(envelope: bytes) -> str:
    return "fs1." + base64.urlsafe_b64encode(envelope).rstrip(b"=").decode()


def counted(draw: bytes, count: int) -> bytes:
    """The nonce of value number `count` of a record whose first nonce is `draw`."""
    low = (int.from_bytes(draw[16:], "big") + count) % 2**64
    return draw[:16] + low.to_bytes(8, "big")


# --- Section 6: values -----------------------------------------------------------------------


def integer(number: int) -> bytes:
    return number.to_bytes(16, "big", signed=True)


def f64(number: float) -> bytes:
    return struct.pack(">d", number)


# --- Entries ---------------------------------------------------------------------------------


def drawn(role: str, name: str, length: int) -> bytes:
    return hashlib.shake_128(f"fieldseal/1 vectors/{role}/{name}".encode()).digest(length)


def field_entry(
    name: str,
    suite: str,
    type_: str,
    key: bytes,
    context: Context,
    value: bytes | None,
    envelope: bytes,
    text: str,
) -> dict:
    return {
        "name": name,
        "suite": suite,
        "type": type_,
        "data_key": key.hex(),
        "key_id": key_id(key).hex(),
        "tenant": context.tenant,
        "subject": context.subject,
        "purpose": context.purpose,
        "schema": context.schema,
        "field": context.field,
        "record_ids": list(context.record_ids),
        "value": None if value is None else value.hex(),
        "envelope": envelope.hex(),
        "text": text,
    }


def seal_entry(
    suite: str,
    case: str,
    type_: str,
    value: bytes | None,
    pad: int = 1,
    context: Context = Context(),
    key: bytes | None = None,
    nonce: bytes | None = None,
) -> dict:
    name = f"{SHORT[suite]}: {case}"
    key = key or drawn("data key", name, 32)
    nonce = nonce or drawn("nonce", name, 24)
    envelope = seal(suite, key, nonce, context.encoded(), frame(value, pad))
    return field_entry(name, suite, type_, key, context, value, envelope, text_form(envelope))


def seal_entries() -> list[dict]:
    base = Context()
    entries = []

    # What both suites have to show: the framing, and every shape of context.
    every_suite = [
        ("text", "text", "Zoë 🦀".encode()),
        ("text, empty", "text", b""),
        ("text, one byte", "text", b"a"),
        ("bytes", "bytes", bytes(range(32))),
        ("bytes, empty", "bytes", b""),
        ("int", "int", integer(42)),
        ("bool, true", "bool", b"\x01"),
        ("f64", "f64", f64(1.5)),
        ("uuid", "uuid", bytes.fromhex("0192f5c07b1e7d3a9c4e5f6a7b8c9d0e")),
        ("date", "date", b"2026-11-22"),
        ("instant", "instant", b"2026-11-22T09:30:00.000000000Z"),
        ("decimal", "decimal", b"1234.50"),
        ("json", "json", '{"b": [1, 2.50, null], "a": "ü"}'.encode()),
        ("text, none", "text", None),
        ("int, none", "int", None),
        ("text padded to 32", "text", b"short", 32),
        ("bytes padded to 16, marker fills the multiple", "bytes", bytes(range(1, 16)), 16),
        ("bytes padded to 16, marker begins a multiple", "bytes", bytes(range(1, 17)), 16),
        ("text padded to 64, none", "text", None, 64),
        ("bytes ending in 0x00", "bytes", b"\x01\x00\x00"),
        ("bytes ending in 0x80", "bytes", b"\x01\x80"),
        ("unicode ids", "text", b"x", 1,
         Context("Клініка №7", "患者/四十二", "догляд", "картка", "ім’я", ("ключ-Ω",))),
        ("several record ids", "text", b"x", 1,
         replace(base, record_ids=("-17", "0192f5c0-7b1e-7d3a-9c4e-5f6a7b8c9d0e", "south"))),
        ("unbound", "text", b"x", 1, replace(base, record_ids=())),
        ("purpose other than the default", "text", b"x", 1, replace(base, purpose="billing")),
    ]
    for suite in SUITES:
        entries += [seal_entry(suite, *case) for case in every_suite]

    # The inside of a value has nothing to do with the suite, so these take turns.
    either_suite = [
        ("int, 0", "int", integer(0)),
        ("int, -1", "int", integer(-1)),
        ("int, least i8", "int", integer(-(2**7))),
        ("int, greatest i8", "int", integer(2**7 - 1)),
        ("int, least i64", "int", integer(-(2**63))),
        ("int, greatest i64", "int", integer(2**63 - 1)),
        ("int, least i128", "int", integer(-(2**127))),
        ("int, greatest i128", "int", integer(2**127 - 1)),
        ("bool, false", "bool", b"\x00"),
        ("f64, -0.0", "f64", f64(-0.0)),
        ("f64, NaN", "f64", bytes.fromhex("7ff8000000000000")),
        # The bits are the value: a reader which goes through a number type may not change them.
        ("f64, NaN with sign and payload", "f64", bytes.fromhex("fff8000000c0ffee")),
        ("f64, negative infinity", "f64", f64(float("-inf"))),
        ("f64, least subnormal", "f64", f64(5e-324)),
        # Sixteen zero bytes before the marker: stripping padding has to stop at the marker.
        ("uuid, nil", "uuid", bytes(16)),
        ("date, leap day of the year 0000", "date", b"0000-02-29"),
        ("date, last", "date", b"9999-12-31"),
        ("date, leap day of 2000", "date", b"2000-02-29"),
        ("instant, first", "instant", b"0000-01-01T00:00:00.000000000Z"),
        ("instant, last", "instant", b"9999-12-31T23:59:59.999999999Z"),
        ("decimal, trailing zeros", "decimal", b"-0.00"),
        ("decimal, leading zeros", "decimal", b"007"),
        ("decimal, 40 digits", "decimal", b"12345678901234567890.12345678901234567890"),
        # Not a none: the JSON text `null` is a value.
        ("json, null", "json", b"null"),
        ("json, scalar between spaces", "json", b' \t"\\u00e9"\r\n'),
        ("bytes, none", "bytes", None),
        ("bool, none", "bool", None),
        ("f64, none", "f64", None),
        ("uuid, none", "uuid", None),
        ("date, none", "date", None),
        ("instant, none", "instant", None),
        ("decimal, none", "decimal", None),
        ("json, none", "json", None),
        ("bytes, only a none marker", "bytes", b"\x81"),
        ("bytes, only a value marker", "bytes", b"\x80"),
        ("bytes padded to 8, only zero bytes", "bytes", bytes(5), 8),
        ("bytes padded to 8, ending in 0x80 0x00", "bytes", b"\x01\x80\x00", 8),
        ("bytes padded to 8, ending in 0x81", "bytes", b"\x01\x81", 8),
        ("text padded to 2, none", "text", None, 2),
        ("text padded to 2, empty", "text", b"", 2),
        ("text padded to 2, marker fills the multiple", "text", b"a", 2),
        ("text padded to 7", "text", b"eight by", 7),
        ("int padded to 256", "int", integer(7), 256),
        ("record id of the string 0", "text", b"x", 1, replace(base, record_ids=("0",))),
        ("ids with separators", "text", b"x", 1,
         Context("a/b", "c|d:e", "f,g", "h i", "j.k", ("l\tm", '"n"'))),
        ("subject id of 1024 bytes", "text", b"x", 1, replace(base, subject="é" * 512)),
    ]
    for suite, case in zip(itertools.cycle(SUITES), either_suite):
        entries.append(seal_entry(suite, *case))

    # The most that a field can be padded to; and a value of that size, which is not padded.
    for suite in SUITES:
        large = drawn("value", f"{suite}, 8 KiB", 8192)
        entries.append(seal_entry(suite, "bytes, 8 KiB padded to 65536", "bytes", large, 65536))
        large = drawn("value", f"{suite}, 64 KiB", 65536)
        entries.append(seal_entry(suite, "bytes, 64 KiB", "bytes", large))

    # One record sealed with counted nonces. The draw is placed so that its last 8 bytes wrap; the
    # carry must not reach the first 16.
    record = [
        ("given", "text", "Zoë".encode(), 1),
        ("born", "date", b"1990-04-01", 1),
        ("weight", "f64", f64(61.5), 1),
        ("notes", "text", None, 32),
    ]
    for suite in SUITES:
        about = f"{SHORT[suite]}: record"
        key = drawn("data key", about, 32)
        draw = drawn("nonce", about, 16) + bytes.fromhex("fffffffffffffffe")
        for count, (field, type_, value, pad) in enumerate(record):
            context = replace(base, field=field, record_ids=("17", "south"))
            nonce = counted(draw, count)
            assert nonce[16:].hex() == ("f" * 15 + "e", "f" * 16, "0" * 16, "0" * 15 + "1")[count]
            case = f"record of counted nonces, {count + 1} of {len(record)}"
            entries.append(seal_entry(suite, case, type_, value, pad, context, key, nonce))
    return entries


class Rejects:
    """Collects the reject entries; each method starts from an envelope that would open."""

    def __init__(self) -> None:
        self.entries: list[dict] = []

    def add(
        self,
        suite: str,
        case: str,
        error: str,
        *,
        type_: str = "text",
        value: bytes | None = b"secret",
        framed: bytes | None = None,
        sealed_for: Context = Context(),
        opened_for: Context | None = None,
        opened_with: bytes | None = None,
        change=lambda envelope: envelope,
        text=None,
    ) -> None:
        """`change` alters the envelope; `text` alters the text form instead, and then the entry
        says nothing about a binary envelope."""
        name = f"{SHORT[suite]}: {case}"
        key = drawn("data key", name, 32)
        nonce = drawn("nonce", name, 24)
        framed = frame(value) if framed is None else framed
        good = seal(suite, key, nonce, sealed_for.encoded(), framed)
        envelope = change(good)
        form = text_form(envelope)
        if text is not None:
            envelope, form = b"", text(form)
        # An entry that changes nothing would test nothing.
        touched = envelope != good or opened_for not in (None, sealed_for) or opened_with
        assert touched or error == "Malformed", name
        entry = field_entry(
            name, suite, type_, opened_with or key, opened_for or sealed_for, None, envelope, form
        )
        self.entries.append(entry | {"error": error})

    def tampering(self, suite: str) -> None:
        def flip(offset: int, mask: int):
            def change(envelope: bytes) -> bytes:
                changed = bytearray(envelope)
                changed[offset] ^= mask
                return bytes(changed)

            return change

        # 0xF9 and 0xFA differ in two bits; the key id is the same for both, so only the tag and
        # the cipher key stand between the two suites.
        self.add(suite, "suite byte of the other suite", "Authentication", change=flip(0, 0x03))
        for what, offset, mask in (
            ("first byte of the key id", 1, 0x01),
            ("last byte of the key id", 24, 0x80),
            ("first byte of the nonce", 25, 0x80),
            ("byte 11 of the nonce", 36, 0x01),
            ("byte 12 of the nonce", 37, 0x01),
            ("byte 15 of the nonce", 40, 0x01),
            ("byte 16 of the nonce", 41, 0x01),
            ("last byte of the nonce", 48, 0x01),
            ("first byte of the ciphertext", 49, 0x01),
            ("last byte of the ciphertext", -17, 0x80),
            ("first byte of the tag", -16, 0x80),
            ("last byte of the tag", -1, 0x01),
        ):
            self.add(suite, f"bit flip, {what}", "Authentication", change=flip(offset, mask))

        for length in (0, 1, 24, 25, 49, 65):
            self.add(suite, f"truncated to {length}", "Malformed",
                     change=lambda envelope, length=length: envelope[:length])
        self.add(suite, "truncated to 66", "Authentication", change=lambda e: e[:66])
        self.add(suite, "one byte less", "Authentication", change=lambda e: e[:-1])
        self.add(suite, "one byte appended", "Authentication", change=lambda e: e + b"\x00")

    def contexts(self, suite: str) -> None:
        base = Context(record_ids=("17", "south"))
        unbound = replace(base, record_ids=())
        joined = replace(base, record_ids=("ab", "c"))
        cases = [
            ("tenant", base, replace(base, tenant="acme2")),
            ("tenant in capitals", base, replace(base, tenant="ACME")),
            ("subject", base, replace(base, subject="user-2")),
            ("purpose", base, replace(base, purpose="billing")),
            ("schema", base, replace(base, schema="patient")),
            ("field", base, replace(base, field="email")),
            ("record id", base, replace(base, record_ids=("18", "south"))),
            ("record ids in another order", base, replace(base, record_ids=("south", "17"))),
            ("a record id less", base, replace(base, record_ids=("17",))),
            ("a record id more", base, replace(base, record_ids=("17", "south", "1"))),
            ("record ids split elsewhere", joined, replace(base, record_ids=("a", "bc"))),
            ("record ids joined", joined, replace(base, record_ids=("abc",))),
            ("bound opened as unbound", base, unbound),
            ("unbound opened as bound", unbound, base),
            ("record id composed, opened decomposed", replace(base, record_ids=("\u00e9",)),
             replace(base, record_ids=("e\u0301",))),
            ("boundary of tenant and subject", replace(base, tenant="ab", subject="c"),
             replace(base, tenant="a", subject="bc")),
            ("tenant and subject exchanged", base,
             replace(base, tenant=base.subject, subject=base.tenant)),
            ("boundary of schema and field", replace(base, schema="ab", field="c"),
             replace(base, schema="a", field="bc")),
            ("boundary of field and record id", replace(base, field="ab", record_ids=("c",)),
             replace(base, field="a", record_ids=("bc",))),
        ]
        for case, sealed_for, opened_for in cases:
            self.add(suite, f"context, {case}", "Authentication",
                     sealed_for=sealed_for, opened_for=opened_for)

    def keys(self, suite: str) -> None:
        foreign = drawn("data key", f"{suite}, foreign", 32)
        self.add(suite, "foreign key", "Authentication", opened_with=foreign)
        # The reader's comparison of key ids passes; only the tag can refuse this one.
        self.add(suite, "foreign key, key id relabelled", "Authentication", opened_with=foreign,
                 change=lambda e: e[:1] + key_id(foreign) + e[25:])
        # The other way round: the tag verifies, so only the comparison of key ids can refuse it.
        own = drawn("data key", f"{suite}, own", 32)
        misnamed = seal(suite, own, drawn("nonce", f"{suite}, own", 24), Context().encoded(),
                        frame(b"secret"), claimed_id=key_id(foreign))
        self.add(suite, "own key under a foreign key id, authenticated", "Authentication",
                 opened_with=own, change=lambda _: misnamed)
        # A wrapped data key is an envelope too; its context's label keeps it from being a field.
        tag = subject_tag(foreign, "acme", "user-1")
        context = wrap_context("acme", tag, "default", 1, 1, key_id(foreign))
        self.add(suite, "wrapped data key opened as a field", "Authentication", type_="bytes",
                 opened_with=foreign,
                 change=lambda _: seal(suite, foreign, drawn("nonce", f"{suite}, wrapped", 24),
                                       context, frame(drawn("data key", suite, 32))))

    def first_bytes(self, suites) -> None:
        def first(byte: int, length: int | None = None):
            return lambda envelope: (bytes([byte]) + envelope[1:])[:length]

        for byte in (0xF8, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF):
            self.add(next(suites), f"first byte 0x{byte:02X}", "UnknownFormat", change=first(byte))
        # The first byte is judged before the length.
        self.add(next(suites), "0xF8 alone", "UnknownFormat", change=first(0xF8, 1))
        self.add(next(suites), "0xFF alone", "UnknownFormat", change=first(0xFF, 1))
        for byte in (0x00, ord("A"), ord("f"), ord("z"), 0x80, 0xF7):
            self.add(next(suites), f"first byte 0x{byte:02X}", "Malformed", change=first(byte))

    def frames(self, suites) -> None:
        # Authenticated, so a writer that holds the key made them; there is still no value inside.
        for case, framed in (
            ("one zero byte", b"\x00"),
            ("only zero bytes", bytes(32)),
            ("ends in 0x01", b"secret\x01"),
            ("ends in 0x82", b"secret\x82"),
            ("ends in 0x7F and padding", b"secret\x7f\x00\x00"),
            ("marker and then another byte", b"secret\x80\x01"),
            ("none after value bytes", b"secret\x81"),
            ("none after value bytes, padded", b"secret\x81\x00\x00"),
            ("none after a value marker", b"\x80\x81"),
            ("none after a zero byte", b"\x00\x81"),
        ):
            self.add(next(suites), f"frame, {case}", "Malformed", type_="bytes", framed=framed)

    def values(self, suites) -> None:
        wrong = {
            "text": [
                ("0xFF", b"\xff"),
                ("overlong", b"\xc0\x80"),
                ("a surrogate", b"\xed\xa0\x80"),
                ("cut off", "€".encode()[:2]),
                ("above U+10FFFF", b"\xf4\x90\x80\x80"),
            ],
            "int": [
                ("15 bytes", integer(1)[1:]),
                ("17 bytes", b"\x00" + integer(1)),
                ("8 bytes", integer(1)[8:]),
                ("empty", b""),
            ],
            "bool": [("0x02", b"\x02"), ("0xFF", b"\xff"), ("2 bytes", b"\x00\x01"),
                     ("empty", b"")],
            "f64": [("7 bytes", f64(1.5)[:7]), ("9 bytes", f64(1.5) + b"\x00"),
                    ("4 bytes", f64(1.5)[:4])],
            "uuid": [
                ("15 bytes", bytes(range(15))),
                ("17 bytes", bytes(range(17))),
                ("hyphenated", b"0192f5c0-7b1e-7d3a-9c4e-5f6a7b8c9d0e"),
            ],
            "date": [
                ("30 February", b"2026-02-30"),
                ("29 February of 2025", b"2025-02-29"),
                ("29 February of 1900", b"1900-02-29"),
                ("31 April", b"2026-04-31"),
                ("month 13", b"2026-13-01"),
                ("month 0", b"2026-00-01"),
                ("day 0", b"2026-01-00"),
                ("month of one digit", b"2026-1-022"),
                ("slashes", b"2026/01/02"),
                ("year with a sign", b"+026-01-02"),
                ("year of five digits", b"12026-01-02"),
                ("line feed at the end", b"2026-01-02\n"),
                ("basic form", b"20260102"),
            ],
            "instant": [
                ("leap second", b"2016-12-31T23:59:60.000000000Z"),
                ("no Z", b"2026-11-22T09:30:00.000000000"),
                ("offset", b"2026-11-22T09:30:00.000000000+00:00"),
                ("small z", b"2026-11-22T09:30:00.000000000z"),
                ("small t", b"2026-11-22t09:30:00.000000000Z"),
                ("space for T", b"2026-11-22 09:30:00.000000000Z"),
                ("3 decimals", b"2026-11-22T09:30:00.000Z"),
                ("no decimals", b"2026-11-22T09:30:00Z"),
                ("comma", b"2026-11-22T09:30:00,000000000Z"),
                ("hour 24", b"2026-11-22T24:00:00.000000000Z"),
                ("minute 60", b"2026-11-22T09:60:00.000000000Z"),
                ("impossible date", b"2026-02-30T09:30:00.000000000Z"),
            ],
            "decimal": [
                ("exponent", b"1e5"),
                ("empty", b""),
                ("no digit before the point", b".5"),
                ("no digit after the point", b"5."),
                ("plus sign", b"+1"),
                ("only a minus sign", b"-"),
                ("two points", b"1.2.3"),
                ("comma", b"1,5"),
                ("NaN", b"NaN"),
                ("line feed at the end", b"1\n"),
                ("digits of another script", "١٢".encode()),
            ],
            "json": [
                ("cut off", b"{"),
                ("empty", b""),
                ("comma before the end", b"[1,]"),
                ("text after the end", b"{} {}"),
                ("NaN", b"NaN"),
                ("single quotes", b"'a'"),
                ("leading zero", b"01"),
                ("bare control character", b'"a\nb"'),
                ("not UTF-8", b'"\xff"'),
            ],
        }
        for type_, cases in wrong.items():
            for case, value in cases:
                self.add(next(suites), f"{type_}, {case}", "Malformed", type_=type_, value=value)

    def texts(self, suites) -> None:
        def replaced(old: str, new: str):
            def change(form: str) -> str:
                assert old in form[4:]
                return form[:4] + form[4:].replace(old, new, 1)

            return change

        def unused_bit(form: str) -> str:
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            return form[:-1] + alphabet[alphabet.index(form[-1]) | 1]

        for version in (2, 5, 9):
            self.add(next(suites), f"text form, prefix fs{version}.", "UnknownFormat",
                     text=lambda form, version=version: f"fs{version}." + form[4:])
        # The rest of a later version is not ours to judge.
        self.add(next(suites), "text form, fs2. alone", "UnknownFormat", text=lambda _: "fs2.")
        self.add(next(suites), "text form, fs3. and no base64url", "UnknownFormat",
                 text=lambda _: "fs3.\u2603 =")

        # The envelope is 66 bytes and that of the value, so the value's length modulo 3 decides
        # how many bits are unused: none, 4 or 2.
        for case, value, text in (
            ("empty", b"abc", lambda _: ""),
            ("no prefix", b"abc", lambda form: form[4:]),
            ("prefix without the dot", b"abc", lambda form: "fs1" + form[4:]),
            ("prefix cut off", b"abc", lambda _: "fs1"),
            ("prefix of a later version cut off", b"abc", lambda _: "fs2"),
            ("prefix fs0.", b"abc", lambda form: "fs0." + form[4:]),
            ("prefix fs10.", b"abc", lambda form: "fs10." + form[4:]),
            ("prefix fs22.", b"abc", lambda form: "fs22." + form[4:]),
            ("prefix fsa.", b"abc", lambda form: "fsa." + form[4:]),
            ("prefix in capitals", b"abc", lambda form: "FS1." + form[4:]),
            ("prefix with a digit of another script", b"abc", lambda f: "fs\u0968." + f[4:]),
            ("prefix with a colon", b"abc", lambda form: "fs1:" + form[4:]),
            ("prefix twice", b"abc", lambda form: "fs1." + form),
            ("space before", b"abc", lambda form: " " + form),
            ("space after the prefix", b"abc", lambda form: "fs1. " + form[4:]),
            ("space inside", b"abc", lambda form: form[:20] + " " + form[20:]),
            ("line feed inside", b"abc", lambda form: form[:80] + "\n" + form[80:]),
            ("space at the end", b"abc", lambda form: form + " "),
            ("line feed at the end", b"abc", lambda form: form + "\n"),
            ("two padding characters", b"a", lambda form: form + "=="),
            ("one padding character", b"ab", lambda form: form + "="),
            ("padding where none is due", b"abc", lambda form: form + "="),
            ("unused bits not zero, 4", b"a", unused_bit),
            ("unused bits not zero, 2", b"ab", unused_bit),
            ("one character too many", b"abc", lambda form: form + "A"),
            ("one character alone", b"abc", lambda _: "fs1.A"),
            # The first six bits of both suite bytes are 62, so a minus is always there.
            ("plus for minus", b"abc", replaced("-", "+")),
            ("slash for underscore", drawn("value", "slash", 300), replaced("_", "/")),
            ("dot inside", b"abc", lambda form: form[:20] + "." + form[21:]),
            ("letter beyond ASCII", b"abc", lambda form: form[:20] + "é" + form[21:]),
            ("full-width letter", b"abc", lambda form: form[:20] + "\uff21" + form[21:]),
            ("zero byte at the end", b"abc", lambda form: form + "\0"),
        ):
            self.add(next(suites), f"text form, {case}", "Malformed", type_="bytes", value=value,
                     text=text)


def reject_entries() -> list[dict]:
    rejects = Rejects()
    for suite in SUITES:
        rejects.tampering(suite)
        rejects.contexts(suite)
        rejects.keys(suite)
    # The rest has nothing to do with the suite, so the suites take turns.
    turns = itertools.cycle(SUITES)
    rejects.first_bytes(turns)
    rejects.frames(turns)
    rejects.values(turns)
    rejects.texts(turns)
    return rejects.entries


# --- Section 9: wrapped data keys ------------------------------------------------------------


def wrap_context(
    tenant: str, tag: bytes, purpose: str, line: int, version: int, wrapped_id: bytes
) -> bytes:
    numbers = struct.pack(">I", line), struct.pack(">I", version)
    return enc("wrap", tenant, tag, purpose, *numbers, wrapped_id)


def wrap_entries() -> list[dict]:
    cases = [
        ("line 1, version 1", "acme", "default", 1, 1),
        ("later line", "acme", "default", 3, 1),
        ("later version", "acme", "default", 1, 2),
        ("line above 65536", "acme", "default", 65537, 1),
        ("version above 65536", "acme", "default", 2, 131073),
        ("greatest line and version", "acme", "default", 2**32 - 1, 2**32 - 1),
        ("purpose other than the default", "acme", "billing", 1, 1),
        ("unicode tenant", "Клініка №7", "догляд", 258, 66051),
    ]
    entries = []
    for suite in SUITES:
        for case, tenant, purpose, line, version in cases:
            name = f"{SHORT[suite]}: {case}"
            kek = drawn("kek", name, 32)
            data_key = drawn("data key", name, 32)
            tag = subject_tag(drawn("root", name, 32), tenant, "user-1")
            context = wrap_context(tenant, tag, purpose, line, version, key_id(data_key))
            envelope = seal(suite, kek, drawn("nonce", name, 24), context, frame(data_key))
            assert len(envelope) == 98
            entries.append({
                "name": name,
                "suite": suite,
                "kek": kek.hex(),
                "kek_id": key_id(kek).hex(),
                "tenant": tenant,
                "tag": tag.hex(),
                "purpose": purpose,
                "line": line,
                "version": version,
                "data_key": data_key.hex(),
                "envelope": envelope.hex(),
            })
    return entries


# --- Output ----------------------------------------------------------------------------------


def document() -> bytes:
    sections = {"seal": seal_entries(), "reject": reject_entries(), "wrap": wrap_entries()}
    lines = ['{"format": "fieldseal/1"']
    for section, entries in sections.items():
        names = [entry["name"] for entry in entries]
        assert len(names) == len(set(names)), f"two entries of {section} have one name"
        # An entry a line makes a readable diff. ASCII only, because an editor that normalizes
        # text would change the entries about composed and decomposed ids.
        rows = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in entries)
        lines.append(f'"{section}": [\n{rows}\n]')
    return (",\n".join(lines) + "}\n").encode("ascii")


def main() -> int:
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    generated = document()
    if not arguments:
        # Bytes, so that neither locale nor platform has a say in encoding and line ends.
        sys.stdout.buffer.write(generated)
        return 0
    if not COMMITTED.exists() or COMMITTED.read_bytes() != generated:
        print(f"{COMMITTED.name} is not what writer.py generates", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
