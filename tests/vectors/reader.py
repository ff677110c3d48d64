"""Reads v1.json and slots.json, the test vectors of the fieldseal format, version 1 (docs/format.md).

    python reader.py

Of v1.json it opens every `seal` entry from its envelope and from its text form and decodes the value
by its type, requires every `reject` and `wrap_reject` entry to be refused with exactly the error it
names, chooses a key for every `lookup` entry, unwraps every `wrap` entry, and checks both ciphers
against published answers. Of slots.json it takes every slot apart and puts it together again, follows
the journal, judges every journal in `journal_reads`, and reads the journal file. The last line is
`N passed, N failed`; the exit status is 1 when anything failed.

Needs Python 3.11 and the package `cryptography`. Written from the document alone and sharing no
code with `writer.py` and `slots.py`: where a step could be done in two ways, this program takes the one that the
writer doesn't.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import math
import pathlib
import re
import struct
import sys
import uuid
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).resolve().parent

OWNER = ("tenant", "kind", "subject", "purpose")
VALUE_KEYS = {
    "name", "suite", "type", *OWNER, "key_id", "schema", "field", "record_ids", "value", "envelope",
    "text",
}
SEAL_KEYS = VALUE_KEYS | {"data_key", "marker"}
REJECT_KEYS = VALUE_KEYS | {"data_key", "error", "found", "optional"}
LOOKUP_KEYS = VALUE_KEYS | {"keys", "error"}
WRAP_KEYS = {
    "name", "suite", "kek", "kek_id", "tenant", "tag", "purpose", "line", "version", "data_key",
    "envelope",
}
WRAP_REJECT_KEYS = WRAP_KEYS - {"data_key"} | {"key_id", "error"}

MAX_VALUE = 16 * 1024 * 1024
MIN_ENVELOPE = 66
MAX_ENVELOPE = 65 + MAX_VALUE + 65536


class Refused(Exception):
    """What the document calls an error; its argument is the error's name, then the reason."""

    def __init__(self, error: str, reason: str, found: str | None = None) -> None:
        super().__init__(f"{error} ({reason})")
        self.error = error
        self.found = found


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


def check_header(envelope: bytes) -> None:
    """Steps 2 and 3 of section 8."""
    if len(envelope) == 0:
        raise malformed("empty")
    if envelope[0] not in OPEN_BY_BYTE:
        if envelope[0] >= 0xF8:
            raise Refused("UnknownFormat", "reserved first byte")
        raise malformed("first byte of no envelope")


def chosen(envelope: bytes, keys: list[bytes]) -> bytes:
    """Step 5, of keys that are all of the row's owner. Every key is compared."""
    named = [key for key in keys if hmac.compare_digest(envelope[1:25], id_of(key))]
    if not named:
        raise Refused("Authentication", "key id")
    return named[0]


def decrypted(envelope: bytes, key: bytes, context: bytes) -> bytes:
    """Step 6."""
    cipher_key = hkdf(key, b"fieldseal/1 encrypt " + envelope[0:1], 32)
    try:
        return OPEN_BY_BYTE[envelope[0]](cipher_key, envelope[25:49], envelope[49:], context)
    except InvalidTag:
        raise Refused("Authentication", "tag") from None


def framed_plaintext(envelope: bytes, keys: list[bytes], context: bytes) -> bytes:
    """Steps 2 to 6, in that order: an entry may be wrong in several ways at once."""
    check_header(envelope)
    if not MIN_ENVELOPE <= len(envelope) <= MAX_ENVELOPE:
        raise malformed("length")
    return decrypted(envelope, chosen(envelope, keys), context)


def judged_marker(marker: int, value: bytes) -> None:
    """Step 7 without the padding, and step 8."""
    if not 0x80 <= marker <= 0xBF:
        raise malformed("no marker")
    if len(value) > MAX_VALUE:
        raise malformed("value too long")
    if marker == 0x81 and value:
        raise malformed("none after value bytes")
    if marker > 0x8C:
        raise Refused("UnknownFormat", "reserved marker")


def unframe(framed: bytes) -> tuple[int, bytes]:
    stripped = framed.rstrip(b"\x00")
    if not stripped:
        raise malformed("only zero bytes")
    judged_marker(stripped[-1], stripped[:-1])
    return stripped[-1], stripped[:-1]


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


