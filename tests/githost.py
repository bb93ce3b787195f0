"""Real git hosts on loopback, and the other people who work there.

    with GitHost("http") as host:
        host.make("store")
        server = Server(data, yaml_with(host.config("store")), env=host.environment())
        host.commit("store", "data", {"a.json": b"1", "gone.json": None}, "by hand")
        host.files("store", "data"), host.log("store", "data"), host.fsck("store"), host.requests()

| kind   | what runs                                       | proves itself with         |
| path   | nothing: a folder, file://                      |                            |
| http   | lighttpd and git http-backend                   | a token                    |
| https  | the same with a certificate of a CA of its own  | a token                    |
| ssh    | sshd as the present user, git-shell behind it   | a key; its own is known    |
| daemon | git daemon                                      |                            |

Repositories are as on hosts: bare, what is pushed is checked (receive.fsckObjects), history is not overwritten and branches are not
deleted unless made with force=True, partial clones are answered. Nothing packs them behind one's back.

A host is a context manager; it starts in some 10 to 50 ms on a port that nobody else can have, and when it ends, or the test does in
whatever way, its processes end. FaultProxy(host) stands in front of it and misbehaves (faultproxy.py)."""

import base64
import contextlib
import dataclasses
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faultproxy import FaultProxy, Request  # noqa: F401 (for those who import it from here)

SOMEBODY = "Somebody <somebody@example.org>"
USER = "x-access-token"  # beside a token, as hosts want it
TOKEN_ENV = "KEEPFAST_TEST_TOKEN"  # where environment() puts it
MARK = "KF_GITHOST"  # in the environment of all that a host starts: what is left is found by it
PLAIN = {  # nobody's settings but the test's
    "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
}
LIST_MAX = 64 << 20
# A process is told to end when the *thread* that started it does: this one lives as long as the test.
STARTER = ThreadPoolExecutor(1)


def program(name):
    found = shutil.which(name, path=PLAIN["PATH"])
    if not found:
        raise RuntimeError(f"{name} is not there: packaging/debian-packages-test.txt names its package")
    return found


def start(words, **kw):
    """A process that does not outlive the test."""
    return STARTER.submit(subprocess.Popen, ["setpriv", "--pdeathsig", "KILL", *map(str, words)], **kw).result()


