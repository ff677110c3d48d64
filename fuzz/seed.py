"""Writes the corpora that the fuzz targets begin with, from the files of the tests.

    python3 fuzz/seed.py        into fuzz/corpus/TARGET, beside what is there

Needs Python 3.9 and nothing else. A seed is named for its content, so that writing it again changes
nothing.
"""

import hashlib
import json
import pathlib
import re
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
TESTS = FUZZ.parent / "tests"

# The types of fuzz_targets/plaintext.rs, by the numbers that they have there, and the marker that each is sealed with.
PLAINTEXT = {
    "text": (0x82, [0, 15, 22]),
    "bytes": (0x80, [1, 2]),
    "bool": (0x84, [3]),
    "int": (0x83, range(4, 14)),
    "f64": (0x85, [14, 26]),
    "f32": (0x85, [26]),
    "uuid": (0x86, [16, 2]),
    "date": (0x87, [17, 19, 24]),
    "instant": (0x88, [19, 20]),
    "decimal": (0x89, [21]),
    "json": (0x8A, [23]),
    "local_datetime": (0x8B, [24]),
    "time": (0x8C, [25]),
    "ip": (0x82, [27, 28, 29]),
    "text[]": (0x80, [30, 32]),
    "int[]": (0x80, [31, 33]),
}


def vectors() -> dict[str, list[bytes]]:
    v1 = json.loads((TESTS / "vectors" / "v1.json").read_text(encoding="utf-8"))
    sealed = v1["seal"] + v1["reject"]
    envelopes = [bytes.fromhex(entry["envelope"]) for entry in sealed]
    values = [(entry["type"], bytes.fromhex(entry["value"])) for entry in sealed if entry["value"]]
    markers = [bytes.fromhex(entry["marker"]) for entry in v1["seal"] if entry["value"]]
    # The shapes of values that a test of values refuses are not in the vectors in clear.
    values += [
        ("date", b"2026-02-29"),
        ("instant", b"2026-02-28T23:59:60.000000000Z"),
        ("local_datetime", b"2026-02-28T23:59:60.000000000"),
        ("time", b"23:59:59.999999999"),
        ("f32", bytes.fromhex("3fb999999a000000")),
        ("ip", b"2001:DB8:0:0:0:0:192.0.2.1"),
        ("text[]", b"\x82\0\0\0\x01a\x81\0\0\0\0\x83\0\0\0\x01a"),
        ("decimal", b"-00.10"),
        ("json", b'{"a": [1.5e3, "\\u00e9", null, true], "b": {}}'),
    ]
    plaintexts = [bytes([n, PLAINTEXT[type_][0]]) + value for type_, value in values for n in PLAINTEXT[type_][1]]
    # The same under the marker that it was sealed with, and under that of a later version.
    plaintexts += [bytes([n]) + marker + value for (type_, value), marker in zip(values, markers) for n in PLAINTEXT[type_][1]]
    plaintexts += [bytes([n, 0x8D]) + b"a" for _, numbers in PLAINTEXT.values() for n in numbers]
    # Frames: a value and its marker, none, padding; a marker of a later version, and what is none.
    frames = [b"\x80", b"\x81", b"\x81\0\0", b"a\x80", b"\x80\x80\0\0", b"a\x81", b"a\x8d\0", b"a\x7f", b"a\xc0"]
    frames += [value + bytes([PLAINTEXT[type_][0]]) + bytes(7) for type_, value in values]
    return {
        "envelope": envelopes + frames,
        "text_form": [entry["text"].encode() for entry in sealed] + [b"fs2.AAE"],
        "wrapped_key": [bytes.fromhex(entry["envelope"]) for entry in v1["wrap"] + v1["wrap_reject"]],
        "plaintext": plaintexts,
    }


def slots() -> dict[str, list[bytes]]:
    document = json.loads((TESTS / "vectors" / "slots.json").read_text(encoding="utf-8"))
    file = document["journal_file"]
    base = bytes.fromhex(file["file"])
    ids = [b"\x01", b"\x02acme", b"\x03acme" + bytes(range(16))]
    return {
        "slot": [bytes.fromhex(entry["slot"]) for entry in document["slots"] + document["slot_rejects"]] + ids,
        "journal_file": [base + bytes.fromhex(tail["tail"]) for tail in file["tails"]] + [base[:68]],
        "journal_entry": [bytes.fromhex(entry["entry"]) for entry in document["journal"]]
        + [bytes.fromhex(entry) for read in document["journal_reads"] for entry in read["entries"]],
    }


def keyrings() -> dict[str, list[bytes]]:
    return {"keyring_file": [path.read_bytes() for path in sorted(TESTS.glob("keyring/*.txt"))]}


def structs() -> dict[str, list[bytes]]:
    """Every item with a derive: from its first attribute to its closing brace."""
    found = []
    cases = FUZZ.parent / "crates" / "derive" / "tests"
    for path in sorted(cases.glob("*/*.rs")) + [TESTS / "it" / "derive.rs"]:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(ITEM, text, re.M | re.S):
            found.append(match[0].encode())
    return {"derive_attributes": found}


ITEM = r"^( *)#\[derive\(.*?(?:Record|Plaintext).*?^\1\}|^ *#\[derive\(.*?(?:Record|Plaintext).*?;$"


def job_states() -> dict[str, list[bytes]]:
    """As `docs/jobs.md` has a job keep them; a census without its last line, which is its digest."""
    numbers = "".join(f"{name} {n}\n" for n, name in enumerate(TALLY))
    checkpoint = f"fieldseal checkpoint 1\njob census\nmap 0123456789abcdef\npart 1/4\n{numbers}after AgAAAAAAAAAR\n"
    table = "".join(f"table {line}\n" for line in checkpoint.splitlines())
    key = f"key {'A' * 32} held 5\nkey {'B' * 32} lost 1\n"
    versions = "version Y3VzdG9tZXI ZGVmYXVsdA older 1 2 30 10\nversion Y3VzdG9tZXI YmlsbGluZw not-held 0 0 1 1\n"
    versions += "version Y3VzdG9tZXI YmlsbGluZw of-nobody 0 0 1 1\n"
    census = f"fieldseal census 1\nstarted 2026-11-24T20:33:02.000Z\n{table}{versions}{key}"
    return {"job_state": [checkpoint.encode(), census.encode(), bytes([2, 0, 0, 0, 0, 0, 0, 0, 17, 4, 0, 0, 0, 1, 97])]}


TALLY = ["rows", "rows_changed", "changed", "current", "empty", "erased", "not_held", "of_nobody", "failed"]


def main() -> int:
    for target, seeds in (vectors() | slots() | keyrings() | structs() | job_states()).items():
        if not seeds:
            print(f"no seeds for {target}", file=sys.stderr)
            return 1
        folder = FUZZ / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        names = {hashlib.sha1(seed).hexdigest(): seed for seed in seeds}
        for name, seed in names.items():
            (folder / name).write_bytes(seed)
        print(f"{target}: {len(names)} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
