#!/usr/bin/env python3
# test: timeout=120
"""Bad days of a git host (tests/faultcells.py): nobody there, answers that refuse, a disk that is full, a host that dies in a push, and
one that asks to be left alone."""

import contextlib
import email.utils
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests", "crash"))
import disk  # noqa: E402
from faultcells import LEAKS, OVER, SECRETS, TOP, WRITES, Case, cell, of_folder, run_cells, watch  # noqa: E402
from githost import FaultProxy, GitHost  # noqa: E402
from keepfast import Server, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

disk.own_namespace()


# ------------------------------------------------------------------------------------- cells


@cell("[Cc]onnect")
def refused(c):
    c.proxy.refuse()
    return c.proxy.pass_on


@cell("500")
def error_500(c):
    c.proxy.answer(500)
    return c.proxy.pass_on


@cell("503")
def unavailable_503(c):
    c.proxy.answer(503)
    return c.proxy.pass_on


@cell("too many requests from here \\(429\\).*left alone for 2 s")
def too_many_requests(c):
    c.proxy.answer(429, retry_after=2)
    return c.proxy.pass_on


@cell("refuses: the token or key needs the right", code="remote_auth", state="auth", asked=True)
def forbidden(c):
    c.proxy.answer(403)
    return c.proxy.pass_on


@cell("no space left", code="remote_full")
def error_507(c):
    c.proxy.answer(507)
    return c.proxy.pass_on


@cell("no space left", code="remote_full")
def full_quota(c):
    c.host.hook("store", "pre-receive", "echo 'error: file write error: Disk quota exceeded' >&2\nexit 1\n")
    return lambda: c.host.hook("store", "pre-receive", "")


@cell("no space left", code="remote_full")
def full_file_system(c):
    """The host's own, with a few pages left: a real one."""
    tmpfs = disk.Tmpfs(TOP, "full", 4)
    c.more.append(types.SimpleNamespace(close=tmpfs.gone))
    shutil.move(c.host.path("store"), tmpfs.point / "store.git")
    c.host.path("store").symlink_to(tmpfs.point / "store.git")
    tmpfs.fill()
    return tmpfs.empty


@cell("not as a git repository")
def a_page_for_people(c):
    c.proxy.html()
    return c.proxy.pass_on


@cell("[Cc]onnect|hung up|[Ee]mpty reply|reset|closed")
def host_is_killed_in_a_push(c):
    """All of it, while it looks at what was pushed; then another machine of that name has its disk."""
    inside = c.host.top / "inside"
    c.host.hook("store", "pre-receive", f"touch '{inside}'\nsleep 20\n")

    def kill():
        with contextlib.suppress(TimeoutError):
            wait_for(inside.exists, 20)
        c.proxy.refuse()
        for pid in c.host.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        c.proxy.drop_connections()
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()

    def heal():
        thread.join()
        check(inside.exists(), "a push had begun")
        old = c.host
        old.hook("store", "pre-receive", "")
        c.host = GitHost("http")
        c.more.append(old)
        shutil.move(old.path("store"), c.host.path("store"))
        c.host.token = old.token
        c.host.renew()
        c.proxy.peer = c.host.address
        c.proxy.pass_on()
    return heal


# ------------------------------------------------------------------------------------- tests


def killed_beside_a_silent_host():
    """What git started sees neither the end of git nor an answer, and would live on for as long as it is patient: it ends with us."""
    with GitHost("http") as host, FaultProxy(host) as proxy:
        host.make("store")
        where = TOP / "killed"
        remote = host.config("store", port=proxy.port, on_change="50ms")
        with Server(where, config=json.dumps({"spaces": {"default": {"remotes": {"host": remote}}}}), env=host.environment()) as server:
            with contextlib.closing(server.client()) as client:
                wait_for(lambda: state(client) == "open", 30)
                proxy.black_hole()
                client.put("/docs/a", b"1")
                wait_for(lambda: proxy.hit, 30)
                server.kill()
        began = time.monotonic()
        wait_for(lambda: not of_folder(where), 5, 0.05)
        return time.monotonic() - began


@test
def local_writes_do_not_notice_and_the_queue_drains():
    run_cells()