def run(*words, stdin=b"", env=None, **kw):
    done = subprocess.run([str(w) for w in words], input=stdin, capture_output=True, env=env or PLAIN, timeout=120, **kw)
    if done.returncode:
        raise RuntimeError(f"{words[:4]}: exit {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


@dataclasses.dataclass
class Commit:
    hash: str
    parents: list
    subject: str
    body: str
    trailers: dict
    author: str
    time: int
    files: dict  # path: "A", "M", "D", "T"


class GitHost:
    def __init__(self, kind, public=False, certificate="good"):
        """public: whoever comes may read, "later": after open_to_all() [http, https]. certificate: good, expired, or of another name [https]."""
        self.kind = kind
        self.top = Path(tempfile.mkdtemp(prefix=f"kf-host-{kind}-"))
        self.root = self.top / "repos"
        self.mark = secrets.token_hex(8)
        self.token = "kft_" + secrets.token_hex(18) if kind in ("http", "https") else ""
        self.read_token = "kft_" + secrets.token_hex(18) if self.token else ""  # may read, and a push gets 403
        self.address = None
        self._processes = []
        self._door = self._again = None
        self._public, self._later = public is True, public == "later"
        self._certificate = certificate
        self._flushed = 0
        began = time.monotonic()
        try:
            self.root.mkdir()
            {"path": lambda: None, "http": self._http, "https": self._https, "ssh": self._ssh, "daemon": self._daemon}[kind]()
        except BaseException:
            self.close()
            raise
        self.started_in = time.monotonic() - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ------------------------------------------------------------------------------------- for a client

    def url(self, repo, port=None):
        """The address of a repository; port: of what stands in front of the host."""
        if self.kind == "path":
            return f"file://{self.root}/{repo}.git"
        at = f"127.0.0.1:{port or self.address[1]}"
        return {
            "http": f"http://{at}/git/{repo}.git", "https": f"https://{at}/git/{repo}.git",
            "ssh": f"ssh://{pwd.getpwuid(os.geteuid()).pw_name}@{at}/{repo}.git", "daemon": f"git://{at}/{repo}.git",
        }[self.kind]

    def environment(self, token=None):
        """What Keepfast needs in its environment to be let in."""
        return {TOKEN_ENV: token or self.token} if self.token else {}

    def config(self, repo, port=None, **more):
        """A remote of Keepfast's configuration; json.dumps makes it YAML."""
        config = {"url": self.url(repo, port)}
        if self.token:
            config["token_env"] = TOKEN_ENV
        if self.kind == "https":
            config["ca_file"] = str(self.top / "ca.pem")
        if self.kind == "ssh":
            config |= {"ssh_key_file": str(self.top / "key"), "known_hosts_file": str(self.top / "known_hosts")}
        return config | more

    def client(self, token=None, ca=True, known=True, key="key"):
        """The environment of a plain git program that is let in, or is not: with another token, without the CA, without
        the host's key, with a key of which the host knows nothing ("stranger")."""
        env = dict(PLAIN, GIT_TERMINAL_PROMPT="0", GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0="gc.auto", GIT_CONFIG_VALUE_0="0",
                   GIT_CONFIG_KEY_1="maintenance.auto", GIT_CONFIG_VALUE_1="false")
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": SOMEBODY.partition(" <")[0], f"GIT_{who}_EMAIL": SOMEBODY.partition("<")[2][:-1]}
        if self.token:
            env |= {"GIT_ASKPASS": str(self._script("askpass", 'case $1 in Username*) echo %s ;; *) echo "$%s" ;; esac\n' % (USER, TOKEN_ENV))),
                    TOKEN_ENV: self.token if token is None else token}
        if self.kind == "https" and ca:
            env["GIT_SSL_CAINFO"] = str(self.top / "ca.pem")
        if self.kind == "ssh":
            known_hosts = self.top / "known_hosts" if known else "/dev/null"
            env["GIT_SSH_COMMAND"] = (f"ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -i {self.top / key} "
                                      f"-o UserKnownHostsFile={known_hosts} -o GlobalKnownHostsFile=/dev/null")
        return env

    def git(self, *words, cwd=None, stdin=b"", timeout=60, **who):
        """The plain git program as such a client; its CompletedProcess, with text."""
        done = subprocess.run(["git", *map(str, words)], cwd=cwd, input=stdin, capture_output=True, timeout=timeout, env=self.client(**who))
        done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        return done

    def revoke(self):
        """The token is worth nothing from this moment on."""
        self._replace("users", "")

    def renew(self):
        """It is good again."""
        self._replace("users", f"{USER}:{self.token}\n")

    def open_to_all(self):
        """From now on whoever comes may read [http, https]. Who comes meanwhile waits."""
        self._public = True
        self._processes[-1].terminate()
        self._processes[-1].wait(20)
        self._serve(self._again)
        self._again.close()

    # ------------------------------------------------------------------------------------- repositories

    def path(self, repo):
        return self.root / f"{repo}.git"

    def make(self, repo, head="main", force=False):
        path = self.path(repo)
        run("git", "init", "-q", "--bare", "--template=", "-b", head, path)
        (path / "hooks").mkdir()
        with open(path / "config", "a", encoding="utf-8") as config:
            config.write(f"""[receive]
\tfsckObjects = true
\tdenyNonFastForwards = {"false" if force else "true"}
\tdenyDeletes = {"false" if force else "true"}
\tautogc = false
[gc]
\tauto = 0
[http]
\treceivepack = true
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
""")
        return path

    def hook(self, repo, name, script):
        """For example "pre-receive"; what it says on stderr reaches whoever pushes. An empty script takes it away."""
        path = self.path(repo) / "hooks" / name
        path.unlink(missing_ok=True)
        if script:
            path.write_text("#!/bin/sh\n" + script)
            path.chmod(0o755)

    def reject_larger_than(self, repo, size):
        """A push with a larger file is refused, in the words of hosts."""
        self.hook(repo, "pre-receive", f"""
while read -r old new ref; do
    case $new in *[!0]*) ;; *) continue ;; esac
    git rev-list --objects "$new" --not --all | git cat-file --batch-check='%(objecttype) %(objectsize) %(rest)' |
        while read -r type size path; do
            if [ "$type" = blob ] && [ "$size" -gt {size} ]; then
                echo "error: File $path is $size bytes; this exceeds the file size limit of {size}" >&2
                exit 1
            fi
        done || exit 1
done
""")

    # ------------------------------------------------------------------------------------- other people

    def at(self, repo, *words, stdin=b""):
        """git in the repository itself; its stdout as bytes."""
        return run("git", "-C", self.path(repo), *words, stdin=stdin)

    def commit(self, repo, branch, files, message, when=None, author=SOMEBODY):
        """Somebody commits on the host: {path: bytes, or None to delete it}, paths of text or of bytes; message: text or bytes;
        when: seconds since 1970. On the branch's tip, or as its first commit. Returns the new tip."""
        when = int(time.time()) if when is None else when
        text = message if isinstance(message, bytes) else message.encode()
        for _ in range(8):  # somebody who is overtaken looks again
            tip = self.tip(repo, branch)
            lines = [f"commit refs/heads/{branch}\nauthor {author} {when} +0000\ncommitter {author} {when} +0000\n".encode(), data(text)]
            if tip:
                lines.append(f"from {tip}\n".encode())
            for path, content in files.items():
                lines.append(b"D " + quoted(path) + b"\n" if content is None else b"M 100644 inline " + quoted(path) + b"\n" + data(content))
            try:
                self.at(repo, "fast-import", "--quiet", stdin=b"".join(lines))
                return self.tip(repo, branch)
            except RuntimeError:
                if self.tip(repo, branch) == tip:
                    raise
        raise RuntimeError(f"{repo}: overtaken eight times on {branch}")

    def tip(self, repo, branch):
        """Its hash, "" when there is no such branch."""
        done = subprocess.run(["git", "-C", str(self.path(repo)), "rev-parse", "-q", "--verify", f"refs/heads/{branch}"],
                              capture_output=True, text=True, env=PLAIN)
        return done.stdout.strip()

    def set(self, repo, branch, commit):
        """The branch is there now, whatever it was: roll it back, or make another."""
        self.at(repo, "update-ref", f"refs/heads/{branch}", commit)
        return self.tip(repo, branch)

    def rewrite(self, repo, branch, message="squashed"):
        """The same files in a history that has nothing in common with the old one. Returns the new tip."""
        who = f"GIT_AUTHOR_NAME=Somebody GIT_AUTHOR_EMAIL=somebody@example.org GIT_COMMITTER_NAME=Somebody GIT_COMMITTER_EMAIL=somebody@example.org"
        new = run("env", *who.split(), "git", "-C", self.path(repo), "commit-tree", "-m", message, f"refs/heads/{branch}^{{tree}}")
        return self.set(repo, branch, new.decode().strip())

    def files(self, repo, branch):
        """{path: bytes} of all that is a file; a path that is no UTF-8 comes with surrogates."""
        found = []
        # A few objects can name more files than there is memory for.
        with subprocess.Popen(["git", "-C", self.path(repo), "ls-tree", "-r", "-z", f"refs/heads/{branch}"], stdout=subprocess.PIPE, env=PLAIN) as ls:
            lines = ls.stdout.read(LIST_MAX)
            if len(lines) == LIST_MAX:
                ls.kill()
        if ls.returncode:
            raise RuntimeError(f"cannot list {branch} of {repo}: exit {ls.returncode}, {len(lines)} bytes")
        for line in lines.split(b"\0")[:-1]:
            (mode, _, blob), path = line.partition(b"\t")[0].split(), line.partition(b"\t")[2]
            if mode.startswith(b"100"):
                found.append((os.fsdecode(path), blob))
        out = self.at(repo, "cat-file", "--batch=%(objectsize)", stdin=b"".join(blob + b"\n" for _, blob in found))
        files, at = {}, 0
        for path, _ in found:
            end = out.index(b"\n", at)
            size = int(out[at:end])
            files[path] = out[end + 1:end + 1 + size]
            at = end + 1 + size + 1
        return files

    def log(self, repo, branch):
        """Newest first."""
        if not self.tip(repo, branch):
            return []
        out = self.at(repo, "log", "-z", "--name-status", "--no-renames", "--root", f"refs/heads/{branch}",
                      "--format=%x1e%H%x1f%P%x1f%s%x1f%b%x1f%(trailers:only,unfold)%x1f%an <%ae>%x1f%at%x1f")
        commits = []
        for entry in out.decode("utf-8", "surrogateescape").split("\x1e")[1:]:
            *fields, changes = entry.split("\x1f")
            words = changes.lstrip("\0\n").rstrip("\0").split("\0")
            trailers = dict(line.split(": ", 1) for line in fields[4].splitlines() if ": " in line)
            commits.append(Commit(fields[0], fields[1].split(), fields[2], fields[3].strip(), trailers, fields[5], int(fields[6]),
                                  dict(zip(words[1::2], words[0::2]))))
        return commits

    def fsck(self, repo):
        """What a strict check complains about: a list of lines, which should be empty. A push whose sender was killed may still be
        arriving, object by object; what is missing then is there soon."""
        end = time.monotonic() + 5
        while True:
            done = subprocess.run(["git", "-C", str(self.path(repo)), "fsck", "--strict", "--full", "--no-dangling", "--no-progress"],
                                  capture_output=True, text=True, env=PLAIN, timeout=300, errors="replace")
            # The branch that HEAD names need not be there.
            found = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("notice: HEAD points to an unborn")]
            if not found or time.monotonic() > end:
                return found or ([f"exit {done.returncode}"] if done.returncode else [])
            time.sleep(0.2)

    def requests(self):
        """All that reached the host: of http and https each request with its Authorization, of ssh and daemon each service that
        was asked for, of ssh also each refused key (method "refused")."""
        if self.kind in ("http", "https"):
            self._flush_log()
        log = self.top / "access.log"
        found = []
        for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
            at, what, status, authorization = (line.split("\t") + ["", ""])[:4]
            method, target = (what.split(" ") + ["", ""])[:2]
            if not target.startswith("/flush-log-"):
                found.append(Request(method, target, "" if authorization == "-" else authorization, int(status or 0), at=float(at)))
        if self.kind == "ssh":
            found += [Request("refused", line) for line in self.errors().splitlines() if "Connection closed by authenticating user" in line]
        return found

    def errors(self):
        """What the host's own log says."""
        log = self.top / "error.log"
        return log.read_text(errors="replace") if log.exists() else ""

    # ------------------------------------------------------------------------------------- http, https

    def _https(self):
        self._certificates()
        self._http()

    def _certificates(self):
        """A CA, and a certificate that it gave to this host."""
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        ca, key = self.top / "ca.pem", self.top / "ca.key"
        run("openssl", "req", "-x509", *ec, "-keyout", key, "-out", ca, "-days", "30", "-subj", "/CN=Test CA",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        names = "DNS:elsewhere.example" if self._certificate == "other name" else "IP:127.0.0.1,DNS:localhost"
        then = ["faketime", "-f", "-90d"] if self._certificate == "expired" else []
        run(*then, "openssl", "req", "-x509", *ec, "-CA", ca, "-CAkey", key, "-keyout", self.top / "server.key", "-out", self.top / "server.pem",
            "-days", "30", "-subj", "/CN=git host", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "extendedKeyUsage=serverAuth")

    def _http(self):
        self.renew()
        with self._listen() as listener:
            self._again = listener.dup() if self._later else None
            self._serve(listener)

    def _serve(self, listener):
        (self.top / "lighttpd.conf").write_text(self._lighttpd_conf())
        # systemd's way to hand over a listening socket: number 3, and the name of the process that may take it.
        shell = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; exec " + program("lighttpd")
        with open(self.top / "error.log", "ab") as errors:
            self._processes.append(start(["sh", "-c", f"{shell} -D -f {self.top}/lighttpd.conf"], stdin=listener,
                                         stdout=subprocess.DEVNULL, stderr=errors, env=self._env()))
        self._await(lambda: self.errors().count("server started") == len(self._processes))

    def _lighttpd_conf(self):
        env = {"GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1", **self._env()}
        modules = "access setenv alias auth authn_file accesslog cgi".split() + ["openssl"] * (self.kind == "https")
        tls = f"""ssl.engine = "enable"
ssl.pemfile = "{self.top}/server.pem"
ssl.privkey = "{self.top}/server.key"
""" if self.kind == "https" else ""
        # Its HTTP/2 refuses a body of unknown length to a program of CGI with 411: a push of over 1 MB.
        auth = 'auth.require = ("/git" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))'
        # A push names its service in the query of its first request and in the path of its second.
        pushes = ('$HTTP["querystring"] =~ "git-receive-pack"', '$HTTP["url"] =~ "/git-receive-pack$"')
        if self._public:
            auth = "\n".join(f"{push} {{ {auth} }}" for push in pushes)
        # The one that may read is let in by itself: a list of users has one password for each.
        forbid = "".join(f'{push} {{ url.access-deny = ("") }}\n' for push in pushes)
        reader = f'$REQUEST_HEADER["Authorization"] == "{basic(USER, self.read_token)}" {{\nauth.require = ()\n{forbid}}}'
        return f"""server.document-root = "{self.top}/repos"
server.systemd-socket-activation = "enable"
server.bind = "127.0.0.1"
server.port = {self.address[1]}
server.feature-flags = ("server.h2proto" => "disable")
server.modules = ({", ".join(f'"mod_{name}"' for name in modules)})
server.errorlog = "{self.top}/error.log"
server.upload-dirs = ("{self.top}")
server.stream-response-body = 1
accesslog.filename = "{self.top}/access.log"
accesslog.format = "%{{sec}}t\t%r\t%s\t%{{Authorization}}i"
alias.url = ("/git" => "{run("git", "--exec-path").decode().strip()}/git-http-backend")
cgi.assign = ("" => "")
setenv.add-environment = ({", ".join(f'"{name}" => "{value}"' for name, value in env.items())})
auth.backend = "plain"
auth.backend.plain.userfile = "{self.top}/users"
{auth}
{reader}
{tls}"""

    def _flush_log(self):
        """lighttpd writes its log when it is told to take a new one. It has answered one more request by then, so that those
        before it are in."""
        lighttpd = self._processes[-1]
        if lighttpd.poll() is not None:
            return  # wrote it when it ended
        self._flushed += 1
        mark = f"/flush-log-{self._flushed} "
        with socket.create_connection(self.address) as door:
            if self.kind == "https":
                door = ssl._create_unverified_context().wrap_socket(door)  # whatever its certificate says
            door.sendall(f"GET {mark}HTTP/1.0\r\n\r\n".encode())
            while door.recv(4096):
                pass
        until = time.monotonic() + 10
        while mark not in (self.top / "access.log").read_text(errors="replace"):
            lighttpd.send_signal(signal.SIGHUP)
            time.sleep(0.01)
            if time.monotonic() > until:
                raise TimeoutError(f"the log is not written: {self.errors()}")

    # ------------------------------------------------------------------------------------- ssh, daemon

    def _ssh(self):
        for name in ("key", "stranger", "host_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.top / name)
        public = {name: " ".join((self.top / f"{name}.pub").read_text().split()[:2]) for name in ("key", "host_key")}
        serve = self._script("serve", f"""# What a host lets a key do: the two services of git on its repositories.
cd "{self.root}" || exit 1
printf '%s\t%s\n' "$(date +%s)" "$SSH_ORIGINAL_COMMAND" >>"{self.top}/access.log"
case $SSH_ORIGINAL_COMMAND in
"git-upload-pack '/"* | "git-receive-pack '/"*) ;;
*) echo "only git is served here" >&2; exit 1 ;;
esac
{" ".join(f"export {name}='{value}';" for name, value in self._env().items())}
exec git-shell -c "${{SSH_ORIGINAL_COMMAND%% *}} './${{SSH_ORIGINAL_COMMAND#*/}}"
""")
        (self.top / "authorized_keys").write_text(f'restrict,command="{serve}" {public["key"]}\n')
        (self.top / "known_hosts").write_text(f'[127.0.0.1]:* {public["host_key"]}\n')
        name = pwd.getpwuid(os.geteuid()).pw_name
        (self.top / "sshd_config").write_text(f"""HostKey {self.top}/host_key
AuthorizedKeysFile {self.top}/authorized_keys
PidFile none
StrictModes no
UsePAM {"yes" if locked(name) else "no"}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {name}
AcceptEnv GIT_PROTOCOL
LogLevel VERBOSE
UseDNS no
""")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks up what talks to strangers
        run(program("sshd"), "-t", "-f", self.top / "sshd_config")
        self._serve_each([program("sshd"), "-i", "-f", self.top / "sshd_config", "-E", self.top / "error.log"])

    def _daemon(self):
        told = self._script("told", f"""printf '%s\t%s\n' "$(date +%s)" "git-$1 '${{2#{self.root}}}'" >>"{self.top}/access.log"\n""")
        self._serve_each(["git", "daemon", "--inetd", f"--base-path={self.root}", "--export-all", "--enable=receive-pack",
                          "--informative-errors", "--log-destination=stderr", "--verbose", f"--access-hook={told}"])

    def _serve_each(self, words):
        """A process for each connection, as inetd does: the port is ours from the start, and none is left between them."""
        self._door = self._listen()

        def accept():
            while True:
                try:
                    connection = self._door.accept()[0]
                except OSError:
                    return
                with connection, open(self.top / "error.log", "ab") as errors:
                    self._processes = [process for process in self._processes if process.poll() is None]
                    self._processes.append(start(words, stdin=connection, stdout=connection, stderr=errors, env=self._env()))
        self._thread = threading.Thread(target=accept, daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------- help

    def _listen(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self.address = listener.getsockname()
        return listener

    def _env(self):
        return {**PLAIN, MARK: self.mark}

    def _script(self, name, text):
        path = self.top / name
        if not path.exists():
            self._replace(name, "#!/bin/sh\n" + text)
            path.chmod(0o755)
        return path

    def _replace(self, name, text):
        """At once, for whoever reads it just now."""
        new = self.top / f"{name}.new"
        new.write_text(text)
        new.rename(self.top / name)

    def _await(self, what):
        until = time.monotonic() + 10
        while not what():
            if self._processes[-1].poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the {self.kind} host did not start: {self.errors()}")
            time.sleep(0.002)

    def processes(self):
        """Numbers of all that run for this host, also of those that its servers started."""
        return family({process.pid for process in self._processes if process.poll() is None}, f"{MARK}={self.mark}")

    def close(self):
        if self._door:
            with contextlib.suppress(OSError):
                self._door.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._door.close()
        ours = self.processes()
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + 1  # for what ends by itself when its server has; a hook that sleeps does not
        while ours and time.monotonic() < until:
            for process in self._processes:
                process.poll()
            ours = {pid for pid in ours if alive(pid)} | self.processes()
            time.sleep(0.005)
        until = time.monotonic() + 5  # one that is killed is there for a moment more, and may have started another before
        while ours and time.monotonic() < until:
            for pid in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in self._processes:
                process.poll()
            time.sleep(0.005)
            ours = {pid for pid in ours if alive(pid)} | self.processes()
        for process in self._processes:
            process.wait()
        shutil.rmtree(self.top, ignore_errors=True)


def locked(name):
    """Whether an account has a password that fits nothing. Without PAM sshd then refuses its keys, too; with it, it wants more of a
    container than many give."""
    try:
        lines = Path("/etc/shadow").read_text().splitlines()
    except OSError:
        return False  # nor can the sshd of that user look
    return any(line.startswith(f"{name}:!") for line in lines)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def family(pids, mark=""):
    """These processes, their descendants, and whoever has `mark` in its environment."""
    parents, found = {}, set(pids)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
                if mark and mark.encode() in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.add(int(entry))
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return {pid for pid in found if alive(pid)}


def basic(user, token):
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


def data(content):
    """As fast-import takes it."""
    return b"data %d\n%s\n" % (len(content), content)


def quoted(path):
    """A path as fast-import takes it, whatever bytes are in it."""
    path = path if isinstance(path, bytes) else os.fsencode(path)
    return b'"' + b"".join(b"\\%03o" % byte if byte < 33 or byte > 126 or byte in b'"\\' else bytes([byte]) for byte in path) + b'"'
