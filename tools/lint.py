#!/usr/bin/env python3
"""The project's own rules, which no compiler knows. Prints FILE:LINE: what is wrong, and exits with 1 if there is any.

    tools/lint.py [FOLDER]     default: this project

A line that must break the rule about files says why in a comment on it: /* seam: reason */."""

import ast
import os
import re
import subprocess
import sys

# Lowest first. A file includes only from its own floor or from lower ones.
FLOORS = ["base", "db", "store", "shape", "remote", "move", "api", "server", "lib", "cli"]

# Whose header belongs to which floor: the seams of DESIGN's "Two seams".
FOREIGN = {
    "sqlite3.h": ["db"],
    "libpq-fe.h": ["db"],
    "llhttp.h": ["server"],
    "wslay/wslay.h": ["server"],
    "curl/curl.h": ["remote", "cli"],
    "archive.h": ["move"],
    "archive_entry.h": ["move"],
    "libfyaml.h": ["base"],
    "openssl/ssl.h": ["server"],
    "openssl/bio.h": ["server"],
    "openssl/err.h": ["server"],
    "openssl/pem.h": ["server"],
    "openssl/x509.h": ["server"],
}

# Calls that touch a file system: only the environment's files and SQLite's own layer make them. A descriptor of a
# store's file that is closed anywhere else drops SQLite's locks.
FILE_CALLS = """open open64 openat openat2 creat fopen freopen fdopen stat stat64 lstat fstat fstatat statx access faccessat rename
    renameat renameat2 unlink unlinkat remove link linkat symlink symlinkat mkdir mkdirat rmdir opendir fdopendir scandir ftw
    nftw truncate ftruncate fsync fdatasync sync syncfs sync_file_range mkstemp mkostemp mkdtemp tmpfile statvfs fstatvfs statfs
    fstatfs chmod fchmod chown fchown utimensat futimens readlink readlinkat realpath flock lockf fallocate posix_fallocate mmap
    sendfile copy_file_range""".split()
FILE_SEAM = re.compile(r"src/(base/(env|file|io)(_\w+)?|db/vfs(_\w+)?)\.c$")

# Bytes of sockets pass the tap of the environment, too.
NET_CALLS = "accept accept4 recv recvfrom recvmsg send sendto sendmsg".split()
NET_SEAM = re.compile(r"src/base/net\.c$")

# Other programs are run with bounds, and nothing of ours runs in a copy of the process.
CHILD_CALLS = """fork _Fork vfork clone __clone clone3 posix_spawn posix_spawnp execv execve execvp execvpe execveat execl execle
    execlp fexecve wait wait3 wait4 waitpid waitid pidfd_open pidfd_send_signal""".split()
CHILD_SEAM = re.compile(r"src/base/child(_start)?\.c$")

# A library neither prints nor ends the process it lives in.
PROCESS_CALLS = "printf puts putchar perror exit _exit _Exit quick_exit abort".split()

# Where a banned function is wrapped (base/banned.h).
BAN_LIFTED = re.compile(r"src/base/(mem|env(_\w+)?)\.c$")

# Also of a comment, which .clang-format leaves as it is: a table or a drawing is nothing to flow again.
COLUMNS = 100

# Spelt in pieces, so that this file obeys its own rule.
UNFINISHED = re.compile(
    r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|\bnot (?:yet )?imple" r"mented\b|\bunimple" r"mented\b|\bstub" r"bed\b|\bfor n" r"ow\b"
)
REGISTRY = re.compile(r"https?://[^ \"'<>]*(?:npm" r"js|deb" r"ian\.org|py" r"pi|prox" r"y\.golang|crates\.i" r"o)")

TEXT = (".c", ".h", ".def", ".py", ".sh", ".md", ".build", ".txt", ".json", ".yaml", ".yml", ".js", ".html", ".css", ".in", ".map", ".el")


def project_files(root):
    """Paths relative to root: what git knows or would add, or everything where there is no git."""
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True, text=True
    )
    if done.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        names = [name for name in done.stdout.split("\0") if name and os.path.isfile(os.path.join(root, name))]
    else:
        names = [
            os.path.relpath(os.path.join(path, name), root) for path, _, files in os.walk(root) for name in files
        ]
    return sorted(names)


