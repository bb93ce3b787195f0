#!/usr/bin/env python3
"""Work that goes on, for clients that left or for remotes: the store does not go before it has ended, and nobody else waits for it."""

import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from keepfast import Server, folder, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()
DOCS, BODY = 24, b'"' + b"x" * 2_000_000 + b'"'


def fill(client):
    for i in range(DOCS):
        client.put(f"/docs/d{i}", b'["%d",' % i + BODY + b"]")


def ask_and_leave(server, space, count):
    """Asks for work of a second or so, and resets the connection."""
    for _ in range(count):
        s = socket.create_connection(tuple(server.address.split(":")))
        s.sendall(b"POST /v1/%s/verify?deep=true HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n" % space)
        time.sleep(0.01)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


@test
def a_space_is_not_removed_under_a_worker_whose_client_left():
    server = Server(TOP / "removed")
    client = server.client("big")
    for _ in range(5):
        fill(client)
        ask_and_leave(server, b"big", 12)
        equal(client.ask("DELETE", "/v1/big?confirm=big", raw=True).status, 204, "removed when the work has ended, which is soon")
        equal(client.get("/docs/d0").code, "unknown_space", "it is")
    equal(server.stop(), 0, "the server lives and stops")


@test
def requests_to_one_space_do_not_keep_another_from_being_removed():
    server = Server(TOP / "other")
    fill(server.client("big"))
    client = server.client("small")
    client.put("/docs/a", b"1")
    ask_and_leave(server, b"big", 4)
    equal(client.ask("DELETE", "/v1/small?confirm=small", raw=True).status, 204, "removed at once")
    equal(server.stop(), 0, "stops")


@test
def a_remote_that_hangs_keeps_its_space_and_nobody_else():
    server = Server(TOP / "slow")
    client = server.client("slow")
    client.post("/remotes", {"name": "far", "url": "fail:at=1,delay=3s:mem:far", "on_change": "10ms"})
    client.put("/docs/a", b"1")
    wait_for(lambda: client.get("/remotes/far").json()["state"] == "running")
    began = time.time()
    answer = client.ask("DELETE", "/v1/slow?confirm=slow", raw=True)
    equal((answer.status, answer.code), (503, "busy"), "refused while a run is under way")
    equal(server.client("other").put("/docs/a", b"1").status, 201, "others go on")
    equal(client.get("/docs/a").body, b"1", "and the space itself")
    check(time.time() - began < 1.5, f"at once: {time.time() - began:.1f} s")
    wait_for(lambda: client.ask("DELETE", "/v1/slow?confirm=slow", raw=True).status == 204)
    equal(client.get("/docs/a").code, "unknown_space", "removed when the run has ended")
    equal(server.stop(), 0, "stops")


@test
def a_stop_waits_for_workers_whose_clients_left():
    server = Server(TOP / "stopped")
    fill(server.client("big"))
    ask_and_leave(server, b"big", 8)
    began = time.time()
    equal(server.stop(), 0, "stops cleanly")
    check(time.time() - began < 10, "in less than 10 s")


main()
