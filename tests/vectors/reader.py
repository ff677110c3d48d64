"""Reads v1.json, the test vectors of the fieldseal format, version 1 (docs/format.md).

    python reader.py

Opens every `seal` entry from its envelope and from its text form and decodes the value by its type,
requires every `reject` entry to be refused with exactly the error it names, unwraps every `wrap`
entry, and checks both ciphers against published answers. The last line is `N passed, N failed`; the
exit status is 1 when anything failed.

Needs Python 3.11 and the package `cryptography`. Written from the document alone and sharing no
code with `writer.py`: where a step could be done in two ways, this program takes the one that the
writer doesn't.
"""

import base64
import hmac
import json
import math
import pathlib
import re
import struct
import sys
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VECTORS = pathlib.Path(__file__).resolve().parent / "v1.json"

FIELD_KEYS = {
    "name", "suite", "type", "data_key", "key_id", "tenant", "subject", "purpose", "schema",
    "field", "record_ids", "value", "envelope", "text",
}
REJECT_KEYS = FIELD_KEYS | {"error"}
WRAP_KEYS = {
    "name", "suite", "kek", "kek_id", "tenant", "tag", "purpose", "line", "version", "data_key",
    "envelope",
}

MAX_VALUE = 16 * 1024 * 1024
MIN_ENVELOPE = 66
MAX_ENVELOPE = 65 + MAX_VALUE + 65536


