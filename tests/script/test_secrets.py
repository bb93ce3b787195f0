#!/usr/bin/env python3
# test: timeout=120
"""Secrets stay secret: a canary in each place that takes one, used in all that goes well and all that fails, and then looked for - as it
is, in base64, in hex, with %XX - in everything that was said, shown, written, started or left behind.

    a variable, a file, a key of ssh                     used: the host lets us in
    an address with a password, in three doors           refused: and not repeated
    tokens of our own: header, variable, file            used; in an address or in the configuration refused
    what a user's git, home and terminal would give      not used

    debug log, stdout and stderr of every command, HTTP answers | arguments and environment of all processes
    the store with its log and the repositories beside it | what is at the host | backups | a core file, of which there is none"""

import base64
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import zipfile
import zlib
from pathlib import Path

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import TOKEN_ENV, USER, FaultProxy, GitHost  # noqa: E402
from keepfast import PROGRAM, Server, folder, run, state, wait_for  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402
from tokens import make, revoke, soon  # noqa: E402
from wire import once  # noqa: E402

TOP = folder()
USED_MIN = 50
OVER = threading.Event()
REFUSED = b"refused-by-design"  # in the arguments of a command that a user has given a secret


def canary(name):
    """With bytes that other spellings spell otherwise."""
    return f"kft+{name}/{os.urandom(12).hex()}="


