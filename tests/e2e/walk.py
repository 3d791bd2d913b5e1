"""Every command, in its three forms of output: on a running cluster, and where there is none. What is printed for programs is held
against the schemas that the CLI publishes, and says the same as YAML and as JSON; what fails, fails with a documented code."""

import json
import re
import time

import jsonschema
import yaml
from harness import Failure, Sandbox, main

FORMS = ("text", "json", "yaml")

# What a command is run with, in this order; `{form}` makes names that each form has for itself. A number is an exit status that is as
# good as 0. Commands that are not named are run as they are.
ARGUMENTS = {
    "up": [["--cells", "2"]],
    "restart": [["multiorch/zone2"]],
    "init": [["{work}/{form}"]],
    "cluster validate": [["{work}/text/multigres.yaml"]],
    "logs": [["--tail", "5"], ["multipooler/zone1", "--level", "warn"]],
    "why": [["multipooler/zone1"]],
    "wait": [["--for", "ready"]],
    "cluster signal": [["postgres/zone1", "--signal", "HUP"]],
    "cluster stop": [["multiorch/zone2"]],
    "cluster start": [["multiorch/zone2"]],
    "cluster diff": [["--cells", "2"]],
    "bundle": [["--file", "{work}/{form}.tar.gz"]],
    "schema": [["--list"]],
    "topology cell get": [["zone1"]],
    "topology cell create": [["walk-{form}"]],
    "topology cell update": [["walk-{form}", "--root", "/elsewhere/{form}", "--yes"]],
    "topology cell delete": [["walk-{form}", "--yes"]],
    "topology db get": [["postgres"]],
    "topology db list": [[], ["--long"]],
    "topology db create": [["walk", "--cells", "zone1"]],
    "topology db delete": [["walk", "--purge", "--yes"]],
    "gateway get": [["zone1"]],
    "gateway queries": [["zone1"], ["zone2", "--limit", "0", "--sort", "calls"]],
    "pooler get": [["zone1"]],
    "pooler status": [["zone1"], ["zone2"]],
    "pooler replication": [[], ["zone1"], ["zone2"]],
    "pooler restarts on": [["zone2"]],
    "pooler restarts off": [["zone2", "--yes"]],
    "pooler drain": [["zone2", "--yes"], 4],
    "pooler undrain": [["zone2"]],
    "orch get": [["zone1"]],
    "orch status": [4, []],
    "shard why": [[], 3],
    "shard apply-rule-change": [["--durability", "AT_LEAST_2", "--yes"]],
    "component config": [["multigateway/zone1"]],
    "component open": [["multigateway/zone1", "--print"]],
    "backup status": [["{job}"]],
    "backup wait": [["{job}"]],
    "backup restore": [["--standby", "multipooler/zone9", "--yes"], 3],
    "admin token create": [["walk-{form}"]],
    "admin token revoke": [["walk-{form}", "--yes"]],
    "backup expire": [["--yes"]],
    "chaos kill": [["multiorch/zone1", "--no-probe", "--yes"]],
    "chaos freeze": [["multiorch/zone1", "--no-probe", "--yes", "--for", "200ms"]],
    "shard switch-primary": [["--yes"]],
    "chaos slow": [["multiorch/zone1", "--no-probe", "--yes", "--for", "200ms"], 1, 4, 5],
    "chaos partition": [["multiorch/zone1", "--no-probe", "--yes", "--for", "200ms"], 1, 2, 4, 5],
    "chaos fill-disk": [["multiorch/zone1", "--no-probe", "--yes", "--for", "200ms"], 1, 2, 4, 5],
    "context add": [["walk-{form}", "127.0.0.1:1"]],
    "context use": [["local"]],
    "context remove": [["walk-{form}"]],
    "agent logs": [["--tail", "3"]],
}
# The order of these matters; the others come before, as the reference has them.
LAST = ["restart", "chaos kill", "chaos freeze", "chaos partition", "chaos slow", "chaos fill-disk", "shard apply-rule-change",
        "shard switch-primary", "agent restart", "down", "agent stop", "agent start"]
# They print the text of another program or language, or take the terminal over.
NOT_OURS = {"psql", "completion"}
# One run says as much as three.
SLOW = {"down", "topology db create", "topology db delete", "backup create", "backup verify", "shard switch-primary", "chaos fill-disk", "chaos partition"}
# Without a cluster: these would make one.
MAKES = {"up", "restart", "cluster start"}


def commands(s):
    paths = re.findall(r"^## multigres (.+)$", s.run("docs").stdout, re.M)
    assert len(paths) > 70, paths
    unknown = (set(ARGUMENTS) | set(LAST) | NOT_OURS | SLOW | MAKES) - set(paths)
    assert not unknown, f"no longer commands: {unknown}"
    return paths


