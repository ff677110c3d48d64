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

# The types of fuzz_targets/plaintext.rs, by the numbers that they have there.
PLAINTEXT = {
    "text": [0, 15, 22],
    "bytes": [1, 2],
    "bool": [3],
    "int": range(4, 14),
    "f64": [14],
    "uuid": [16, 2],
    "date": [17],
    "instant": [19],
    "decimal": [21],
    "json": [23],
}


def vectors() -> dict[str, list[bytes]]:
    v1 = json.loads((TESTS / "vectors" / "v1.json").read_text(encoding="utf-8"))
    sealed = v1["seal"] + v1["reject"]
    envelopes = [bytes.fromhex(entry["envelope"]) for entry in sealed]
    values = [(entry["type"], bytes.fromhex(entry["value"])) for entry in sealed if entry["value"]]
    # The shapes of values that a test of values refuses are not in the vectors in clear.
    values += [
        ("date", b"2026-02-29"),
        ("instant", b"2026-02-28T23:59:60.000000000Z"),
        ("decimal", b"-00.10"),
        ("json", b'{"a": [1.5e3, "\\u00e9", null, true], "b": {}}'),
    ]
    plaintexts = [bytes([n]) + value for type_, value in values for n in PLAINTEXT[type_]]
    # Frames: a value and its marker, none, padding.
    frames = [b"\x80", b"\x81", b"\x81\0\0", b"a\x80", b"\x80\x80\0\0", b"a\x81"]
    frames += [value + b"\x80" + bytes(7) for _, value in values]
    return {
        "envelope": envelopes + frames,
        "text_form": [entry["text"].encode() for entry in sealed] + [b"fs2.AAE"],
        "wrapped_key": [bytes.fromhex(entry["envelope"]) for entry in v1["wrap"]],
        "plaintext": plaintexts,
    }


def slots() -> dict[str, list[bytes]]:
    document = json.loads((TESTS / "vectors" / "slots.json").read_text(encoding="utf-8"))
    file = document["journal_file"]
    base = bytes.fromhex(file["file"])
    ids = [b"\x01", b"\x02acme", b"\x03acme" + bytes(range(16))]
    return {
        "slot": [bytes.fromhex(entry["slot"]) for entry in document["slots"]] + ids,
        "journal_file": [base + bytes.fromhex(tail["tail"]) for tail in file["tails"]] + [base[:68]],
        "journal_entry": [bytes.fromhex(entry["entry"]) for entry in document["journal"]],
    }


def keyrings() -> dict[str, list[bytes]]:
    return {"keyring_file": [path.read_bytes() for path in sorted(TESTS.glob("keyring/*.txt"))]}


def structs() -> dict[str, list[bytes]]:
    """Every item with the derive: from its first attribute to its closing brace."""
    found = []
    cases = FUZZ.parent / "crates" / "derive" / "tests"
    for path in sorted(cases.glob("*/*.rs")) + [TESTS / "it" / "derive.rs"]:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^( *)#\[derive\(.*?Record.*?^\1\}|^ *#\[derive\(.*?Record.*?;$", text, re.M | re.S):
            found.append(match[0].encode())
    return {"derive_attributes": found}


def job_states() -> dict[str, list[bytes]]:
    """As `docs/jobs.md` has a job keep them; a census without its last line, which is its digest."""
    numbers = "".join(f"{name} {n}\n" for n, name in enumerate(TALLY))
    checkpoint = f"fieldseal checkpoint 1\njob census\nmap 0123456789abcdef\npart 1/4\n{numbers}after AgAAAAAAAAAR\n"
    table = "".join(f"table {line}\n" for line in checkpoint.splitlines())
    key = f"key {'A' * 32} held 5\nkey {'B' * 32} lost 1\n"
    versions = "version Y3VzdG9tZXI ZGVmYXVsdA older 1 2 30 10\nversion Y3VzdG9tZXI YmlsbGluZw not-held 0 0 1 1\n"
    census = f"fieldseal census 1\nstarted 2026-11-24T20:33:02.000Z\n{table}{versions}{key}"
    return {"job_state": [checkpoint.encode(), census.encode(), bytes([2, 0, 0, 0, 0, 0, 0, 0, 17, 4, 0, 0, 0, 1, 97])]}


TALLY = ["rows", "rows_changed", "changed", "current", "empty", "erased", "not_held", "failed"]


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
