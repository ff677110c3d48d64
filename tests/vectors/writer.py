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

# Section 5: the marker of each type, and of none.
MARKER = {
    "bytes": 0x80,
    "none": 0x81,
    "text": 0x82,
    "int": 0x83,
    "bool": 0x84,
    "f64": 0x85,
    "uuid": 0x86,
    "date": 0x87,
    "instant": 0x88,
    "decimal": 0x89,
    "json": 0x8A,
    "local_datetime": 0x8B,
    "time": 0x8C,
}
RESERVED = range(0x8D, 0xC0)

# What a program asks for, where that has no marker of its own.
WRITTEN_AS = {"f32": "f64", "ip": "text", "text[]": "bytes", "int[]": "bytes"}
ALSO_READS = {"json": "text", "instant": "date", "local_datetime": "date"}


def marker_of(type_: str) -> int:
    return MARKER[WRITTEN_AS.get(type_, type_)]


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


def subject_tag(root: bytes, tenant: str, kind: str, subject: str) -> bytes:
    return derive(root, enc("tag", tenant, kind, subject), 16)


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
    """What a field is sealed for. The first four choose the key, and the others are the associated
    data. No record ids: an unbound record."""

    tenant: str = "acme"
    kind: str = "customer"
    subject: str = "1"
    purpose: str = "default"
    schema: str = "person"
    field: str = "name"
    record_ids: tuple[str, ...] = ("17",)

    def encoded(self) -> bytes:
        label = "field" if self.record_ids else "field unbound"
        return enc(label, self.schema, self.field, *self.record_ids)

    def owner(self) -> dict:
        return {"tenant": self.tenant, "kind": self.kind, "subject": self.subject,
                "purpose": self.purpose}


def frame(marker: int, value: bytes | None, pad: int = 1) -> bytes:
    framed = bytes([MARKER["none"]]) if value is None else value + bytes([marker])
    return framed + bytes(-len(framed) % pad)


def seal(
    suite: str,
    key: bytes,
    nonce: bytes,
    context: bytes,
    framed: bytes,
    *,
    claimed_id: bytes | None = None,
    claimed_suite: str | None = None,
    key_of: str | None = None,
    before: bytes = b"",
) -> bytes:
    """What only forgers need: `claimed_id` and `claimed_suite` name another key or suite than the
    one that sealed, `key_of` takes the cipher key of another suite, `before` puts bytes in front of
    the context."""
    header = bytes([SUITE_BYTE[claimed_suite or suite]]) + (claimed_id or key_id(key))
    secret = cipher_key(key, key_of or suite)
    return header + nonce + AEAD_SEAL[suite](secret, nonce, framed, before + context)


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


def f32(bits: int) -> bytes:
    """The f64 of the f32 with these bits."""
    sign, exponent, fraction = bits >> 31, bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        exponent = 0x7FF
    elif exponent:
        exponent += 1023 - 127
    elif fraction:
        # A subnormal f32 is a normal f64: the fraction moves up until its top bit falls out.
        shift = 24 - fraction.bit_length()
        exponent, fraction = 1023 - 126 - shift, fraction << shift & 0x7FFFFF
    return (sign << 63 | exponent << 52 | fraction << 29).to_bytes(8, "big")


