#!/usr/bin/env python3
"""Each rule of check_sources.py catches what it is there for, and lets the ordinary case pass."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from check_sources import MAX_LINES, check  # noqa: E402

CASES = [
    ("common/x/x.h", "#pragma once\n", 0),
    ("common/x/x.h", "int a;\n", 1),
    ("common/x/x.cpp", '#include "agentd/rpc/x.h"\n', 1),
    ("agentd/x/x.cpp", '#include "cli/x/x.h"\n', 1),
    ("agentd/x/x.cpp", '#include "common/fs/fs.h"\n', 0),
    ("cli/commands/up.cpp", "#include <CLI/CLI.hpp>\n", 1),
    ("cli/args/args.cpp", "#include <CLI/CLI.hpp>\n", 0),
    ("shim/main.cpp", '#include "common/rpc/rpc.h"\n', 1),
    ("common/x/x.cpp", "using namespace std;\n", 1),
    ("common/x/x.cpp", "std::this_thread::sleep_for(x);\n", 1),
    ("common/x/x.cpp", "\n" * (MAX_LINES + 1), 1),
    ("common/x/x.cpp", "\n" * MAX_LINES, 0),
]

failed = 0
for path, text, expected in CASES:
    got = check(path, text)
    if len(got) != expected:
        failed += 1
        print(f"{path}: {text[:40]!r}: expected {expected} problems, got {got}")
sys.exit(1 if failed else 0)
