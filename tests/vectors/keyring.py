#!/usr/bin/env python3
"""Keyring files and a wrapped key of format version 1, from docs/format.md alone, section 12.

  keyring.py           writes them into tests/keyring
  keyring.py --check   fails where they are not what it would write
"""

import base64
import hashlib
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from writer import MARKER, XAES, derive, enc, frame, hmac_sha256, key_id, seal

FOLDER = pathlib.Path(__file__).parent.parent / "keyring"

PASSPHRASE = "pässword".encode()
SALT = bytes(range(16))
MEMORY, PASSES, LANES = 8192, 2, 2

DESTROYED = "local-0011223344556677"
AVAILABLE = "local-0011223344556688", 179_100_000_000, b"\x02" * 32
CURRENT = "local-0011223344556699", 179_200_000_000, b"\x03" * 32

ROOT = bytes(range(0x80, 0xA0))


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_lines(shown) -> str:
    lines = [f"key: {DESTROYED} created=1795000000000 destroyed=1795400000000 -"]
    for state, (name, created, key) in (("available", AVAILABLE), ("current", CURRENT)):
        lines.append(f"key: {name} created={created} {state} {base64url(shown(name, key))}")
    return "\n".join(lines)


def file(protection: str, keys: str, check) -> bytes:
    text = f"fieldseal keyring 1\nprotection: {protection}\n{keys}\n".encode()
    return text + f"check: {base64url(check(text))}\n".encode()


def unprotected() -> bytes:
    return file("none", key_lines(lambda _, key: key), lambda text: hashlib.sha256(text).digest())


def protected() -> bytes:
    argon = Argon2id(salt=SALT, length=32, iterations=PASSES, lanes=LANES, memory_cost=MEMORY)
    key = argon.derive(PASSPHRASE)
    mac_key = derive(key, b"fieldseal/1 keyring", 32)

    def sealed(name: str, master: bytes) -> bytes:
        nonce = (b"A" if name == AVAILABLE[0] else b"B") * 24
        return seal(XAES, key, nonce, enc("keyring", name), frame(MARKER["bytes"], master))

    costs = f"argon2id m={MEMORY} t={PASSES} p={LANES} salt={base64url(SALT)} id={base64url(key_id(key))}"
    return file(costs, key_lines(sealed), lambda text: hmac_sha256(mac_key, text))


def wrapped() -> bytes:
    """A root under the available key, as the epoch key of tenant acme, epoch 7."""
    context = enc("epoch key", "acme", struct.pack(">I", 7), key_id(ROOT))
    envelope = seal(XAES, AVAILABLE[2], b"U" * 24, context, frame(MARKER["bytes"], ROOT))
    return envelope.hex().encode() + b"\n"


FILES = {"v1-none.txt": unprotected, "v1-argon2id.txt": protected, "v1-wrapped.txt": wrapped}


def main() -> int:
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    for name, content in FILES.items():
        if not arguments:
            (FOLDER / name).write_bytes(content())
        elif (FOLDER / name).read_bytes() != content():
            print(f"{name} is not what keyring.py writes", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
