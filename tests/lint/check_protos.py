#!/usr/bin/env python3
"""Every message, field, enum, value and RPC of the .proto files has a comment right above it or at its line's end; upstream's begin with
a comment that says whose contract they are."""

import pathlib
import re
import sys

DECLARATION = re.compile(
    r"^\s*(message|enum|service|rpc|oneof|extend)\s+[\w.]+|^\s*(?:repeated\s+|optional\s+)?[\w.]+(?:<[^>]+>)?\s+\w+\s*=\s*\d+"
    r"|^\s*[A-Z][A-Z0-9_a-z]*\s*=\s*\d+")


def check(path: pathlib.Path) -> list:
    problems = []
    lines = path.read_text().splitlines()
    if "upstream" in path.parts and not (lines and lines[0].startswith("//")):
        problems.append(f"{path}:1: no comment that says whose contract this is")
    for number, line in enumerate(lines, 1):
        if not DECLARATION.match(line) or re.match(r"^\s*(syntax|package|import|option|extend)\b", line):
            continue
        above = lines[number - 2].strip() if number > 1 else ""
        if not above.startswith("//") and "//" not in line:
            problems.append(f"{path}:{number}: no comment: {line.strip()}")
    return problems


def main() -> int:
    files = sorted(pathlib.Path(sys.argv[1]).rglob("*.proto"))
    problems = [problem for path in files for problem in check(path)]
    print("\n".join(problems) if problems else f"{len(files)} files are in order")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