def without_comments(text):
    """The same text with comments, strings and characters blanked; lines stay where they are."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


class Lint:
    def __init__(self, root):
        self.root = root
        self.found = []
        self.files = project_files(root)

    def say(self, name, line, what):
        self.found.append((name, line, what))

    def read(self, name):
        with open(os.path.join(self.root, name), encoding="utf-8", newline="") as file:
            return file.read()

    # --------------------------------------------------------------------------- every text

    def check_text(self, name, text):
        if text and not text.endswith("\n"):
            self.say(name, text.count("\n") + 1, "the last line does not end")
        # Seeds and captured input are bytes that mean something.
        for number, line in enumerate(text.split("\n"), 1):
            if line.endswith((" ", "\t", "\r")) and not name.endswith(".md"):
                self.say(name, number, "blanks at the end of the line")
            if UNFINISHED.search(line):
                self.say(name, number, "unfinished: finish it, or say what is so")
            if REGISTRY.search(line):
                self.say(name, number, "address of a package registry: everyone's own settings decide")

    # --------------------------------------------------------------------------- C

    def check_c(self, name, text):
        code = without_comments(text)
        lines = code.split("\n")
        raw = text.split("\n")
        if "\t" in text:
            self.say(name, text[: text.index("\t")].count("\n") + 1, "tab")
        for number, line in enumerate(raw, 1):
            if len(line) > COLUMNS:
                self.say(name, number, f"{len(line)} columns, {COLUMNS} are the most")
        if not name.startswith("src/"):
            return
        floor = name.split("/")[1]
        self.check_includes(name, floor, raw)
        if name.endswith(".h"):
            self.check_guard(name, text)
        for number, line in enumerate(lines, 1):
            for call in re.findall(r"(?<![\w.>])(\w+) *\(", line):
                if call in FILE_CALLS and not FILE_SEAM.search(name) and "/* seam:" not in raw[number - 1]:
                    self.say(name, number, f"{call}: files are touched through struct env alone (base/env.h)")
                if call in NET_CALLS and not NET_SEAM.search(name):
                    self.say(name, number, f"{call}: sockets are read and written through base/net.h alone")
                if call in PROCESS_CALLS and floor != "cli":
                    self.say(name, number, f"{call}: a library neither prints nor ends the process")
            for call in re.findall(r"(?<![\w.>])(\w+) *\(|\bSYS_(\w+)", line):
                if set(call) & set(CHILD_CALLS) and not CHILD_SEAM.search(name):
                    self.say(name, number, f"{call[0] or call[1]}: other programs are run through base/child.h alone")
            if "Wdeprecated-declarations" in raw[number - 1] and line.lstrip().startswith("#") and not BAN_LIFTED.search(name):
                self.say(name, number, "a ban is lifted only where the replacement is made (base/banned.h)")

    def check_includes(self, name, floor, raw):
        for number, line in enumerate(raw, 1):
            match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
            if not match:
                continue
            quoted, path = match[1] == '"', match[2]
            owner = path.split("/")[0]
            if quoted and "/" in path and owner in FLOORS:
                if floor in FLOORS and FLOORS.index(owner) > FLOORS.index(floor):
                    self.say(name, number, f"{floor} includes {path} from a higher floor")
            elif quoted and path != "version.h":
                self.say(name, number, f'"{path}": own headers are included by their path from src/')
            if path in FOREIGN and floor not in FOREIGN[path]:
                self.say(name, number, f"{path} belongs to {' and '.join(FOREIGN[path])}")

    def check_guard(self, name, text):
        guard = "KF_" + re.sub(r"[/.]", "_", name.removeprefix("src/")).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            self.say(name, 1, f"include guard {guard}")

    # --------------------------------------------------------------------------- the build

    def check_listed(self):
        """A source that no meson.build names is never compiled, a test never run."""
        for name in self.files:
            if not name.endswith(".c"):
                continue
            folder, base = os.path.split(name)
            if name == "src/cli/main.c" or folder == "tests/fuzz" or folder.startswith("examples"):
                continue
            wanted = base
            if folder == "tests/unit" and base.startswith("test_"):
                wanted = base[5:-2]
            # The nearest meson.build above decides.
            while folder and os.path.join(folder, "meson.build") not in self.files:
                folder = os.path.dirname(folder)
            listing = os.path.join(folder, "meson.build")
            text = self.read(listing) if listing in self.files else ""
            alternatives = {wanted, os.path.relpath(name, folder or "."), re.sub(r"^(bench|test|crash)_|\.c$", "", base)}
            if not any(f"'{each}'" in text for each in alternatives):
                self.say(name, 1, f"not named in {listing}")

    # --------------------------------------------------------------------------- Python

    def check_python(self, name, text):
        try:
            ast.parse(text)
        except SyntaxError as error:
            self.say(name, error.lineno or 1, f"Python: {error.msg}")

    def run(self):
        for name in self.files:
            if not name.endswith(TEXT) and os.path.basename(name) != "Makefile":
                continue
            if "/corpus/" in name or "/data/" in name:
                continue
            try:
                text = self.read(name)
            except UnicodeDecodeError:
                self.say(name, 1, "not UTF-8")
                continue
            self.check_text(name, text)
            if name.endswith((".c", ".h")):
                self.check_c(name, text)
            if name.endswith(".py"):
                self.check_python(name, text)
        self.check_listed()
        return self.found


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = Lint(root).run()
    for name, line, what in found:
        print(f"{name}:{line}: {what}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
