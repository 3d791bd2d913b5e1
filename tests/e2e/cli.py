"""The CLI in a person's and a script's hands: contexts, upstream's spellings, completion, suggestions, errors, component pages."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from harness import CLI, Sandbox, eventually, main


def error_of(result):
    return json.loads(result.stderr)["error"]


def port(sandbox, name, kind):
    return sandbox.component(name)["ports"][kind]


def token_of(sandbox):
    """The local flavour's token of the Admin API, where it asks for one."""
    path = pathlib.Path(sandbox.status()["rootDirectory"], "admin-token")
    return str(path) if path.exists() else None


def contexts(s):
    endpoint = f"127.0.0.1:{port(s, 'multiadmin', 'grpc')}"
    token = token_of(s)
    flags = ["--token-file", token] if token else []
    added = s.json("context", "add", "far", endpoint, *flags)
    assert added["name"] == "far" and added["transport"] == "plain" and not added["current"], added
    assert os.stat(s.home / "contexts" / "far.json").st_mode & 0o777 == 0o600
    assert [c["name"] for c in s.json("context", "list")["contexts"]] == ["local", "far"]

    # The same answers as through the agent, by each way of choosing it.
    cells = s.run("topology", "cell", "list").stdout
    assert s.run("--context", "far", "topology", "cell", "list").stdout == cells
    assert s.run("topology", "cell", "list", env={"MULTIGRES_CONTEXT": "far"}).stdout == cells
    s.run("context", "use", "far")
    assert s.run("context", "current").stdout == "far\n" and s.run("cell", "list").stdout == cells
    for words in (["topology", "tree"], ["pooler", "list"], ["pooler", "replication"], ["gateway", "get", "zone1"], ["orch", "list"],
                  ["shard", "get"], ["tablegroup", "list"], ["db", "get", "postgres"], ["pooler", "status", "zone2"]):
        assert s.run(*words).stdout, words
    # What works on this machine's processes is refused, with the reason; --context and --cluster overrule.
    for words in (["status"], ["up"], ["down"], ["restart"], ["logs"], ["psql"], ["cluster", "start", "multigateway/zone1"], ["orch", "status"]):
        refused = s.run(*words, "--json", check=False)
        assert refused.returncode == 4 and error_of(refused)["reason"] == "CONTEXT_REMOTE" and "far" in refused.stderr, (words, refused)
    # The newest verbs as well: faults and starts are this machine's, rules and backups go to the remote Admin API.
    for words in (["chaos", "kill", "primary", "--yes"], ["chaos", "freeze", "multiorch/zone1", "--yes"], ["restart", "--rolling"], ["events"],
                  ["why", "multipooler/zone1"], ["wait"], ["cluster", "diff"], ["cluster", "signal", "multiorch/zone1"], ["env"],
                  ["component", "config", "multigateway/zone1"]):
        refused = s.run(*words, "--json", check=False)
        assert refused.returncode == 4 and error_of(refused)["reason"] == "CONTEXT_REMOTE" and "far" in refused.stderr, (words, refused)
    for words in (["shard", "rule"], ["admin", "whoami"], ["backup", "list"], ["gateway", "queries"], ["gateway", "consolidator", "zone1"],
                  ["shard", "apply-rule-change", "--durability", "AT_LEAST_2", "--yes"]):
        assert s.run(*words).stdout, words
    # What destroys says where it would.
    for words in (["backup", "restore"], ["cell", "delete", "zone2"], ["cell", "update", "zone2", "--root", "/x"], ["pooler", "restarts", "off", "zone2"],
                  ["shard", "apply-rule-change", "--durability", "AT_LEAST_2"], ["shard", "switch-primary"], ["pooler", "drain", "zone2"],
                  ["shard", "apply-rule-change", "--leader", "zone1", "--cohort", "zone1,zone2", "--durability", "AT_LEAST_2",
                   "--unsafe-derive-cert-from-reachable"]):
        refused = s.run(*words, "--json", check=False)
        assert error_of(refused)["reason"] == "CONFIRMATION_NEEDED" and "on far: " in error_of(refused)["message"], (words, refused)
    assert s.run("status", "--context", "local", "--json").returncode == 0
    s.run("context", "remove", "far")
    assert s.run("context", "current").stdout == "local\n"
    assert not list((s.home / "contexts").glob("far*"))

    assert error_of(s.run("--context", "fra", "cell", "list", "--json", check=False))["reason"] == "CONTEXT_NOT_FOUND"
    secret = s.work / "secret"
    secret.write_text("mgt_t0k3n\n")
    secret.chmod(0o644)
    def far(*flags):
        with open(secret) as text:
            return s.run("context", "add", "x", "db.example.com:1", *flags, "--json", check=False, stdin=text)
    assert error_of(far("--token-file", str(secret)))["reason"] == "FILE_NOT_PRIVATE"
    assert error_of(far("--token-file", "-"))["reason"] == "TOKEN_IN_CLEAR" and far("--token-file", "-").returncode == 5
    secret.chmod(0o600)
    assert far("--tls", "--token-file", "-").returncode == 0
    assert (s.home / "contexts" / "x.token").read_text() == "mgt_t0k3n" and os.stat(s.home / "contexts" / "x.token").st_mode & 0o777 == 0o600
    s.run("context", "remove", "x")
    with socket.socket() as nobody:  # bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        dead = s.run("cell", "list", "--admin-server", f"127.0.0.1:{nobody.getsockname()[1]}", "--json", "--timeout", "3s", check=False)
        assert dead.returncode == 6 and error_of(dead)["reason"] == "UNAVAILABLE", dead
        assert error_of(dead)["why"] == "nothing listens at its address" and "127.0.0.1:" in error_of(dead)["message"], dead


