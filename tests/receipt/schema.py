#!/usr/bin/env python3
"""docs/receipt.schema.json against the example of docs/receipt.md: it fits, and with a field less or more it doesn't."""
import copy
import json
import pathlib
import re
import sys

from jsonschema import Draft202012Validator

docs = pathlib.Path(__file__).resolve().parents[2] / "docs"
schema = json.loads((docs / "receipt.schema.json").read_text())
example = json.loads(re.search(r"```json\n(.*?)\n```", (docs / "receipt.md").read_text(), re.S)[1])


def damaged(document):
    """Each document that lacks a field, has one more, or another kind of value."""

    def walk(value, path):
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            yield from walk(item, [*path, key])

    for path in list(walk(document, [])):
        for change in ("less", "more", "other"):
            copied = copy.deepcopy(document)
            parent = copied
            for key in path[:-1]:
                parent = parent[key]
            value = parent[path[-1]] if path else copied
            if change == "less" and path and isinstance(parent, dict):
                del parent[path[-1]]
            elif change == "more" and isinstance(value, dict):
                value["more"] = None
            elif change == "other" and path:
                parent[path[-1]] = 0
            else:
                continue
            yield f"{change} at /{'/'.join(map(str, path))}", copied


def main():
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(example)
    tenants = dict(example, subject=None, purposes=[])
    validator.validate(tenants)
    ends = [{"state": "lives"}, {"state": "retired", "until": 2}, {"state": "given_up", "until": 3}]
    full = dict(example, index_keys=[{"index_epoch": n, "end": end} for n, end in enumerate(ends, 1)])
    validator.validate(full)
    wrong = [
        ("a subject without purposes, or purposes without one", dict(example, subject=None)),
        ("a subject without purposes, or purposes without one", dict(example, purposes=[])),
        ("a tenant's of single purposes", dict(tenants, whole=False)),
        ("a tenant's without its key ids", dict(tenants, key_ids_complete=False)),
    ]
    cases = [*damaged(full), *wrong]
    passed = [name for name, document in cases if validator.is_valid(document)]
    print(f"the example fits the schema; {len(cases)} damaged ones, {len(cases) - len(passed)} refused")
    for name in passed:
        print("not refused:", name)
    return 1 if passed else 0


sys.exit(main())
