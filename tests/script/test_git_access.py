#!/usr/bin/env python3
# test: timeout=180
"""The way to a git host: what `remote add` is told gets in over every kind of way, what is missing is named with what to do, and
the token is seen by nobody but the host that it is for."""

import base64
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("KF_TOP", "."), "tests"))
from githost import FaultProxy, GitHost  # noqa: E402
from keepfast import PROGRAM, Server, folder, run, wait_for  # noqa: E402
from tap import check, equal, main, test  # noqa: E402

TOP = folder()


def store(name):
    """A store with one document."""
    (TOP / name).mkdir()
    at = TOP / name / "a.db"
    equal(run("put", "a", at=at, stdin=b"[1]").status, 0, "put")
    return at


def add(at, config, env=None):
    """remote add with what stands in a remote's configuration, untried."""
    flags = [word for key, value in config.items() if key != "url" for word in ("--" + key.replace("_", "-"), value)]
    return run("remote", "add", "host", config["url"], "--manual", "--no-probe", *flags, at=at, env=env)


def sync(at, env=None, **more):
    return run("sync", "--wait", "--timeout", "20s", at=at, env=dict(env or {}, **more))


def way(kind):
    with GitHost(kind) as host:
        host.make("store")
        at = store(f"way-{kind}")
        done = add(at, host.config("store", branch="live"))
        equal(done.status, 0, f"remote add: {done}")
        done = sync(at, host.environment())
        equal(done.status, 0, f"sync: {done}")
        check("a" in host.files("store", "live"), "it is there, in the branch that was named")
        check((at.parent / "a.db.d/host").is_dir(), "its repository is beside the store")
        shown = run("remote", "ls", "--json", at=at)
        check(b'"branch":"live"' in shown.out and (not host.token or host.token.encode() not in shown.out), f"{shown.out}")
        equal(run("remote", "rm", "host", at=at).status, 0, "remote rm")
        check(not (at.parent / "a.db.d/host").exists(), "and goes with the remote")
        check("a" in host.files("store", "live"), "what it saved stays")


@test
def into_a_folder():
    way("path")


@test
def over_http():
    way("http")


@test
def over_https():
    way("https")


@test
def over_ssh():
    way("ssh")


def fails_with(at, words, env=None):
    done = sync(at, env)
    check(done.status == 6 and words.encode() in done.err, f"wanted {words!r}: {done}")
    return done


@test
def what_is_missing_over_http_is_named():
    with GitHost("http") as host:
        host.make("store")
        bare = store("no-token")
        equal(add(bare, {"url": host.url("store")}).status, 0, "remote add")
        fails_with(bare, "127.0.0.1 wants a token")
        at = store("wrong-token")
        equal(add(at, host.config("store")).status, 0, "remote add")
        fails_with(at, "the variable KEEPFAST_TEST_TOKEN is not set")
        done = fails_with(at, "does not take the token of KEEPFAST_TEST_TOKEN", {"KEEPFAST_TEST_TOKEN": "hunter2"})
        check(b"hunter2" not in done.err, "and not what it holds")
        fails_with(at, "knows who asks and refuses", host.environment(host.read_token))
        absent = store("absent")
        equal(add(absent, host.config("none")).status, 0, "remote add")
        fails_with(absent, "shows no such repository", host.environment())
        equal(sync(at, host.environment()).status, 0, "with its token it gets in")
        token = TOP / "token"
        token.write_text(host.token + "\n")
        token.chmod(0o600)
        of_file = store("token-of-a-file")
        equal(add(of_file, {"url": host.url("store"), "token_file": str(token)}).status, 0, "remote add")
        equal(sync(of_file).status, 0, "and with one of a file")
        token.chmod(0o644)
        fails_with(of_file, "(mode 0644)")


@test
def what_is_missing_over_https_is_named():
    with GitHost("https") as host:
        host.make("store")
        at = store("no-ca")
        config = host.config("store")
        del config["ca_file"]
        equal(add(at, config).status, 0, "remote add")
        fails_with(at, "the certificate of 127.0.0.1 is not believed", host.environment())
        equal([r for r in host.requests() if r.credentials], [], "and it gets no token")
    for certificate in ("expired", "other name"):
        with GitHost("https", certificate=certificate) as host:
            host.make("store")
            at = store(f"certificate-{certificate[:5]}")
            equal(add(at, host.config("store")).status, 0, "remote add")
            check(sync(at, host.environment()).status == 6, f"{certificate}: refused")
            equal([r for r in host.requests() if r.credentials], [], "and it gets no token")