def decode_f32(value: bytes) -> float:
    # By the bits: Python has no f32 to go through, and its rounding would hide a wrong one.
    bits = int.from_bytes(fixed(value, 8), "big")
    exponent, fraction = bits >> 52 & 0x7FF, bits & (1 << 52) - 1
    lost = 29
    if 874 <= exponent < 897:
        # Of a subnormal f32 fewer bits are left.
        lost += 897 - exponent
    elif not (exponent in (0, 0x7FF) or 897 <= exponent <= 1150):
        raise malformed("out of the range of an f32")
    if exponent == 0 and fraction or fraction & (1 << lost) - 1:
        raise malformed("more than an f32 holds")
    return decode_f64(value)


def decode_ip(value: bytes) -> object:
    text = utf8(value)
    if "%" in text:
        raise malformed("zone")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise malformed("no address") from None


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


def decode_time(value: bytes) -> tuple[int, int, int, int]:
    match = re.fullmatch(rb"([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{9})", value)
    if not match:
        raise malformed("not a time of day")
    hour, minute, second, nanosecond = (int(group) for group in match.groups())
    if hour > 23 or minute > 59 or second > 59:
        raise malformed("no such time")
    return hour, minute, second, nanosecond


def decode_local(value: bytes) -> tuple:
    if fixed(value, 29)[10:11] != b"T":
        raise malformed("no T")
    return decode_date(value[:10]), decode_time(value[11:])


def decode_instant(value: bytes) -> tuple:
    if fixed(value, 30)[29:] != b"Z":
        raise malformed("no Z")
    return decode_local(value[:29])


def midnight(value: bytes) -> tuple:
    return decode_date(value), (0, 0, 0, 0)


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


def items_of(type_: str):
    def decode(value: bytes) -> list:
        out = []
        while value:
            if len(value) < 5 or len(value) - 5 < int.from_bytes(value[1:5], "big"):
                raise malformed("an item is cut short")
            end = 5 + int.from_bytes(value[1:5], "big")
            judged_marker(value[0], value[5:end])
            out.append(decoded(type_, value[0], value[5:end], True))
            value = value[end:]
        return out

    return decode


def integer(value: bytes) -> int:
    return int.from_bytes(fixed(value, 16), "big", signed=True)


KINDS = ("bytes", "none", "text", "int", "bool", "f64", "uuid", "date", "instant", "decimal", "json",
         "local_datetime", "time")

# By type: what it reads of each marker; the first is its own.
TYPES = {
    "text": {0x82: utf8},
    "bytes": {0x80: bytes},
    "int": {0x83: integer},
    "bool": {0x84: decode_bool},
    "f64": {0x85: decode_f64},
    "uuid": {0x86: lambda value: uuid.UUID(bytes=fixed(value, 16))},
    "date": {0x87: decode_date},
    "instant": {0x88: decode_instant, 0x87: midnight},
    "decimal": {0x89: decode_decimal},
    "json": {0x8A: decode_json, 0x82: decode_json},
    "local_datetime": {0x8B: decode_local, 0x87: midnight},
    "time": {0x8C: decode_time},
    "f32": {0x85: decode_f32},
    "ip": {0x82: decode_ip},
    "text[]": {0x80: items_of("text")},
    "int[]": {0x80: items_of("int")},
}


def decoded(type_: str, marker: int, value: bytes, optional: bool) -> object:
    """Steps 9 and 10."""
    kind = KINDS[marker - 0x80]
    if marker == 0x81 and optional:
        return None
    if marker not in TYPES[type_]:
        raise Refused("WrongType", f"{kind} where {type_} is due", kind)
    return TYPES[type_][marker](value)


def item_again(marker: int, encode, item: object) -> bytes:
    value = b"" if item is None else encode(item)
    return bytes([0x81 if item is None else marker]) + len(value).to_bytes(4, "big") + value


def clock(time: tuple) -> bytes:
    return b"%02d:%02d:%02d.%09d" % time


# By marker: the bytes again, where the decoded form determines them. A NaN's bits may change on the
# way through a float, and JSON has many texts for one value.
ENCODE_AGAIN = {
    "text": lambda text: text.encode("utf-8"),
    "bytes": bytes,
    "int": lambda number: number.to_bytes(16, "big", signed=True),
    "bool": lambda truth: bytes([truth]),
    "f64": lambda number: None if math.isnan(number) else struct.pack(">d", number),
    "f32": lambda number: None if math.isnan(number) else struct.pack(">d", number),
    "uuid": lambda identifier: identifier.bytes,
    "date": lambda date: b"%04d-%02d-%02d" % date,
    "local_datetime": lambda at: ENCODE_AGAIN["date"](at[0]) + b"T" + clock(at[1]),
    "instant": lambda at: ENCODE_AGAIN["local_datetime"](at) + b"Z",
    "time": clock,
    "decimal": lambda text: text.encode("ascii"),
    "json": lambda _: None,
    # Which form of an address of IPv4 in IPv6 Python writes depends on its version.
    "ip": lambda ip: None if getattr(ip, "ipv4_mapped", None) else str(ip).encode(),
    "text[]": lambda items: b"".join(item_again(0x82, str.encode, item) for item in items),
    "int[]": lambda items: b"".join(item_again(0x83, ENCODE_AGAIN["int"], item) for item in items),
}