def own_admin_server(s):
    """Upstream's scripts name the Admin API's address and have no token: the agent has that of its own cluster."""
    grpc = port(s, "multiadmin", "grpc")
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert s.run("getcellnames", "--admin-server", f"{host}:{grpc}").stdout == s.run("getcellnames").stdout, host
    # A token of one's own comes first, and an address that is nobody's of ours gets none.
    (s.work / "bad").write_text("mgt_unknown_token\n")
    (s.work / "bad").chmod(0o600)
    own = s.run("getcellnames", "--admin-server", f"localhost:{grpc}", env={"MULTIGRES_TOKEN_FILE": str(s.work / "bad")}, check=False)
    assert own.returncode == 1 and own.stderr.startswith("Error: "), own
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        call = subprocess.Popen([CLI, "getcellnames", "--admin-server", f"localhost:{stranger.getsockname()[1]}", "--timeout", "2s"],
                                env=s.env, cwd=s.work, stderr=subprocess.DEVNULL)
        connection, _ = stranger.accept()
        connection.sendall(b"\0\0\0\4\0\0\0\0\0")  # HTTP/2's settings: from then on a call is sent
        heard = b"".join(iter(lambda: connection.recv(65536), b""))
        assert heard.startswith(b"PRI * HTTP/2") and b"mgt_" not in heard and call.wait() != 0, heard


