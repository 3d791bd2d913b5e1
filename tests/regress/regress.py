"""The same through a gateway as from PostgreSQL itself: every script is run by psql both ways, in a database made anew, and what it
prints is compared line by line.

regress.py                      the scripts of sql/ beside this file
regress.py --suite DIRECTORY    PostgreSQL's own regression suite: DIRECTORY is src/test/regress of its source, of the version that the
                                cluster runs. pg_regress runs it twice (package postgresql-client-<major>; the suite's C library is
                                built with the headers of postgresql-server-dev-<major>), and its two sets of results are compared; what differs
                                from the expected output both ways is PostgreSQL's own affair. --include DIRECTORY: the server's headers
                                are there."""

import argparse
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import Failure, Sandbox  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


def environment(s, port):
    return {**s.env, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGPASSWORD": "postgres", "LC_MESSAGES": "C",
            "PGTZ": "UTC", "PGOPTIONS": "-c intervalstyle=postgres_verbose"}


def psql(s, port, *words, database="postgres", stdin=None):
    return subprocess.run(["psql", "-X", *words, "-d", database], env=environment(s, port), stdin=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300, check=False)


def same(name, direct, gateway):
    """Nothing, or what differs. Process ids differ from run to run."""
    texts = [re.sub(rb"PID \d+", b"PID n", text).decode(errors="backslashreplace").splitlines() for text in (direct, gateway)]
    return list(difflib.unified_diff(*texts, fromfile=f"{name} direct", tofile=f"{name} through the gateway", lineterm="", n=2))


def own_scripts(s, direct_port, gateway_port):
    differences, lines = [], 0
    for script in sorted((HERE / "sql").glob("*.sql")):
        outputs = []
        for port in (direct_port, gateway_port):
            for words in ("drop database if exists regression", "create database regression template template0"):
                # Through the gateway, whose pool then lets go of the database.
                made = psql(s, gateway_port, "-q", "-c", words)
                if made.returncode != 0:
                    raise Failure(made.stdout.decode())
            with open(script, "rb") as text:
                outputs.append(psql(s, port, "-a", database="regression", stdin=text).stdout)
        found = same(script.name, *outputs)
        lines += outputs[0].count(b"\n")
        if outputs[0].count(b"\n") < 50:
            raise Failure(f"{script.name} printed next to nothing:\n{outputs[0].decode()}")
        print(f"{script.name}: {outputs[0].count(bytes([10]))} lines, {'same' if not found else 'NOT the same'}", flush=True)
        differences += found
    print(f"{lines} lines compared")
    return differences


def suite_library(s, suite, include):
    """The C functions that the suite's scripts load, and the two libraries of contrib that they use."""
    include = include or pathlib.Path(subprocess.run(["pg_config", "--includedir-server"], capture_output=True, text=True,
                                                     check=True).stdout.strip())
    if not (include / "postgres.h").exists():
        raise Failure(f"{include}/postgres.h is missing: install postgresql-server-dev-<major>, or give --include")
    libraries = s.root / "libraries"
    libraries.mkdir()
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", f"-I{include}", "-I/usr/include/postgresql", suite / "regress.c", "-o",
                    libraries / "regress.so"], check=True)
    installed = pathlib.Path(subprocess.run(["pg_config", "--pkglibdir"], capture_output=True, text=True, check=True).stdout.strip())
    for name in ("autoinc.so", "refint.so"):
        shutil.copy(installed / name, libraries / name)
    for path in (libraries, *libraries.iterdir()):
        path.chmod(0o755)
    return libraries


def postgres_suite(s, direct_port, gateway_port, suite, include):
    version = subprocess.run(["pg_config", "--version"], capture_output=True, text=True, check=True).stdout.split()[1].split(".")[0]
    runner = pathlib.Path(f"/usr/lib/postgresql/{version}/lib/pgxs/src/test/regress/pg_regress")
    if not runner.exists():
        raise Failure(f"{runner} is missing: install postgresql-client-{version}")
    libraries = suite_library(s, suite, include)
    results = []
    for name, port in (("direct", direct_port), ("gateway", gateway_port)):
        out = s.root / name
        out.mkdir()
        (out / "results").mkdir()
        shutil.copytree(suite, out / "input")
        for path in (out, *out.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)  # the server reads and writes there, as another user
        schedule = out / "input" / "parallel_schedule"
        run = subprocess.run([runner, f"--inputdir={out}/input", f"--outputdir={out}", f"--bindir=/usr/lib/postgresql/{version}/bin",
                              "--host=127.0.0.1", f"--port={port}", "--user=postgres", f"--schedule={schedule}", f"--dlpath={libraries}"],
                             env=environment(s, port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        failed = [line.split()[0] for line in run.stdout.splitlines() if " FAILED " in line]
        print(f"{name}: {len(list((out / 'results').glob('*.out')))} scripts, not as expected: {' '.join(failed) or 'none'}", flush=True)
        results.append({path.name: path.read_bytes().replace(str(out).encode(), b"DIRECTORY") for path in (out / "results").iterdir()})
    if not results[0] or results[0].keys() != results[1].keys():
        raise Failure(f"the two runs made different results: {sorted(results[0])} and {sorted(results[1])}")
    differences = []
    for name in sorted(results[0]):
        differences += same(name, results[0][name], results[1][name])
    print(f"{len(results[0])} results compared")
    return differences


def run():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--suite", type=pathlib.Path)
    arguments.add_argument("--include", type=pathlib.Path)
    options = arguments.parse_args()
    with Sandbox("regress") as s:
        s.run("up", "--cells", "1")
        direct_port = s.component("postgres/zone1")["ports"]["postgres"]
        gateway_port = s.component("multigateway/zone1")["ports"]["postgres"]
        if options.suite:
            differences = postgres_suite(s, direct_port, gateway_port, options.suite, options.include)
        else:
            differences = own_scripts(s, direct_port, gateway_port)
        if differences:
            raise Failure("\n".join(differences[:200]))


if __name__ == "__main__":
    run()
