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
            (["events", "--tail", "x"], "--tail: 'x' is not a number of events", "use a number, or all")):
        result = run(*words)
        text = result.stderr.splitlines()
        if "--json" in words:
            error = json.loads(result.stderr)["error"]
            text = [f"error: {error['message']}", f"next: {error['hint']}"]
        assert result.returncode == 2 and not result.stdout, (words, result)
        assert text[0] == f"error: {message}" and text[-1].startswith(f"next: {hint}"), (words, result.stderr)


def a_silent_admin_api(run):
    """How long it was waited for is what was asked for, however short."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for limit in ("1ms", "0.2s"):
            result = run("--admin-server", f"127.0.0.1:{server.getsockname()[1]}", "cell", "list", "--timeout", limit)
            assert result.stderr.startswith(f"error: the Admin API did not answer within {limit}\n") and result.returncode == 4, result


def a_silent_agent(run, directory):
    place = pathlib.Path(directory, "silent")
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "agent.sock"))
        (place / "agent.sock").chmod(0o600)
        server.listen()
        result = run("status", "--timeout", "100ms", agent=place / "agent.sock")
        assert result.stderr.startswith("error: the agent did not answer within 100ms\n") and result.returncode == 4, result


def main():
    with tempfile.TemporaryDirectory(prefix="mg-usage-", dir="/tmp") as directory:
        home = pathlib.Path(directory, "home")
        env = {"PATH": os.environ["PATH"], "HOME": directory, "MULTIGRES_HOME": str(home), "XDG_RUNTIME_DIR": directory}

        def run(*words, agent=None):
            more = {"MULTIGRES_AGENT_SOCKET": str(agent)} if agent else {}
            return subprocess.run([CLI, *words], cwd=directory, env={**env, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)

        control_characters(run)
        what_is_not_understood(run)
        broken_context(run, home)
        a_silent_admin_api(run)
        a_silent_agent(run, directory)
        assert not (home / "agent.log").exists(), "an agent was started"
    return 0


if __name__ == "__main__":
    sys.exit(main())