# --- Entries ---------------------------------------------------------------------------------


def field_context(entry: dict) -> bytes:
    """What binds the value to schema, field and record. Whose it is, the key says."""
    parts = [entry[name].encode("utf-8") for name in ("schema", "field")]
    if not entry["record_ids"]:
        return enc("field unbound", parts)
    return enc("field", parts + [record_id.encode("utf-8") for record_id in entry["record_ids"]])


def open_field(
    entry: dict, envelope: bytes, keys: list[bytes], optional: bool = True
) -> tuple[int, bytes, object]:
    """The marker, the value bytes and the decoded value."""
    marker, value = unframe(framed_plaintext(envelope, keys, field_context(entry)))
    return marker, value, decoded(entry["type"], marker, value, optional)


def check_common(entry: dict, members: set[str]) -> None:
    assert set(entry) == members, f"has the members {sorted(entry)}"
    assert entry["suite"] in BYTE_BY_NAME, "suite"
    if "type" in entry:
        assert entry["type"] in TYPES, "type"
        assert re.fullmatch(r"[a-z0-9_.-]{1,64}", entry["kind"]), "kind"
        for name in ("tenant", "subject", "purpose", "schema", "field"):
            assert 1 <= len(entry[name].encode("utf-8")) <= 1024, name


def check_key(entry: dict, key: str, key_id: str) -> bytes:
    data = bytes.fromhex(entry[key])
    assert id_of(data).hex() == entry[key_id], key_id
    return data


def check_seal(entry: dict) -> None:
    check_common(entry, SEAL_KEYS)
    key = check_key(entry, "data_key", "key_id")
    envelope = bytes.fromhex(entry["envelope"])
    assert envelope[0] == BYTE_BY_NAME[entry["suite"]], "suite byte"
    assert envelope[1:25].hex() == entry["key_id"], "key id of the envelope"
    for source in (envelope, envelope_of_text(entry["text"])):
        assert source == envelope, "text form"
        marker, value, content = open_field(entry, source, [key])
        assert f"{marker:02x}" == entry["marker"], "marker"
        if entry["value"] is None:
            assert marker == 0x81, "none"
            try:
                open_field(entry, source, [key], optional=False)
            except Refused as refused:
                assert (refused.error, refused.found) == ("WrongType", "none"), "none required"
            else:
                raise AssertionError("a none opened where none may be")
            continue
        assert marker != 0x81 and value.hex() == entry["value"], "value bytes"
        # Only of the type's own marker, and an address only as a writer spells it.
        if marker == next(iter(TYPES[entry["type"]])) and "written as" not in entry["name"]:
            again = ENCODE_AGAIN[entry["type"]](content)
            assert again in (None, value), "value encoded again"


def forms(entry: dict) -> dict:
    """The sources that an entry is about, as functions that give the envelope's bytes."""
    out = {"text": lambda: envelope_of_text(entry["text"])}
    # An empty `envelope` says that the entry is about the text form alone, and there is no binary
    # envelope to test. The one exception is the entry for an envelope of no bytes at all, which is
    # known by its text form, "fs1.".
    if entry["envelope"] != "" or entry["text"] == "fs1.":
        out["envelope"] = lambda: bytes.fromhex(entry["envelope"])
    return out


def check_refused(entry: dict, source: str, attempt) -> None:
    try:
        attempt()
    except Refused as refused:
        assert refused.error == entry["error"], f"{source}: {refused}, not {entry['error']}"
        assert refused.found == entry.get("found"), f"{source}: found {refused.found}"
    else:
        raise AssertionError(f"{source}: opened, not {entry['error']}")


def check_reject(entry: dict) -> None:
    check_common(entry, REJECT_KEYS)
    key = check_key(entry, "data_key", "key_id")
    assert entry["value"] is None, "value"
    for source, envelope in forms(entry).items():
        check_refused(entry, source,
                      lambda get=envelope: open_field(entry, get(), [key], entry["optional"]))


