"""Bad days of a place, one cell each: local writes do not notice, the cause is told, the token is nowhere, and what is pending goes
out by itself afterwards.

    seed pushed -> the fault begins -> 1,000 writes, none of which fails -> `remote show` names the cause
                -> the fault ends -> nothing is pending, nobody having asked (but where the host did not let us in) -> the branch has all values and is strictly well-formed
                -> no process of git is left -> the server ends

A file of tests names its cells and runs them all at once (run_cells). One of them has no fault: by it the others' times are told.
Meanwhile one thread looks at the command lines of all processes."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import re
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from githost import FaultProxy, GitHost, basic, USER
from keepfast import Server, folder, run, state, wait_for
from tap import check, equal, note

TOP = folder()
WRITES, NAMES = 1000, 40
TOLD_S = 75  # until a fault is told: git gives a silent host up after 30 s, a command ends after 60 s of silence
LEFT_ALONE_S = 64  # at most, after several failures in a row
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


@dataclasses.dataclass
class Cell:
    begin: object  # begins the fault and gives back what ends it
    says: str  # how the cause is named; "" = there is none to be named
    code: str = "remote_failed"
    state: str = "retrying"
    kind: str = "http"
    drained_s: float = 30
    asked: bool = False  # a host that does not let us in is asked again after five minutes, or when somebody wants it
    env: dict = dataclasses.field(default_factory=dict)  # of the server
    aside: int = 0  # how many are set aside in the end


CELLS = {}


def cell(says, **more):
    def decorate(function):
        CELLS[function.__name__] = Cell(function, says, **more)
        return function
    return decorate


class Case:
    """A host with a proxy before it."""

    def __init__(self, name, kind):
        self.name = name
        self.host = GitHost(kind)
        self.host.make("store")
        self.proxy = FaultProxy(self.host)
        self.more = []  # to be closed
        for secret in (self.host.token, basic(USER, self.host.token).split()[1]):
            SECRETS[secret] = name
        self.by_hand = {}
        self.foreign = set()  # files there that are no documents
        self.tidy = lambda: None  # done there in the end

    def close(self):
        for each in (self.proxy, *self.more, self.host):
            each.close()

    def config(self):
        return self.host.config("store", port=self.proxy.port)

    def environment(self):
        return self.host.environment()

    def files(self):
        return {path: json.loads(text) for path, text in self.host.files("store", "data").items()
                if not path.startswith(".keepfast/") and path not in self.foreign}

    def wrong(self):
        """What a strict check of the place complains about."""
        return self.host.fsck("store")

    def change_by_hand(self, when=None):
        """So that something is to be fetched."""
        self.by_hand["by hand.json"] = [len(self.by_hand)]
        self.host.commit("store", "data", {"by hand.json": json.dumps(self.by_hand["by hand.json"]).encode()}, "by hand", when=when)


class FolderCase:
    """A folder of the kind dir."""

    def __init__(self, name, _kind):
        self.name = name
        self.top = TOP / f"place-{name}"
        self.top.mkdir()
        self.place = self.top / "place"
        self.place.mkdir()
        self.by_hand = {}
        self.more = []
        self.tidy = lambda: None

    def close(self):
        for each in self.more:
            each.close()

    def config(self):
        return {"url": f"dir:{self.place}"}

    def environment(self):
        return {}

    @property
    def manifest(self):
        return self.place / "manifest.ndjson"

    def files(self):
        found = {}
        for line in self.manifest.read_text().splitlines():
            doc = json.loads(line)
            if "doc" in doc and not doc.get("deleted"):
                body = next(self.place.glob(f"docs/**/{doc['hash']}.json")).read_bytes()
                check(hashlib.blake2b(body, digest_size=32).hexdigest() == doc["hash"], f"{doc['doc']} is whole")
                found[doc["doc"]] = json.loads(body)
        return found

    def wrong(self):
        return []


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


def told(cell_, client):
    """What `remote show` says, as soon as it does; and status with it."""
    remote = wait_for(lambda: (r := client.get("/remotes/host").json())["last_error"] and re.search(cell_.says, r["last_error"]["detail"]) and r, TOLD_S, 0.1)
    status = client.get("/status").json()["remotes"][0]
    check(status["last_error"] or status["state"] == "running", f"status tells it, too: {status}")
    error = remote["last_error"]
    equal(error["code"], cell_.code, f"the code of {error}")
    check(remote["state"] in (cell_.state, "running"), f"the state of {remote}")
    check(len(error["detail"].split()) >= 5, f"it says what to do: {error}")
    return error


def go(name):
    cell_ = CELLS[name]
    c = (FolderCase if cell_.kind == "dir" else Case)(name, cell_.kind)
    try:
        config = c.config() | {"on_change": "100ms", "every": "2s"}
        server = Server(TOP / name, config=json.dumps({"spaces": {"default": {"remotes": {"host": config}}}}), env=c.environment() | cell_.env)
        with server, contextlib.closing(server.client()) as client:
            return life(c, cell_, server, client)
    finally:
        c.close()


def drain(client, seconds):
    """Waits until nothing is pending, so long behind the next run: what has failed for long is left alone for up to a minute."""
    began = time.monotonic()
    until = began + seconds
    while (remote := client.get("/remotes/host").json())["pending"]["count"]:
        now = time.monotonic()
        if remote["next_run"]:
            due = datetime.datetime.fromisoformat(remote["next_run"].replace("Z", "+00:00")).timestamp() - time.time()
            until = max(until, min(now + due, began + LEFT_ALONE_S) + seconds)
        if now > until:
            raise TimeoutError("it is still pending")
        time.sleep(0.1)


def life(c, cell_, server, client):
    wait_for(lambda: state(client) == "open", 30)
    equal(client.put("/docs/seed?wait=host&timeout=30s", b"0").status, 201, "before all")
    c.client = client
    heal = cell_.begin(c)
    times = []
    values = write(client, times)
    last = {"code": "", "detail": ""}
    try:
        if cell_.says:
            last = told(cell_, client)
    except TimeoutError:
        raise AssertionError(f"not told: {client.get('/remotes/host').json()}; {server.stderr()[-1500:]}") from None
    pending = client.get("/remotes/host").json()["pending"]["count"]
    check(not cell_.says or pending > 0, "nothing was confirmed that is not there")
    heal()
    began = time.monotonic()
    if cell_.asked:
        equal(client.ask("POST", f"/remotes/host/run?timeout={cell_.drained_s}s").status, 200, "when it is asked")
    try:
        drain(client, cell_.drained_s)
        if c.by_hand:
            wait_for(lambda: client.get("/docs/by%20hand.json").status == 200, cell_.drained_s, 0.1)
        wait_for(lambda: client.get("/remotes/host").json()["set_aside"] == cell_.aside, cell_.drained_s, 0.1)
    except TimeoutError:
        raise AssertionError(f"it does not drain: {client.get('/remotes/host').json()}; {server.stderr()[-1500:]}") from None
    drained = time.monotonic() - began
    c.tidy()
    equal(c.files(), {"seed": 0, **values, **c.by_hand}, "what is there")
    equal(c.wrong(), [], "a strict check")
    for name, value in values.items():
        equal(client.get(f"/docs/{name}").json(), value, f"{name}, here")
    wait_for(lambda: not below(server.process.pid), 10)
    said = server.stderr() + json.dumps(client.get("/remotes/host").json()) + json.dumps(client.get("/status").json())
    show = run("remote", "show", "host", "--at", TOP / c.name / "default.db")
    said += (show.out + show.err).decode() + json.dumps(last)
    for secret in [s for s, cell_name in SECRETS.items() if cell_name == c.name]:
        check(secret not in said, f"the token is nowhere: {said}")
    equal(server.stop(), 0, "its end")
    equal(of_folder(TOP / c.name), [], "what is left")
    times.sort()
    return times, drained, last["detail"]


def safely(name):
    try:
        return go(name)
    except Exception:  # a cell may fail in any way, and the others go on
        return traceback.format_exc()


def run_cells():
    """All cells of the file, and one without a fault."""
    if "no_fault" not in CELLS:
        CELLS["no_fault"] = Cell(lambda c: lambda: None, "", kind=next(iter(CELLS.values())).kind)
    chosen = [name for name in CELLS if name == "no_fault" or not os.environ.get("KF_CELL") or name in os.environ["KF_CELL"].split(",")]
    OVER.clear()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with ThreadPoolExecutor(len(chosen)) as pool:
        results = dict(zip(chosen, pool.map(safely, chosen)))
    OVER.set()
    watcher.join()
    wrong = {name: found for name, found in results.items() if isinstance(found, str)}
    plain = p99(results["no_fault"][0]) if "no_fault" not in wrong else float("nan")
    for name, found in results.items():
        if name not in wrong:
            times, drained, detail = found
            note(f"{name}: writes={len(times)} p50={times[len(times) // 2] * 1000:.1f}ms p99={p99(times) * 1000:.1f}ms "
                 f"ratio={p99(times) / plain:.2f} max={times[-1] * 1000:.0f}ms drained_s={drained:.1f} told={detail[:160]!r}")
    check(not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items()))
    equal(LEAKS, set(), "no token in a command line")


def p99(times):
    return times[len(times) * 99 // 100]
