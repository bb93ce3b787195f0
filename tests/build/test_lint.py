#!/usr/bin/env python3
"""The project's own rules (tools/lint.py): they hold, and each finds what is planted against it."""

import os
import shutil
import subprocess

from elf import TOP
from tap import check, equal, main, test

# Each: file, its text, and what lint must say. Words that the rules forbid are put together here.
PLANTED = [
    ("src/base/a.c", '#include "store/store.h"\n', "base includes store/store.h from a higher floor"),
    ("src/store/a.c", '#include "api/api.h"\n', "store includes api/api.h from a higher floor"),
    ("src/shape/a.c", "#include <sqlite3.h>\n", "sqlite3.h belongs to db"),
    ("src/store/a.c", '#include "store.h"\n', "own headers are included by their path"),
    ("src/store/a.c", "int f(void)\n{\n    return open(p, 0);\n}\n", "open: files are touched"),
    ("src/remote/a.c", "int f(void)\n{\n    return rename(a, b);\n}\n", "rename: files are touched"),
    ("src/server/a.c", "int f(void)\n{\n    return stat (a, b);\n}\n", "stat: files are touched"),
    ("src/store/a.c", 'void f(void)\n{\n    printf("x");\n}\n', "printf: a library neither prints"),
    ("src/store/a.c", "void f(void)\n{\n    exit(1);\n}\n", "exit: a library neither prints"),
    ("src/remote/a.c", "int f(void)\n{\n    return vfork();\n}\n", "vfork: other programs are run"),
    ("src/remote/a.c", "int f(void)\n{\n    return execve(p, a, e);\n}\n", "execve: other programs are run"),
    ("src/store/a.c", "int f(void)\n{\n    return waitpid(-1, 0, 0);\n}\n", "waitpid: other programs are run"),
    ("src/lib/a.c", "int f(void)\n{\n    return syscall(SYS_clone3, a, b);\n}\n", "clone3: other programs are run"),
    ("src/cli/a.c", "int f(void)\n{\n    return posix_spawnp(p, f, 0, 0, a, e);\n}\n", "posix_spawnp: other programs are run"),
    ("src/store/a.c", '#pragma GCC diagnostic ignored "-Wdeprecated-declarations"\n', "a ban is lifted only"),
    ("src/store/a.c", "/* TO" "DO */\n", "unfinished"),
    ("docs/a.md", "It is not imple" "mented.\n", "unfinished"),
    ("src/store/a.h", "int x;\n", "include guard KF_STORE_A_H"),
    ("src/store/a.c", "int x; \n", "blanks at the end"),
    ("src/store/a.c", "\tint x;\n", "tab"),
    ("tests/unit/a.c", "/* " + "x" * 95 + " */\n", "101 columns"),
    ("src/store/a.c", "int x;", "the last line does not end"),
    ("src/store/unlisted.c", "int x;\n", "not named in src/store/meson.build"),
    ("tests/unit/test_unlisted.c", "int x;\n", "not named in tests/unit/meson.build"),
    ("tools/a.py", "def f(:\n", "Python: "),
    ("packaging/a.json", '"https://%s/x"\n' % ".".join(("packages", "py" + "pi", "org")), "address of a package registry"),
]

FINE = {
    "src/store/meson.build": "core_sources += files('a.c')\n",
    "src/store/a.c": '#include "base/str.h"\n#include "store/a.h"\n\n/* open(x), printf("x") */\n'
    'const char *s = "open(x)";\nint f(struct v *v)\n{\n    return v->open(v) + v.stat(v) + file_open(v) + v->wait(v);\n}\n'
    "int fd = open(p, 0); /* seam: a reason */\n",
    "src/store/a.h": "#ifndef KF_STORE_A_H\n#define KF_STORE_A_H\n#endif\n",
}


def lint(files):
    root = os.path.join(os.environ["TMPDIR"], "tree")
    shutil.rmtree(root, ignore_errors=True)
    for name, text in files.items():
        os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(text)
    done = subprocess.run([os.path.join(TOP, "tools/lint.py"), root], capture_output=True, text=True)
    equal(done.stderr, "", "no error of lint itself")
    return done.stdout.splitlines()


@test
def what_is_fine_is_not_found():
    equal(lint(FINE), [], "found")


@test
def every_planted_violation_is_found():
    for name, text, wanted in PLANTED:
        files = dict(FINE)
        files[name] = text
        files.setdefault(os.path.dirname(name) + "/meson.build", "files('a.c')\n")
        found = lint(files)
        check(any(line.startswith(name + ":") and wanted in line for line in found), f"{name}, {wanted}: {found}")


@test
def the_project_keeps_its_rules():
    done = subprocess.run([os.path.join(TOP, "tools/lint.py")], capture_output=True, text=True)
    equal(done.returncode, 0, done.stdout + done.stderr)


main()