def check_lookup(entry: dict) -> None:
    check_common(entry, LOOKUP_KEYS)
    row = tuple(entry[name] for name in OWNER)
    of_row = []
    for key in entry["keys"]:
        assert set(key) == {*OWNER, "data_key"}, "members of a key"
        if tuple(key[name] for name in OWNER) == row:
            of_row.append(bytes.fromhex(key["data_key"]))
    for source, envelope in forms(entry).items():
        if entry["error"] is None:
            _, value, _ = open_field(entry, envelope(), of_row)
            assert value.hex() == entry["value"], "value bytes"
            continue
        assert entry["value"] is None, "value"
        check_refused(entry, source, lambda get=envelope: open_field(entry, get(), of_row))
    # That is what the rule is for: by its id alone the writer's key would be found, and open it.
    everybodys = [bytes.fromhex(key["data_key"]) for key in entry["keys"]]
    if any(id_of(key).hex() == entry["key_id"] for key in everybodys):
        open_field(entry, bytes.fromhex(entry["envelope"]), everybodys)


def unwrapped(entry: dict, kek: bytes, wrapped_id: bytes) -> bytes:
    """Section 9, in its order."""
    envelope = bytes.fromhex(entry["envelope"])
    check_header(envelope)
    if len(envelope) != 98:
        raise malformed("not 98 bytes")
    context = enc("wrap", [
        entry["tenant"].encode("utf-8"),
        bytes.fromhex(entry["tag"]),
        entry["purpose"].encode("utf-8"),
        entry["line"].to_bytes(4, "big"),
        entry["version"].to_bytes(4, "big"),
        wrapped_id,
    ])
    framed = decrypted(envelope, chosen(envelope, [kek]), context)
    if framed[32:] != b"\x80":
        raise malformed("not 32 bytes and 0x80")
    if not hmac.compare_digest(id_of(framed[:32]), wrapped_id):
        raise Refused("Authentication", "id of the data key")
    return framed[:32]


def check_wrap(entry: dict) -> None:
    check_common(entry, WRAP_KEYS)
    kek = check_key(entry, "kek", "kek_id")
    data_key = bytes.fromhex(entry["data_key"])
    envelope = bytes.fromhex(entry["envelope"])
    assert envelope[0] == BYTE_BY_NAME[entry["suite"]], "suite byte"
    assert unwrapped(entry, kek, id_of(data_key)) == data_key, "data key"


def check_wrap_reject(entry: dict) -> None:
    check_common(entry, WRAP_REJECT_KEYS)
    kek = check_key(entry, "kek", "kek_id")
    check_refused(entry, "wrapped", lambda: unwrapped(entry, kek, bytes.fromhex(entry["key_id"])))


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


# --- Section 10: slots -----------------------------------------------------------------------


