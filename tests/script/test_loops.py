#!/usr/bin/env python3
# test: timeout=120
"""Several loops answer requests: what one has confirmed every other shows at once, caps and numbers are of all together, spaces come and
go under them, remotes are waited for, and a stop ends all of them."""

import http.client
import json
import re
import threading
import time
from pathlib import Path

from keepfast import Server, folder, wait_for
from tap import check, equal, main, note, test

LOOPS = 3
TOP = folder()


def threads_that_worked(server):
    """How many threads of the process have used the processor since it began."""
    worked = 0
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        worked += int(fields[11]) + int(fields[12]) > 0
    return worked


def at_once(count, work):
    """The first fault of any is raised."""
    faults = []

    def guarded(number):
        try:
            work(number)
        except Exception as fault:  # raised below, in the thread of the test
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def metric(client, name):
    found = re.search(rf"^{name} (\d+)$", client.ask("GET", "/metrics", raw=True).body.decode(), re.M)
    check(found, f"there is {name}")
    return int(found[1])


@test
def what_one_loop_confirms_all_show():
    with Server(TOP / "seen", arguments=["--loops", str(LOOPS)]) as server:
        clients = [server.client() for _ in range(4 * LOOPS)]
        for client in clients:
            client.get("/docs")
        for turn in range(40):
            writer = clients[turn % len(clients)]
            answer = writer.put(f"/docs/shared-{turn % 3}", {"turn": turn})
            check(answer.status in (200, 201), f"written: {answer}")
            for reader in clients:
                equal(reader.get(f"/docs/shared-{turn % 3}").json(), {"turn": turn}, f"turn {turn}")
        equal(len(clients[1].get("/docs").json()["items"]), 3, "documents in the list of another loop")
        equal(metric(clients[0], "keepfast_http_connections"), len(clients), "connections of all loops")

        def work(number):
            client = server.client()
            for turn in range(100):
                equal(client.put(f"/docs/own-{number}-{turn}", {"n": turn}).status, 201, "a new document")
                equal(client.get(f"/docs/own-{number}-{turn}").json(), {"n": turn}, "its own write")
            client.close()

        at_once(12, work)
        equal(clients[2].get("/status").json()["store"]["docs"], 3 + 12 * 100, "documents")
        worked = threads_that_worked(server)
        note(f"threads that worked: {worked}")
        check(worked >= 2, "more than one loop answered")
        equal(server.stop(), 0, "the end")


@test
def spaces_come_and_go_under_all_loops():
    with Server(TOP / "spaces", arguments=["--loops", str(LOOPS)]) as server:

        def work(number):
            client = server.client(f"own{number}")
            for turn in range(15):
                equal(client.put("/docs/a", {"turn": turn}).status, 201, "a first write makes the space")
                equal(client.get("/docs/a").json(), {"turn": turn}, "what is in it")
                wait_for(lambda: client.ask("DELETE", f"/v1/own{number}?confirm=own{number}", raw=True).status == 204, 10)
                equal(client.get("/docs/a").status, 404, "it is gone")
            client.close()

        at_once(9, work)
        equal(server.client().ask("GET", "/v1", raw=True).json()["items"], [], "spaces that are left")


@test
def remotes_are_waited_for_from_every_loop():
    place = TOP / "place"
    place.mkdir(mode=0o700)
    config = json.dumps({"loops": LOOPS, "spaces": {"default": {"remotes": {"usb": {"url": f"dir:{place}", "manual": True}}}}})
    with Server(TOP / "waits", config=config) as server:

        def work(number):
            client = server.client()
            for turn in range(10):
                equal(client.put(f"/docs/w-{number}-{turn}?wait=usb&timeout=30s", {"n": turn}).status, 201, "confirmed by the remote")
            client.close()

        at_once(2 * LOOPS, work)
        client = server.client()
        equal(client.get("/remotes/usb").json()["pending"]["count"], 0, "pending")
        equal(client.post("/remotes/usb/run").status, 200, "a run")


@test
def caps_are_of_all_loops_together():
    with Server(TOP / "caps", config="limits: { connections: 9 }\n", arguments=["--loops", str(LOOPS)]) as server:
        held = [server.client() for _ in range(9)]
        for client in held:
            client.get("/docs")
        over = http.client.HTTPConnection(server.address, timeout=10)
        over.request("GET", "/healthz")
        equal(over.getresponse().status, 503, "one more than there may be")
        for client in held[:3]:
            client.close()
        wait_for(lambda: server.client().ask("GET", "/healthz", raw=True).status == 200, 5)


@test
def a_stop_ends_all_loops():
    for turn in range(5):
        with Server(TOP / "stop", arguments=["--loops", str(LOOPS)]) as server:
            acked, over = {}, threading.Event()

            def work(number, server=server, acked=acked, over=over):
                client = server.client()
                for step in range(100000):
                    if over.is_set():
                        return
                    name = f"s-{turn}-{number}-{step}"
                    try:
                        answer = client.put(f"/docs/{name}", {"n": step})
                    except (OSError, http.client.HTTPException):
                        return
                    if answer.status != 201:
                        return
                    acked[name] = step

            threads = [threading.Thread(target=work, args=(number,)) for number in range(9)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            began = time.monotonic()
            equal(server.stop(), 0, "the end under load")
            took = time.monotonic() - began
            over.set()
            for thread in threads:
                thread.join()
            check(took < 10, f"it ends within 10 s: {took:.1f}")
            check(len(acked) > 9, "there was a load")
        with Server(TOP / "stop") as server:
            client = server.client()
            for name, step in acked.items():
                equal(client.get(f"/docs/{name}").json(), {"n": step}, f"{name}, which was confirmed")


main()
