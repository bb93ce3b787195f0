#!/usr/bin/env python3
# test: timeout=240
"""make install as root, the service and its sandbox: in a copy of this machine (tests/machine.py), as the unit says (tests/sandbox.py)."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from elf import TOP
from tap import check, equal, main, note, test

sys.path.insert(0, os.path.join(TOP, "tests"))
from githost import GitHost  # noqa: E402
from keepfast import wait_for  # noqa: E402
from machine import Machine  # noqa: E402

TEMP = os.environ["TMPDIR"]
UNIT = "/usr/local/lib/systemd/system/keepfast.service"
PROGRAM = "/usr/local/bin/keepfast"
PYTHON = "/usr/bin/python3"  # which is not in somebody's home, as that is not seen in a sandbox
SCORE_MAX = 2.0

INSTALLED = {f"/usr/local/{name}" for name in """bin/keepfast include/keepfast.h lib/systemd/system/keepfast.service
    lib/sysusers.d/keepfast.conf lib/tmpfiles.d/keepfast.conf share/man/man1/keepfast.1 share/bash-completion/completions/keepfast.bash
    share/zsh/site-functions/_keepfast share/fish/vendor_completions.d/keepfast.fish share/keepfast/keepfast.yaml
    share/keepfast/keepfast.rules.yml share/keepfast/keepfast.json share/doc/keepfast/operations.md""".split()}
LIBRARY = ["libkeepfast.so", "libkeepfast.so.0", "libkeepfast.a", "keepfast.pc"]
SEEN = "find /usr/local /etc /var/lib /var/backups -xdev"


def make(m, *words):
    """As an administrator would; the build is there, and the copy keeps what is changed in it."""
    return m.run("make", "-s", *words, cwd=TOP, env={**os.environ, "JOBS": "2"})


MACHINE = Machine()
make(MACHINE, "install")


def snapshot(m):
    """Everything that is there: kind, mode, owner, size, time of its bytes, target of a link. Directories have no time: one in which a
    link is made anew is as before."""
    lines = m.sh(SEEN + r" \( -type d -printf '%p %M %u:%g\n' \) -o \( -type l -printf '%p -> %l\n' \) -o -printf '%p %M %u:%g %s %T@\n'")
    skip = ("/etc/ld.so.cache", "/var/lib/apt", "/var/lib/dpkg")
    return sorted(line for line in lines.splitlines() if not line.startswith(skip))


@test
def everything_is_at_its_place():
    there = {line.split()[0] for line in snapshot(MACHINE)}
    equal(sorted(INSTALLED - there), [], "not installed")
    for name in LIBRARY:
        check(any(path.endswith("/" + name) for path in there), f"{name} is installed")
    check(MACHINE.run("ldconfig", "-p").count("libkeepfast.so.0"), "programs find the library")
    check("keepfast" in MACHINE.run(PROGRAM, "version"), "the program runs")


@test
def the_user_and_the_folders_are_there():
    name, _, uid, gid, _, home, login = MACHINE.run("getent", "passwd", "keepfast").strip().split(":")
    check(0 < int(uid) < 1000 and home == "/var/lib/keepfast" and login.endswith("nologin"), f"a user of the system: {uid} {home} {login}")
    equal(MACHINE.run("getent", "group", gid).split(":")[0], name, "with a group of its own")
    for path, wanted in {"/var/lib/keepfast": "700 keepfast:keepfast", "/var/backups/keepfast": "700 keepfast:keepfast", "/etc/keepfast": "750 root:keepfast",
                         "/etc/keepfast/keepfast.yaml": "640 root:keepfast"}.items():
        equal(MACHINE.run("stat", "-c", "%a %U:%G", path).strip(), wanted, path)
    MACHINE.run("runuser", "-u", "keepfast", "--", PROGRAM, "config", "--config", "/etc/keepfast/keepfast.yaml")


@test
def the_second_time_changes_nothing():
    MACHINE.sh("echo '# mine' >>/etc/keepfast/keepfast.yaml; : >/var/lib/keepfast/kept")
    before = snapshot(MACHINE)
    time.sleep(1.1)
    make(MACHINE, "install")
    after = snapshot(MACHINE)
    equal(sorted(set(before) ^ set(after)), [], "what differs")
    MACHINE.sh("chmod 755 /etc/keepfast; chown root /var/lib/keepfast")
    check(snapshot(MACHINE) != before, "control: a mode and an owner are seen")
    make(MACHINE, "install")
    equal(sorted(set(before) ^ set(snapshot(MACHINE))), [], "and are put right")
    MACHINE.sh("rm /var/lib/keepfast/kept")
    # Whichever of two is newer, what is installed is what was built: the way back is an installation, too.
    MACHINE.sh(f"echo else >{PROGRAM}; touch -d tomorrow {PROGRAM}; chmod 600 /usr/local/include/keepfast.h")
    make(MACHINE, "install")
    check("keepfast" in MACHINE.run(PROGRAM, "version"), "a younger file is replaced")
    equal(MACHINE.run("stat", "-c", "%a", "/usr/local/include/keepfast.h").strip(), "644", "and a mode put right")


@test
def a_destdir_may_be_relative():
    for what in ("install", "uninstall"):
        make(MACHINE, what, "DESTDIR=var-of-a-test")
        there = MACHINE.sh(f"cd {TOP} && find var-of-a-test ! -type d | wc -l").strip()
        equal(there != "0", what == "install", f"files after {what}: {there}")
    MACHINE.sh(f"rm -r {TOP}/var-of-a-test")


@test
def systemd_understands_the_files():
    done = MACHINE.try_run("systemd-analyze", "verify", "--man=no", UNIT)
    equal((done.returncode, [line for line in done.stderr.splitlines() if "keepfast" in line]), (0, []), "verify")
    broken = UNIT.replace("keepfast.service", "broken.service")
    MACHINE.sh(f"sed 's/^ProtectSystem=.*/ProtectSystem=rather/' {UNIT} >{broken}")
    check("rather" in MACHINE.try_run("systemd-analyze", "verify", "--man=no", broken).stderr, "control: a wrong word is found")
    MACHINE.sh(f"rm {broken}")
    MACHINE.sh("rm -rf /var/backups/keepfast")
    MACHINE.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/keepfast.conf")
    equal(MACHINE.run("stat", "-c", "%a %U:%G", "/var/backups/keepfast").strip(), "700 keepfast:keepfast", "tmpfiles")


@test
def the_service_may_do_little():
    text = MACHINE.run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    score = float(re.search(r"Overall exposure level for keepfast.service: ([0-9.]+)", text)[1])
    note(f"systemd-analyze security: {score} of 10 (0 is best)")
    check(score < SCORE_MAX, text)
    for line in text.splitlines():
        if line.startswith("✗"):
            note(" ".join(line.split()))


# ------------------------------------------------------------------------------------- in its sandbox

def sandbox(*command):
    return ["unshare", "--mount", PYTHON, f"{TOP}/tests/sandbox.py", UNIT, *command]


TRIES = r"""
import ctypes, errno, mmap, os, pwd, socket
def said(f, *a):
    try:
        return f(*a) and "did"
    except OSError as e:
        return errno.errorcode[e.errno]
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_long
def call(f, *a):
    r = f(*a)
    if r == -1: raise OSError(ctypes.get_errno(), "")
    return True