class Cursor:
    """Takes bytes from the front; too few, or a bound that is broken, is damage."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        damage_unless(end <= len(self.data), "ends early")
        self.at, out = end, self.data[self.at : end]
        return out

    def number(self, length: int, low: int = 0, high: int | None = None) -> int:
        out = int.from_bytes(self.take(length), "big")
        damage_unless(out >= low and (high is None or out <= high), f"{out} is out of bounds")
        return out

    def short(self, low: int, high: int) -> bytes:
        return self.take(self.number(2, low, high))

    def text(self, low: int = 1) -> str:
        try:
            return self.short(low, 1024).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("Corrupt", "no text") from None

    def date(self) -> tuple[int, int]:
        state, moment = self.number(1, 0, 2), self.number(8)
        damage_unless((state == 1) == (moment > 0), "a date of another state")
        return state, moment

    def point(self) -> tuple[int, bytes]:
        position, digest = self.number(8), self.take(32)
        damage_unless(position > 0 or digest == bytes(32), "a hash before the first entry")
        return position, digest

    def wrapped_root(self) -> int:
        epoch = self.number(4, 1)
        self.take(24)
        self.text()
        self.short(1, 4096)
        return epoch

    def end(self) -> None:
        damage_unless(self.at == len(self.data), "bytes left over")


def damage_unless(condition: bool, reason: str) -> None:
    if not condition:
        raise Refused("Corrupt", reason)


def ascending(values: list) -> None:
    damage_unless(all(a < b for a, b in zip(values, values[1:])), "not in ascending order")


def mac_of(root: bytes, info: bytes, message: bytes) -> bytes:
    return hmac.new(hkdf(root, info, 32), message, hashlib.sha256).digest()


def vault_columns(body: Cursor) -> tuple[int, int, int]:
    epoch = body.wrapped_root()
    body.number(8, 1)
    journal = body.number(1, 0, 1)
    body.take(16 * journal)
    (applied, _), (settled, _), settling = body.point(), body.point(), 0
    if body.number(1, 0, 1):
        settling, _ = body.point()
        body.number(8)
        damage_unless(settled < settling <= applied, "settling")
    damage_unless(settled <= applied, "settled")
    told = body.number(8)
    waits = [body.number(8, 1, applied) for _ in range(body.number(2, 0, 1024))]
    ascending(waits)
    damage_unless(bool(journal) or not (applied or told), "entries without a journal")
    epochs, state = [], 0
    for _ in range(body.number(2, 1)):
        epochs.append(body.number(4, 1))
        state = body.number(1, 1, 2)
        body.number(8)
        body.text()
    ascending(epochs)
    damage_unless(state == 1, "the current epoch is retired")
    indexes = []
    for _ in range(body.number(1, 0, 64)):
        indexes.append(body.number(4, 1))
        body.number(8)
        is_open = body.number(1, 1, 2) == 1
        damage_unless(body.date()[0] == 0 or not is_open, "an open index epoch with a date")
    ascending(indexes)
    return 1, epoch, 0


def tenant_columns(body: Cursor) -> tuple[int, int, int]:
    lowest = body.wrapped_root()
    erased = body.number(8) > 0
    body.number(8)
    epoch_keys = [body.wrapped_root() for _ in range(body.number(1, 0, 64))]
    ascending(epoch_keys)
    indexes = []
    for _ in range(body.number(1, 0, 64)):
        indexes.append(body.number(4, 1))
        body.number(8)
        body.date()
        lowest = min(lowest, body.wrapped_root())
    ascending(indexes)
    damage_unless(bool(epoch_keys) != erased and not (erased and indexes), "keys after an erasure")
    return 3 if erased else 1, lowest, 0


def subject_columns(body: Cursor) -> tuple[int, int, int]:
    epoch = body.number(4)
    retained, scheduled, closed, whole = (body.number(8) for _ in range(4))
    body.number(1, 0, 1)
    replaced = body.number(1, 0, 1)
    body.number(8)
    damage_unless(not closed or 0 < retained <= closed, "closed before its period ended")
    damage_unless(not replaced or whole > 0, "a damaged slot replaced, and not whole")
    names, lives = [], False
    for _ in range(body.number(1, 1, 16)):
        names.append(body.text().encode("utf-8"))
        body.number(4, 1)
        destroyed_at = body.number(8)
        body.take(24 * body.number(2, 0, 512))
        versions = []
        for _ in range(body.number(1, 0, 64)):
            versions.append(body.number(4, 1))
            body.number(8)
            body.date()
            body.take(24 + 98)
        ascending(versions)
        damage_unless(bool(versions) or destroyed_at > 0, "destroyed at no moment")
        lives = lives or bool(versions)
    ascending(names)
    damage_unless(lives == (epoch > 0), "an epoch without a key, or a key without one")
    state = 3 if not lives else 2 if scheduled or closed else 1
    return state, epoch, min((at for at in (retained, scheduled) if at), default=0)


COLUMNS_OF_KIND = {1: vault_columns, 2: tenant_columns, 3: subject_columns}


def read_slot(root: bytes, entry: dict) -> None:
    """The steps of section 10. The roots here are wrapped by nobody, so step 3 only reads them."""
    data, kind = bytes.fromhex(entry["slot"]), entry["kind"]
    damage_unless(48 <= len(data) <= 262_144 and data[0] > 0, "length or version")
    damage_unless(data[1] == kind, "another kind")
    damage_unless(data[0] > 1 or 1 <= data[2] <= 3, "state")
    content, mac = data[:-32], data[-32:]
    if kind < 3:
        Cursor(content[15:]).wrapped_root()
    message = enc("slot", [entry["tenant"].encode("utf-8"), bytes.fromhex(entry["tag"]),
                           bytes([kind]), content])
    damage_unless(hmac.compare_digest(mac_of(root, b"fieldseal/1 slot", message), mac), "MAC")
    if data[0] > 1:
        raise Refused("NewerSchema", "a later version")
    body = Cursor(content[15:])
    columns = COLUMNS_OF_KIND[kind](body)
    body.end()
    damage_unless(columns == struct.unpack(">BIQ", content[2:15]), "another head than the body's")


def check_tag(root: bytes, entry: dict) -> None:
    parts = [entry[name].encode("utf-8") for name in ("tenant", "kind", "subject")]
    assert hkdf(root, enc("tag", parts), 16).hex() == entry["tag"], "tag"


def check_slot(root: bytes, entry: dict) -> None:
    read_slot(root, entry)
    # Nothing else is what it is: a changed bit, a byte less or more.
    data = bytes.fromhex(entry["slot"])
    changed = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
    for other in changed + [data[:-1], data + b"\x00", b"", data[:47]]:
        check_refused({"error": "Corrupt"}, "changed",
                      lambda: read_slot(root, entry | {"slot": other.hex()}))


def check_slot_reject(root: bytes, entry: dict) -> None:
    check_refused({"error": entry["error"]}, "slot", lambda: read_slot(root, entry))


# --- Section 11: the journal -----------------------------------------------------------------


@dataclass
class Entry:
    about: tuple[bytes, bytes]
    before: int
    event: int | None  # none of a later version
    made: bytes = b""  # the id of the root that event 1 tells of


def purposes(body: Cursor) -> None:
    names = []
    for _ in range(body.number(1, 1, 32)):
        names.append(body.text().encode("utf-8"))
        body.number(4, 1)
    ascending(names)


# By event: what it must be about (a store, b tenant, c subject), and how its bytes are read.
EVENTS = {
    1: ("ab", lambda body: body.take(24)),
    2: ("a", lambda body: (body.number(4, 1), body.text())),
    3: ("a", lambda body: body.number(8)),
    4: ("c", lambda body: (body.text(), body.number(4, 1))),
    5: ("b", lambda body: body.take(24)),
    6: ("b", lambda body: body.take(24)),
    7: ("c", lambda body: (body.number(1, 0, 1), body.number(1, 0, 1), purposes(body))),
    8: ("c", lambda body: (body.number(1, 0, 1), body.number(4, 1), purposes(body))),
    9: ("c", lambda body: None),
    10: ("c", lambda body: None),
    11: ("c", lambda body: body.number(8)),
    12: ("c", lambda body: None),
    13: ("b", lambda body: body.number(1, 0, 1)),
    14: ("b", lambda body: body.number(4, 1)),
    15: ("a", lambda body: body.text()),
    16: ("a", lambda body: body.number(8)),
    17: ("a", lambda body: None),
    18: ("a", lambda body: body.number(4, 1)),
    19: ("a", lambda body: body.number(4, 1)),
    20: ("a", lambda body: (body.number(4, 1), body.number(4, 1))),
    21: ("a", lambda body: (body.number(4, 1), body.number(4, 1))),
}


def read_entry(data: bytes) -> Entry:
    """Steps 1 and 2 of section 11, which need no key."""
    damage_unless(len(data) <= 65_536, "too long")
    body = Cursor(data[: max(len(data) - 32, 0)])
    version = body.number(1, 1)
    body.number(8)
    tenant, tag = body.text(0).encode("utf-8"), body.short(0, 16)
    damage_unless(len(tag) in (0, 16) and bool(tenant or not tag), "tag")
    entry = Entry((tenant, tag), body.number(8), None)
    if version > 1:
        return entry
    entry.event = body.number(1, 1)
    if entry.event in EVENTS:
        about, read = EVENTS[entry.event]
        own = "c" if tag else "b" if tenant else "a"
        damage_unless(own in about, "about another")
        made = read(body)
        body.end()
        if entry.event == 1:
            entry.made = made
    return entry


class Reading:
    """A journal, read from its first entry on by who has the vault's root."""

    def __init__(self, root: bytes, entries: list[bytes]) -> None:
        self.judged: list[str] = []
        self.accepted: dict[tuple[bytes, bytes], list[int]] = {}
        self.refused: str | None = None
        self.head = bytes(32)
        created = False
        for data in entries:
            try:
                entry = read_entry(data)
            except Refused as refused:
                self.judged.append("damage")
                self.refused = refused.error
                return
            position = len(self.judged) + 1
            message = enc("journal entry", [self.head, position.to_bytes(8, "big"), data[:-32]])
            genuine = hmac.compare_digest(mac_of(root, b"fieldseal/1 journal", message), data[-32:])
            self.head = hashlib.sha256(enc("journal", [self.head, data])).digest()
            first = not created and genuine and not entry.about[0] and entry.made == id_of(root)
            created = created or first
            self.judged.append(self.judge(entry, position, genuine, created, first))
        if not created:
            self.refused = "JournalTruncated"

    def judge(self, entry: Entry, position: int, genuine: bool, created: bool, first: bool) -> str:
        if not created and not entry.about[0] and entry.event in (1, 2):
            return "before"
        if not created or not genuine:
            return "passed"
        those = self.accepted.setdefault(entry.about, [])
        before = those[-1] if those else 0
        those.append(position)
        if entry.before != before:
            return "left out"
        if first:
            return "creation"
        if entry.event is None or entry.event < 128 and entry.event not in EVENTS:
            return "later"
        return "skipped" if entry.event > 127 else "accepted"


