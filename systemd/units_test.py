"""systemd itself finds nothing wrong with the units, as they are after an installation."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent
UNITS = {"user": ["multigres-agent.service", "multigres-agent.socket"],
         "system": ["multigres-server.service", "multigres-server.socket"]}


def install(kind, root):
    """The units with a prefix that has what they name."""
    directory = root / kind
    directory.mkdir()
    for name in UNITS[kind]:
        text = (SOURCE / f"{name}.in").read_text().replace("@MG_PREFIX@", str(root))
        assert "@MG_" not in text, f"{name}: a variable is left"
        (directory / name).write_text(text)
    return [str(directory / name) for name in UNITS[kind]]


def main():
    program = shutil.which("systemd-analyze")
    if program is None:
        print("SKIPPED: there is no systemd-analyze here, so nobody has checked the units; apt-get install systemd", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory(prefix="mg-units-") as name:
        root = pathlib.Path(name)
        for made in ("bin/multigres-agent", "share/doc/multigres/README.md"):
            path = root / made
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        runtime = root / "runtime"
        runtime.mkdir(mode=0o700)
        for kind in UNITS:
            words = [program, "verify", "--man=no", "--recursive-errors=no", *(["--user"] if kind == "user" else []),
                     *install(kind, root)]
            result = subprocess.run(words, capture_output=True, text=True, timeout=50,
                                    env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(runtime), "HOME": str(root)})
            complaints = [line for line in (result.stdout + result.stderr).splitlines() if "multigres" in line]
            assert result.returncode == 0 and not complaints, (kind, result.returncode, result.stdout, result.stderr)
            print(f"{kind}: {' '.join(UNITS[kind])} are fine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
