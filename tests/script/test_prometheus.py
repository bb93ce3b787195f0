#!/usr/bin/env python3
"""/metrics as Prometheus wants it; the alert rules and the dashboard, held against what the program really exposes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(os.environ.get("KF_TOP", ".")).resolve()
sys.path.insert(0, str(TOP / "tests"))
from keepfast import Server, folder, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

RULES = TOP / "packaging/prometheus/keepfast.rules.yml"
RULES_TEST = TOP / "packaging/prometheus/keepfast.test.yml"
BOARD = json.loads((TOP / "packaging/grafana/keepfast.json").read_text())
NAME = re.compile(r"\b(?:keepfast|process)_[a-z_]+\b")
MORE = 'backup: { to: "dir:%s", every: 1s, keep: 2 }\nspaces: { default: { remotes: { usb: { url: "dir:%s" } } }, other: {} }\n'


def promtool(*words, stdin=None):
    done = subprocess.run(["promtool", *map(str, words)], input=stdin, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def scrape():
    """Of a server with everything that has numbers: a remote, backups, two spaces, requests good and bad."""
    where = folder()
    for name in ("backups", "usb"):
        (where / name).mkdir(mode=0o700)
    with Server(where / "data", MORE % (where / "backups", where / "usb")) as server:
        client = server.client()
        equal(client.put("/docs/a.json?wait=usb", 1).status, 201, "put")
        equal(client.get("/docs/none").status, 404, "absent")
        wait_for(lambda: client.get("/status").json()["backups"]["last"], 20)
        text = client.ask("GET", "/metrics", raw=True).body.decode()
        server.stop()
    return text


TEXT = scrape()
TYPES = dict(re.findall(r"^# TYPE (\S+) (\S+)$", TEXT, re.M))
SAMPLED = set(re.findall(r"^([a-z_]+)[{ ]", TEXT, re.M))


def expressions():
    """(where, expression) of the dashboard."""
    for panel in BOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["label"], re.match(r"label_values\((.*), \w+\)$", variable["definition"])[1]
    for each in BOARD["annotations"]["list"]:
        yield each["name"], each["expr"]


@test
def the_metrics_are_as_prometheus_wants_them():
    status, said = promtool("check", "metrics", stdin=TEXT)
    equal((status, said), (0, ""), "promtool check metrics")
    status, said = promtool("check", "metrics", stdin="# TYPE x_milliseconds counter\nx_milliseconds 1\n")
    check(status != 0 and "base unit" in said and "_total" in said, f"control: {said}")
    equal(sorted(SAMPLED - set(TYPES)), [], "without a type")
    equal(sorted(set(TYPES) - SAMPLED), [], "without a value")


@test
def counters_and_times_are_named_as_such():
    for name, kind in TYPES.items():
        equal(kind == "counter", name.endswith("_total"), f"{name} is a {kind}")
    for name, value in re.findall(r"^([a-z_]+timestamp_seconds)\{[^}]*\} (\S+)$", TEXT, re.M):
        check(float(value) == 0 or float(value) > 1.7e9, f"{name} is a point in time: {value}")
    for number in re.findall(r"^keepfast_flush_seconds\{[^}]*\} (\S+)$", TEXT, re.M):
        check(0 <= float(number) < 60, f"a flush takes seconds: {number}")


@test
def what_streams_do_is_counted():
    with Server(folder() / "data", "spaces: { default: { streams: [{ match: 'chat/*', window: 5 }] } }\n") as server:
        client = server.client()

        def values():
            text = client.ask("GET", "/metrics", raw=True).body.decode()
            return {name: float(value) for name, value in re.findall(r'^keepfast_([a-z_]+)\{space="default"\} (\S+)$', text, re.M)}

        def entries(first, last):
            return [{"id": str(i), "body": {"text": f"number {i}"}} for i in range(first, last + 1)]
        client.post("/streams/chat/a/entries", entries(1, 8))
        client.post("/streams/chat/a/entries", entries(7, 10))
        client.post("/streams/chat/a/entries", {"id": "1", "body": "another"})  # refused: counts for nothing
        client.post("/streams/chat/b/entries", {"body": 1})
        for query in ("?last=3", "?last=5", "?after=7", "?last=9"):  # the last one is more than the window has
            client.get(f"/streams/chat/a/entries{query}")
        client.get("/search?q=number")
        client.get("/search?q=nothing")
        found = values()
        equal({name: found[name] for name in ("entries_appended_total", "entries_duplicate_total", "streams", "entries", "windows",
                                              "window_hits_total", "window_misses_total", "searches_total", "erasures_total")},
              {"entries_appended_total": 11, "entries_duplicate_total": 2, "streams": 2, "entries": 11, "windows": 2,
               "window_hits_total": 3, "window_misses_total": 1, "searches_total": 2, "erasures_total": 0}, "true counts")
        check(0 < found["window_bytes"] < 1 << 20 and 0 < found["search_seconds_total"] < 60, f"sizes and times: {found}")
        client.delete("/streams/chat/b")
        client.delete("/streams/chat/b")  # again: the receipt, and no erasure
        equal((values()["erasures_total"], values()["streams"], values()["windows"]), (1, 1, 1), "behind an erasure")
        store = client.get("/status").json()["store"]
        equal({name: store[name] for name in ("streams", "entries", "appended", "duplicates", "erasures")},
              {"streams": 1, "entries": 10, "appended": 11, "duplicates": 2, "erasures": 1}, "the status says the same")
        equal(server.stop(), 0, "its end")
    with Server(server.data, "spaces: { default: { streams: [{ match: 'chat/*', window: 5 }] } }\n") as again:
        equal(again.client().get("/streams/chat/a/entries?last=5").status, 200, "loaded")
        wait_for(lambda: "[chat/a] loaded 5 entries" in again.stderr(), 10)
        again.stop()


@test
def the_process_is_described():
    def value(name):
        return float(re.search(rf"^{name} (\S+)$", TEXT, re.M)[1])
    check(1 << 20 < value("process_resident_memory_bytes") < 1 << 32, "memory")
    check(5 < value("process_open_fds") < value("process_max_fds"), "descriptors")
    check(0 < value("process_cpu_seconds_total") < 60, "processor")
    check(value("process_start_time_seconds") > 1.7e9, "start")


@test
def a_token_for_one_space_learns_nothing_of_the_server():
    where = folder()
    with Server(where / "data", "spaces: { default: {}, other: {} }\n") as server:
        from keepfast import run
        tokens = {name: run("token", "create", name, *more, at=where / "data").out.decode().strip()
                  for name, more in (("one", ("--space", "default")), ("all", ()))}
        texts = {name: server.client().ask("GET", "/metrics", raw=True, headers={"Authorization": f"Bearer {token}"}).body.decode()
                 for name, token in tokens.items()}
        server.stop()
    check('space="other"' in texts["all"] and "keepfast_requests_total" in texts["all"], "who may see all does")
    names = set(re.findall(r"^([a-z_]+)\{?", texts["one"], re.M))
    check("keepfast_docs" in names and "other" not in texts["one"], "its own space alone")
    equal(sorted(n for n in names if n.startswith(("process_", "keepfast_http_", "keepfast_requests", "keepfast_problems"))), [], "numbers of all")


# ------------------------------------------------------------------------------------- alerts

@test
def the_rules_are_good():
    status, said = promtool("check", "rules", RULES)
    equal(status, 0, said)
    used = set(NAME.findall(re.sub(r"(?m)^\s*#.*$|^\s*(summary|description):.*$", "", RULES.read_text()))) - {"keepfast_token"}
    equal(sorted(used - SAMPLED), [], "alerts on what is not exposed")
    note(f"{len(re.findall('- alert:', RULES.read_text()))} alerts on {len(used)} metrics")


def cases():
    """alert -> whether a test of it expects it to fire, for each."""
    found = {}
    for match in re.finditer(r"alertname: (\w+)\n\s+exp_alerts:(.*)$", RULES_TEST.read_text(), re.M):
        found.setdefault(match[1], []).append(match[2].strip() != "[]")
    return found


@test
def every_alert_fires_when_it_should_and_not_before():
    status, said = promtool("test", "rules", RULES_TEST)
    equal(status, 0, said)
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    found = cases()
    equal([a for a in alerts if set(found.get(a, [])) != {True, False}], [], "alerts without a test of both")
    changed = folder()
    (changed / RULES.name).write_text(RULES.read_text().replace("keepfast_durable == 0", "keepfast_durable == 1"))
    (changed / RULES_TEST.name).write_text(RULES_TEST.read_text())
    check(promtool("test", "rules", changed / RULES_TEST.name)[0] != 0, "control: a wrong rule is found")


# ------------------------------------------------------------------------------------- dashboard

@test
def the_dashboard_asks_for_what_there_is():
    found = list(expressions())
    check(len(found) > 30, f"{len(found)} queries")
    unknown = [(where, name) for where, query in found for name in NAME.findall(query) if name not in SAMPLED]
    equal(unknown, [], "queries of what is not exposed")
    check(not [1 for where, query in found if not NAME.search(query)], "each asks for something")


@test
def its_queries_are_understood():
    rules = {"groups": [{"name": "dashboard", "rules": [
        {"record": f"a:{i}", "expr": q.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$space", ".*")}
        for i, (_, q) in enumerate(expressions())]}]}
    path = folder() / "dashboard.yml"
    path.write_text(json.dumps(rules))
    status, said = promtool("check", "rules", "--lint=none", path)
    equal(status, 0, said)


@test
def its_panels_are_whole():
    ids = [p["id"] for p in BOARD["panels"]]
    equal(len(ids), len(set(ids)), "ids")
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        check(not cells & taken and at["x"] + at["w"] <= 24, f"{panel['title']} lies over another one")
        taken |= cells


main()