def check_journal_read(root: bytes, case: dict) -> None:
    entries = [bytes.fromhex(entry) for entry in case["entries"]]
    reading = Reading(root, entries)
    assert reading.judged == case["judged"], f"{reading.judged}"
    if reading.refused is None and reading.head.hex() != case["head"]:
        reading.refused = "Corrupt"
    assert reading.refused == case["refused"], f"{reading.refused}"


def check_journal_list(root: bytes, case: dict, asked: dict) -> None:
    """A query gives entries by position; each is verified at the head before it."""
    entries = [bytes.fromhex(entry) for entry in case["entries"]]
    heads = [bytes(32)]
    for data in entries:
        heads.append(hashlib.sha256(enc("journal", [heads[-1], data])).digest())
    about = asked["tenant"].encode("utf-8"), bytes.fromhex(asked["tag"])
    # The creation is found by reading the journal from its beginning, which a store does once.
    creation = Reading(root, entries).judged.index("creation") + 1
    accepted, whole = [], True
    for position in asked["given"]:
        data = entries[position - 1]
        entry = read_entry(data)
        assert entry.about == about, "given about another"
        message = enc("journal entry", [heads[position - 1], position.to_bytes(8, "big"), data[:-32]])
        if position >= creation and mac_of(root, b"fieldseal/1 journal", message) == data[-32:]:
            whole = whole and entry.before == (accepted[-1] if accepted else 0)
            accepted.append(position)
    found = "whole"
    if asked["told"] > len(entries):
        found = "truncated"
    elif not whole or asked["told"] and asked["told"] not in accepted:
        found = "left out"
    assert accepted == asked["accepted"], f"accepted {accepted}"
    assert found == asked["is"], f"{found}"


