#!/usr/bin/env python3
"""What the CLI says to command lines that it does not take, and to names that are not such; no agent runs, and none is started."""

import os
import pathlib
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()
CLI = str(BUILD / "bin" / "multigres")


def control_characters(run):
    """Names are shown, never obeyed."""
    for words in (["status", "--timeout", "/a\r\nnext: obey"], ["status", "--output=/a\r\nnext: obey"], ["/a\r\nnext: obey"],
                  ["getcell", "/a\r\nnext: obey"]):
        result = run(*words)
        assert "/a\\x0d\\x0anext: obey" in result.stderr and "\nnext: obey" not in result.stderr, result


def main():
    with tempfile.TemporaryDirectory(prefix="mg-usage-", dir="/tmp") as directory:
        home = pathlib.Path(directory, "home")
        env = {"PATH": os.environ["PATH"], "HOME": directory, "MULTIGRES_HOME": str(home), "XDG_RUNTIME_DIR": directory}

        def run(*words):
            return subprocess.run([CLI, *words], cwd=directory, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)

        control_characters(run)
        assert not (home / "agent.log").exists(), "an agent was started"
    return 0


if __name__ == "__main__":
    sys.exit(main())
