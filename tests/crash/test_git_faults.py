#!/usr/bin/env python3
# test: timeout=240
"""Bad days of a git host, one cell each: local writes do not notice, the cause is told, the token is nowhere, and what is pending goes
out by itself afterwards.

    seed pushed -> the fault begins -> 1,000 writes, none of which fails -> `remote show` names the cause
                -> the fault ends -> nothing is pending, nobody having asked (but where the host did not let us in) -> the branch has all values and is strictly well-formed
                -> no process of git is left -> the server ends

All cells run at once: those of a silent host wait half a minute for git to give it up. Meanwhile one thread looks at the command lines
of all processes.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from githost import FaultProxy, GitHost, basic, USER  # noqa: E402
from keepfast import Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

TOP = folder()
WRITES, NAMES = 1000, 40
TOLD_S = 75  # until a fault is told: git gives a silent host up after 30 s, a command ends after 60 s of silence
SECRETS = {}  # token: cell
LEAKS = set()
OVER = threading.Event()


# ------------------------------------------------------------------------------------- processes


def processes():
    """(pid, parent, state, command line) of all there are."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                yield int(entry), int(words[1]), words[0], Path(f"/proc/{entry}/cmdline").read_bytes()


def watch():
    """Until all is over: no token in any command line."""
    while not OVER.wait(0.02):
        for pid, _, _, line in processes():
            for secret, cell in list(SECRETS.items()):
                if secret.encode() in line:
                    LEAKS.add(f"{cell}: {line[:200]!r} of {pid}")


def below(pid):
    """What a process started, and what that started."""
    found, every = [], list(processes())
    parents = {pid}
    while True:
        more = [p for p in every if p[1] in parents and p not in found]
        if not more:
            return found
        found += more
        parents |= {p[0] for p in more}


def of_folder(path):
    """Processes that work in a repository of this folder, whoever their parent is by now."""
    found = []
    for pid, _, _, line in processes():
        with contextlib.suppress(OSError):
            if str(path).encode() in line or f"GIT_DIR={path}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append((pid, line))
    return found


# ------------------------------------------------------------------------------------- cells


CELLS = {}


def cell(says, kind="http", drained_s=30, asked=False):
    """says: how the cause is named. asked: a host that does not let us in is asked again after five minutes, or when somebody wants
    it. The function begins the fault and gives back what ends it."""
    def decorate(function):
        CELLS[function.__name__] = (function, says, kind, drained_s, asked)
        return function
    return decorate


class Case:
    def __init__(self, name, kind):
        self.name = name
        self.host = GitHost(kind)
        self.host.make("store")
        self.proxy = FaultProxy(self.host)
        self.more = []  # to be closed
        for secret in (self.host.token, basic(USER, self.host.token).split()[1]):
            SECRETS[secret] = name
        self.by_hand = {}

    def close(self):
        for each in (self.proxy, *self.more, self.host):
            each.close()

    def change_by_hand(self, when=None):
        """So that something is to be fetched."""
        self.by_hand["by hand.json"] = [len(self.by_hand)]
        self.host.commit("store", "data", {"by hand.json": json.dumps(self.by_hand["by hand.json"]).encode()}, "by hand", when=when)


@cell("[Cc]onnect")
def refused(c):
    c.proxy.refuse()
    return c.proxy.pass_on


@cell("too slow|silent", drained_s=60)
def black_hole(c):
    c.proxy.black_hole()
    return c.proxy.pass_on


@cell("too slow|silent", drained_s=60)
def one_byte_a_second(c):
    c.proxy.slow(1)
    return c.proxy.pass_on


@cell("too slow|silent", drained_s=60)
def hang_after_head(c):
    c.proxy.hang_after_head()
    return c.proxy.pass_on


@cell("500")
def error_500(c):
    c.proxy.answer(500)
    return c.proxy.pass_on


@cell("429")
def too_many_requests(c):
    c.proxy.answer(429, retry_after=2)
    return c.proxy.pass_on


@cell("refuses: the token or key needs the right", asked=True)
def forbidden(c):
    c.proxy.answer(403)
    return c.proxy.pass_on


@cell("507")
def error_507(c):
    c.proxy.answer(507)
    return c.proxy.pass_on


@cell("No space left on device")
def full_disk(c):
    c.host.hook("store", "pre-receive", "echo 'error: file write error: No space left on device' >&2\nexit 1\n")
    return lambda: c.host.hook("store", "pre-receive", "")


@cell("sends us elsewhere")
def redirect(c):
    elsewhere = FaultProxy(None)
    c.more.append(elsewhere)
    c.proxy.redirect(elsewhere.url("store") if elsewhere.host else f"http://127.0.0.1:{elsewhere.port}/git/store.git/info/refs")

    def heal():
        c.proxy.pass_on()
        equal([r.line for r in elsewhere.requests()], [], "nothing goes to where nobody sent it")
    return heal


@cell("certificate", kind="https")
def wrong_certificate(c):
    other = GitHost("https")
    c.more.append(other)
    good, c.proxy.peer = c.proxy.peer, other.address

    def heal():
        c.proxy.peer = good
        equal([r.line for r in other.requests()], [], "nothing is told to whom nobody knows")
    return heal


@cell("early EOF|hung up|unexpected|transfer closed|end of|[Ee]mpty reply|disconnect|closed")
def truncated(c):
    c.change_by_hand()
    c.proxy.cut(down=350)
    return c.proxy.pass_on


@cell("pack|protocol|corrupt|inflate|fatal|unexpected|deflate|gone")
def wrong_bytes(c):
    c.change_by_hand()
    c.proxy.flip(down=420)
    return c.proxy.pass_on