def check_journal(root: bytes, document: dict) -> None:
    assert hkdf(root, b"fieldseal/1 journal", 32).hex() == document["journal_mac_key"], "MAC key"
    assert id_of(root).hex() == document["root_id"], "id of the root"
    reading, events = Reading(root, [bytes.fromhex(e["entry"]) for e in document["journal"]]), set()
    assert set(reading.judged) == {"creation", "accepted"}, f"{reading.judged}"
    head = bytes(32)
    for entry in document["journal"]:
        data = bytes.fromhex(entry["entry"])
        head = hashlib.sha256(enc("journal", [head, data])).digest()
        assert head.hex() == entry["head"], f"head after {entry['name']}"
        events.add(read_entry(data).event)
    assert events == set(EVENTS), "every event"
    judged = {judged for case in document["journal_reads"] for judged in case["judged"]}
    assert judged == {"creation", "before", "accepted", "passed", "skipped", "later", "left out",
                      "damage"}, "every judgment"


# --- Section 13: the journal file ------------------------------------------------------------


def judged_tail(tail: bytes, head: bytes) -> str:
    if not tail:
        return "end"
    if tail[0] not in (0, 1):
        return "damage"
    uncommitted = tail[0] == 0
    length = int.from_bytes(tail[1:5], "big")
    bad = "torn" if uncommitted else "damage"
    if uncommitted and len(tail) <= 5 or len(tail) < 5:
        return bad
    if not 1 <= length <= 65_536 or uncommitted and len(tail) > 37 + length:
        return "damage"
    if len(tail) < 37 + length:
        return bad
    data, claimed = tail[5 : 5 + length], tail[5 + length : 37 + length]
    try:
        read_entry(data)
    except Refused:
        return bad
    if hashlib.sha256(enc("journal", [head, data])).digest() != claimed:
        return bad
    return "uncommitted" if uncommitted else "committed"