class Schemas:
    """What `multigres schema` publishes."""

    def __init__(self, s):
        self.by_command, self.streams, self.reasons = {}, set(), set(re.findall(r"^\| `(\w+)`", s.run("docs", "--errors").stdout, re.M))
        for schema in s.json("schema", "--list")["schemas"]:
            document = s.json("schema", schema["name"])
            jsonschema.Draft202012Validator.check_schema(document)
            name = schema["command"] or schema["name"]
            self.by_command[name] = jsonschema.Draft202012Validator(document)
            if schema["stream"]:
                self.streams.add(name)

    def check(self, name, document, told):
        wrong = list(self.by_command[name].iter_errors(document))
        if wrong:
            raise Failure(f"{told}: {wrong[0].message} at {list(wrong[0].absolute_path)}\n{json.dumps(document)[:2000]}")
        missing = unknown_fields(self.by_command[name].schema, document)
        if missing:
            raise Failure(f"{told}: fields that the schema does not have: {missing}")


def unknown_fields(schema, document):
    """The schemas let later versions add fields; this version prints none that they do not have."""
    def look(node, part, at):
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        if isinstance(part, list):
            return [x for i, item in enumerate(part) for x in look(node.get("items", {}), item, f"{at}[{i}]")]
        if not isinstance(part, dict) or "properties" not in node:
            return []
        found = [f"{at}.{key}" for key in part if key not in node["properties"]]
        return found + [x for key in part if key in node["properties"] for x in look(node["properties"][key], part[key], f"{at}.{key}")]
    return look(schema, document, "")


def documents(form, text):
    return [json.loads(line) for line in text.splitlines()] if form == "json" else list(yaml.safe_load_all(text))


def schema_of(path, words):
    for flag in ("--list", "--long", "--dry-run", "--rolling"):
        if flag in words:
            return f"{path} {flag}"
    return path


def look_at(schemas, path, form, words, result, good):
    """Fails where what was printed is not what was promised."""
    told = f"multigres {path} {' '.join(words)} (exit {result.returncode})\n{result.stdout[:500]}\n{result.stderr[:1500]}"
    if "\x1b" in result.stdout + result.stderr:
        raise Failure(f"coloured, though piped: {told}")
    if result.returncode not in good:
        raise Failure(f"failed: {told}")
    if result.returncode != 0 and not result.stdout:
        return look_at_error(schemas, form, result, told)
    if result.stdout and not result.stdout.endswith("\n"):
        raise Failure(f"no line end: {told}")
    if form == "text":
        if not result.stdout and path not in ("logs", "agent logs", "events"):
            raise Failure(f"says nothing: {told}")
        if "_UNSPECIFIED" in result.stdout or re.search(r"\b(ROUTING_ROLE|JOB_STATUS|BACKUP_STATUS|LIFECYCLE|ROLE)_[A-Z]+", result.stdout):
            raise Failure(f"an enum's name instead of a word: {told}")
        columns_stand_below_each_other(result.stdout, told)
        return None
    name = schema_of(path, words)
    if name not in schemas.by_command:
        raise Failure(f"no schema is published for {name}")
    if name in schemas.streams:
        found = documents(form, result.stdout)
    else:
        found = [json.loads(result.stdout) if form == "json" else yaml.safe_load(result.stdout)]
    for document in found:
        schemas.check(name, document, told)
    return found


def look_at_error(schemas, form, result, told):
    if form == "text":
        if not re.match(r"(warning: .*\n)*error: .+\n(.*\n)*next: .+\n$", result.stderr):
            raise Failure(f"not what, why and what next: {told}")
        return None
    text = result.stderr[result.stderr.index("{" if form == "json" else "error:"):]
    document = json.loads(text) if form == "json" else yaml.safe_load(text)
    schemas.check("error", document, told)
    error = document["error"]
    if error["reason"] not in schemas.reasons or error["exitCode"] != result.returncode or not all(error[k] for k in ("message", "why", "hint")):
        raise Failure(f"an error without a documented reason, its exit status, or all three sentences: {told}")
    return None


def columns_stand_below_each_other(text, told):
    """Where a line of capitals heads a table, every column of every row begins where its head does."""
    lines = text.splitlines()
    for i, head in enumerate(lines):
        if not re.fullmatch(r"[A-Z][A-Z/ ]*[A-Z](  +[A-Z][A-Z/ ]*[A-Z])+", head.strip()):
            continue
        starts = [m.start() for m in re.finditer(r"(?:(?<=  )|^)[A-Z]", head)]
        for row in lines[i + 1:]:
            if not row.strip():
                break
            for start in starts[1:]:
                if len(row) > start and row[start - 1] != " ":
                    raise Failure(f"a column is not below its head: {told}")


