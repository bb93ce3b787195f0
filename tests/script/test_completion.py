#!/usr/bin/env python3
"""What shells and man(1) are given: made from the tables, so every command and option is in it, and the real programs read it."""

import json
import os
import re
import subprocess

from keepfast import PROGRAM, folder, run
from tap import check, equal, main, test

TOP = folder()


def form(name):
    done = run("reference", "--form", name)
    equal((done.status, done.err), (0, b""), f"reference --form {name}")
    path = TOP / f"reference.{name}"
    path.write_bytes(done.out)
    return path


def commands():
    """Of the help, which is made from the same table and read by people."""
    lines = run("help").out.decode().splitlines()
    found = [re.match(r"  ([a-z]+(?: [a-z]+)?)(?: [A-Z\[].*?)?  +", line) for line in lines]
    names = [m[1] for m in found if m]
    check(len(names) > 20 and "put" in names and "remote add" in names, f"the commands: {names}")
    return names


def store():
    """A store with documents and remotes, and an environment in which `keepfast` is this program, at this store."""
    at = TOP / "s.db"
    for name in ("a.json", "b c.json", "config/notify.json"):
        run("put", name, "-", at=at, stdin=b"1")
    for key in ("chat/abc", "chat/a b", "views/abc"):
        run("append", key, "hello", at=at)
    for name in ("usb", "attic"):
        run("remote", "add", name, f"dir:{TOP}/{name}", "--manual", at=at)
    bin_dir = TOP / "bin"
    bin_dir.mkdir()
    (bin_dir / "keepfast").symlink_to(os.path.abspath(PROGRAM))
    return dict(os.environ, PATH=f"{bin_dir}:{os.environ['PATH']}", KEEPFAST_AT=str(at), HOME=str(TOP), TERM="dumb")


ENVIRONMENT = store()
# words so far -> what is offered, and what is not
CASES = [
    (["re"], {"remote", "restore", "revert", "reference"}, {"put"}),
    (["remote", ""], {"add", "ls", "show", "probe", "rm"}, {"put"}),
    (["get", "conf"], {"config/notify.json"}, {"a.json"}),
    (["put", "x", "--wai"], {"--wait"}, {"--at"}),
    (["put", "x", "--wait", ""], {"usb", "attic"}, {"a.json"}),
    (["sync", "--wait", "u"], {"usb"}, {"attic"}),
    (["remote", "rm", ""], {"usb", "attic"}, {"a.json"}),
    (["verify", "--d"], {"--deep"}, {"--json"}),
    (["stream", ""], {"ls", "show", "set", "rm"}, {"put"}),
    (["tail", "ch"], {"chat/abc"}, {"views/abc", "a.json"}),
    (["stream", "show", "v"], {"views/abc"}, {"chat/abc"}),
    (["append", "--k"], {"--kind"}, {"--at"}),
    (["import", "s."], {"s.db"}, {"--check"}),
    (["export", "s."], set(), {"s.db"}),
    (["export", "x", "--to", "s."], {"s.db"}, {"--at"}),
]


@test
def the_manual_page_is_read():
    path = form("man")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c", str(path)], capture_output=True, text=True)
    equal((done.returncode, done.stderr), (0, ""), "groff has nothing to say about it")
    text = re.sub(r".\x08", "", done.stdout)
    for words in commands():
        check(re.search(rf"^ +{words}\b", text, re.M), f"{words} is described")
    check("EXIT STATUS" in text and "--if-none-match *" in text and "KEEPFAST_AT" in text, "statuses, options, environment")


@test
def bash_completes():
    path = form("bash")
    for words, offered, not_offered in CASES:
        script = f"""source {path}
            compopt() {{ :; }}
            COMP_WORDS=(keepfast {" ".join(repr(w) for w in words)}); COMP_CWORD={len(words)}; _keepfast
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, cwd=TOP)
        got = set(done.stdout.split("\n"))
        check(done.stderr == "" and offered <= got and not got & not_offered, f"{words}: {got} {done.stderr}")
    done = subprocess.run(["bash", "-c", f"source {path}; COMP_WORDS=(keepfast get b); COMP_CWORD=2; _keepfast; "
                           "printf '%s' \"${COMPREPLY[0]}\""], capture_output=True, text=True, env=ENVIRONMENT)
    equal(done.stdout, "b\\ c.json", "a blank in a name is escaped")
    done = subprocess.run(["shellcheck", "-s", "bash", str(path)], capture_output=True, text=True)
    equal(done.returncode, 0, f"shellcheck: {done.stdout}")


@test
def what_strangers_wrote_is_no_command():
    """Names of documents stand in tables and in what is said of a remote that withholds one; a shell that completes runs none of it."""
    at, place = TOP / "strangers.db", TOP / "strangers"
    run("remote", "add", "vault", f"dir:{place}", "--manual", at=at)
    secret = json.dumps({"token": "gh" + "p_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5"}).encode()
    place.mkdir(mode=0o700)
    for name in ("$(id>ran-by-shell)", "`id>ran-by-shell`", "$(id>ran-by-shell) && x"):
        equal(run("put", name, at=at, stdin=secret).status, 0, "put")
    run("sync", "--wait", at=at)
    check(b"$(id>ran-by-shell)" in run("remote", "ls", at=at).out, "it is told of the remote")
    environment = ENVIRONMENT | {"KEEPFAST_AT": str(at)}
    for words in (["sync", ""], ["get", ""], ["put", "x", "--wait", ""], ["remote", "rm", ""], ["get", "\\$"]):
        script = f"""source {form("bash")}
            compopt() {{ :; }}
            COMP_WORDS=(keepfast {" ".join(repr(w) for w in words)}); COMP_CWORD={len(words)}; _keepfast
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=TOP)
        if words[0] != "get":
            equal(done.stdout, "vault\n", f"the name alone: {words}")
        fish = subprocess.run(["fish", "-c", f"source {form('fish')}; complete -C {json.dumps('keepfast ' + ' '.join(words))}"],
                              capture_output=True, text=True, env=environment, cwd=TOP)
        if words[0] == "sync":
            equal({one.split("\t")[0] for one in fish.stdout.splitlines() if not one.startswith("-")}, {"vault"}, f"in fish: {fish}")
    check(not (TOP / "ran-by-shell").exists(), "nothing was run")


@test
def fish_completes():
    path = form("fish")
    for words, offered, not_offered in CASES:
        line = "keepfast " + " ".join(words)
        done = subprocess.run(["fish", "-c", f"source {path}; complete -C {json.dumps(line)}"], capture_output=True,
                              text=True, env=ENVIRONMENT, cwd=TOP)
        got = {one.split("\t")[0] for one in done.stdout.splitlines()}
        check(done.stderr == "" and offered <= got and not got & not_offered, f"{words}: {got} {done.stderr}")


@test
def zsh_reads_its_own():
    path = form("zsh")
    script = f"autoload -Uz compinit; compinit -u -D; source {path} 2>/dev/null; whence -w _keepfast"
    done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, env=ENVIRONMENT)
    equal((done.stdout, done.stderr), ("_keepfast: function\n", ""), "it is a function")
    text = path.read_text()
    check(text.startswith("#compdef keepfast\n"), "its first line names the command")
    for words in commands():
        check(f"'{words}'" in text, f"{words} is completed")


@test
def another_form_is_refused():
    done = run("reference", "--form", "html")
    equal(done.status, 2, "a mistake of usage")
    check(b"markdown, man, bash, zsh and fish" in done.err, f"it says which there are: {done.err}")


main()
