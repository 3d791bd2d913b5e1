#!/usr/bin/env python3
"""Holds the sources to the house rules that a compiler cannot check: size, direction of includes, confined headers."""

import pathlib
import re
import sys

FOLDERS = ("agentd", "cli", "common", "components", "shim", "tests")
MAX_LINES = 600
MAX_TEST_LINES = 800

# A header that is slow to compile, or whose spread would be, and where it may be included.
CONFINED = {
    r"CLI/": ("common/flags/flags.cpp", "cli/args/"),
    r"spdlog/": ("common/log/",),
    r"httplib\.h": ("common/servenv/", "tests/"),
    r"yaml-cpp/": ("common/config/", "common/flags/", "cli/output/"),
    r"libpq-fe\.h": ("common/pgsql/", "tests/", "components/pgctld/"),
    r"grpcpp/": ("common/rpc/", "common/servenv/", "common/etcd/", "agentd/rpc/", "agentd/adminproxy/", "agentd/main.cpp",
                 "agentd/provisioners/", "cli/client/", "cli/commands/", "components/", "tests/"),
}

# Folder -> top folders that it may include from.
ARROWS = {
    "common": {"common"},
    "shim": {"common", "shim"},
    "agentd": {"common", "agentd"},
    "cli": {"common", "cli"},
    "components": {"common", "components"},
    "tests": set(FOLDERS),
}
SHIM_MAY = ("common/fs/unique_fd.h", "common/cgroup/", "common/cri/", "common/shim_record/", "shim/")

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')


def is_test(path: str) -> bool:
    return path.startswith("tests/") or path.endswith("_test.cpp")


def check(path: str, text: str) -> list:
    problems = []
    lines = text.splitlines()
    limit = MAX_TEST_LINES if is_test(path) else MAX_LINES
    if len(lines) > limit:
        problems.append(f"{path}:{limit}: {len(lines)} lines; a file answers one question, at most {limit}")
    if path.endswith(".h") and "#pragma once" not in text:
        problems.append(f"{path}:1: a header starts with #pragma once")
    top = path.split("/")[0]
    for number, line in enumerate(lines, 1):
        if re.match(r"^using namespace ", line):
            problems.append(f"{path}:{number}: using namespace at file scope")
        if re.search(r"\b(sleep|usleep)\s*\(|sleep_for\s*\(|absl::SleepFor", line):
            problems.append(f"{path}:{number}: a fixed sleep; wait for the event, with a deadline")
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        target_top = target.split("/")[0]
        if target_top in FOLDERS and target_top not in ARROWS[top] and not is_test(path):
            problems.append(f"{path}:{number}: {top} may not include {target}")
        if top == "shim" and target_top in FOLDERS and not target.startswith(SHIM_MAY):
            problems.append(f"{path}:{number}: the shim may not include {target}")
        for pattern, places in CONFINED.items():
            if re.match(pattern, target) and not is_test(path) and not path.startswith(places):
                problems.append(f"{path}:{number}: {target} belongs only in {', '.join(places)}")
    return problems


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    problems = []
    count = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cpp"):
                count += 1
                problems += check(str(path.relative_to(root)), path.read_text())
    print("\n".join(problems) if problems else f"{count} files are in order")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
