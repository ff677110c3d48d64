"""Which types and traits of other crates the public API shows, compared with .ci/external-types.txt.

    python3 .ci/external_types.py           fails where the two differ
    python3 .ci/external_types.py --write   writes the file

A new major of a crate that stands there is a new major of ours. Reads the JSON that rustdoc writes, which is unstable: so it
is read of the compiler that rust-toolchain.toml names, and the one that the check was written for is checked below. rustdoc
writes it only where unstable options are allowed; a wrapper allows them for this call alone.
"""

import difflib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILE = ROOT / ".ci" / "external-types.txt"
FORMAT = 57
STANDARD = {"alloc", "core", "proc_macro", "std"}


def main() -> int:
    found = {package: shown(package, document) for package, document in documents()}
    lines = [f"{package} {path}\n" for package in sorted(found) for path in sorted(found[package])]
    if sys.argv[1:] == ["--write"]:
        FILE.write_text("".join(lines), encoding="utf-8")
        return 0
    expected = FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    sys.stdout.writelines(difflib.unified_diff(expected, lines, FILE.name, "the public API"))
    print(f"{len(lines)} types and traits of other crates in the public API")
    return 0 if lines == expected else 1


def documents():
    """The JSON of each library that is published. With the features of the whole workspace, as everything else is built."""
    command = ["cargo", "doc", "--workspace", "--all-features", "--no-deps", "--lib"]
    flags = "-Z unstable-options --output-format json --cap-lints allow"
    wrapper = str(ROOT / ".ci" / "rustdoc-unstable")
    environment = os.environ | {"RUSTDOC": wrapper, "RUSTDOCFLAGS": flags}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
    metadata = json.loads(subprocess.run(metadata, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    for package in metadata["packages"]:
        for target in package["targets"]:
            if package["publish"] is None and target["kind"] == ["lib"]:
                file = pathlib.Path(metadata["target_directory"]) / "doc" / f"{target['name']}.json"
                yield package["name"], json.loads(file.read_text(encoding="utf-8"))


def shown(package: str, document: dict) -> set[str]:
    if document["format_version"] != FORMAT:
        raise SystemExit(f"rustdoc writes format {document['format_version']}, this reads {FORMAT}: look what changed")
    crates = {int(number): crate["name"] for number, crate in document["external_crates"].items()}
    named = set()
    for item in document["index"].values():
        kind, inner = next(iter(item["inner"].items()))
        # What the compiler, or a blanket impl of another crate, says of every type is not ours to promise.
        if item["crate_id"] != 0 or kind == "impl" and (inner["is_synthetic"] or inner["blanket_impl"]):
            continue
        named |= {inner["id"]} if kind == "use" else ids(inner)
    paths = [document["paths"][str(id)] for id in named if str(id) in document["paths"]]
    foreign = {"::".join(path["path"]) for path in paths if path["crate_id"] != 0 and not ours(crates[path["crate_id"]])}
    if not paths:
        raise SystemExit(f"{package}: no types were found, so this reads the JSON wrongly")
    return foreign


def ours(crate: str) -> bool:
    return crate in STANDARD or crate.startswith("fieldseal")


def ids(part) -> set[int]:
    """Of each path that stands in this part of an item: of types, of traits, in bounds and generics too."""
    if isinstance(part, list):
        return set().union(*map(ids, part)) if part else set()
    if not isinstance(part, dict):
        return set()
    found = {part["id"]} if {"id", "path", "args"} <= part.keys() else set()
    return found.union(*map(ids, part.values())) if part else found


if __name__ == "__main__":
    sys.exit(main())
