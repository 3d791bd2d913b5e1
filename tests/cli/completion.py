#!/usr/bin/env python3
"""The shells' own completion functions, in bash, zsh and fish, with the names of an Admin API that always says the same."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("MULTIGRES_BUILD_DIR", "build")).resolve()
CLI = str(BUILD / "bin" / "multigres")

# The words behind the program's name, and what is offered for the last one.
ASKED = [
    (["topology", "db", "create", "x", "--cells", ""], ["zone1", "zone2"]),
    (["topology", "db", "create", "x", "--cells", "zone1,"], ["zone1,zone2"]),
    (["topology", "db", "create", "x", "--cells=zone2,zo"], ["--cells=zone2,zone1"]),
    (["getpoolers", "--cells", "zone1,z"], ["zone1,zone2"]),
    (["pooler", "list", "--output", ""], ["json", "text", "yaml"]),
    (["pooler", "list", "--ce"], ["--cell"]),
    (["backup", "wait", ""], []),
]

# Where the shell offers files: the words, the last one's file, and what of it stands before the file's name.
FILES = [(["bundle", "--file", "a-f"], ""), (["context", "add", "x", "y", "--token-file=a-f"], "--token-file="), (["cluster", "validate", "a-f"], "")]


def scripts():
    """For each shell: a script that prints what is offered, a line each, and a line with a dot behind each question."""
    # Outside of a completion there is nothing to set options of.
    bash = f'compopt() {{ COMPREPLY+=("files $2"); }}; eval "$({CLI} completion bash)"\n'
    fish = f"{CLI} completion fish | source\n"
    # Without a line editor: what the function hands to _describe, `value` or `value:description`.
    zsh = f'compdef() {{ : }}; compset() {{ : }}; _describe() {{ print -l -- "${{(@P)4}}" }}; _files() {{ print files }}; source <({CLI} completion zsh)\n'
    for words, _ in ASKED + FILES:
        line = ["--admin-server", "$ADDRESS", *words]
        # bash breaks words at an equals sign, and puts only what is behind it on the line.
        broken = [part for word in line for part in ([*word.partition("=")] if word.startswith("--") and "=" in word else [word])]
        broken = [part if part else "''" for part in broken]
        bash += f"COMP_WORDS=({CLI} {' '.join(broken)}); COMP_CWORD={len(broken)}; _multigres; printf '%s\\n' \"${{COMPREPLY[@]}}\"; echo; echo .\n"
        fish += f"complete -C \"multigres {' '.join(line)}\"; echo; echo .\n"
        zsh += f"words=({CLI} {' '.join(word if word else chr(34) * 2 for word in line)}); CURRENT={len(line) + 1}; _multigres; print; print .\n"
    return {"bash": ["bash", "-c", bash], "fish": ["fish", "-c", fish], "zsh": ["zsh", "-fc", zsh]}


def main():
    admin = subprocess.Popen([str(BUILD / "tests" / "fixed-admin")], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory(prefix="mg-completion-", dir="/tmp") as directory:
        env = {"PATH": f"{BUILD / 'bin'}:{os.environ['PATH']}", "HOME": directory, "MULTIGRES_HOME": f"{directory}/home",
               "XDG_RUNTIME_DIR": directory, "ADDRESS": f"127.0.0.1:{admin.stdout.readline().strip()}"}
        pathlib.Path(directory, "a-file").touch()
        for shell, command in scripts().items():
            if not shutil.which(shell):
                print(f"skipped: completion in {shell}, which is not installed")
                continue
            result = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, timeout=60, check=True)
            assert not result.stderr, (shell, result.stderr)
            parts = result.stdout.split("\n.\n")
            for (words, wanted), part in zip(ASKED, parts, strict=False):
                offered = [line for line in part.split("\n") if line]
                separator = ":" if shell == "zsh" else "\t"
                values = sorted(line.split(separator)[0] for line in offered)
                if shell == "bash":
                    wanted = [value.partition("=")[2] if value.startswith("--cells=") else value for value in wanted]
                assert values == wanted, (shell, words, offered)
                # A name without a description has none, not itself once more.
                assert all(separator in line for line in offered) == (words[-1] == "--ce") or shell == "bash" or not wanted, (shell, words, offered)
            for (words, before), part in zip(FILES, parts[len(ASKED):], strict=False):
                wanted = {"bash": "files default", "zsh": "files", "fish": f"{before}a-file"}[shell]
                assert part.strip("\n").split("\t")[0] == wanted, (shell, words, part)
            assert len(parts) >= len(ASKED) + len(FILES), (shell, parts)
    admin.stdin.close()
    admin.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