def check_journal_file(file: dict) -> None:
    data = bytes.fromhex(file["file"])
    assert data[:36] == b"fieldseal journal 1\n" + bytes.fromhex(file["id"]), "header"
    assert data[36:68] == hashlib.sha256(data[:36]).digest(), "check of the header"
    head, at, entries = bytes(32), 68, 0
    while at < len(data):
        assert judged_tail(data[at:], head) == "committed", f"frame at {at}"
        end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        head, at, entries = data[end : end + 32], end + 32, entries + 1
    assert entries == file["entries"], "number of entries"
    for case in file["tails"]:
        found = judged_tail(bytes.fromhex(case["tail"]), head)
        assert found == case["is"], f"{case['name']}: {found}, not {case['is']}"


# --- Sections 10 and 14: what providers are given, and what several of them make -------------


def check_context(key_id: bytes, entry: dict) -> None:
    epoch = (2).to_bytes(4, "big")
    tenant = [] if entry["role"] == "vault root" else [b"acme"]
    index = [(5).to_bytes(4, "big")] if entry["role"] == "index key" else []
    context = enc(entry["role"], [*tenant, epoch, *index, key_id])
    assert context.hex() == entry["context"], "context"


def check_parts(entry: dict) -> None:
    body, shorts = Cursor(bytes.fromhex(entry["joined"])), []
    while len(body.data) - body.at > 32:
        shorts.append(body.short(1, 4096))
    assert [part.hex() for part in shorts] == entry["parts"], "parts"
    message = enc(entry["label"], [entry["bound"].encode("utf-8"), *shorts])
    mac = mac_of(bytes.fromhex(entry["key"]), b"fieldseal/1 parts", message)
    assert body.take(32) == mac, "MAC of the parts"


def slot_checks(document: dict) -> list[tuple]:
    root = bytes.fromhex(document["root"])
    checks = [
        ("journal", check_journal, (root, document)),
        ("journal file", check_journal_file, (document["journal_file"],)),
    ]
    key_id = bytes.fromhex(document["key_id"])
    checks += [(f"context, {e['role']}", check_context, (key_id, e)) for e in document["contexts"]]
    checks += [(f"parts, {e['label']}", check_parts, (e,)) for e in document["parts"]]
    for section, check in (("tags", check_tag), ("slots", check_slot),
                           ("slot_rejects", check_slot_reject),
                           ("journal_reads", check_journal_read)):
        for entry in document[section]:
            checks.append((f"{section}, {entry.get('name')}", check, (root, entry)))
    for case in document["journal_lists"]:
        checks.append(("journal of the lists", check_journal_read, (root, case)))
        for asked in case["lists"]:
            checks.append((f"lists, {asked['name']}", check_journal_list, (root, case, asked)))
    return checks


# --- What is checked -------------------------------------------------------------------------


SECTIONS = {
    "seal": check_seal,
    "reject": check_reject,
    "lookup": check_lookup,
    "wrap": check_wrap,
    "wrap_reject": check_wrap_reject,
}


def check_document(vectors: dict) -> None:
    assert list(vectors) == ["format", *SECTIONS], "members of the document"
    assert vectors["format"] == "fieldseal/1", "format"
    for section in SECTIONS:
        names = [entry["name"] for entry in vectors[section]]
        assert names and len(names) == len(set(names)), f"names in {section}"
    # Vectors that leave something out would let a reader pass that can't read it.
    sealed = {(entry["type"], entry["marker"]) for entry in vectors["seal"]}
    expected = {(type_, f"{marker:02x}") for type_, reads in TYPES.items() for marker in reads}
    assert expected <= sealed, f"not sealed: {sorted(expected - sealed)}"
    wrong = {(entry["type"], entry["found"]) for entry in vectors["reject"] if entry["found"]}
    for type_, reads in TYPES.items():
        found = {KINDS[marker - 0x80] for marker in range(0x80, 0x8D) if marker not in reads}
        missing = {kind for kind in found if (type_, kind) not in wrong}
        assert not missing or type_ == "int[]", f"{type_} is not refused {sorted(missing)}"
    unknown = {entry["name"] for entry in vectors["reject"] if entry["error"] == "UnknownFormat"}
    for marker in range(0x8D, 0xC0):
        assert any(name.endswith(f": marker 0x{marker:02X}") for name in unknown), hex(marker)


def main() -> int:
    vectors = json.loads((HERE / "v1.json").read_text(encoding="utf-8"))
    slots = json.loads((HERE / "slots.json").read_text(encoding="utf-8"))
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
    for section, check in SECTIONS.items():
        for entry in vectors[section]:
            checks.append((f"{section}, {entry.get('name')}", check, (entry,)))
    checks += slot_checks(slots)

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
