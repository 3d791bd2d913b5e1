#!/usr/bin/env python3
"""Compares the reasons that the sources give to errors with the table in common/status/error_codes.cpp: each one has an entry, and no
entry but those of the canonical codes is without a use."""

import pathlib
import re
import sys

TABLE = "common/status/error_codes.cpp"
# `.reason = cond ? "A" : "B"`, `detail.reason = "A"`, and helpers that are given a reason as their argument.
ASSIGNED = re.compile(r'\breason\s*=\s*([^;,{}]*"[A-Z][A-Z_]+"[^;,{}]*)')
WORD = re.compile(r'"([A-Z][A-Z_]*_[A-Z_]+|USAGE|TIMEOUT|CANCELLED|INTERRUPTED)"')
CANONICAL = {"ABORTED", "ALREADY_EXISTS", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "INTERNAL",
             "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED",
             "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"}


def main(root):
    known = re.findall(r'\{"([A-Z_]+)",\s*k\w+,', (root / TABLE).read_text())
    problems, words = [], set()
    for folder in ("agentd", "cli", "common", "components", "shim"):
        for path in sorted((root / folder).rglob("*.cpp")) + sorted((root / folder).rglob("*.h")):
            if path.name.endswith("_test.cpp") or str(path.relative_to(root)) == TABLE:
                continue
            text = path.read_text()
            words |= set(WORD.findall(text))
            for match in ASSIGNED.finditer(text):
                for reason in re.findall(r'"([A-Z][A-Z_]+)"', match.group(1)):
                    if reason not in known:
                        line = text.count("\n", 0, match.start()) + 1
                        problems.append(f"{path.relative_to(root)}:{line}: {reason} is not in {TABLE}; add it, then "
                                        "'multigres docs --errors > docs/errors.md'")
    problems += [f"{TABLE}: nothing gives the reason {reason}" for reason in known if reason not in words | CANONICAL]
    print("\n".join(problems))
    return 1 if problems or len(known) < 50 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
