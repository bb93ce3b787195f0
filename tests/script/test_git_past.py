#!/usr/bin/env python3
# test: timeout=240
"""The versions of last year: a machine that was filled from a branch with its newest commit alone reads the history of a document
from a real host, and brings older versions back, also of what it never had."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import GitHost  # noqa: E402
from faultproxy import FaultProxy  # noqa: E402
from keepfast import PROGRAM, Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
YEARS = 10_000  # commits, one an hour: 14 months
MONTHS = 10_000 if os.environ.get("KF_LONG") else 2_000
BEGAN = 1_700_000_000
HYDRATE_S, ASK_S = 30, 60  # deadlines


def yaml(host, port=None, **more):
    return json.dumps({"spaces": {"default": {"remotes": {"host": host.config("store", port, **({"manual": True} | more))}}}})


@contextlib.contextmanager
def machine(host, name, port=None, **more):
    """A server on a disk of its own, filled."""
    with Server(TOP / name, config=yaml(host, port, **more), env=host.environment()) as server:
        with contextlib.closing(server.client()) as client:
            wait_for(lambda: state(client) == "open", HYDRATE_S)
            yield server, client


def years(host, hours=MONTHS):
    """What people and another program did, hour by hour: four hundred documents in folders, one that changes now and then, one that
    was deleted."""
    tip = host.tip("store", "data")
    lines = []
    for i in range(hours):
        when = BEGAN + 3600 * i
        lines.append(f"commit refs/heads/data\nauthor Ola <ola@example.org> {when} +0000\ncommitter Ola <ola@example.org> {when} +0000\ndata 5\nhour\n\n")
        if i == 0:
            lines.append(f"from {tip}\n" if tip else "")
        if i == 0 and not tip:
            lines.append('M 100644 inline .keepfast/format.json\ndata 33\n{"keepfast":"git","format":1}\n   \n')
        text = json.dumps({"hour": i}) + "\n"
        lines.append(f"M 100644 inline d{i % 16}/{i % 200}.json\ndata {len(text)}\n{text}\n")
        if i % (hours // 10) == 0:
            lines.append(f"M 100644 inline seldom.json\ndata {len(text)}\n{text}\n")
        if i == 10:
            lines.append(f"M 100644 inline gone/Zażółć.json\ndata {len(text)}\n{text}\n")
        if i == 1400:
            lines.append("D gone/Zażółć.json\n")
    host.at("store", "fast-import", "--quiet", stdin="".join(lines).encode())


def pages(client, name, **query):
    items, cursor, count = [], None, 0
    while count == 0 or cursor:
        words = {"remote": "host", "limit": 1000, **query} | ({"cursor": cursor} if cursor else {})
        answer = client.get(f"/docs/{name}/versions?" + "&".join(f"{k}={v}" for k, v in words.items()))
        equal(answer.status, 200, f"page {count} of {name}: {answer}")
        page = answer.json()
        items += page["items"]
        cursor, count = page["next"], count + 1
    return items


def fetched(where):
    git = where / "default.db.d" / "host" / "history"
    done = subprocess.run(["git", f"--git-dir={git}", "rev-list", "--count", "refs/keepfast/tip"], capture_output=True, text=True)
    return int(done.stdout or 0)


def story(kind, hours):
    with GitHost(kind) as host:
        host.make("store")
        years(host, hours)
        began = time.monotonic()
        equal(host.git("clone", "-q", "--bare", host.url("store"), TOP / f"{kind}-clone").returncode, 0, "git clone")
        cloned = time.monotonic() - began
        began = time.monotonic()
        with machine(host, kind) as (server, client):
            hydrated = time.monotonic() - began
            where = TOP / kind
            cache = where / "default.db.d" / "host" / "git"
            equal(len((cache / "shallow").read_text().split()), 1, "the newest commit alone was fetched")
            # The newest versions need only the newest commits.
            began = time.monotonic()
            answer = client.get("/docs/d15/199.json/versions?remote=host&limit=2")
            first = time.monotonic() - began
            last = max(i for i in range(hours) if i % 16 == 15 and i % 200 == 199)
            equal([i["size"] for i in answer.json()["items"]], [len(f'{{"hour": {i}}}\n') for i in (last, last - 400)], f"{answer}")
            check(answer.json()["next"], "and there are more")
            check(fetched(where) < hours, f"{fetched(where)} commits were fetched")
            began = time.monotonic()
            items = pages(client, "seldom.json", limit=4)
            whole = time.monotonic() - began
            check(whole < ASK_S, "within its time")
            equal([i["id"] for i in items], list(dict.fromkeys(i["id"] for i in items)), "each once")
            equal(len(items), 10, "all of them")
            check(fetched(where) >= hours, "the history is here")
            began = time.monotonic()
            equal(len(pages(client, "d8/8.json")), hours // 400, "another document")
            again = time.monotonic() - began
            note(f"{kind}: {hours} commits: clone {cloned:.2f} s, hydrated {hydrated:.2f} s, newest versions {first:.2f} s, "
                 f"the whole history {whole:.2f} s, then another document {again:.2f} s")
            newest, oldest = items[0], items[-1]
            equal((newest["current"], newest["by_hand"], newest["author"], oldest["current"]), (True, True, "Ola", False), "who it was")
            old = client.get(f"/docs/seldom.json?remote=host&version={oldest['id']}")
            equal((old.status, old.json(), old.headers["ETag"]), (200, {"hour": 0}, oldest["etag"]), "one of them")
            equal(client.get(f"/docs/seldom.json?remote=host&version={oldest['id'][:12]}").json(), {"hour": 0}, "by its first digits")
            now = client.get("/docs/seldom.json")
            wrong = client.post("/docs/seldom.json/revert", {"remote": "host", "version": oldest["id"]}, headers={"If-Match": oldest["etag"]})
            equal((wrong.status, wrong.code), (412, "version_mismatch"), "on a condition that does not hold")
            back = client.post("/docs/seldom.json/revert?wait=host&timeout=20s", {"remote": "host", "version": oldest["id"]},
                               headers={"If-Match": now.headers["ETag"]})
            equal((back.status, back.json()["created"], client.get("/docs/seldom.json").json()), (200, False, {"hour": 0}), f"{back}")
            equal(json.loads(host.files("store", "data")["seldom.json"]), {"hour": 0}, "and the host has it")
            top = client.get("/docs/seldom.json/versions?remote=host&limit=1").json()["items"][0]
            equal((top["current"], top["by_hand"], top["version"], top["etag"]), (True, False, back.json()["version"], back.headers["ETag"]),
                  "as the newest one, which a store wrote")
            # A document that never was here.
            name = "gone/Za%C5%BC%C3%B3%C5%82%C4%87.json"
            equal(client.get(f"/docs/{name}").status, 404, "it is not here")
            gone = pages(client, name)
            equal([(i["deleted"], i["size"] > 0) for i in gone], [(True, False), (False, True)], "it came and went")
            equal(client.get(f"/docs/{name}?remote=host&version={gone[0]['id']}").code, "not_found", "a deletion has no bytes")
            came = client.post(f"/docs/{name}/revert", {"remote": "host", "version": gone[1]["id"]})
            equal((came.status, came.json()["created"], client.get(f"/docs/{name}").json()), (200, True, {"hour": 10}), f"{came}")
            refusals(client)
            equal(server.stop(), 0, "its end")
        equal(host.fsck("store"), [], "a strict check")


def refusals(client):
    for path, status, code in (
        ("/docs/seldom.json?remote=host&version=0123456789abcdef", 404, "not_found"),
        ("/docs/seldom.json?remote=host&version=HEAD", 404, "not_found"),
        ("/docs/seldom.json?remote=host", 400, "bad_filter"),
        ("/docs/seldom.json?remote=nobody&version=01234567", 404, "unknown_remote"),
        ("/docs/never.json/versions?remote=host", 404, "not_found"),
        ("/docs/seldom.json/versions?remote=host&timeout=never", 400, "bad_filter"),
        ("/docs/seldom.json/versions?remote=host&limit=0", 400, "bad_filter"),
        ("/docs/seldom.json/versions?remote=host&cursor=c29tZXRoaW5n", 400, "bad_filter"),
    ):
        answer = client.get(path)
        equal((answer.status, answer.code), (status, code), path)
    for body, status, code in (
        ({"remote": "host", "version": "0123456789abcdef"}, 404, "not_found"),
        ({"remote": "nobody", "version": "0123456789abcdef"}, 404, "unknown_remote"),
        ({"remote": "host", "version": 1}, 400, "bad_request"),
        ({"remote": "host"}, 400, "bad_request"),
        ({"version": "0123456789abcdef"}, 400, "bad_request"),
    ):
        answer = client.post("/docs/seldom.json/revert", body)
        equal((answer.status, answer.code), (status, code), f"{body}")


@test
def years_over_https():
    story("https", YEARS)


@test
def years_over_ssh():
    story("ssh", MONTHS)


@test
def on_the_command_line():
    with GitHost("http") as host:
        host.make("store")
        years(host)
        where = TOP / "cli"
        where.mkdir(mode=0o700)
        config = TOP / "cli.yaml"
        config.write_text(yaml(host))
        common = {"at": f"{where}#default", "env": host.environment() | {"KEEPFAST_CONFIG": str(config)}}
        table = run("log", "seldom.json", "--remote", "host", **common)
        equal(table.status, 0, f"{table}")
        lines = table.out.decode().splitlines()
        check(lines[0].split() == ["ID", "WRITTEN", "SIZE", "AUTHOR", "VERSION"] and len(lines) == 11, f"{lines[:3]}")
        check("Ola" in lines[1] and "by hand" in lines[1] and lines[1].rstrip().endswith("current"), lines[1])
        equal(table.err, b"", "nothing is drawn into a file")
        items = run("log", "seldom.json", "--remote", "host", "--json", **common).json()["items"]
        short = lines[-1].split()[0]
        check(items[-1]["id"].startswith(short) and len(short) == 12, f"its first digits: {short}")
        equal(run("get", "seldom.json", "--remote", "host", "--version", short, **common).json(), {"hour": 0}, "and they do")
        done = run("revert", "seldom.json", short, "--remote", "host", **common)
        equal((done.status, run("get", "seldom.json", **common).json()), (0, {"hour": 0}), f"{done}")
        for words, status in ((["get", "seldom.json", "--remote", "host"], 2), (["log", "seldom.json", "--timeout", "1s"], 2),
                              (["get", "seldom.json", "--remote", "host", "--version", "00000000"], 1),
                              (["log", "never.json", "--remote", "host"], 1), (["log", "seldom.json", "--remote", "nobody"], 1)):
            equal(run(*words, **common).status, status, f"{words}")
        # On a terminal something moves meanwhile.
        shutil.rmtree(where / "default.db.d" / "host" / "history")
        with FaultProxy(host) as proxy:
            proxy.slow(40_000)
            config.write_text(yaml(host, proxy.port))
            terminal, end = os.openpty()
            process = subprocess.Popen([PROGRAM, "log", "seldom.json", "--remote", "host", "--at", common["at"]], stdout=subprocess.PIPE,
                                       stderr=end, env={**os.environ, **common["env"]})
            os.close(end)
            time.sleep(2.5)
            proxy.pass_on()
            process.communicate(timeout=60)
            drawn = os.read(terminal, 65536)
            os.close(terminal)
            equal(process.returncode, 0, f"{drawn!r}")
            check(b"reading the history" in drawn, f"{drawn!r}")


@test
def others_in_the_same_branch_and_folders_in_the_way():
    with GitHost("path") as host:
        host.make("store")
        with machine(host, "first") as (_, client):
            for name in ("mine", "theirs"):
                equal(client.put(f"/docs/{name}", b"[1]").status, 201, name)
            equal(client.ask("POST", "/remotes/host/run?timeout=20s").status, 200, "both are there")
        host.commit("store", "data", {"mine": None, "mine/more": b"[2]\n"}, "a folder where a file was")
        with machine(host, "second", docs=["mine*"]) as (_, client):
            items = client.get("/docs/mine/versions?remote=host").json()["items"]
            equal([(i["deleted"], i["error"]) for i in items], [(True, None), (False, None)], f"it went: {items}")
            for answer in (client.get("/docs/theirs/versions?remote=host"), client.get(f"/docs/theirs?remote=host&version={items[1]['id']}"),
                           client.post("/docs/theirs/revert", {"remote": "host", "version": items[1]["id"]})):
                equal((answer.status, answer.code), (404, "not_found"), f"what the remote is not for: {answer}")


@test
def a_host_that_has_no_more_itself():
    with GitHost("path") as host:
        host.make("store")
        years(host, 400)
        cut = host.at("store", "rev-parse", "data~300").decode()
        (host.path("store") / "shallow").write_text(cut)
        with machine(host, "cut") as (_, client):
            began = time.monotonic()
            items = pages(client, "seldom.json")
            check(time.monotonic() - began < 20, "it ends where the host's history does")
            equal(len(items), 8, "what the host has, and what it begins with")
            equal(client.get("/docs/seldom.json?remote=host&version=0123456789abcdef").code, "not_found", "the same for one version")


@test
def killed_in_the_middle_and_asked_again():
    with GitHost("http") as host, FaultProxy(host) as proxy:
        host.make("store")
        years(host)
        where = TOP / "killed"
        for turn in range(3):
            proxy.pass_on()
            with machine(host, "killed", proxy.port) as (server, client):
                git = where / "default.db.d" / "host" / "history"
                proxy.slow(20_000)
                asking = threading.Thread(target=quietly, args=[client])
                asking.start()
                wait_for(lambda: list(git.glob("objects/pack/tmp_*")) or fetched(where) > 256, 20)
                server.kill()
                proxy.drop_connections()
                asking.join(20)
        proxy.pass_on()
        with machine(host, "killed", proxy.port) as (server, client):
            equal(len(pages(client, "seldom.json")), 10, "all of them")
            equal(len(list((where / "default.db.d" / "host" / "history").glob("objects/pack/tmp_*"))), 0, "and nothing is left")
            equal(client.put("/docs/b.json?wait=host&timeout=20s", b"1").status, 201, "runs go on as ever")


def quietly(client):
    with contextlib.suppress(Exception):
        client.get("/docs/seldom.json/versions?remote=host")


@test
def a_host_that_does_not_answer():
    with GitHost("http") as host, FaultProxy(host) as proxy:
        host.make("store")
        years(host)
        with machine(host, "dead", proxy.port, on_change="50ms", manual=False) as (server, client):
            proxy.black_hole()
            began = time.monotonic()
            late = client.get("/docs/seldom.json/versions?remote=host&timeout=1s")
            took = time.monotonic() - began
            equal((late.status, late.code, late.json()["retryable"]), (408, "timeout", True), f"{late}")
            check(took < 10, f"{took:.1f} s")
            # Somebody who asks at once is told when it takes too long, and who reads or writes does not notice.
            asking = threading.Thread(target=lambda: quietly(server.client()))
            asking.start()
            time.sleep(0.3)
            busy = client.get("/docs/seldom.json/versions?remote=host&timeout=500ms")
            equal((busy.status, busy.code), (503, "busy"), f"{busy}")
            began = time.monotonic()
            equal((client.put("/docs/w.json", b"1").status, client.get("/docs/d8/8.json").status), (201, 200), "local work")
            check(time.monotonic() - began < 5, "goes on")
            crowd = [threading.Thread(target=lambda: quietly(server.client())) for _ in range(8)]
            for one in crowd:
                one.start()
            time.sleep(0.5)
            began = time.monotonic()
            equal(client.get("/docs?limit=1").status, 200, "whoever reads")
            check(time.monotonic() - began < 2, "does not wait for many that look back")
            for one in crowd:
                one.join(20)
            check(not any(one.is_alive() for one in crowd), "who were told so")
            proxy.pass_on()
            # A run is not held up by whoever reads the history.
            proxy.slow(2_000, only="info/refs")
            equal(client.put("/docs/w.json", b"2").status, 200, "a write")
            proxy.pass_on()
            equal(client.ask("POST", "/remotes/host/run?timeout=20s").status, 200, "reaches the host")
            proxy.refuse()
            proxy.drop_connections()
            asking.join(90)
            check(not asking.is_alive(), "whoever waited was answered")
            gone = client.get("/docs/seldom.json/versions?remote=host")
            equal((gone.status, gone.code), (503, "remote_failed"), f"{gone}")
            # Closing does not wait for a look at the past.
            proxy.pass_on()
            proxy.black_hole()
            asking = threading.Thread(target=lambda: quietly(server.client()))
            asking.start()
            time.sleep(0.5)
            began = time.monotonic()
            equal(server.stop(), 0, "its end")
            check(time.monotonic() - began < 6, f"in {time.monotonic() - began:.1f} s")
            asking.join(20)


@test
def history_comes_a_piece_at_a_time():
    """Who has little time gets what there is, and the rest with the next page."""
    with GitHost("http") as host, FaultProxy(host) as proxy:
        host.make("store")
        years(host)
        with machine(host, "pieces", proxy.port) as (_, client):
            proxy.slow(30_000)
            answer = client.get("/docs/d15/199.json/versions?remote=host&limit=1000&timeout=4s")
            check(answer.status == 200 and answer.json()["next"], f"the newest of them: {answer}")
            proxy.pass_on()
            cursor = answer.json()["next"]
            rest = client.get(f"/docs/d15/199.json/versions?remote=host&limit=1000&cursor={cursor}").json()
            equal(len(answer.json()["items"]) + len(rest["items"]), MONTHS // 400, "and the others")


main()