def upstream_spellings(s):
    def out(*words):
        return s.run(*words).stdout

    assert out("getcellnames") == '{\n  "names": [\n    "zone1",\n    "zone2"\n  ]\n}', out("getcellnames")
    cell = json.loads(out("getcell", "--name", "zone1"))["cell"]
    assert cell["name"] == "zone1" and cell["server_addresses"], cell
    database = json.loads(out("getdatabase", "--name=postgres"))["database"]
    assert database["backup_location"]["Location"]["Filesystem"]["path"] and "zone1" in database["cells"], database
    assert json.loads(out("getdatabasenames")) == {"names": ["postgres"]}
    gateways = json.loads(out("getgateways", "--cells", " zone2 ,"))["gateways"]
    assert len(gateways) == 1 and gateways[0]["id"]["component"] == 2 and gateways[0]["id"]["cell"] == "zone2", gateways
    assert len(json.loads(out("getorchs"))["orchs"]) == 2
    poolers = json.loads(out("getpoolers", "--cells", "zone1,zone2", "--database", "postgres"))["poolers"]
    assert len(poolers) == 2 and poolers[0]["id"]["component"] == "MULTIPOOLER" and poolers[0]["shard_key"]["table_group"] == "default", poolers
    status = json.loads(out("getpoolerstatus", "--cell", "zone1", "--service-id", poolers[0]["id"]["name"]
                            if poolers[0]["id"]["cell"] == "zone1" else poolers[1]["id"]["name"]))
    assert status["status"]["postgres_ready"], status
    assert s.run("getcellnames", "--config-path", "/nowhere,/tmp", check=False).returncode == 1

    # Upstream's exit status is 0 or 1, and its errors begin with "Error: ".
    for words in (["getcell"], ["getcell", "--name", "zone9"], ["getcell", "--nmae", "x"], ["getpoolerstatus", "--cell", "zone1"]):
        refused = s.run(*words, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("Error: ") and not refused.stdout, (words, refused)
    assert 'required flag(s) "name" not set' in s.run("getcell", check=False).stderr
    token = token_of(s)
    direct = s.run("getcellnames", "--admin-server", f"127.0.0.1:{port(s, 'multiadmin', 'grpc')}", env={"MULTIGRES_TOKEN_FILE": token} if token else {})
    assert direct.stdout == out("getcellnames")
    own_admin_server(s)

    etcd = f"127.0.0.1:{port(s, 'etcd', 'client') if 'client' in s.component('etcd')['ports'] else next(iter(s.component('etcd')['ports'].values()))}"
    made = ["createclustermetadata", "--global-topo-address", etcd, "--global-topo-root", "/elsewhere/global", "--cells", "a,b",
            "--durability-policy", "AT_LEAST_2", "--backup-location", "/tmp/x"]
    assert s.run(*made).stdout.startswith("Created cell a\nCreated cell b\nCreated database postgres\n")
    assert "exists already" in s.run(*made).stdout
    assert s.run(*made, "--durability-policy", "none", check=False).returncode == 1
    # Its persistent flags, on its commands and on those that it shares with us; its flags of backups, rules and `init`.
    persistent = ["--config-name", "x", "--config-type", "yaml", "--config-file", "/x", "--config-file-not-found-handling", "warn",
                  "--config-persistence-min-interval", "1s"]
    assert s.run("getcellnames", *persistent).stdout == out("getcellnames")
    assert s.run("cluster", "list-backups", "--database", "postgres", "--limit", "3", *persistent).returncode == 0
    columns = s.run("cluster", "list-backups").stdout.splitlines()[0]
    assert columns == "No backups found" or columns.split("  ")[0] == "BACKUP ID" and columns.split()[-3:] == ["ID", "ROLE", "SIZE"], columns
    direct_flags = ["--admin-server", f"127.0.0.1:{port(s, 'multiadmin', 'grpc')}"]
    for words in (["cluster", "list-backups", "--database", "postgres"], ["cluster", "verify-backups", "--timeout", "5m"],
                  ["cluster", "expire-backups", "--database", "postgres", "--timeout", "1m"]):
        assert s.run(*words, *direct_flags, env={"MULTIGRES_TOKEN_FILE": token} if token else {}).returncode == 0, words
    assert s.run("cluster", "check-backup-config").stdout.count("\n") == 1
    for words in (["cluster", "check-backup-config", "--backup-url", "s3://b/p", "--region", "r"], ["cluster", "refresh-credentials"],
                  ["cluster", "check-backup-config", "--nope"]):
        refused = s.run(*words, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("Error: "), (words, refused)
    s.run("cluster", "init", "--config-path", "made", "--provisioner", "local", "--backup-path", "it's here")
    assert f"backup-path: '{s.work}/it''s here'\n" in (s.work / "made" / "multigres.yaml").read_text()
    assert s.run("cluster", "validate", "made/multigres.yaml").returncode == 0
    assert s.run("cluster", "init", "--config-path", "made", check=False).returncode == 1, "an existing file is kept"
    for words in (["--provisioner", "kubernetes"], ["--backup-url", "s3://b/p", "--region", "r"], ["--encrypt-backups"]):
        assert s.run("cluster", "init", "--config-path", "other", *words, check=False).returncode != 0 and not (s.work / "other").exists(), words
    before = s.json("shard", "get")["primary"]
    s.run("cluster", "switch-primary", "--database", "postgres", "--table-group", "default", "--shard", "0-inf", "--reason", "test", "--yes",
          "--timeout", "120s")
    assert s.json("shard", "get")["primary"] != before
    for words in (["cluster", "switch-primary", "--database", "nope", "--yes"], ["cluster", "apply-rule-change", "--nonsense"],
                  ["cluster", "apply-rule-change", "--yes"]):
        refused = s.run(*words, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("Error: "), (words, refused)
    assert s.run("shard", "switch-primary", "nope", "--yes", check=False).returncode == 3
    # `cluster start` and `stop` without names are the whole cluster.
    s.run("cluster", "stop")
    s.run("cluster", "start", "--wait-for-bootstrap", "--cells", "2", check=False)
    s.run("cluster", "start", "--wait-for-bootstrap=true")
    assert s.run("cluster", "status").returncode == 0


def partial_lists(s):
    """What a list lacks is told, through the agent too; and a cell whose etcd is away is not passed off as an empty one."""
    s.run("cell", "create", "dead", "--server-address", "127.0.0.1:1")
    for words in (["pooler", "list"], ["gateway", "list"], ["tree"], ["shard", "list"]):
        eventually(lambda: s.run(*words).stderr.count("warning: not every cell could be read: dead: ") == 1, what=f"{words} tell of the cell")
    assert "not known" in s.run("cell", "get", "dead").stdout
    kept = s.run("cell", "delete", "dead", "--yes", "--json", check=False)
    assert error_of(kept)["reason"] == "CELL_SILENT", kept
    s.run("cell", "delete", "dead", "--yes", "--forget-silent")


def suggestions(s):
    s.run("admin", "token", "create", "reader")
    for words, meant in ((["stauts"], "status"), (["topology", "cel", "list"], "cell"), (["pooler", "list", "--databse", "x"], "--database"),
                         (["cell", "get", "zoen1"], "zone1"), (["pooler", "get", "multipoler/zone1"], "multipooler/zone1"),
                         (["component", "config", "multigatway/zone1"], "multigateway/zone1"), (["schema", "topology", "tre"], "topology-tree"),
                         (["why", "multipoler/zone1"], "multipooler/zone1"), (["logs", "multiorhc"], "multiorch"),
                         (["restart", "multigateway/zoen2"], "multigateway/zone2"), (["cluster", "stop", "mulitorch/zone1"], "multiorch/zone1"),
                         (["wait", "multigateway/zone11"], "multigateway/zone1"), (["psql", "--cell", "zoen1"], "multigateway/zone1"),
                         (["chaos", "kill", "primray", "--yes"], "primary"), (["status", "--cluster", "defualt"], "default"),
                         (["pooler", "list", "--cell", "zoen1"], "zone1"), (["gateway", "list", "--cell", "zon2"], "zone2"),
                         (["shard", "list", "--database", "postgers"], "postgres"), (["backup", "list", "--database", "postgers"], "postgres"),
                         (["shard", "get", "postgre/default/0-inf"], "postgres/default/0-inf"), (["cell", "delete", "zoen2", "--yes"], "zone2"),
                         (["cell", "update", "zoen2", "--root", "/x"], "zone2"), (["context", "use", "locla"], "local"),
                         (["admin", "token", "revoke", "readre"], "reader")):
        refused = s.run(*words, "--json", check=False)
        assert refused.returncode in (2, 3) and meant in error_of(refused)["hint"], (words, refused)


def pages(s):
    config = s.json("component", "config", "multipooler/zone1")
    assert config["values"]["cell"] == "zone1", config
    assert s.run("component", "open", "multigateway/zone2").stdout == f"http://127.0.0.1:{port(s, 'multigateway/zone2', 'http')}/\n"
    told = s.json("orch", "status", check=False)
    assert {x["orch"] for x in told["shards"]} == {"multiorch/zone1", "multiorch/zone2"} and not any(x["error"] for x in told["shards"]), told
    lines = s.run("pooler", "list", "--watch", "--json", "--timeout", "2s").stdout.splitlines()
    assert lines and all(json.loads(line)["poolers"] for line in lines), lines


BASH = """
set -e
eval "$("$MG" completion bash)"
ask() {
  COMP_WORDS=("$MG" "$@"); COMP_CWORD=$#
  _multigres
  printf '%s\\n' "${COMPREPLY[@]}" | sort | tr '\\n' ' '
  echo
}
ask topology ''
ask topology cell get ''
ask topology cell get zone2
ask pooler list --cell = zo
ask cluster start multig
ask --cluster ''
ask topology db get ''
ask context use ''
ask completion ''
ask logs multig
ask chaos kill primary
ask wait zone1
"""


def compare(shell, asked, found):
    for (words, wanted), got in zip(asked, found, strict=False):
        assert sorted(got) == wanted, (shell, words, got)
    assert len(found) >= len(asked), (shell, found)


def completion(s):
    result = subprocess.run(["bash", "-c", BASH], env={**s.env, "MG": CLI}, capture_output=True, text=True, timeout=30, check=True, cwd=s.work)
    assert not result.stderr, result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines == ["cell db tree", "zone1 zone2", "zone2", "zone1 zone2", "multigateway multigateway/zone1 multigateway/zone2", "default", "postgres",
                     "local", "bash fish zsh", "multigateway multigateway/zone1 multigateway/zone2", "primary", "zone1"], lines
    asked = [(["topology", ""], ["cell", "db", "tree"]), (["topology", "cell", "get", ""], ["zone1", "zone2"]),
             (["pooler", "list", "--cell", ""], ["zone1", "zone2"]), (["pooler", "list", "--cel"], ["--cell"]),
             (["cluster", "start", "multig"], ["multigateway", "multigateway/zone1", "multigateway/zone2"]), (["--cluster", ""], ["default"]),
             (["topology", "db", "get", ""], ["postgres"]), (["context", "use", ""], ["local"])]
    if shutil.which("fish"):
        # fish finds the program by its name.
        env = {**s.env, "PATH": f"{os.path.dirname(CLI)}:{s.env['PATH']}", "HOME": str(s.work)}
        script = f"{CLI} completion fish | source\n" + "".join(f"complete -C 'multigres {' '.join(w)}'; echo .\n" for w, _ in asked)
        found = subprocess.run(["fish", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True).stdout
        compare("fish", asked, [[line.split("\t")[0] for line in part.split("\n") if line] for part in found.split(".\n")])
    else:
        print("skipped: completion in fish, which is not installed")
    if shutil.which("zsh"):
        # Without a line editor: what the function hands to _describe.
        script = f'compdef() {{ : }}; _describe() {{ print -l -- "${{(@P)4}}" }}; _files() {{ print none }}; source <({CLI} completion zsh)\n'
        script += "".join(f'words=({CLI} {" ".join(w if w else chr(34) * 2 for w in words)}); CURRENT={len(words) + 1}; _multigres; print .\n'
                          for words, _ in asked)
        found = subprocess.run(["zsh", "-fc", script], env=s.env, capture_output=True, text=True, timeout=60, check=True).stdout
        compare("zsh", asked, [[line.split(":")[0] for line in part.split("\n") if line] for part in found.split(".\n")])
    else:
        print("skipped: completion in zsh, which is not installed")
    took = []
    for _ in range(9):
        began = time.monotonic()
        s.run("__complete", "--", "topology", "cell", "get", "")
        took.append(time.monotonic() - began)
    print(f"completion of a cell's name: {sorted(took)[4] * 1000:.0f} ms (median of 9, whole process)")


def one_cluster():
    with Sandbox("cli") as s:
        s.run("up", "--cells", "2")
        for part in (contexts, suggestions, partial_lists, pages, completion, upstream_spellings, a_watch_that_times_out):
            part(s)
        # Upstream's spelling asks nothing, on no terminal either.
        assert s.run("down", "--clean", check=False).returncode == 2
        s.run("cluster", "stop", "--clean")
        assert s.json("list")["clusters"] == [], "it is gone"


def a_watch_that_times_out(s):
    """Its time is up whether something happens or not."""
    for words in (["events", "--watch"], ["events", "--watch", "--tail", "2", "--json"]):
        began = time.monotonic()
        assert s.run(*words, "--timeout", "1s").returncode == 0
        assert 0.9 < time.monotonic() - began < 4, words


def completion_without_an_agent():
    with Sandbox("bare") as s:
        for words in (["topology", "cell", "get", ""], ["--cluster", ""], ["cluster", "start", ""], ["backup", "restore", ""]):
            result = s.run("__complete", "--", *words)
            assert result.stdout == "" and result.stderr == "", result
        assert not s.processes() and not (s.home / "agent.log").exists(), "it started an agent"


def completion_with_a_frozen_agent():
    """A shell that hangs at <TAB> is worse than one that offers nothing."""
    with Sandbox("frozen") as s:
        s.run("agent", "start")
        agent = s.agent_pid()
        os.kill(agent, signal.SIGSTOP)
        try:
            for words in (["why", ""], ["logs", "post"], ["backup", "restore", ""], ["--cluster", ""]):
                began = time.monotonic()
                result = s.run("__complete", "--", *words)
                assert time.monotonic() - began < 2 and result.stderr == "", (words, result)
                assert result.stdout == "", (words, result)
            for words in (["status"], ["agent", "status"], ["list"], ["tree"], ["events"], ["why", "multiadmin"], ["up"]):
                began = time.monotonic()
                error = json.loads(s.run(*words, "--json", "--timeout", "3s", check=False).stderr)["error"]
                assert time.monotonic() - began < 3 and error["reason"] == "AGENT_STUCK" and error["exitCode"] == 4, (words, error)
                assert f"pid {agent}" in error["message"] and f"kill -CONT {agent}" in error["hint"], error
        finally:
            os.kill(agent, signal.SIGCONT)
        s.run("agent", "stop")


if __name__ == "__main__":
    main([completion_without_an_agent, completion_with_a_frozen_agent, one_cluster])