class Throttle:
    """A store whose host answers with a Retry-After; what it says, and when it was asked."""

    def __init__(self, name, status, retry_after):
        self.c = Case(name, "http")
        config = self.c.config() | {"on_change": "100ms"}
        self.server = Server(TOP / name, config=json.dumps({"spaces": {"default": {"remotes": {"host": config}}}}), env=self.c.environment())
        self.client = self.server.client()
        wait_for(lambda: state(self.client) == "open", 30)
        equal(self.client.put("/docs/seed?wait=host&timeout=30s", b"0").status, 201, "before all")
        self.c.proxy.answer(status, retry_after=retry_after())
        self.client.put("/docs/a", b"1")
        self.remote = wait_for(lambda: (r := self.client.get("/remotes/host").json())["last_error"] and r, 20)
        self.asked = len(self.c.proxy.requests())

    def seconds(self):
        """Until the next run."""
        ends = [time.mktime(time.strptime(self.remote[key][:19], "%Y-%m-%dT%H:%M:%S")) + float(self.remote[key][19:-1]) for key in ("last_run", "next_run")]
        return ends[1] - ends[0]

    def close(self):
        self.client.close()
        self.server.__exit__()
        self.c.close()


def left_alone(name, status, retry_after, least, most, say):
    with contextlib.closing(Throttle(name, status, retry_after)) as t:
        check(least - 0.05 <= t.seconds() <= most, f"{name}: {t.remote}")  # two clocks, in whole milliseconds
        check(say in t.remote["last_error"]["detail"], f"{name}: {t.remote}")
        check("remote.throttle" in t.server.stderr(), f"{name}: the log says it")
        before = t.asked
        # Whoever asks waits, too, and is told why.
        answer = t.client.ask("POST", "/remotes/host/run?timeout=1s")
        equal((answer.status, len(t.c.proxy.requests())), (503, before), f"{name}: it is left alone")
        for n in range(100):
            t.client.put("/docs/a", b"%d" % n)
        time.sleep(0.5)
        equal(len(t.c.proxy.requests()), before, f"{name}: whatever is written")
        t.c.proxy.pass_on()
        if most < 10:
            wait_for(lambda: t.client.get("/remotes/host").json()["pending"]["count"] == 0, most + 10)
            first = t.c.proxy.requests()[before].at
            check(first - t.c.proxy.requests()[before - 1].at >= least - 0.5, f"{name}: not before it wanted to be")
        return t.seconds()


@test
def a_host_that_asks_to_be_left_alone_is():
    note("seconds until the next run: " + ", ".join(f"{left_alone(*row):.1f}" for row in (
        ("seconds", 429, lambda: 4, 4, 5, "left alone for 4 s"),
        ("date", 503, lambda: email.utils.formatdate(time.time() + 6, usegmt=True), 2, 7, "left alone for"),
        ("day", 429, lambda: 86400, 3599, 3601, "86400 s; it is for an hour"))))


@test
def nothing_outlives_a_kill_beside_a_silent_host():
    note(f"git outlived it by {killed_beside_a_silent_host():.1f} s")


@test
def saboteur_sync_inline_is_found():
    """A write that waits for the remote is seen by whoever writes."""
    c = Case("inline", "http")
    try:
        config = json.dumps({"spaces": {"default": {"remotes": {"host": c.host.config("store", port=c.proxy.port, on_change="100ms")}}}})
        with Server(TOP / c.name, config=config, env=c.host.environment() | {"KF_SABOTAGE": "sync-inline"}) as server:
            with contextlib.closing(server.client(timeout=3)) as client:
                wait_for(lambda: state(client) == "open", 10)
                c.proxy.black_hole()
                try:
                    for n in range(WRITES):
                        client.put("/docs/a", b"%d" % n)
                        time.sleep(0.005)
                except TimeoutError:
                    return
        raise AssertionError("no write has waited for a remote that is silent")
    finally:
        c.close()


@test
def a_token_in_a_command_line_is_found():
    secret = "kft_" + os.urandom(9).hex()
    SECRETS[secret] = "control"
    OVER.clear()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with subprocess.Popen(["sh", "-c", "read line", secret], stdin=subprocess.PIPE) as shown:
        try:
            wait_for(lambda: LEAKS, 5)
        finally:
            shown.stdin.close()
    OVER.set()
    watcher.join()
    check(any(secret in leak for leak in LEAKS), f"found: {LEAKS}")


main()
