"""Judges a recorded history. Nothing here talks to a cluster, so that a planted violation can be given to it (checker_test.py).

An operation is a dict: kind (append, list, write, read, probe), key, start and end (one monotonic clock), ok (True: acknowledged, False:
certainly not executed, None: unknown), value (what was written, or what was read). Every written value is used once. An acknowledged
operation took effect at one moment between its start and its end; one whose end is unknown took effect at any time after its start, or
never. A read with `may_be_stale` fell into the bounded time in which docs/consistency.md lets a leader that was cut off answer from before
its replacement: it is judged for order and origin, not for freshness."""

import itertools

INFINITY = float("inf")


def check(history, final_lists, final_probes=None):
    """Every violation that is found, as sentences. The final lists are what was read through a gateway when all was well again."""
    found = check_lists([o for o in history if o["kind"] in ("append", "list")], final_lists)
    found += check_registers([o for o in history if o["kind"] in ("write", "read")])
    found += check_probes([o for o in history if o["kind"] == "probe"], final_probes)
    return found + [f"a cancelled synchronous wait was answered with success: {o}" for o in history if o.get("interrupted") and o["ok"]]


def by_key(operations):
    keys = {}
    for o in operations:
        keys.setdefault(o["key"], []).append(o)
    return keys


def check_lists(operations, final):
    found = []
    for key, ops in by_key(operations).items():
        end = final.get(key) or []
        place = {v: i for i, v in enumerate(end)}
        appends = {o["value"]: o for o in ops if o["kind"] == "append"}
        if len(place) != len(end):
            found.append(f"list {key}: a value is in it twice")
        for v in end:
            if v not in appends or appends[v]["ok"] is False:
                found.append(f"list {key}: {v} is in it, and nobody appended it")
        for v, o in appends.items():
            if o["ok"] and v not in place:
                found.append(f"list {key}: acknowledged append of {v} at {o['end']:.3f} is lost")
        # In the order of the list, nobody may stand before one that was acknowledged before it was asked for.
        latest_start = -INFINITY
        for v in end:
            o = appends.get(v)
            if o is None:
                continue
            if o["ok"] and o["end"] < latest_start:
                found.append(f"list {key}: {v} was acknowledged before one that stands before it was begun")
            latest_start = max(latest_start, o["start"])
        found += check_list_reads(key, ops, end, appends)
    return found


def check_list_reads(key, ops, end, appends):
    found = []
    reads = [o for o in ops if o["kind"] == "list" and o["ok"]]
    # What must be visible at a moment: everything that was acknowledged, or seen by a read that had ended.
    place = {v: i for i, v in enumerate(end)}
    known = [(o["end"], place[v] + 1) for v, o in appends.items() if o["ok"] and v in place]
    # By length of a prefix: when the last of its values was asked for.
    asked = list(itertools.accumulate((appends[v]["start"] if v in appends else -INFINITY for v in end), max, initial=-INFINITY))
    for o in reads:
        is_prefix = o["value"] == end[:len(o["value"])]
        if not is_prefix:
            found.append(f"list {key}: read {o['value'][-3:]} at {o['end']:.3f} is no prefix of the final list: order changed or forked")
        for v in o["value"] if not is_prefix or asked[len(o["value"])] > o["end"] else ():
            if v in appends and appends[v]["start"] > o["end"]:
                found.append(f"list {key}: {v} was read before it was appended")
        if not o.get("may_be_stale"):
            known.append((o["end"], len(o["value"])))
    known.sort()
    least, i = 0, 0
    for o in sorted(reads, key=lambda o: o["start"]):
        while i < len(known) and known[i][0] < o["start"]:
            least = max(least, known[i][1])
            i += 1
        if len(o["value"]) < least and not o.get("may_be_stale"):
            found.append(f"list {key}: stale read at {o['start']:.3f}: {len(o['value'])} values where {least} were known")
    return found


def check_registers(operations):
    """Linearizability of registers whose values are unique, by zones (Gibbons and Korach, Testing Shared Memories, 1997)."""
    found = []
    for key, ops in by_key(operations).items():
        clusters = {None: [(-INFINITY, -INFINITY)]}  # the register begins empty
        for o in ops:
            if o["kind"] == "write" and o["ok"] is not False:
                clusters[o["value"]] = [(o["start"], o["end"] if o["ok"] else INFINITY)]
        for o in ops:
            if o["kind"] == "read" and o["ok"]:
                if o["value"] not in clusters:
                    found.append(f"register {key}: {o['value']} was read, and nobody wrote it")
                elif clusters[o["value"]][0][0] > o["end"]:
                    found.append(f"register {key}: {o['value']} was read before it was written")
                elif not o.get("may_be_stale"):
                    clusters[o["value"]].append((o["start"], o["end"]))
        zones = []
        for value, spans in clusters.items():
            low, high = min(e for _, e in spans), max(s for s, _ in spans)
            if low == INFINITY:
                continue  # never acknowledged and never seen: it may not have happened
            zones.append((value, min(low, high), max(low, high), low < high))
        forward = sorted((z for z in zones if z[3]), key=lambda z: z[1])
        for before, after in zip(forward, forward[1:]):
            if after[1] < before[2]:
                found.append(f"register {key}: stale read, {before[0]} and {after[0]} take turns")
        for value, begin, end, is_forward in zones:
            for z in forward if not is_forward else ():
                if z[1] < begin and end < z[2]:
                    found.append(f"register {key}: stale read, {value} was written while {z[0]} was read before and after")
    return found


def check_probes(probes, final):
    """Two writers: commits straight on a PostgreSQL, each with its node, its timeline and the term of the rule that names it (None: none does)."""
    found = []
    done = sorted((o for o in probes if o["ok"]), key=lambda o: o["end"])
    for what in ("term", "timeline"):
        owners = {}
        for o in done:
            if o[what] is None:
                continue
            other = owners.setdefault(o[what], o)
            if other["node"] != o["node"]:
                found.append(f"two writers in {what} {o[what]}: {other['node']} and {o['node']} both had commits acknowledged")
                owners[o[what]] = o
    told, newest, i = None, None, 0
    for o in sorted(done, key=lambda o: o["start"]):
        # Compared with the newest timeline of those that had ended when this one began.
        while i < len(done) and done[i]["end"] < o["start"]:
            newest = done[i] if newest is None or done[i]["timeline"] > newest["timeline"] else newest
            i += 1
        if newest and newest["timeline"] > o["timeline"] and told != o["node"]:
            told = o["node"]
            found.append(f"two writers: {o['node']} had a commit on timeline {o['timeline']} acknowledged at {o['end']:.3f}, after"
                         f" {newest['node']} on timeline {newest['timeline']}")
    if final is not None:
        found += [f"acknowledged commit {o['value']} on {o['node']} (timeline {o['timeline']}) is lost: its timeline was forked"
                  for o in done if o["value"] not in final]
    return found
