"""What tests of git hosts do with the plain git program."""

from githost import GitHost
from keepfast import folder
from tap import check, equal

TOP = folder()
SERVERS = ("http", "https", "ssh", "daemon")
numbers = iter(range(10000))


def clone(host, repo="store", url=None, **who):
    """Its CompletedProcess and its folder."""
    at = TOP / f"clone{next(numbers)}"
    return host.git("clone", "-q", "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=1", url or host.url(repo), at, **who), at


def edit(host, at, name, content):
    (at / name).write_bytes(content)
    equal(host.git("add", name, cwd=at).returncode, 0, "add")
    equal(host.git("commit", "-q", "-m", f"{name} again", cwd=at).returncode, 0, "commit")


def push(host, at, *words, url="origin", **who):
    return host.git("push", *words, url, "HEAD:main", cwd=at, **who)


def host_with(kind, files=None, **kw):
    host = GitHost(kind, **kw)
    host.make("store")
    host.commit("store", "main", files or {"a.json": b"1\n"}, "first")
    return host


def fails(done, *words):
    check(done.returncode != 0, f"it fails: {done.stderr}")
    check(any(word in done.stderr for word in words), f"as {words[0]!r}: {done.stderr}")


def raises(error, action):
    try:
        action()
    except error:
        return True
    return False
