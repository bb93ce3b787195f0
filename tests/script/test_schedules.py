#!/usr/bin/env python3
"""Five remotes of one store, each with a schedule of its own, one of which is dead: each keeps its own, as the log of runs tells,
none waits for another, and none of them is run twice at a time."""

import datetime
import json
import os
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from githost import GitHost  # noqa: E402
from keepfast import Server, folder, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
WRITES_S = 9.0
PAUSE_S = 0.1
LATE_S = 2.0  # what a busy machine may take to begin a run that is due
SLOWEST_S = 2.0  # of a local write


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def place(name):
    where = TOP / name
    where.mkdir(mode=0o700)
    return f"dir:{where}"


class Runs:
    """The log of one remote, the oldest first."""

    def __init__(self, client, name):
        items = client.get(f"/remotes/{name}/runs?limit=1000").json()["items"]
        self.items = sorted(items, key=lambda run: run["began"])
        self.began = [moment(run["began"]) for run in self.items]
        self.ended = [moment(run["ended"]) for run in self.items]
        self.pushed = [run["pushed"]["docs"] for run in self.items]
        self.good = [run["error"] is None for run in self.items]

    @property
    def gaps(self):
        return [later - earlier for earlier, later in zip(self.began, self.began[1:])]


def write_for(client, seconds):
    """A new document each time. How many, and the slowest."""
    count, slowest, until = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        equal(client.put(f"/docs/d{count}", b"%d" % count).status, 201, "written")
        slowest = max(slowest, time.monotonic() - began)
        count += 1
        time.sleep(PAUSE_S)
    return count, slowest


def run_now(server, answers):
    client = server.client()
    answers.append(client.post("/remotes/manual/run?timeout=30s").status)
    client.close()


@test
def five_schedules_are_kept_side_by_side():
    with GitHost("http") as host:
        host.make("store")
        remotes = {
            "change": {"url": place("change"), "on_change": "1s"},
            "five": {"url": place("five"), "after": 5},
            "every": host.config("store", every="2s"),
            "manual": {"url": place("manual"), "manual": True},
            "dead": {"url": f"dir:{TOP / 'not' / 'mounted'}", "on_change": "100ms"},
        }
        config = json.dumps({"spaces": {"default": {"remotes": remotes}}})
        with Server(TOP / "data", config, env=host.environment(), arguments=["--start-empty"]) as server:
            client = server.client()
            wait_for(lambda: client.get("/status").json()["store"]["state"] == "open", 20)
            began = time.time()
            count, slowest = write_for(client, WRITES_S)
            runs = {name: Runs(client, name) for name in remotes}
            note(json.dumps({name: {"began": [round(t - began, 1) for t in r.began], "pushed": r.pushed} for name, r in runs.items()}))
            note(f"writes={count} slowest_ms={slowest * 1000:.0f}")

            for name in ("change", "five", "every"):
                check(all(runs[name].good), f"{name}: {runs[name].items}")
                for ended, next_began in zip(runs[name].ended, runs[name].began[1:]):
                    check(next_began >= ended, f"{name}: one at a time")
            gaps = runs["change"].gaps
            check(len(gaps) >= 2 and all(0.95 <= gap <= 1 + PAUSE_S + LATE_S for gap in gaps), f"a second after the first change: {gaps}")
            check(all(n >= 5 for n in runs["five"].pushed), f"not before there are five: {runs['five'].pushed}")
            check(len(runs["five"].items) >= 3 and sum(runs["five"].pushed) > count - 5 - LATE_S / PAUSE_S, f"and then at once: {runs['five'].pushed} of {count}")
            gaps = runs["every"].gaps
            check(len(gaps) >= 2 and all(1.5 <= gap <= 2.5 + LATE_S for gap in gaps), f"every two seconds: {gaps}")
            equal(runs["manual"].items, [], "nobody asked for it")
            check(runs["dead"].items and not any(runs["dead"].good), f"the dead one has failed: {runs['dead'].items}")
            shown = {r["name"]: r for r in client.get("/status").json()["remotes"]}
            equal((shown["manual"]["pending"]["count"], shown["dead"]["pending"]["count"]), (count, count), "and all is pending to them")
            check(slowest < SLOWEST_S, f"no write waited for any of them: {slowest:.2f} s")

            # Who comes while a run is on shares one: at most the one that is on, and the next.
            answers = []
            callers = [threading.Thread(target=run_now, args=(server, answers)) for _ in range(8)]
            for each in callers:
                each.start()
            for each in callers:
                each.join()
            equal(answers, [200] * 8, "each is answered")
            shared = Runs(client, "manual")
            check(len(shared.items) <= 2 and sum(shared.pushed) == count, f"eight who asked shared it: {shared.items}")

            # What is left goes by its own schedule; nobody asks.
            for name in ("change", "every"):
                wait_for(lambda name=name: {r["name"]: r for r in client.get("/status").json()["remotes"]}[name]["pending"]["count"] == 0, 10)
            client.close()
            server.kill()
        shutil.rmtree(TOP, ignore_errors=True)


main()