def list_of(*items: tuple[str, bytes] | None) -> bytes:
    out = b""
    for item in items:
        type_, value = ("none", b"") if item is None else item
        out += bytes([MARKER[type_]]) + lp(value)
    return out


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
        **context.owner(),
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
    sealed_as: str | None = None,
) -> dict:
    name = f"{SHORT[suite]}: {case}"
    key = key or drawn("data key", name, 32)
    nonce = nonce or drawn("nonce", name, 24)
    marker = marker_of("none" if value is None else sealed_as or type_)
    envelope = seal(suite, key, nonce, context.encoded(), frame(marker, value, pad))
    entry = field_entry(name, suite, type_, key, context, value, envelope, text_form(envelope))
    return entry | {"marker": f"{marker:02x}"}


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
        ("local_datetime", "local_datetime", b"2026-11-22T09:30:00.000000000"),
        ("time", "time", b"09:30:00.000000000"),
        ("f32", "f32", f32(0x3FC00000)),
        ("ip", "ip", b"2001:db8::1"),
        ("text[]", "text[]", list_of(("text", b"a"), None, ("text", "Zoë".encode()))),
        ("int[]", "int[]", list_of(("int", integer(1)), ("int", integer(-2)))),
        ("text, none", "text", None),
        ("int, none", "int", None),
        ("text padded to 32", "text", b"short", 32),
        ("bytes padded to 16, marker fills the multiple", "bytes", bytes(range(1, 16)), 16),
        ("bytes padded to 16, marker begins a multiple", "bytes", bytes(range(1, 17)), 16),
        ("text padded to 64, none", "text", None, 64),
        ("bytes ending in 0x00", "bytes", b"\x01\x00\x00"),
        ("bytes ending in 0x80", "bytes", b"\x01\x80"),
        ("unicode ids", "text", b"x", 1,
         Context("Клініка №7", "patient", "患者/四十二", "догляд", "картка", "ім’я", ("ключ-Ω",))),
        ("several record ids", "text", b"x", 1,
         replace(base, record_ids=("-17", "0192f5c0-7b1e-7d3a-9c4e-5f6a7b8c9d0e", "south"))),
        ("unbound", "text", b"x", 1, replace(base, record_ids=())),
        ("purpose other than the default", "text", b"x", 1, replace(base, purpose="billing")),
        ("kind of every character", "text", b"x", 1, replace(base, kind="a-z_0.9")),
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
        ("local_datetime, first", "local_datetime", b"0000-01-01T00:00:00.000000000"),
        ("local_datetime, last", "local_datetime", b"9999-12-31T23:59:59.999999999"),
        ("local_datetime, leap day", "local_datetime", b"2024-02-29T12:00:00.000000001"),
        ("time, first", "time", b"00:00:00.000000000"),
        ("time, last", "time", b"23:59:59.999999999"),
        ("f32, -0.0", "f32", f32(0x80000000)),
        ("f32, least subnormal", "f32", f32(0x00000001)),
        ("f32, greatest subnormal", "f32", f32(0x007FFFFF)),
        ("f32, greatest", "f32", f32(0x7F7FFFFF)),
        ("f32, infinity", "f32", f32(0x7F800000)),
        ("f32, NaN with sign and payload", "f32", f32(0xFFC0FFEE)),
        ("f64, from an f32", "f64", f32(0x3DCCCCCD)),
        ("ip, of version 4", "ip", b"192.0.2.1"),
        ("ip, unspecified", "ip", b"::"),
        ("ip, mapped", "ip", b"::ffff:192.0.2.1"),
        ("text, an ip", "text", b"192.0.2.1"),
        ("text[], empty", "text[]", b""),
        ("text[], of an empty text", "text[]", list_of(("text", b""))),
        ("text[], of nones", "text[]", list_of(None, None)),
        ("bytes, a list as it is", "bytes", list_of(("text", b"a"))),
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
        ("local_datetime, none", "local_datetime", None),
        ("time, none", "time", None),
        ("text[], none", "text[]", None),
        ("bytes, only a none marker", "bytes", b"\x81"),
        ("bytes, only a value marker", "bytes", b"\x80"),
        ("bytes, only a marker of text", "bytes", b"\x82"),
        ("bytes, only a reserved marker", "bytes", b"\x8d"),
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
         Context("a/b", "customer", "c|d:e", "f,g", "h i", "j.k", ("l\tm", '"n"'))),
        ("subject id of 1024 bytes", "text", b"x", 1, replace(base, subject="é" * 512)),
        ("kind of 64 bytes", "text", b"x", 1, replace(base, kind="k" * 64)),
    ]
    for suite, case in zip(itertools.cycle(SUITES), either_suite):
        entries.append(seal_entry(suite, *case))

    # The markers that a type reads besides its own.
    for suite, (type_, also, value) in zip(itertools.cycle(SUITES), (
        ("json", "text", b'{"plan": "free"}'),
        ("instant", "date", b"2026-11-22"),
        ("local_datetime", "date", b"2026-11-22"),
        ("f32", "f64", f64(1.5)),
        ("f64", "f32", f32(0x3FC00000)),
        ("ip", "text", b"2001:DB8:0:0:0:0:0:1"),
        ("text", "ip", b"2001:db8::1"),
    )):
        case = f"{type_}, written as {also}"
        entries.append(seal_entry(suite, case, type_, value, sealed_as=also))

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
        marker: int | None = None,
        framed: bytes | None = None,
        found: str | None = None,
        optional: bool = True,
        sealed_for: Context = Context(),
        opened_for: Context | None = None,
        opened_with: bytes | None = None,
        change=lambda envelope: envelope,
        text=None,
    ) -> None:
        """`change` alters the envelope; `text` alters the text form instead, and then the entry
        says nothing about a binary envelope. `found` is the type that a wrong marker names;
        `optional` is false where the type that is asked for has no none."""
        name = f"{SHORT[suite]}: {case}"
        key = drawn("data key", name, 32)
        nonce = drawn("nonce", name, 24)
        marker = marker_of(type_) if marker is None else marker
        framed = frame(marker, value) if framed is None else framed
        good = seal(suite, key, nonce, sealed_for.encoded(), framed)
        envelope = change(good)
        form = text_form(envelope)
        if text is not None:
            envelope, form = b"", text(form)
        # An entry that changes nothing would test nothing.
        touched = envelope != good or opened_for not in (None, sealed_for) or opened_with
        assert touched or error in ("Malformed", "UnknownFormat", "WrongType"), name
        assert (found is not None) == (error == "WrongType"), name
        entry = field_entry(
            name, suite, type_, opened_with or key, opened_for or sealed_for, None, envelope, form
        )
        self.entries.append(entry | {"error": error, "found": found, "optional": optional})

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
            ("schema", base, replace(base, schema="patient")),
            ("schema in capitals", base, replace(base, schema="PERSON")),
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
            ("schema and field exchanged", base,
             replace(base, schema=base.field, field=base.schema)),
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

        def forged(case: str, **forgery):
            nonce = drawn("nonce", f"{suite}, {case}", 24)
            envelope = seal(forgery.pop("cipher", suite), own, nonce, Context().encoded(),
                            frame(MARKER["text"], b"secret"), **forgery)
            self.add(suite, case, "Authentication", opened_with=own, change=lambda _: envelope)

        other = SUITES[1 - SUITES.index(suite)]
        forged("own key under a foreign key id", claimed_id=key_id(foreign))
        forged("sealed by the other suite", cipher=other, claimed_suite=suite)
        forged("sealed by the other suite, with this one's cipher key", cipher=other,
               claimed_suite=suite, key_of=suite)
        forged("sealed with the other suite's cipher key", key_of=other)
        # The associated data is the context alone.
        header = bytes([SUITE_BYTE[suite]]) + key_id(own)
        forged("associated data with suite and key id before the context", before=header)
        # A wrapped data key is an envelope too; its context's label keeps it from being a field.
        tag = subject_tag(foreign, "acme", "customer", "1")
        context = wrap_context("acme", tag, "default", 1, 1, key_id(foreign))
        wrapped = seal(suite, foreign, drawn("nonce", f"{suite}, wrapped", 24), context,
                       frame(MARKER["bytes"], drawn("data key", suite, 32)))
        self.add(suite, "wrapped data key opened as a field", "Authentication", type_="bytes",
                 opened_with=foreign, change=lambda _: wrapped)

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
            ("ends in 0x7F", b"secret\x7f"),
            ("ends in 0x7F and padding", b"secret\x7f\x00\x00"),
            ("ends in 0xC0", b"secret\xc0"),
            ("ends in 0xC0 and padding", b"secret\xc0\x00\x00"),
            ("ends in 0xF8", b"secret\xf8"),
            ("ends in 0xFF", b"secret\xff"),
            ("0x01 alone", b"\x01"),
            ("marker and then another byte", b"secret\x80\x01"),
            ("reserved marker and then another byte", b"secret\x8d\x01"),
            ("none after value bytes", b"secret\x81"),
            ("none after value bytes, padded", b"secret\x81\x00\x00"),
            ("none after a value marker", b"\x80\x81"),
            ("none after a reserved marker", b"\x8d\x81"),
            ("none after a zero byte", b"\x00\x81"),
        ):
            self.add(next(suites), f"frame, {case}", "Malformed", type_="bytes", framed=framed)

    def reserved(self, suites) -> None:
        for marker, type_ in zip(RESERVED, itertools.cycle(SAMPLES)):
            self.add(next(suites), f"marker 0x{marker:02X}", "UnknownFormat", type_=type_,
                     value=SAMPLES[type_], marker=marker)
        for case, framed in (
            ("alone", b"\x8d"),
            ("alone, padded", b"\x8d\x00\x00\x00"),
            ("after text that is none", b"\xff\x8d"),
            ("the last one, padded", b"secret\xbf\x00"),
        ):
            self.add(next(suites), f"reserved marker {case}", "UnknownFormat", framed=framed)
        # The marker is judged before the type that is asked for.
        self.add(next(suites), "reserved marker where no none may be", "UnknownFormat",
                 value=b"", marker=0x8D, optional=False)

    def types(self, suites) -> None:
        """Each type, asked for where each other one was sealed."""
        for asked, found in itertools.product(SAMPLES, MARKER):
            if found in (WRITTEN_AS.get(asked, asked), ALSO_READS.get(asked), "none"):
                continue
            self.add(next(suites), f"type, {asked} where {found} was sealed", "WrongType",
                     type_=asked, value=SAMPLES[found], marker=MARKER[found], found=found)
        for asked in SAMPLES:
            self.add(next(suites), f"type, {asked} where none was sealed", "WrongType",
                     type_=asked, value=None, found="none", optional=False)
        # The marker is judged before the bytes: these are of the type that is asked for.
        for asked, found, value in (
            ("text", "bytes", b"abc"),
            ("bytes", "text", b"\xff"),
            ("uuid", "int", integer(1)),
            ("int", "uuid", integer(1)),
            ("decimal", "json", b"1.5"),
            ("json", "decimal", b"1.5"),
            ("date", "text", b"2026-11-22"),
            ("date", "instant", b"2026-11-22"),
            ("text[]", "text", list_of(("text", b"a"))),
            ("int", "text", b"\xff"),
        ):
            self.add(next(suites), f"type, {asked} whose bytes are marked {found}", "WrongType",
                     type_=asked, value=value, marker=MARKER[found], found=found)
        # In a list each item has a type.
        one = integer(1)
        for case, value, error, found in (
            ("an int among text", list_of(("text", b"a"), ("int", one)), "WrongType", "int"),
            ("bytes among text", list_of(("bytes", b"a")), "WrongType", "bytes"),
            ("a list in a list", list_of(("bytes", list_of(("text", b"a")))), "WrongType", "bytes"),
            ("a reserved marker", b"\x8d" + lp(b"a"), "UnknownFormat", None),
            ("no marker", b"\x7f" + lp(b"a"), "Malformed", None),
            ("a none with bytes", b"\x81" + lp(b"a"), "Malformed", None),
            ("a marker alone", b"\x82", "Malformed", None),
            ("half a length", b"\x82\x00\x00\x00", "Malformed", None),
            ("an item cut short", b"\x82\x00\x00\x00\x02a", "Malformed", None),
            ("a length beyond all", b"\x82\xff\xff\xff\xffa", "Malformed", None),
            ("an item that is no text", list_of(("text", b"\xff")), "Malformed", None),
            ("bytes left over", list_of(("text", b"a")) + b"\x00", "Malformed", None),
            # The items are judged in order.
            ("no text, then an int", list_of(("text", b"\xff"), ("int", one)), "Malformed", None),
            ("an int, then no text", list_of(("int", one), ("text", b"\xff")), "WrongType", "int"),
        ):
            self.add(next(suites), f"text[], {case}", error, type_="text[]", value=value,
                     found=found)
        self.add(next(suites), "int[], an item of 8 bytes", "Malformed", type_="int[]",
                 value=list_of(("int", one[8:])))

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
            "f32": [
                ("0.1 of an f64", f64(0.1)),
                ("above its range", f64(1e300)),
                ("below its range", f64(5e-324)),
                ("NaN with a longer payload", bytes.fromhex("7ff8000000000001")),
                ("NaN whose payload would be gone", bytes.fromhex("7ff0000000000001")),
                ("4 bytes", bytes.fromhex("3fc00000")),
            ],
            "ip": [
                ("a name", b"localhost"),
                ("empty", b""),
                ("leading zero", b"192.0.2.01"),
                ("three parts", b"192.0.2"),
                ("256", b"192.0.2.256"),
                ("prefix length", b"2001:db8::/32"),
                ("zone", b"fe80::1%eth0"),
                ("brackets", b"[::1]"),
                ("port", b"192.0.2.1:80"),
                ("two gaps", b"2001::1::2"),
                ("line feed at the end", b"::1\n"),
                ("4 bytes", b"\xc0\x00\x02\x01"),
            ],
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
            "local_datetime": [
                ("Z", b"2026-11-22T09:30:00.000000000Z"),
                ("offset", b"2026-11-22T09:30:00.000000000+00:00"),
                ("leap second", b"2016-12-31T23:59:60.000000000"),
                ("space for T", b"2026-11-22 09:30:00.000000000"),
                ("small t", b"2026-11-22t09:30:00.000000000"),
                ("6 decimals", b"2026-11-22T09:30:00.000000"),
                ("hour 24", b"2026-11-22T24:00:00.000000000"),
                ("impossible date", b"2026-02-30T09:30:00.000000000"),
                ("a date", b"2026-11-22"),
            ],
            "time": [
                ("24:00", b"24:00:00.000000000"),
                ("minute 60", b"09:60:00.000000000"),
                ("leap second", b"23:59:60.000000000"),
                ("3 decimals", b"09:30:00.000"),
                ("no decimals", b"09:30:00"),
                ("comma", b"09:30:00,000000000"),
                ("T", b"T09:30:00.000000000"),
                ("Z", b"09:30:00.000000000Z"),
                ("hour of one digit", b"9:30:00.0000000000"),
                ("digits of another script", "٠٩:30:00.0000000".encode()),
                ("line feed at the end", b"09:30:00.000000000\n"),
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
                ("Infinity", b"[Infinity]"),
                ("-Infinity", b'{"a": -Infinity}'),
                ("byte order mark", b"\xef\xbb\xbf{}"),
                ("single quotes", b"'a'"),
                ("leading zero", b"01"),
                ("bare control character", b'"a\nb"'),
                ("not UTF-8", b'"\xff"'),
            ],
        }
        for type_, cases in wrong.items():
            for case, value in cases:
                self.add(next(suites), f"{type_}, {case}", "Malformed", type_=type_, value=value)
        # Read by the rules of the marker that was found, not of the type that was asked for.
        for type_, marker, value in (
            ("json", "text", b"{"),
            ("json", "text", b"NaN"),
            ("json", "text", b'"\xff"'),
            ("instant", "date", b"2026-02-30"),
            ("instant", "date", b"2026-11-22T09:30:00.000000000Z"),
            ("local_datetime", "date", b"2026-13-01"),
            ("local_datetime", "date", b"2026-11-22T09:30:00.000000000"),
        ):
            case = f"{type_}, written as {marker}, {value.decode('latin-1')}"
            self.add(next(suites), case, "Malformed", type_=type_, value=value,
                     marker=MARKER[marker])

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


