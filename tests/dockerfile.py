"""Executes a Dockerfile without a container engine: each stage is a copy of a machine (machine.py), each RUN a shell in it.

    image = Dockerfile(path, context=TOP, given={"build": FOLDER}).build()
    image.exec("keepfast", "status"); image.start(); image.health()

Understood: FROM … AS, COPY, COPY --from, RUN, USER, WORKDIR, ENV, VOLUME, EXPOSE, HEALTHCHECK, ENTRYPOINT, CMD; anything else is an error.
given: stages that are not executed, and the folder that stands for their root under DESTDIR=/out. debian: the base is made by debootstrap,
else it is this machine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from machine import Machine

BASE = "debian:12-slim"
CACHE = os.path.expanduser("~/.cache/keepfast/debootstrap-bookworm")
# How this machine reaches its package registries is no part of an image, and is needed to make one.
NETWORK = [os.path.expanduser("~/.npmrc"), "/etc/npmrc", "/etc/pip.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/apt/sources.list", "/etc/apt/sources.list.d",
           "/etc/apt/apt.conf.d", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings", "/usr/local/share/ca-certificates", "/etc/ssl/certs"]


def instructions(path):
    with open(path, encoding="utf-8") as file:
        text = "".join(line for line in file if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def exec_form(text):
    if not text.startswith("["):
        raise RuntimeError(f"a list of words is wanted: {text}")
    return json.loads(text)


class Image:
    def __init__(self, machine):
        self.machine = machine
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.cwd, self.user, self.volumes = "/", "0:0", []
        self.entry, self.command, self.check = [], [], []

    def words(self, words, env):
        user, group = self.user.split(":")
        whole = {**self.env, **env}
        return self.machine.words("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
                                  "env", "-i", *(f"{k}={v}" for k, v in whole.items()), *words, cwd=self.cwd)

    def exec(self, *words, env=None, input=None):
        return subprocess.run(self.words(words, env or {}), capture_output=True, text=True, timeout=60, input=input)

    def start(self, stdout=None, stderr=None, text=None, **env):
        return subprocess.Popen(self.words([*self.entry, *self.command], env), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=text)

    def health(self):
        return self.exec(*self.check).returncode


class Dockerfile:
    def __init__(self, path, context, given=None, debian=False):
        self.path, self.context, self.given, self.debian = path, context, given or {}, debian
        self.stages = {}
        self.image = None

    def base(self):
        if not self.debian:
            return Machine()
        if not os.path.exists(CACHE):
            work = tempfile.mkdtemp(prefix="debootstrap-", dir=os.path.dirname(CACHE))
            mirror = next((m[1] for m in re.finditer(r"(https?://\S+)", self._sources()) if "security" not in m[1]), "")
            subprocess.run(["debootstrap", "--variant=minbase", "bookworm", work, *([mirror] if mirror else [])], check=True, stdout=subprocess.DEVNULL)
            for path in NETWORK:
                if os.path.exists(path):
                    target = work + (path if not path.startswith(os.path.expanduser("~")) else "/root/" + os.path.basename(path))
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    shutil.copytree(path, target, dirs_exist_ok=True) if os.path.isdir(path) else shutil.copy2(path, target)
            os.rename(work, CACHE)
        return Machine(CACHE)

    @staticmethod
    def _sources():
        text = ""
        for folder, _, names in os.walk("/etc/apt"):
            for name in names:
                if name.endswith((".list", ".sources")):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        text += "".join(line for line in file if not line.startswith("#"))
        return text

    def build(self):
        skipping = False
        for word, rest in instructions(self.path):
            if word == "FROM":
                base, _, name = rest.partition(" AS ")
                if base != BASE:
                    raise RuntimeError(f"FROM {base}: only {BASE} is known here")
                skipping = name in self.given
                if not skipping:
                    self.image = Image(self.base())
                self.stages[name] = None if skipping else self.image
            elif not skipping:
                step = getattr(self, "do_" + word.lower(), None)
                if not step:
                    raise RuntimeError(f"{word} is not known here")
                step(rest)
        return self.image

    def _put(self, names, source, target):
        """Files below a folder of ours into the machine: by a stream, as its mounts are not ours."""
        there = target if target.startswith("/") else os.path.join(self.image.cwd, target)
        to_folder = target.endswith("/") or len(names) > 1 or target in (".", "./")
        for name in names:
            full = os.path.join(source, name)
            if os.path.isdir(full):
                final, what, where = there, ["."], full
            elif to_folder:
                final, what, where = there, [os.path.basename(name)], os.path.dirname(full)
            else:
                final, what, where = os.path.dirname(there), [os.path.basename(name)], os.path.dirname(full)
            self.image.machine.run("mkdir", "-p", final)
            rename = [] if to_folder or os.path.isdir(full) else ["--transform", f"s|^{what[0]}$|{os.path.basename(there)}|"]
            pack = subprocess.Popen(["tar", "-c", "--owner=0", "--group=0", *self._left_out(where), *rename, "-C", where, *what], stdout=subprocess.PIPE)
            done = subprocess.run(self.image.machine.words("tar", "-x", "-C", final), stdin=pack.stdout)
            pack.stdout.close()
            if pack.wait() or done.returncode:
                raise RuntimeError(f"COPY {name}")

    def _left_out(self, where):
        """.dockerignore, where all of the context is copied."""
        if os.path.realpath(where) != os.path.realpath(self.context):
            return []
        with open(os.path.join(self.context, ".dockerignore"), encoding="utf-8") as file:
            return [f"--exclude=./{line.strip()}" for line in file if line.strip() and not line.startswith("#")]

    def do_copy(self, rest):
        words = shlex.split(rest)
        source = self.context
        if words[0].startswith("--from="):
            stage = words.pop(0).removeprefix("--from=")
            if stage in self.given:
                words[:-1] = [word.removeprefix("/out/") for word in words[:-1]]
                source = self.given[stage]
            else:
                source = str(self.stages[stage].machine.path("/"))
                words[:-1] = [word.removeprefix("/") for word in words[:-1]]
        self._put(words[:-1], source, words[-1])

    def do_run(self, rest):
        keep = {name: os.environ[name] for name in os.environ if name.lower().endswith(("_proxy", "_registry", "_certs", "_cert_file")) or name.startswith("npm_")}
        self.image.machine.run("env", "-i", *(f"{k}={v}" for k, v in {**self.image.env, **keep, "HOME": "/root"}.items()),
                               "sh", "-c", rest, cwd=self.image.cwd, timeout=1800)

    def do_user(self, rest):
        self.image.user = rest

    def do_workdir(self, rest):
        self.image.machine.run("mkdir", "-p", rest)
        self.image.cwd = rest

    def do_env(self, rest):
        self.image.env |= dict(word.split("=", 1) for word in shlex.split(rest))

    def do_volume(self, rest):
        self.image.volumes = exec_form(rest)

    def do_expose(self, rest):
        int(rest)

    def do_healthcheck(self, rest):
        self.image.check = exec_form(rest[rest.index("CMD ") + 4:].strip())

    def do_entrypoint(self, rest):
        self.image.entry = exec_form(rest)

    def do_cmd(self, rest):
        self.image.command = exec_form(rest)