@test
def what_is_missing_over_ssh_is_named():
    with GitHost("ssh") as host:
        host.make("store")
        config = host.config("store")
        at = store("unknown-host")
        nobody = TOP / "nobody"
        nobody.write_text("")
        equal(add(at, config | {"known_hosts_file": str(nobody)}).status, 0, "remote add")
        done = fails_with(at, "the key of 127.0.0.1 is not known here")
        check(str(nobody).encode() in done.err and nobody.read_text() == "", f"names the file, and adds nothing to it: {done}")
        at = store("unknown-key")
        equal(add(at, config | {"ssh_key_file": str(host.top / "stranger")}).status, 0, "remote add")
        fails_with(at, f"does not take the key {host.top}/stranger")


@test
def a_redirect_carries_no_token_away():
    with GitHost("http") as host, FaultProxy(host, http=True) as proxy, FaultProxy(None, http=True) as elsewhere:
        host.make("store")
        at = store("redirect")
        equal(add(at, host.config("store", port=proxy.port)).status, 0, "remote add")
        for status in (301, 302, 307, 308):
            proxy.redirect(f"http://127.0.0.1:{elsewhere.port}/git/store.git/info/refs?service=git-upload-pack", status=status)
            fails_with(at, "sends us elsewhere", host.environment())
        equal(elsewhere.requests(), [], "nobody went there")
        check(any(r.credentials for r in proxy.requests()), "the token was on its way to the host that it is for")
        # Told to follow, it would.
        sync(at, host.environment(), KF_SABOTAGE="follow-redirect")
        check(elsewhere.requests(), "a redirect that is followed is seen here")
        equal([r for r in elsewhere.requests() if r.credentials], [], "even then without the token")


def processes():
    """The arguments and the environment of every process of ours."""
    for place in glob.glob("/proc/[0-9]*"):
        try:
            with open(f"{place}/cmdline", "rb") as words, open(f"{place}/environ", "rb") as environ:
                yield words.read(), environ.read()
        except OSError:
            pass


@test
def the_token_is_no_argument():
    with GitHost("http") as host, FaultProxy(host, http=True) as proxy:
        host.make("store")
        at = store("argument")
        equal(add(at, host.config("store", port=proxy.port)).status, 0, "remote add")
        proxy.black_hole()
        basic = base64.b64encode(f"x-access-token:{host.token}".encode())
        process = subprocess.Popen([PROGRAM, "sync", "--wait", "--timeout", "10s", "--at", str(at)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=dict(os.environ, **host.environment()))
        try:
            check(wait_for(lambda: any(basic in environ for _, environ in processes())), "git has it in its environment")
            for words, _ in processes():
                check(host.token.encode() not in words and basic not in words, f"in the arguments of {words!r}")
        finally:
            process.kill()
            process.wait()


@test
def an_address_that_is_none_is_told_with_its_place():
    """Before a store is opened or made, and by whatever reads the configuration."""
    for n, (value, at, says) in enumerate((
            ('url: "https://host/x"', 'url: "', "ends in .git"), ('url: "https://169.254.169.254/x.git"', 'url: "', "not one that keeps a repository"),
            ('url: "https://host/x.git", branch: "a..b"', 'branch: "', "a branch is 1 to"), ('url: "http://host/x.git"', 'url: "', "insecure"))):
        config = TOP / f"place{n}.yaml"
        config.write_text("spaces:\n  default:\n    remotes:\n      host: { " + value + " }\n")
        where = f"{config}:4:{len('      host: { ') + value.index(at) + at.index(chr(34)) + 1}: "
        for words in (("config",), ("ls",), ("serve", "--data", str(TOP / f"place{n}"), "--listen", "127.0.0.1:0")):
            done = run(*words, "--config", config, *([] if words[0] in ("config", "serve") else ["--at", TOP / f"place{n}.db"]))
            check(done.status == 3 and where in done.err.decode() and says in done.err.decode(), f"wanted {where}: {done}")
        check(not (TOP / f"place{n}").exists() and not (TOP / f"place{n}.db").exists(), "nothing is made")


@test
def a_space_goes_with_the_repository_beside_it():
    with GitHost("path") as host, Server(TOP / "spaces") as server:
        host.make("store")
        client = server.client("s")
        client.put("/docs/a", b"1")
        client.post("/remotes", {"name": "host", "url": host.url("store"), "manual": True})
        equal(client.post("/remotes/host/run?timeout=20s").status, 200, "it runs")
        side = TOP / "spaces" / "s.db.d"
        check((side / "host").is_dir(), "the repository is beside the store")
        wait_for(lambda: client.ask("DELETE", "/v1/s?confirm=s", raw=True).status in (204, 404))
        check(not side.exists() and not (TOP / "spaces" / "s.db").exists(), "all of it is gone")
        check("a" in host.files("store", "data"), "what it saved stays")


main()