# A value of each type that can be sealed, by what is asked for.
SAMPLES = {
    "bytes": bytes(range(1, 9)),
    "text": "Zoë".encode(),
    "int": integer(42),
    "bool": b"\x01",
    "f64": f64(1.5),
    "uuid": bytes.fromhex("0192f5c07b1e7d3a9c4e5f6a7b8c9d0e"),
    "date": b"2026-11-22",
    "instant": b"2026-11-22T09:30:00.000000000Z",
    "decimal": b"1234.50",
    "json": b'{"a": 1}',
    "local_datetime": b"2026-11-22T09:30:00.000000000",
    "time": b"09:30:00.000000000",
    "f32": f64(1.5),
    "ip": b"192.0.2.1",
    "text[]": list_of(("text", b"a")),
}


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
    rejects.reserved(turns)
    rejects.types(turns)
    rejects.values(turns)
    rejects.texts(turns)
    return rejects.entries


# --- Section 2: whose keys are looked at -----------------------------------------------------


def lookup_entries() -> list[dict]:
    """A reader that holds the keys of several owners, and a row that says whose it is. Schema, field
    and record ids are those that the value was sealed for, so nothing but the choice among the keys
    stands between a value and another owner's row."""
    base = Context()

    def both(first: dict, second: dict) -> tuple[Context, Context]:
        return replace(base, **first), replace(base, **second)

    swaps = [
        ("another tenant", *both({}, {"tenant": "acme2"})),
        ("tenant in capitals", *both({}, {"tenant": "ACME"})),
        ("another kind", *both({}, {"kind": "employee"})),
        ("a kind that begins alike", *both({}, {"kind": "customer_settings"})),
        ("another subject of the same tenant", *both({}, {"subject": "2"})),
        ("a subject that begins alike", *both({}, {"subject": "17"})),
        ("subject in capitals", *both({"subject": "ada"}, {"subject": "ADA"})),
        ("subject composed, opened decomposed",
         *both({"subject": "\u00e9"}, {"subject": "e\u0301"})),
        ("another purpose of the same subject", *both({}, {"purpose": "billing"})),
        ("boundary of tenant and kind",
         *both({"tenant": "ab", "kind": "c"}, {"tenant": "a", "kind": "bc"})),
        ("boundary of kind and subject",
         *both({"kind": "ab", "subject": "c"}, {"kind": "a", "subject": "bc"})),
        ("boundary of subject and purpose",
         *both({"subject": "ab", "purpose": "c"}, {"subject": "a", "purpose": "bc"})),
        ("tenant and subject exchanged", *both({}, {"tenant": "1", "subject": "acme"})),
        ("kind and subject exchanged", *both({"subject": "x"}, {"kind": "x", "subject": "customer"})),
        ("another tenant and kind", *both({}, {"tenant": "acme2", "kind": "employee"})),
        ("another tenant and subject", *both({}, {"tenant": "acme2", "subject": "2"})),
        ("another kind and subject", *both({}, {"kind": "employee", "subject": "2"})),
        ("another subject and purpose", *both({}, {"subject": "2", "purpose": "billing"})),
    ]
    entries = []

    def add(suite: str, case: str, sealed_for: Context, row: Context, holds: list[str],
            error: str | None) -> None:
        """`holds`: whose keys the reader has: `writer` is who sealed, `row` is whose row it is."""
        name = f"{SHORT[suite]}: {case}"
        owners = {"writer": sealed_for, "row": row, "older": row, "third": replace(base, subject="3")}
        keys = {who: drawn("data key", f"{name}, {who}", 32) for who in owners}
        if sealed_for == row:
            keys["row"] = keys["writer"]
        envelope = seal(suite, keys["writer"], drawn("nonce", name, 24), sealed_for.encoded(),
                        frame(MARKER["text"], b"secret"))
        entry = field_entry(name, suite, "text", keys["writer"], row,
                            None if error else b"secret", envelope, text_form(envelope))
        del entry["data_key"]
        held = [owners[who].owner() | {"data_key": keys[who].hex()} for who in holds]
        entries.append(entry | {"keys": held, "error": error})

    for suite in SUITES:
        add(suite, "the only key", base, base, ["writer"], None)
        add(suite, "one key among those of others", base, base, ["third", "writer"], None)
        add(suite, "the older of two versions", base, base, ["older", "writer"], None)
        add(suite, "the newer of two versions", base, base, ["writer", "older"], None)
        for case, sealed_for, row in swaps:
            add(suite, f"{case}, both keys held", sealed_for, row, ["writer", "row"],
                "Authentication")
            add(suite, f"{case}, the row's key first", sealed_for, row, ["row", "third", "writer"],
                "Authentication")
            add(suite, f"{case}, only the writer's key held", sealed_for, row, ["writer"],
                "Authentication")
        add(suite, "no key at all", base, base, [], "Authentication")
        add(suite, "a key of the row that the envelope doesn't name", base,
            replace(base, subject="2"), ["row"], "Authentication")
    return entries


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
            tag = subject_tag(drawn("root", name, 32), tenant, "customer", "1")
            context = wrap_context(tenant, tag, purpose, line, version, key_id(data_key))
            envelope = seal(suite, kek, drawn("nonce", name, 24), context,
                            frame(MARKER["bytes"], data_key))
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