@cell("not as a git repository")
def a_page_for_people(c):
    c.proxy.html()
    return c.proxy.pass_on


@cell("memory|more than|too long|did not end|silent|signal", drained_s=60)
def endless_answer(c):
    c.proxy.endless()
    return c.proxy.pass_on


@cell("does not take the token", asked=True)
def token_is_revoked(c):
    c.host.revoke()
    return c.host.renew


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


@cell("")
def clock_15_min_ahead(c):
    c.change_by_hand(when=int(time.time()) + 900)
    return lambda: None


@cell("")
def clock_15_min_behind(c):
    c.change_by_hand(when=int(time.time()) - 900)
    return lambda: None


# ------------------------------------------------------------------------------------- one cell


def write(client, times):
    values = {}
    for n in range(WRITES):
        name, value = f"doc{n % NAMES}.json", {"n": n}
        began = time.monotonic()
        answer = client.put(f"/docs/{name}", json.dumps(value).encode())
        times.append(time.monotonic() - began)
        check(answer.status in (200, 201), f"write {n}: {answer}")
        values[name] = value
    return values


def told(c, client, says):
    """What `remote show` says, as soon as it does."""
    remote = wait_for(lambda: (r := client.get("/remotes/host").json())["last_error"] and re.search(says, r["last_error"]["detail"]) and r, TOLD_S, 0.1)
    status = client.get("/status").json()["remotes"][0]
    check(status["last_error"] or status["state"] == "running", f"status tells it, too: {status}")
    return remote["last_error"]


def go(name):
    begin, says, kind, drained_s, asked = CELLS[name]
    c = Case(name, kind)
    try:
        config = c.host.config("store", port=c.proxy.port, on_change="100ms", every="2s")
        server = Server(TOP / name, config=json.dumps({"spaces": {"default": {"remotes": {"host": config}}}}), env=c.host.environment())
        with server, contextlib.closing(server.client()) as client:
            return life(c, server, client, begin, says, drained_s, asked)
    finally:
        c.close()


def life(c, server, client, begin, says, drained_s, asked):
    wait_for(lambda: state(client) == "open", 30)
    equal(client.put("/docs/seed?wait=host&timeout=30s", b"0").status, 201, "before all")
    heal = begin(c)
    times = []
    values = write(client, times)
    last = {"code": "", "detail": ""}
    try:
        if says:
            last = told(c, client, says)
    except TimeoutError:
        raise AssertionError(f"not told: {client.get('/remotes/host').json()}; {server.stderr()[-1500:]}") from None
    pending = client.get("/remotes/host").json()["pending"]["count"]
    check(not says or pending > 0, "nothing was confirmed that is not there")
    heal()
    began = time.monotonic()
    if asked:
        equal(client.ask("POST", f"/remotes/host/run?timeout={drained_s}s").status, 200, "when it is asked")
    try:
        wait_for(lambda: client.get("/remotes/host").json()["pending"]["count"] == 0, drained_s, 0.1)
        if c.by_hand:
            wait_for(lambda: client.get("/docs/by%20hand.json").status == 200, drained_s, 0.1)
    except TimeoutError:
        raise AssertionError(f"it does not drain: {client.get('/remotes/host').json()}; {server.stderr()[-1500:]}") from None
    drained = time.monotonic() - began
    files = {path: json.loads(text) for path, text in c.host.files("store", "data").items() if not path.startswith(".keepfast/")}
    equal(files, {"seed": 0, **values, **c.by_hand}, "what is there")
    equal(c.host.fsck("store"), [], "a strict check")
    for name, value in values.items():
        equal(client.get(f"/docs/{name}").json(), value, f"{name}, here")
    wait_for(lambda: not below(server.process.pid), 10)
    said = server.stderr() + json.dumps(client.get("/remotes/host").json()) + json.dumps(client.get("/status").json())
    show = run("remote", "show", "host", "--at", TOP / c.name / "default.db")
    said += (show.out + show.err).decode() + json.dumps(last)
    for secret in [s for s, cell in SECRETS.items() if cell == c.name]:
        check(secret not in said, f"the token is nowhere: {said}")
    equal(server.stop(), 0, "its end")
    equal(of_folder(TOP / c.name), [], "what is left")
    times.sort()
    return times, drained, last["detail"]


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


def all_cells(names):
    """name: what came of it, or why not."""
    def safely(name):
        try:
            return go(name)
        except Exception:  # a cell may fail in any way, and the others go on
            return traceback.format_exc()
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(safely, names)))


@test
def local_writes_do_not_notice_and_the_queue_drains():
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    chosen = [name for name in CELLS if not os.environ.get("KF_CELL") or name in os.environ["KF_CELL"].split(",")]
    with ThreadPoolExecutor(1) as beside:
        outlived = beside.submit(killed_beside_a_silent_host)
        results = all_cells(chosen)
        note(f"git outlived a kill beside a silent host by {outlived.result():.1f} s")
    OVER.set()
    watcher.join()
    wrong = {name: found for name, found in results.items() if isinstance(found, str)}
    for name, found in results.items():
        if name not in wrong:
            times, drained, detail = found
            note(f"{name}: writes={len(times)} p50={times[len(times) // 2] * 1000:.1f}ms p99={times[len(times) * 99 // 100] * 1000:.1f}ms "
                 f"max={times[-1] * 1000:.0f}ms drained_s={drained:.1f} told={detail[:160]!r}")
    check(not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items()))
    equal(LEAKS, set(), "no token in a command line")


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
