#!/usr/bin/env python3
"""What the CLI says to command lines that it does not take, and to names that are not such; no agent runs, and none is started."""

import json
import os
import pathlib
import socket
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


def broken_context(run, home):
    """One broken file hides no other context, and can be removed."""
    assert run("context", "add", "good", "127.0.0.1:1").returncode == 0
    bad = home / "contexts" / "bad.json"
    bad.write_text("{")
    (home / "contexts" / "current").write_text("bad\n")
    listed = run("context", "list")
    assert listed.returncode == 0 and "good" in listed.stdout and "bad  " in listed.stdout and "broken" in listed.stdout, listed
    assert f"warning: context bad cannot be used: {bad}: this is no context; remove it with" in listed.stderr, listed
    rows = {row["name"]: row for row in json.loads(run("context", "list", "--json").stdout)["contexts"]}
    assert rows["bad"]["problem"] == f"{bad}: this is no context" and rows["bad"]["current"] and not rows["good"]["problem"], rows
    current = run("context", "current", "--json")
    assert current.returncode == 2 and json.loads(current.stderr)["error"]["reason"] == "BAD_FILE", current
    assert run("context", "remove", "bad").returncode == 0 and not bad.exists()
    (home / "contexts" / "current").write_text("bad\n")
    listed = run("context", "list")
    assert listed.returncode == 0 and "good" in listed.stdout and "bad, is not there any more" in listed.stderr, listed
    assert run("context", "use", "local").returncode == 0 and run("context", "current").stdout == "local\n"


def what_is_not_understood(run):
    """Each is a sentence, with what to do, and exit status 2."""
    for words, message, hint in (
            (["status", "--json", "--yaml"], "--json and --yaml exclude each other", "give one of them"),
            (["status", "--json", "-o", "yaml"], "--output yaml and --json exclude each other", "give one of them"),
            (["status", "--output"], "--output needs a value", "use one of: text, json, yaml"),
            (["status", "--quiet", "--timeout"], "--timeout needs a value", "write --timeout DURATION: give up after"),
            (["status", "--quiet=x"], "--quiet takes no value", "write --quiet"),
            (["--", "topology", "cell", "list"], "'multigres' needs a command before the '--'",
             "leave out the '--': 'multigres topology cell list'"),
            (["events", "--tail", "x"], "--tail: 'x' is not a number of events", "use a number, or all"),
            (["db", "get", b"\xff", "--json"], "'\\xff' is not UTF-8", "write names and values in UTF-8"),
            (["--contxt", "x", "tree"], "unknown flag '--contxt' for 'multigres'", "did you mean '--context'?"),
            (["get", "poolers"], "unknown command 'get' for 'multigres'", "did you mean 'multigres pooler list'?"),
            (["pooler", "drain", "zone1", "--reason", "a\nb"], "the reason of a drain has a control character: it is one line",
             "correct it as the message says")):
        result = run(*words)
        text = result.stderr.splitlines()
        if "--json" in words:
            error = json.loads(result.stderr)["error"]
            text = [f"error: {error['message']}", f"next: {error['hint']}"]
        assert result.returncode == 2 and not result.stdout, (words, result)
        assert text[0].startswith(f"error: {message}") and text[-1].startswith(f"next: {hint}"), (words, result.stderr)
        assert "--json" in words or len(text) == 3 and text[1].startswith("why: ") or ": it is one line" in text[0], (words, result.stderr)


def contexts_that_surprise(run):
    """A command does not go elsewhere without a word."""
    assert run("context", "add", "far", "127.0.0.1:1", "--use").returncode == 0
    both = run("--context", "far", "--cluster", "shop", "tree")
    assert both.returncode == 2 and "--context far and --cluster shop exclude each other" in both.stderr, both
    removed = run("context", "remove", "far")
    assert removed.returncode == 0 and "warning: far was the context in use: from now on commands work on this machine" in removed.stderr, removed
    assert run("context", "add", "far", "127.0.0.1:1").returncode == 0
    removed = run("context", "remove", "far", "--json")
    assert removed.returncode == 0 and not removed.stderr and json.loads(removed.stdout)["name"] == "far", removed


def output_that_nobody_gets(run):
    for words in (["--help"], ["tree", "--help"], ["--version"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = run(*words, stdout=full)
        assert result.returncode == 1 and result.stderr.startswith("error: cannot write the output: "), (words, result)


def bytes_that_are_no_text(run, directory):
    """Also in what is not said on the command line; nothing but our error is printed."""
    odd = directory.encode() + b"/d\xff"
    os.mkdir(odd)
    for result, message in ((run("status", "--json", MULTIGRES_CLUSTER=b"\xff"), "the cluster's name is not UTF-8: \\xff"),
                            (run("tree", "--json", cwd=odd), f"the current directory is not UTF-8: {directory}/d\\xff")):
        error = json.loads(result.stderr)["error"]
        assert result.returncode == 2 and error["message"] == message, result


def files_that_are_not_there(run):
    for words, code, exit_status in ((["init", "/proc/x"], "NOT_FOUND", 3), (["cluster", "validate", "/nonexistent"], "INVALID_ARGUMENT", 2)):
        result = run(*words, "--json")
        error = json.loads(result.stderr)["error"]
        assert (error["code"], result.returncode, error["exitCode"]) == (code, exit_status, exit_status), (words, error)
        assert "list command" not in error["hint"] and "path" in error["hint"], error


def a_silent_admin_api(run):
    """How long it was waited for is what was asked for, however short."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for limit in ("1ms", "0.2s"):
            words = ["--admin-server", f"127.0.0.1:{server.getsockname()[1]}", "--timeout", limit]
            assert run(*words, "tree", "--watch").returncode == 4, "what fails at once is not watched"
            result = run(*words, "cell", "list")
            assert result.stderr.startswith(f"error: the Admin API did not answer within {limit}\n") and result.returncode == 4, result


def a_silent_agent(run, directory):
    place = pathlib.Path(directory, "silent")
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "agent.sock"))
        (place / "agent.sock").chmod(0o600)
        server.listen()
        result = run("status", "--timeout", "100ms", agent=place / "agent.sock")
        assert result.stderr.startswith("error: the agent does not answer\n") and result.returncode == 4, result
        assert "next: end its process: the next command starts another one" in result.stderr, result


def main():
    with tempfile.TemporaryDirectory(prefix="mg-usage-", dir="/tmp") as directory:
        home = pathlib.Path(directory, "home")
        env = {"PATH": os.environ["PATH"], "HOME": directory, "MULTIGRES_HOME": str(home), "XDG_RUNTIME_DIR": directory}

        def run(*words, agent=None, stdout=subprocess.PIPE, cwd=directory, **variables):
            more = {"MULTIGRES_AGENT_SOCKET": str(agent)} if agent else {}
            return subprocess.run([CLI, *words], cwd=cwd, env={**env, **more, **variables}, stdin=subprocess.DEVNULL, stdout=stdout,
                                  stderr=subprocess.PIPE, text=True, timeout=30)

        control_characters(run)
        what_is_not_understood(run)
        broken_context(run, home)
        contexts_that_surprise(run)
        output_that_nobody_gets(run)
        bytes_that_are_no_text(run, directory)
        files_that_are_not_there(run)
        a_silent_admin_api(run)
        a_silent_agent(run, directory)
        assert not (home / "agent.log").exists(), "an agent was started"
    return 0


if __name__ == "__main__":
    sys.exit(main())