def wrap_reject_entries() -> list[dict]:
    entries = []

    def add(suite: str, case: str, error: str, *, framed: bytes | None = None,
            sealed_for: dict | None = None, change=lambda e: e, unwrapped_with: bytes | None = None,
            **forgery) -> None:
        """`sealed_for`: what differs in the context that it is wrapped for from the one that it is
        unwrapped in."""
        name = f"{SHORT[suite]}: {case}"
        kek, data_key = drawn("kek", name, 32), drawn("data key", name, 32)
        tag = subject_tag(drawn("root", name, 32), "acme", "customer", "1")
        place = {"tenant": "acme", "tag": tag, "purpose": "default", "line": 2, "version": 3,
                 "wrapped_id": key_id(data_key)}
        context = wrap_context(**(place | (sealed_for or {})))
        framed = frame(MARKER["bytes"], data_key) if framed is None else framed
        envelope = change(seal(suite, kek, drawn("nonce", name, 24), context, framed, **forgery))
        opener = unwrapped_with or kek
        entries.append({
            "name": name, "suite": suite, "kek": opener.hex(), "kek_id": key_id(opener).hex(),
            "tenant": "acme", "tag": tag.hex(), "purpose": "default", "line": 2, "version": 3,
            "key_id": key_id(data_key).hex(), "envelope": envelope.hex(), "error": error,
        })

    for suite in SUITES:
        foreign = drawn("kek", f"{suite}, foreign", 32)
        add(suite, "wrap, foreign key", "Authentication", unwrapped_with=foreign)
        add(suite, "wrap, foreign key, key id relabelled", "Authentication", unwrapped_with=foreign,
            change=lambda e: e[:1] + key_id(foreign) + e[25:])
        add(suite, "wrap, own key under a foreign key id", "Authentication",
            claimed_id=key_id(foreign))
        other = SUITES[1 - SUITES.index(suite)]
        add(suite, "wrap, suite byte of the other suite", "Authentication", claimed_suite=other)
        for case, difference in (
            ("tenant", {"tenant": "acme2"}),
            ("tag", {"tag": bytes(16)}),
            ("purpose", {"purpose": "billing"}),
            ("line", {"line": 1}),
            ("version", {"version": 2}),
            ("line and version exchanged", {"line": 3, "version": 2}),
            ("key id", {"wrapped_id": key_id(foreign)}),
        ):
            add(suite, f"wrap, another {case}", "Authentication", sealed_for=difference)
        # The tag verifies, and the key is not the one that the slot names.
        add(suite, "wrap, another key for the id", "Authentication",
            framed=frame(MARKER["bytes"], foreign))
        for name, marker in MARKER.items():
            if name != "bytes":
                add(suite, f"wrap, marked {name}", "Malformed", framed=bytes([1] * 32 + [marker]))
        for case, framed in (
            ("a reserved marker", bytes([1] * 32 + [0x8D])),
            ("no marker", bytes([1] * 32 + [0x7F])),
            ("only zero bytes", bytes(33)),
            ("31 bytes, padded", bytes([1] * 31 + [0x80, 0])),
        ):
            add(suite, f"wrap, {case}", "Malformed", framed=framed)
        for case, length in (("31 bytes", 31), ("33 bytes", 33), ("0 bytes", 0)):
            add(suite, f"wrap, {case}", "Malformed",
                framed=frame(MARKER["bytes"], bytes([1] * length)))
        add(suite, "wrap, cut short", "Malformed", change=lambda e: e[:97])
        add(suite, "wrap, a byte too many", "Malformed", change=lambda e: e + b"\x00")
        add(suite, "wrap, no bytes", "Malformed", change=lambda e: b"")
        add(suite, "wrap, first byte 0xF8", "UnknownFormat", change=lambda e: b"\xf8" + e[1:])
        add(suite, "wrap, first byte 0xF8 alone", "UnknownFormat", change=lambda e: b"\xf8")
        add(suite, "wrap, first byte 0x80", "Malformed", change=lambda e: b"\x80" + e[1:])
        for offset in (1, 24, 25, 48, 49, 81, 82, 97):
            add(suite, f"wrap, bit flip in byte {offset}", "Authentication",
                change=lambda e, o=offset: e[:o] + bytes([e[o] ^ 1]) + e[o + 1:])
    return entries


# --- Output ----------------------------------------------------------------------------------


def document() -> bytes:
    sections = {
        "seal": seal_entries(),
        "reject": reject_entries(),
        "lookup": lookup_entries(),
        "wrap": wrap_entries(),
        "wrap_reject": wrap_reject_entries(),
    }
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
