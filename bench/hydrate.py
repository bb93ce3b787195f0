#!/usr/bin/env python3
"""An empty store filled from a `dir` remote with 10,000 documents of 2 KB: from exec until the store is open, against copying the
folder of the remote and syncing it. The two take turns; the page cache is warm for both."""

import os
import shutil
import statistics
import subprocess
import threading
import time

import serving

DOCS = 10000
SIZE = 2048
ROUNDS = 3
WRITERS = 8
DEADLINE_S = 300

REMOTE = os.path.join(serving.TMP, "remote")
CONFIG = os.path.join(serving.TMP, "keepfast.yaml")


def write_config():
    os.makedirs(REMOTE, mode=0o700)
    with open(CONFIG, "w", encoding="utf-8") as file:
        file.write(f'spaces:\n  many:\n    remotes:\n      disk: {{ url: "dir:{REMOTE}", manual: true }}\n')


def body(number):
    text = f'{{"number":{number},"text":"'
    return (text + "".join(chr(97 + (number * 7 + i * i) % 26) for i in range(SIZE - len(text) - 2)) + '"}').encode()


def write_some(served, first):
    client = served.client("many")
    for number in range(first, DOCS, WRITERS):
        answer = client.put(f"/docs/folder-{number % 100}/doc-{number}.json", body(number))
        if answer.status != 201:
            raise RuntimeError(str(answer))
    client.close()


def fill_remote():
    with serving.Served(os.path.join(serving.TMP, "source"), "--config", CONFIG) as served:
        threads = [threading.Thread(target=write_some, args=(served, n)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client = served.client("many")
        answer = client.post("/remotes/disk/run?timeout=120s")
        if answer.status != 200:
            raise RuntimeError(str(answer))
        client.close()


def wait_until_open(served):
    client = served.client("many")
    while True:
        store = client.get("/status").json()["store"]
        took = time.perf_counter() - served.started
        if store["state"] == "open" and store["docs"] == DOCS:
            client.close()
            return took
        if took > DEADLINE_S or store["state"] == "open":
            raise RuntimeError(f"after {took:.0f} s: {store}")
        time.sleep(0.05)


def hydrate(turn):
    """Seconds until the store is open with all documents."""
    data = os.path.join(serving.TMP, f"target-{turn}")
    with serving.Served(data, "--config", CONFIG) as served:
        took = wait_until_open(served)
    shutil.rmtree(data)
    return took


def copy(turn):
    """Seconds for a copy of the remote's folder that is as safe on disk."""
    target = os.path.join(serving.TMP, f"copy-{turn}")
    start = time.perf_counter()
    subprocess.run(["cp", "-a", REMOTE, target], check=True)
    subprocess.run(["sync", "-f", target], check=True)
    took = time.perf_counter() - start
    shutil.rmtree(target)
    return took


def main():
    write_config()
    fill_remote()
    ours, theirs = [], []
    for turn in range(ROUNDS):
        ours.append(hydrate(turn))
        theirs.append(copy(turn))
    serving.figure("hydrate.10k", statistics.median(ours), "s", better="less", base=round(statistics.median(theirs), 3),
                   against="cp -a and sync of the same folder")


if __name__ == "__main__":
    main()
