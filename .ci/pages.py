"""Whether what the pages point at is there: links to files and headings, paths of this repository, and tests by their names.

    python3 .ci/pages.py
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = r"(?:\.ci|\.github|benches|crates|docs|examples|fuzz|src|tests)/"


def main() -> int:
    wrong, looked = [], 0
    functions = {name for file in tracked("*.rs") for name in re.findall(r"\bfn (\w+)", file.read_text(encoding="utf-8"))}
    for page in tracked("*.md"):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`(?:\w+::)*([a-z0-9]+(?:_[a-z0-9]+){4,})`", text):
            looked += 1
            if name not in functions:
                wrong.append(f"{page.relative_to(ROOT)}: {name} is no function")
        for pointer, target, heading in pointers(page, text):
            looked += 1
            if not target.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {pointer} is not there")
            elif heading and heading not in headings(target):
                wrong.append(f"{page.relative_to(ROOT)}: {pointer} is no heading")
    print(*wrong, f"{looked} pointers of the pages, {len(wrong)} wrong", sep="\n")
    return 1 if wrong or not looked else 0


def tracked(pattern: str) -> list[pathlib.Path]:
    names = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    names = subprocess.run(names, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [path for path in map(ROOT.joinpath, names.splitlines()) if path.exists()]


def pointers(page: pathlib.Path, text: str):
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", link):
            path, _, heading = link.partition("#")
            yield link, page.parent / path if path else page, heading
    # A package's page is read from its own folder too.
    for path in re.findall(rf"`({FOLDERS}[\w./-]*)`", prose):
        own = page.parent / path
        yield path, own if own.exists() else ROOT / path, ""


def headings(page: pathlib.Path) -> set[str]:
    """As GitHub names them."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    titles = re.findall(r"^#+ +(.+?) *$", prose, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


if __name__ == "__main__":
    sys.exit(main())