class Refused(Exception):
    """What the document calls an error; its argument is the error's name, then the reason."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(f"{error} ({reason})")
        self.error = error


def malformed(reason: str) -> Refused:
    return Refused("Malformed", reason)


# --- Section 1: notation ---------------------------------------------------------------------


def enc(label: str, parts: list[bytes]) -> bytes:
    out = bytearray()

    def put(data: bytes) -> None:
        out.extend(len(data).to_bytes(4, "big"))
        out.extend(data)

    put(b"fieldseal/1")
    put(label.encode("utf-8"))
    out.extend(len(parts).to_bytes(4, "big"))
    for part in parts:
        put(part)
    return bytes(out)


# --- Section 2: keys -------------------------------------------------------------------------


def hkdf(key: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=b"fieldseal/1", info=info).derive(key)


def id_of(key: bytes) -> bytes:
    return hkdf(key, b"fieldseal/1 key id", 24)


# --- Section 3: suites -----------------------------------------------------------------------


def xaes_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    # CBC of one block with zero IV is the AES permutation; with K1 as the IV it is also the xor
    # that the derivation asks for.
    def aes(iv: bytes, block: bytes) -> bytes:
        return Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(block)

    block = aes(bytes(16), bytes(16))
    shifted = bytearray(16)
    for i in range(16):
        carry = block[i + 1] >> 7 if i < 15 else 0
        shifted[i] = (block[i] << 1 & 0xFF) | carry
    if block[0] & 0x80:
        shifted[15] ^= 0x87
    k1 = bytes(shifted)
    kx = aes(k1, b"\x00\x01X\x00" + nonce[0:12]) + aes(k1, b"\x00\x02X\x00" + nonce[0:12])
    return AESGCM(kx).decrypt(nonce[12:24], sealed, aad)


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    # A ChaCha20 block is the permuted state plus the initial state. In the first and the last row
    # the initial state is public (constants; the 16 nonce bytes), so subtracting it from a block of
    # key stream leaves what HChaCha20 returns.
    stream = Cipher(algorithms.ChaCha20(key, nonce), mode=None).encryptor().update(bytes(64))
    words = struct.unpack("<16I", stream)
    first = struct.unpack("<4I", b"expand 32-byte k")
    last = struct.unpack("<4I", nonce)
    rows = zip(words[:4] + words[12:], first + last)
    return struct.pack("<8I", *((word - initial) % 2**32 for word, initial in rows))


def xchacha_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    subkey = hchacha20(key, nonce[0:16])
    return ChaCha20Poly1305(subkey).decrypt(b"\x00\x00\x00\x00" + nonce[16:24], sealed, aad)


OPEN_BY_BYTE = {0xF9: xaes_open, 0xFA: xchacha_open}
BYTE_BY_NAME = {"XAES-256-GCM": 0xF9, "XChaCha20-Poly1305": 0xFA}


# --- Sections 4, 5, 7 and 8: opening ---------------------------------------------------------


def envelope_of_text(text: str) -> bytes:
    if not text.startswith("fs1."):
        if re.match(r"fs[2-9]\.", text):
            raise Refused("UnknownFormat", "text form of a later version")
        raise malformed("no fs1. in front")
    body = text[4:]
    # Python's decoder skips what isn't of its alphabet and drops unused bits, so both are checked
    # here: the first by this pattern, the second by encoding again.
    if not re.fullmatch(r"[A-Za-z0-9_-]*", body) or len(body) % 4 == 1:
        raise malformed("not base64url without padding")
    envelope = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    if base64.urlsafe_b64encode(envelope).decode().rstrip("=") != body:
        raise malformed("unused bits of base64url are not zero")
    return envelope


def plaintext_of(envelope: bytes, key: bytes, context: bytes) -> bytes:
    """Steps 2 to 6 of section 8, in that order: an entry may be wrong in several ways at once."""
    if len(envelope) == 0:
        raise malformed("empty")
    suite = envelope[0]
    if suite not in OPEN_BY_BYTE:
        if suite >= 0xF8:
            raise Refused("UnknownFormat", "reserved first byte")
        raise malformed("first byte of no envelope")
    if not MIN_ENVELOPE <= len(envelope) <= MAX_ENVELOPE:
        raise malformed("length")
    if not hmac.compare_digest(envelope[1:25], id_of(key)):
        raise Refused("Authentication", "key id")
    cipher_key = hkdf(key, b"fieldseal/1 encrypt " + envelope[0:1], 32)
    try:
        return OPEN_BY_BYTE[suite](
            cipher_key, envelope[25:49], envelope[49:], envelope[0:25] + context
        )
    except InvalidTag:
        raise Refused("Authentication", "tag") from None


def unframe(framed: bytes) -> bytes | None:
    stripped = framed.rstrip(b"\x00")
    if not stripped:
        raise malformed("only zero bytes")
    value, marker = stripped[:-1], stripped[-1]
    if marker not in (0x80, 0x81):
        raise malformed("no marker")
    if marker == 0x81:
        if value:
            raise malformed("none after value bytes")
        return None
    if len(value) > MAX_VALUE:
        raise malformed("value too long")
    return value


# --- Section 6: values -----------------------------------------------------------------------


def fixed(value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise malformed(f"{len(value)} bytes where {length} are due")
    return value


def utf8(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("not UTF-8") from None


def decode_bool(value: bytes) -> bool:
    if value not in (b"\x00", b"\x01"):
        raise malformed("no bool")
    return value == b"\x01"


def decode_f64(value: bytes) -> float:
    (number,) = struct.unpack(">d", fixed(value, 8))
    return number


def decode_date(value: bytes) -> tuple[int, int, int]:
    # `datetime` has no year 0, so the calendar is here.
    match = re.fullmatch(rb"([0-9]{4})-([0-9]{2})-([0-9]{2})", value)
    if not match:
        raise malformed("not YYYY-MM-DD")
    year, month, day = (int(group) for group in match.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= 12 or not 1 <= day <= days[month - 1]:
        raise malformed("no such day")
    return year, month, day


def decode_instant(value: bytes) -> tuple:
    match = re.fullmatch(
        rb"([0-9-]{10})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{9})Z", fixed(value, 30)
    )
    if not match:
        raise malformed("not an instant")
    date = decode_date(match[1])
    hour, minute, second, nanosecond = (int(group) for group in match.groups()[1:])
    if hour > 23 or minute > 59 or second > 59:
        raise malformed("no such time")
    return date, hour, minute, second, nanosecond


def decode_decimal(value: bytes) -> str:
    if not re.fullmatch(rb"-?[0-9]+(\.[0-9]+)?", value):
        raise malformed("not a decimal")
    return value.decode("ascii")


def decode_json(value: bytes) -> object:
    def constant(name: str) -> None:
        # Python reads NaN and the infinities; JSON doesn't have them.
        raise malformed(f"{name} in JSON")

    try:
        # From text: given bytes, Python would guess UTF-16 and UTF-32 too.
        return json.loads(utf8(value), parse_constant=constant)
    except json.JSONDecodeError:
        raise malformed("not JSON") from None


# By type: how it is read, and what Python type comes of it.
TYPES = {
    "text": (utf8, str),
    "bytes": (bytes, bytes),
    "int": (lambda value: int.from_bytes(fixed(value, 16), "big", signed=True), int),
    "bool": (decode_bool, bool),
    "f64": (decode_f64, float),
    "uuid": (lambda value: uuid.UUID(bytes=fixed(value, 16)), uuid.UUID),
    "date": (decode_date, tuple),
    "instant": (decode_instant, tuple),
    "decimal": (decode_decimal, str),
    "json": (decode_json, object),
}

# By type: the bytes again, for the types whose decoded form determines them. A NaN's bits may
# change on the way through a float, and JSON has many texts for one value.
ENCODE_AGAIN = {
    "text": lambda text: text.encode("utf-8"),
    "bytes": bytes,
    "int": lambda number: number.to_bytes(16, "big", signed=True),
    "bool": lambda truth: bytes([truth]),
    "f64": lambda number: None if math.isnan(number) else struct.pack(">d", number),
    "uuid": lambda identifier: identifier.bytes,
    "date": lambda date: b"%04d-%02d-%02d" % date,
    "instant": lambda i: b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (*i[0], *i[1:]),
    "decimal": lambda text: text.encode("ascii"),
    "json": lambda _: None,
}


# --- Entries ---------------------------------------------------------------------------------


def field_context(entry: dict) -> bytes:
    names = ("tenant", "subject", "purpose", "schema", "field")
    parts = [entry[name].encode("utf-8") for name in names]
    if not entry["record_ids"]:
        return enc("field unbound", parts)
    return enc("field", parts + [record_id.encode("utf-8") for record_id in entry["record_ids"]])


def open_field(entry: dict, envelope: bytes) -> tuple[bytes | None, object]:
    """The value bytes and the decoded value; (None, None) for a none, which every type may have."""
    key = bytes.fromhex(entry["data_key"])
    value = unframe(plaintext_of(envelope, key, field_context(entry)))
    if value is None:
        return None, None
    decode, _ = TYPES[entry["type"]]
    return value, decode(value)


def check_common(entry: dict, keys: set[str], key: str, key_id: str) -> None:
    assert set(entry) == keys, f"has the members {sorted(entry)}"
    assert entry["suite"] in BYTE_BY_NAME, "suite"
    assert id_of(bytes.fromhex(entry[key])).hex() == entry[key_id], key_id


def check_seal(entry: dict) -> None:
    check_common(entry, FIELD_KEYS, "data_key", "key_id")
    envelope = bytes.fromhex(entry["envelope"])
    assert envelope[0] == BYTE_BY_NAME[entry["suite"]], "suite byte"
    assert envelope[1:25].hex() == entry["key_id"], "key id of the envelope"
    assert envelope_of_text(entry["text"]) == envelope, "text form"
    expected = None if entry["value"] is None else bytes.fromhex(entry["value"])
    for source in (envelope, envelope_of_text(entry["text"])):
        value, decoded = open_field(entry, source)
        assert value == expected, "value bytes"
        if value is not None:
            assert isinstance(decoded, TYPES[entry["type"]][1]), "type of the decoded value"
            again = ENCODE_AGAIN[entry["type"]](decoded)
            assert again in (None, value), "value encoded again"


def check_reject(entry: dict) -> None:
    check_common(entry, REJECT_KEYS, "data_key", "key_id")
    assert entry["type"] in TYPES, "type"
    assert entry["value"] is None, "value"
    attempts = {"text": lambda: open_field(entry, envelope_of_text(entry["text"]))}
    # An empty `envelope` says that the entry is about the text form alone, and there is no binary
    # envelope to test. The one exception is the entry for an envelope of no bytes at all, which is
    # known by its text form, "fs1.".
    if entry["envelope"] != "" or entry["text"] == "fs1.":
        attempts["envelope"] = lambda: open_field(entry, bytes.fromhex(entry["envelope"]))
    for source, attempt in attempts.items():
        try:
            attempt()
        except Refused as refused:
            message = f"{source}: {refused}, not {entry['error']}"
            assert refused.error == entry["error"], message
        else:
            raise AssertionError(f"{source}: opened, not {entry['error']}")


def check_wrap(entry: dict) -> None:
    check_common(entry, WRAP_KEYS, "kek", "kek_id")
    envelope = bytes.fromhex(entry["envelope"])
    data_key = bytes.fromhex(entry["data_key"])
    assert len(envelope) == 98, "length"
    assert envelope[0] == BYTE_BY_NAME[entry["suite"]], "suite byte"
    assert envelope[1:25].hex() == entry["kek_id"], "key id of the envelope"
    wrapped_id = id_of(data_key)
    context = enc("wrap", [
        entry["tenant"].encode("utf-8"),
        bytes.fromhex(entry["tag"]),
        entry["purpose"].encode("utf-8"),
        entry["line"].to_bytes(4, "big"),
        entry["version"].to_bytes(4, "big"),
        wrapped_id,
    ])
    unwrapped = unframe(plaintext_of(envelope, bytes.fromhex(entry["kek"]), context))
    assert unwrapped == data_key, "data key"
    assert hmac.compare_digest(id_of(unwrapped), wrapped_id), "id of the data key"


# --- Published answers -----------------------------------------------------------------------


def check_xaes(byte: int, aad: bytes, expected: str) -> None:
    # C2SP XAES-256-GCM. `decrypt` refuses a wrong tag, so opening checks ciphertext and tag.
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert xaes_open(bytes([byte]) * 32, nonce, bytes.fromhex(expected), aad) == b"XAES-256-GCM"


def check_hchacha20() -> None:
    # draft-irtf-cfrg-xchacha-03, section 2.2.1.
    subkey = hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927"))
    expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert subkey.hex() == expected


def check_xchacha() -> None:
    # draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    sealed = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49"
    )
    opened = xchacha_open(
        bytes(range(0x80, 0xA0)),
        bytes(range(0x40, 0x58)),
        sealed,
        bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
    )
    assert opened == (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )


def check_document(vectors: dict) -> None:
    assert list(vectors) == ["format", "seal", "reject", "wrap"], "members of the document"
    assert vectors["format"] == "fieldseal/1", "format"
    for section in ("seal", "reject", "wrap"):
        names = [entry["name"] for entry in vectors[section]]
        assert names and len(names) == len(set(names)), f"names in {section}"
    # Vectors that leave out a type would let a reader pass that can't read it.
    sealed = {entry["type"] for entry in vectors["seal"] if entry["value"] is not None}
    assert sealed == set(TYPES), "types in seal"


def main() -> int:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    checks = [
        ("XAES-256-GCM, C2SP, no associated data", check_xaes,
         (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271")),
        ("XAES-256-GCM, C2SP, associated data", check_xaes,
         (3, b"c2sp.org/XAES-256-GCM",
          "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d")),
        ("HChaCha20, draft", check_hchacha20, ()),
        ("XChaCha20-Poly1305, draft", check_xchacha, ()),
        ("document", check_document, (vectors,)),
    ]
    for section, check in (("seal", check_seal), ("reject", check_reject), ("wrap", check_wrap)):
        for entry in vectors[section]:
            checks.append((f"{section}, {entry.get('name')}", check, (entry,)))

    failed = 0
    for name, check, arguments in checks:
        try:
            check(*arguments)
        except Exception as error:  # whatever goes wrong fails this check and not the others
            failed += 1
            print(f"FAILED {name}: {error or type(error).__name__}", file=sys.stderr)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    # The checks are assertions, which `python -O` would leave out.
    if not __debug__:
        sys.exit("reader.py can't run under python -O")
    sys.exit(main())