def runs(path, form, names):
    """The argument lists of a command, and the exit statuses that are good."""
    given = ARGUMENTS.get(path, [[]])
    good = {0} | {x for x in given if isinstance(x, int)}
    return [[word.format(form=form, **names) for word in words] for words in given if isinstance(words, list)], good


def walk(s, schemas, path, names):
    said = {}
    for form in FORMS if path not in SLOW else ("json",):
        if path == "cluster start":  # so that there is something to start
            s.run("cluster", "stop", "multiorch/zone2")
        if path.startswith(("chaos", "shard")):  # what the one before it did is over
            s.run("wait", "--for", "ready", "--timeout", "60s")
        lists, good = runs(path, form, names)
        for number, words in enumerate(lists):
            flags = [] if form == "text" else [f"--{form}"]
            result = s.run(*path.split(), *words, *flags, check=False)
            said[form, number] = look_at(schemas, path, form, words, result, good)
    return said


def on_a_cluster():
    with Sandbox("walk") as s:
        s.run("up", "--cells", "2")
        schemas = Schemas(s)
        s.sql("select 'walk'", cell="zone1")
        names = {"work": str(s.work)}
        paths = commands(s)
        without = [path for path in paths if path not in NOT_OURS and schema_of(path, ["--list"] if path == "schema" else []) not in schemas.by_command]
        assert not without, f"commands without a schema: {without}"
        began = time.monotonic()
        for path in [p for p in paths if p not in LAST] + LAST:
            if path in NOT_OURS:
                continue
            said = walk(s, schemas, path, names)
            if path == "backup create":
                names["job"] = said["json", 0][0]["jobId"]
            # What does not change by itself is the same in both forms.
            if path in ("topology cell list", "topology cell get", "topology db get", "gateway list", "orch list", "schema", "tablegroup list",
                        "connection-string", "env", "topology db list", "admin whoami"):
                assert said["json", 0] == said["yaml", 0], (path, said)
        print(f"{len(paths)} commands in {time.monotonic() - began:.1f} s")
        assert s.run("up", "--dry-run", "--cells", "2", check=False).stdout
        for path, words in (("up", ["--dry-run", "--cells", "2"]), ("down", ["--clean", "--dry-run"])):
            for form in ("json", "yaml"):
                look_at(schemas, path, form, words, s.run(path, *words, f"--{form}", check=False), {0})


def where_there_is_none():
    """No cluster; what needs an agent starts one, and it says that there is nothing."""
    with Sandbox("nothing") as s:
        schemas = Schemas(s)
        names = {"work": str(s.work), "job": "20260105-093011.123456_multipooler-zone2-ab12"}
        paths = commands(s)
        assert not (s.home / "agent.log").exists(), "docs or schema started an agent"
        for path in paths:
            if path in NOT_OURS | MAKES or path.startswith(("chaos", "init")):
                continue
            for form in FORMS:
                lists, _ = runs(path, form, names)
                words = lists[0] + (["--timeout", "3s"] if path != "docs" else [])
                began = time.monotonic()
                result = s.run(*path.split(), *words, *([] if form == "text" else [f"--{form}"]), check=False)
                look_at(schemas, path, form, words, result, set(range(0, 7)))
                assert time.monotonic() - began < 10, (path, "takes long to say that there is nothing")
            if path == "agent stop":
                assert s.run("agent", "status", check=False).returncode == 4


def on_a_closed_port():
    """A remote context at which nobody answers: each command says so, or that it works on this machine only; none starts an agent."""
    with Sandbox("closed") as s:
        schemas = Schemas(s)
        s.run("context", "add", "far", "127.0.0.1:1", "--use")
        local = {"init", "doctor", "bundle", "schema", "version", "cluster validate"}
        for path in commands(s):
            if path in NOT_OURS | local or path.startswith(("agent", "context")):
                continue
            words = runs(path, "json", {"work": str(s.work), "job": "j"})[0][0]
            result = s.run(*path.split(), *words, "--json", "--timeout", "2s", check=False)
            assert result.returncode != 0 and not result.stdout, (path, result)
            look_at_error(schemas, "json", result, f"{path}: {result}")
            assert json.loads(result.stderr[result.stderr.index("{"):])["error"]["reason"] in ("CONTEXT_REMOTE", "UNAVAILABLE", "TIMEOUT"), (path, result.stderr)
        assert not (s.home / "agent.log").exists(), "a remote context started an agent"


if __name__ == "__main__":
    main([where_there_is_none, on_a_closed_port, on_a_cluster])