import json
print(json.dumps({
    "write /usr": said(open, "/usr/x", "w"), "write /etc": said(open, "/etc/keepfast/x", "w"), "write own": bool(said(open, "/var/lib/keepfast/x", "w")),
    "map code": said(call, libc.mmap, None, 4096, 7, 0x22, -1, 0), "map data": said(call, libc.mmap, None, 4096, 3, 0x22, -1, 0),
    "namespace": said(call, libc.unshare, 0x10000000), "netlink": said(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
    "inet": bool(said(socket.socket)), "be root": said(os.setuid, 0), "mount": said(call, libc.mount, b"x", b"/tmp", b"tmpfs", 0, None),
    "home": os.access(pwd.getpwuid(0).pw_dir, os.R_OK), "uid": os.getuid() > 0, "groups": len(os.getgroups()),
    "umask": os.umask(0), "others": len([p for p in os.listdir("/proc") if p.isdigit()]), "kernel": os.path.exists("/proc/kcore"),
    "disk": os.path.exists("/dev/vda") or os.path.exists("/dev/sda") or os.path.exists("/dev/kmsg")}))
"""


@test
def the_sandbox_of_this_test_is_in_force():
    script = os.path.join(TEMP, "tries.py")
    with open(script, "w", encoding="utf-8") as file:
        file.write(TRIES)
    MACHINE.run("cp", script, "/usr/local/share/tries.py")
    found = json.loads(MACHINE.run(*sandbox(PYTHON, "/usr/local/share/tries.py")))
    equal(found, {"write /usr": "EROFS", "write /etc": "EROFS", "write own": True, "map code": "EPERM", "map data": "did", "namespace": "EPERM",
                  "netlink": "EAFNOSUPPORT", "inet": True, "be root": "EPERM", "mount": "EPERM", "home": False, "uid": True, "groups": 0,
                  "umask": 0o77, "others": 1, "kernel": False, "disk": False}, "what a program in it may do")
    MACHINE.sh("rm /usr/local/share/tries.py /var/lib/keepfast/x")


class Manager:
    """The end of a service manager: what it is told."""
    number = 0

    def __init__(self):
        Manager.number += 1
        self.path = f"/run/notify-{Manager.number}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"/proc/{MACHINE.keeper.pid}/root{self.path}")
        os.chmod(f"/proc/{MACHINE.keeper.pid}/root{self.path}", 0o777)
        self.told = []

    def wait(self, word, seconds=15):
        self.socket.settimeout(seconds)
        while True:
            text = self.socket.recv(4096).decode()
            self.told.append(text)
            if word in text:
                return text


@contextlib.contextmanager
def service(config, watchdog_us=None, **env):
    manager = Manager()
    MACHINE.path("/etc/keepfast/keepfast.yaml").write_text("data: /var/lib/keepfast\nlisten: 127.0.0.1:0\n" + config)
    env = {**os.environ, "NOTIFY_SOCKET": manager.path, **env}
    env.pop("KEEPFAST", None)  # the tests' own variable
    if watchdog_us:
        env["WATCHDOG_USEC"] = str(watchdog_us)
    command = re.search(r"^ExecStart=(.*)$", MACHINE.read(UNIT), re.M)[1].split()
    process = subprocess.Popen(MACHINE.words(*sandbox(*command)), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        try:
            ready = manager.wait("READY=1")
        except TimeoutError:
            process.kill()
            raise RuntimeError(f"not ready: {process.communicate()}") from None
        yield process, manager, ready
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        manager.socket.close()


def keepfast(*words, stdin=None, status=0, at="/var/lib/keepfast"):
    """As root of the machine."""
    done = subprocess.run(MACHINE.words(PROGRAM, "--at", at, *words), input=stdin, capture_output=True, text=True, timeout=60)
    equal(done.returncode, status, f"{words}: {done.stderr}")
    return done.stdout


@test
def a_manager_is_told_ready_watched_and_stopping():
    with service("", watchdog_us=400_000) as (process, manager, ready):
        check(re.search(r"STATUS=.*http://127\.0\.0\.1:\d+", ready), f"with the address: {ready!r}")
        manager.wait("WATCHDOG=1", 2)
        began = time.monotonic()
        manager.wait("WATCHDOG=1", 2)
        check(0.1 < time.monotonic() - began < 0.4, "at half of the time that is given")
        process.send_signal(signal.SIGTERM)
        manager.wait("STOPPING=1", 5)
        equal(process.wait(15), 0, "it ends")


def certificate():
    """Ours, for the service to read."""
    key, cert = (os.path.join(TEMP, name) for name in ("key.pem", "cert.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=kf",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return {"cert": secret_file("cert.pem", cert), "key": secret_file("key.pem", key)}


@test
def a_reload_begins_and_ends():
    for config in ("", f"tls: {json.dumps(certificate())}\n"):
        with service(config) as (process, manager, _):
            process.send_signal(signal.SIGHUP)
            told = manager.wait("RELOADING=1", 5)
            since = int(re.search(r"MONOTONIC_USEC=(\d+)", told)[1]) / 1e6
            check(0 <= time.monotonic() - since < 5, f"since when: {told!r}")
            manager.wait("READY=1", 5)
            process.terminate()
            equal(process.wait(15), 0, "it ends")


@test
def the_service_keeps_documents_in_its_sandbox():
    with service("") as (process, _, _):
        keepfast("put", "a.json", stdin='{"a": 1}')
        equal(json.loads(keepfast("get", "a.json")), {"a": 1}, "root's command reaches it through its socket")
        text = MACHINE.run("find", "/var/lib/keepfast", "-name", ".keys", "-prune", "-o", "-printf", "%u %m %y\n")
        check(all(line.startswith("keepfast ") for line in text.splitlines()), "all is the user's")
        check(not [line for line in text.splitlines() if line.endswith(" f") and not line.startswith("keepfast 600")], f"and private: {text}")
        process.terminate()
        equal(process.wait(15), 0, "it ends")
    done = MACHINE.try_run("runuser", "-u", "keepfast", "--", PROGRAM, "--at", "/var/lib/keepfast", "verify")
    equal(done.returncode, 0, done.stderr)


def secret_file(name, source):
    MACHINE.run("install", "-D", "-m", "0600", "-o", "keepfast", "-g", "keepfast", source, f"/var/lib/keepfast/.keys/{name}")
    return f"/var/lib/keepfast/.keys/{name}"


def remote_works(kind):
    with GitHost(kind) as host:
        host.make("store")
        config = host.config("store", on_change="1s")
        for key in ("ca_file", "ssh_key_file", "known_hosts_file"):
            if key in config:
                config[key] = secret_file(f"{kind}-{key}", config[key])
        if kind == "ssh":
            MACHINE.run("chmod", "644", config["known_hosts_file"])
        env = {"KEEPFAST_HOST_TOKEN": host.token} if host.token else {}
        if env:
            config["token_env"] = "KEEPFAST_HOST_TOKEN"
        text = json.dumps({"spaces": {kind: {"remotes": {"host": config}}}})[1:-1]
        with service(text + "\n", **env) as (process, _, _):
            at = f"/var/lib/keepfast#{kind}"
            wait_for(lambda: json.loads(keepfast("status", "--json", at=at))["store"]["state"] == "open", 30)
            keepfast("put", "b.json", "--wait", "host", "--timeout", "20s", at=at, stdin='{"b": 2}')
            equal(json.loads(host.files("store", "data")["b.json"]), {"b": 2}, f"{kind}: it is there")
            process.terminate()
            equal(process.wait(15), 0, "it ends")


@test
def git_over_https_works_in_the_sandbox():
    remote_works("https")


@test
def git_over_ssh_works_in_the_sandbox():
    remote_works("ssh")


@test
def a_backup_goes_to_its_folder():
    with service('backup: { to: "dir:/var/backups/keepfast", every: 1s, keep: 2 }\n'):
        keepfast("put", "a.json", stdin="3")
        wait_for(lambda: MACHINE.run("find", "/var/backups/keepfast", "-name", "default-*.zip").strip(), 20)


@test
def uninstalling_leaves_the_data():
    MACHINE.sh(": >/var/lib/keepfast/kept; : >/usr/local/share/keepfast/theirs")
    text = make(MACHINE, "uninstall")
    check("/var/lib/keepfast" in text, "it says what stays")
    left = {line.split()[0] for line in snapshot(MACHINE)}
    equal(sorted(path for path in left if path.startswith("/usr/local") and "keepfast" in path),
          ["/usr/local/share/keepfast", "/usr/local/share/keepfast/theirs"], "what is gone, and what is somebody's")
    check({"/var/lib/keepfast/kept", "/etc/keepfast/keepfast.yaml"} <= left, "data and configuration are there")
    check(MACHINE.run("getent", "passwd", "keepfast"), "the user is")


main()
