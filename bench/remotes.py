#!/usr/bin/env python3
"""What remotes cost who writes here: the 99th of 100 local writes of one client, on a store with three remotes that have something to do all
the time (a git host, one behind a line of 20 KB/s, and a folder that is not there), against one without remotes. The two take turns.

    remotes.local_p99     ms of a PUT that is answered when it is on disk
"""

import json
import os
import sys
import time

import serving

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from faultproxy import FaultProxy  # noqa: E402
from githost import GitHost  # noqa: E402

TURNS = 20
WRITES = 150
NAMES = 50


def config(name, remotes):
    path = os.path.join(serving.TMP, f"{name}.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"spaces": {"many": {"remotes": remotes}}}, file)
    return path


def write_some(client, turn, took):
    for n in range(WRITES):
        body = json.dumps({"turn": turn, "n": n, "text": "x" * 1000}).encode()
        start = time.perf_counter()
        answer = client.put(f"/docs/f{n % NAMES}/doc.json", body)
        took.append(time.perf_counter() - start)
        if answer.status not in (200, 201):
            raise RuntimeError(str(answer))


def p99_ms(took):
    return sorted(took)[len(took) * 99 // 100] * 1000


def main():
    with GitHost("http") as host, FaultProxy(host) as proxy:
        for repo in ("busy", "slow"):
            host.make(repo)
        proxy.slow(20000)
        remotes = {
            "busy": host.config("busy", on_change="10ms"),
            "slow": host.config("slow", port=proxy.port, on_change="10ms"),
            "dead": {"url": f"dir:{serving.TMP}/not/mounted", "on_change": "10ms"},
        }
        alone, beside = [], []
        with serving.Served(os.path.join(serving.TMP, "alone"), "--config", config("alone", {}), env={}) as a, \
                serving.Served(os.path.join(serving.TMP, "beside"), "--config", config("beside", remotes), "--start-empty",
                               env=host.environment()) as b:
            without, with_them = a.client("many"), b.client("many")
            while with_them.get("/status").json()["store"]["state"] != "open":
                time.sleep(0.05)
            for turn in range(TURNS):
                write_some(without, turn, alone)
                write_some(with_them, turn, beside)
            runs = with_them.get("/remotes/busy/runs?limit=1000").json()["items"]
            without.close()
            with_them.close()
        print(f"# runs of the busy one: {len(runs)}")
        serving.figure("remotes.local_p99", p99_ms(beside), "ms", better="less", target=1.2, base=round(p99_ms(alone), 3),
                       against="without remotes")


if __name__ == "__main__":
    main()