def spellings(secret, user=USER):
    """What it may look like; of base64 the middle, at each of the three places where it may begin."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(secret, safe="").encode(),
             urllib.parse.quote(secret, safe="").lower().encode(), f"{user}:{secret}".encode()}
    for before in range(3):
        found.add(base64.b64encode(b"x" * before + raw)[4:-4])
    return found


class Watched:
    """Secrets, and where they were met."""

    def __init__(self):
        self.secrets = {}
        self.met = set()

    def watch(self, name, secret):
        self.secrets[name] = spellings(secret)
        return secret

    def look(self, where, data):
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")
        for name, forms in list(self.secrets.items()):
            for form in forms:
                if form in data:
                    at = data.index(form)
                    self.met.add(f"{name} in {where}: {data[max(0, at - 60):at]!r} …")

    def look_at_file(self, path, where):
        data = path.read_bytes()
        self.look(where, data)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for inside in archive.namelist():
                    self.look(f"{where}/{inside}", archive.read(inside) + inside.encode())
        with contextlib.suppress(zlib.error):
            self.look(where, zlib.decompress(data))

    def look_below(self, top, where, but=()):
        for path in sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name not in but:
                self.look_at_file(path, f"{where}/{path.relative_to(top)}")
            if path.name == "objects" and (path.parent / "refs").is_dir():
                words = ["git", "-C", str(path.parent), "cat-file", "--batch-all-objects", "--batch", "--buffer"]
                self.look(f"{where}/{path.parent.name}: objects", subprocess.run(words, capture_output=True, check=True).stdout)


def processes(w, seen):
    """Until all is over: arguments of all, and the environment of what a server of ours has started."""
    while not OVER.wait(0.01):
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
                if REFUSED not in line:
                    w.look(f"the arguments of {line[:80]!r}", line)
                environ = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                if b"GIT_ASKPASS=/bin/false" in environ:
                    seen["children"] += 1
                    # The header is what git needs. Nothing else of it is there, and nothing at all in a child that stays here.
                    if b"GIT_ALLOW_PROTOCOL=none" not in environ:
                        environ = [e for e in environ if not re.match(rb"GIT_CONFIG_VALUE_\d+=Authorization: Basic ", e)]
                    w.look(f"the environment of {line[:80]!r}", b"\0".join(environ))


def said(w, *words, usage=False, **kw):
    done = run(*words, **kw)
    w.look(f"what {words[0]} says", done.out + done.err)
    equal(done.status == 2, usage, f"{words}: {done}")
    return done


def ask(w, client, method, path, **kw):
    answer = client.ask(method, path, **kw)
    w.look(f"the answer to {method} {path}", answer.body + str(answer.headers).encode())
    return answer


def yaml(remotes):
    return json.dumps({"log": {"level": "debug"}, "spaces": {"default": {"remotes": remotes}}})


def echo(secret):
    """All that a host may say back."""
    raw = secret.encode()
    forms = [secret, f"{USER}:{secret}", raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode(), urllib.parse.quote(secret, safe=""),
             "Basic " + base64.b64encode(f"{USER}:{secret}".encode()).decode()]
    return "".join(f"you sent {form}\n" for form in forms)


# ------------------------------------------------------------------------------------- the flows


def with_secret(host, secret):
    host.token = secret
    host.renew()
    host.make("store")


def shown(w, client, where, much=False):
    for path in ("/status", "/remotes/host", "/remotes/host/runs"):
        ask(w, client, "GET", path)
    at = where / "default.db"
    for words in (("status",), ("runs",)):
        said(w, *words, at=at)
    if not much:
        return
    for path in ("/remotes", "/remotes/host/set-aside", "/remotes/host/pending"):
        ask(w, client, "GET", path)
    ask(w, client, "GET", "/metrics", raw=True)
    for words in (("status", "--json"), ("runs", "--json"), ("remote", "ls"), ("remote", "show", "host"), ("set-aside", "ls"), ("pending",),
                  ("verify", "--deep"), ("log", "doc"), ("remote", "probe", "host")):
        said(w, *words, at=at)
    said(w, "config", "--config", where.parent / (where.name + ".yaml"))


def bad_days(w, where, client, host, proxy, secret):
    """Each fails while the token is on its way."""
    text = echo(secret).encode()
    faults = (
        (lambda: proxy.answer(403, text), proxy.pass_on), (lambda: proxy.answer(500, text), proxy.pass_on),
        (lambda: proxy.answer(401, text), proxy.pass_on), (lambda: proxy.answer(200, text, "text/html"), proxy.pass_on),
        (lambda: proxy.redirect(f"http://127.0.0.1:{proxy.port}/{urllib.parse.quote(secret, safe='')}"), proxy.pass_on),
        (lambda: proxy.cut(down=300), proxy.pass_on), (proxy.refuse, proxy.pass_on), (host.revoke, host.renew),
        (lambda: host.hook("store", "pre-receive", f"cat >&2 <<'end'\n{echo(secret)}end\nexit 1\n"), lambda: host.hook("store", "pre-receive", "")))
    for n, (begin, end) in enumerate(faults):
        begin()
        client.put("/docs/doc", b"%d" % n)
        answer = ask(w, client, "POST", "/remotes/host/run?timeout=20s")
        check(answer.status in (503, 422), f"fault {n}: {answer}")
        shown(w, client, where)
        end()
    said(w, "set-aside", "retry", "host", at=where / "default.db")  # what the host refused
    equal(ask(w, client, "POST", "/remotes/host/run?timeout=20s").status, 200, "all is well again")


def uses(host, secret):
    return len([r for r in host.requests() if r.credentials == f"{USER}:{secret}" and r.status == 200])


def by_variable(w, sabotage=""):
    secret = w.watch("token_env", canary("env"))
    where = TOP / f"variable{sabotage}"
    with GitHost("http") as host, FaultProxy(host) as proxy:
        with_secret(host, secret)
        env = {TOKEN_ENV: secret} | ({"KF_SABOTAGE": sabotage} if sabotage else {})
        with Server(where, config=yaml({"host": host.config("store", port=proxy.port, manual=True)}), env=env) as server:
            client = server.client()
            wait_for(lambda: state(client) == "open")
            for n in range(2 if sabotage else 12):
                equal(client.put("/docs/doc?wait=host&timeout=20s", b"[%d]" % n).status // 100, 2, "it is let in")
            if not sabotage:
                host.commit("store", "data", {"broken.json": b"{", "by hand.json": b"1"}, "by hand")
                bad_days(w, where, client, host, proxy, secret)
                shown(w, client, where, much=True)
                said(w, "backup", TOP / "variable.zip", at=where / "default.db")
                w.look_at_file(TOP / "variable.zip", "a backup")
            equal(server.stop(), 0, "its end")
            w.look("the log", server.stderr())
        w.look_below(where, "the store")
        w.look_below(host.root, "the host", but=("pre-receive",))
        return uses(host, secret)


def by_file(w):
    secret = w.watch("token_file", canary("file"))
    where, token = TOP / "file", TOP / "token"
    token.write_text(secret + "\n")
    token.chmod(0o600)
    with GitHost("https") as host:
        with_secret(host, secret)
        config = host.config("store", manual=True) | {"token_file": str(token)}
        del config["token_env"]
        with Server(where, config=yaml({"host": config})) as server:
            client = server.client()
            wait_for(lambda: state(client) == "open")
            for n in range(6):
                equal(client.put("/docs/doc?wait=host&timeout=20s", b"[%d]" % n).status // 100, 2, "it is let in")
            shown(w, client, where, much=True)
            for mode, text in ((0o644, secret + "\n"), (0o600, secret + "\nand more\n")):
                token.write_text(text)
                token.chmod(mode)
                client.put("/docs/doc", b"%d" % mode)
                check(ask(w, client, "POST", "/remotes/host/run?timeout=20s").status == 503, "a file that is not taken")
                shown(w, client, where)
            equal(server.stop(), 0, "its end")
            w.look("the log", server.stderr())
        w.look_below(where, "the store")
        w.look_below(host.root, "the host")
        return uses(host, secret)


def by_key(w):
    """The private half of a key."""
    where = TOP / "key"
    with GitHost("ssh") as host:
        host.make("store")
        w.watch("ssh key", [line for line in (host.top / "key").read_text().splitlines() if not line.startswith("-----")][2])
        with Server(where, config=yaml({"host": host.config("store", manual=True)})) as server:
            client = server.client()
            wait_for(lambda: state(client) == "open")
            for n in range(3):
                equal(client.put("/docs/doc?wait=host&timeout=20s", b"[%d]" % n).status // 100, 2, "it is let in")
            (host.top / "authorized_keys").write_text("")
            client.put("/docs/doc", b"0")
            equal(ask(w, client, "POST", "/remotes/host/run?timeout=20s").status, 503, "and then it is not")
            shown(w, client, where, much=True)
            equal(server.stop(), 0, "its end")
            w.look("the log", server.stderr())
        w.look_below(where, "the store")
        w.look_below(host.root, "the host")
        return len([r for r in host.requests() if "receive-pack" in r.line])


def in_an_address(w):
    secret = w.watch("address", "kft-url-" + os.urandom(12).hex())
    url = f"https://me:{secret}@{REFUSED.decode()}.example/store.git"
    at = TOP / "address" / "default.db"
    at.parent.mkdir()
    run("put", "a", at=at, stdin=b"1")
    # Who writes it there shows it to whoever looks at arguments: but it goes no further.
    for more in ((), ("--no-probe",)):
        said(w, "remote", "add", "host", url, *more, at=at, usage=True)
    config = TOP / "address.yaml"
    config.write_text(yaml({"host": {"url": url}}))
    equal(said(w, "ls", "--config", config, at=at).status, 3, "refused")
    said(w, "config", "--config", config)
    with Server(TOP / "served") as server:
        client = server.client()
        for body in ({"name": "host", "url": url}, {"name": "host", "url": f"https://h/x.git?access_token={secret}"},
                     {"name": "host", "url": f"https://h:{secret}/x.git"}):
            check(ask(w, client, "POST", "/remotes", body=json.dumps(body)).status >= 400, "refused")
        equal(server.stop(), 0, "its end")
        w.look("the log", server.stderr())
    w.look_below(TOP / "address", "the store")
    w.look_below(TOP / "served", "the store")
    return 0


def of_the_user(w):
    """A helper, a netrc, a program that asks, a configuration with a header: all of them would give it away."""
    secret = w.watch("the user's git", canary("user"))
    home, where, asked = TOP / "home", TOP / "user", TOP / "asked"
    home.mkdir()
    script = home / "ask"
    script.write_text(f"#!/bin/sh\necho asked >>'{asked}'\necho '{secret}'\n")
    script.chmod(0o755)
    (home / ".gitconfig").write_text(f'[credential]\n\thelper = "!{script}"\n[http]\n\textraHeader = "X-Secret: {secret}"\n')
    (home / ".netrc").write_text(f"machine 127.0.0.1 login me password {secret}\n")
    with GitHost("http") as host:
        host.make("store")
        env = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "GIT_ASKPASS": str(script), "SSH_ASKPASS": str(script), "DISPLAY": ":0",
               "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": f"X-Secret: {secret}"}
        with Server(where, config=yaml({"host": {"url": host.url("store"), "manual": True}}), env=env) as server:
            client = server.client()
            answer = ask(w, client, "POST", "/remotes/host/run?timeout=20s")
            check(answer.status == 503 and "wants a token" in answer.body.decode(), f"nobody is asked: {answer}")
            shown(w, client, where)
            equal(server.stop(), 0, "its end")
            w.look("the log", server.stderr())
        check(not asked.exists(), "no program of the user's was run")
        equal([r for r in host.requests() if r.credentials], [], "and the host was told nothing")
        w.look_below(where, "the store")
        return 0


def of_our_own(w, sabotage=""):
    """Tokens that the server made: shown in a header, by a variable and by a file, and where they do not belong."""
    where, place, file = TOP / f"own{sabotage}", TOP / f"own{sabotage}-place", TOP / f"own{sabotage}-token"
    place.mkdir(mode=0o700)
    used = 0
    with Server(where, config="log: { level: debug }\n", env={"KF_SABOTAGE": sabotage} if sabotage else {}) as server:
        made = [make(server, f"number {n}", spaces=["default"], expires_at=soon(1) if n == 2 else None) for n in range(4)]
        texts = [w.watch(f"own token {n}", one["token"]) for n, one in enumerate(made)]
        check(once(server.socket, "PUT", "/v1/default").status == 201, "a space")
        client, at = server.client(), f"http://{server.address}/default"
        header = lambda text: {"Authorization": f"Bearer {text}"}
        for n in range(20):
            used += ask(w, client, "PUT", f"/docs/{n % 3}", body=b"[%d]" % n, headers=header(texts[n % 2])).status // 100 == 2
        if sabotage:
            server.stop()
            w.look("the log", server.stderr())
            return used
        file.write_text(texts[1] + "\n")
        file.chmod(0o600)
        for words in (("ls",), ("get", "0"), ("status",), ("log", "0"), ("digest",)):
            for more, env in (((), {"KEEPFAST_TOKEN": texts[0]}), (("--token-file", file), {})):
                for last in ((), ("--json",)):
                    used += said(w, *words, *more, *last, at=at, env=env).status == 0
        revoke(server, made[3]["id"])
        time.sleep(1)
        for text in texts[2:]:  # over
            for path in ("/docs/0", "/docs/none", "/backup"):
                equal(ask(w, client, "GET", path, headers=header(text)).status, 401, "one that is over")
            equal(said(w, "get", "0", at=at, env={"KEEPFAST_TOKEN": text}).status, 4, "by a command, too")
        for method, path, more in (("GET", f"/docs?token={texts[0]}", {}), ("GET", f"/docs?prefix={texts[0]}", {}), ("GET", f"/docs?{texts[0]}", {}),
                                   ("GET", "/v1/other/docs", header(texts[0])), ("DELETE", "/v1/tokens/none", header(texts[0])),
                                   ("GET", "/docs/0", {"Authorization": f"Basic {texts[0]}"}), ("GET", "/docs/0", {"Authorization": texts[0]}),
                                   ("GET", "/docs/0", {"Cookie": f"token={texts[0]}"}), ("GET", "/docs/0", header(texts[0] + "x"))):
            answer = ask(w, client, method, path, headers=more, raw=path.startswith("/v1"))
            check(answer.status >= 400, f"refused: {answer}")
        file.chmod(0o644)
        equal(said(w, "ls", "--token-file", file, at=at).status, 3, "a file that others may read")
        for line in (f"token: {texts[0]}", f"tokens: [{texts[0]}]", f"listen: {texts[0]}", f"log: {{ level: {texts[0]} }}"):
            (TOP / "own.yaml").write_text(line + "\n")
            done = run("config", "--config", TOP / "own.yaml")
            check(done.status == 3 and (texts[0].encode() not in done.err or line.startswith(("listen", "log"))), f"no place for a token: {done}")
        # A document that holds one does not leave this machine.
        leak = make(server, "leak")["token"]
        ask(w, client, "PUT", "/docs/leak", body=json.dumps({"text": leak}).encode(), headers=header(texts[0]))
        for method, path, body in (("POST", "/v1/default/remotes", json.dumps({"name": "usb", "url": f"dir:{place}", "manual": True}).encode()),
                                   ("POST", "/v1/default/remotes/usb/run", None)):
            answer = once(server.socket, method, path, body=body)
        check(answer.status == 422 and b"secret_found" in answer.body, f"it is kept back: {answer}")
        check(not any(leak.encode() in path.read_bytes() for path in place.rglob("*") if path.is_file()), "it is at no remote")
        for words in (("status",), ("runs",), ("set-aside", "ls")):
            said(w, *words, at=where / "default.db")
        said(w, "backup", TOP / "own.zip", at=where / "default.db")
        w.look_at_file(TOP / "own.zip", "a backup")
        equal(server.stop(), 0, "its end")
        w.look("the log", server.stderr())
    w.look_below(where, "the store")
    w.look_below(place, "the place")
    return used


def core_of(sabotage):
    """What an abort leaves in the folder where the server runs."""
    secret = canary("core")
    where = TOP / f"core-{sabotage or 'none'}"
    where.mkdir()
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    check(hard == resource.RLIM_INFINITY, f"this test may have core files: {hard}")
    with subprocess.Popen([PROGRAM, "serve", "--data", str(where / "data"), "--listen", "127.0.0.1:0"], cwd=where, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=os.environ | {TOKEN_ENV: secret, "KF_SABOTAGE": sabotage},
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, unlimited)) as process:
        process.stdout.readline()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.send_signal(signal.SIGABRT)
        process.wait()
    held = [path for path in where.iterdir() if path.is_file() and secret.encode() in path.read_bytes()]
    for path in held:
        path.unlink()
    return re.search(r"Max core file size +(\S+) +(\S+)", limits).groups(), held


# ------------------------------------------------------------------------------------- tests


@test
def no_secret_is_anywhere():
    w, seen, used = Watched(), {"children": 0}, {}
    watcher = threading.Thread(target=processes, args=(w, seen), daemon=True)
    watcher.start()
    for flow in (by_variable, by_file, by_key, in_an_address, of_the_user, of_our_own):
        began = time.monotonic()
        used[flow.__name__] = flow(w)
        note(f"{flow.__name__}: used={used[flow.__name__]} s={time.monotonic() - began:.1f}")
    OVER.set()
    watcher.join()
    note(f"used={sum(used.values())} children seen={seen['children']} spellings={sum(map(len, w.secrets.values()))}")
    equal(sorted(w.met), [], "where one was met")
    check(sum(used.values()) >= USED_MIN and all(used[flow] for flow in ("by_variable", "by_file", "by_key", "of_our_own")), f"they were of use: {used}")
    check(seen["children"] >= 20, f"commands of git were looked at: {seen}")


@test
def an_abort_leaves_no_core_file():
    limits, held = core_of("")
    check(held == [] and all(limit in ("0", "1") for limit in limits), f"{limits}, {held}")


@test
def saboteur_log_header_is_found():
    w = Watched()
    by_variable(w, "log-header")
    check(any("in the log" in met for met in w.met), f"met: {w.met}")


@test
def saboteur_log_authorization_is_found():
    w = Watched()
    of_our_own(w, "log-authorization")
    check(any("in the log" in met for met in w.met), f"met: {w.met}")


@test
def saboteur_core_dumped_is_found():
    limits, held = core_of("core-dumped")
    equal(limits, ("unlimited", "unlimited"), "it may leave one")
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() == "core":
        check(held, "and its core file holds the token")


main()
