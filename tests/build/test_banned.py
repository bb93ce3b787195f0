#!/usr/bin/env python3
"""Functions that must not compile in our sources do not, with both compilers."""

import os
import re
import shutil
import subprocess

from elf import TOP
from tap import check, equal, main, test

with open(os.path.join(TOP, "src/base/banned.h"), encoding="utf-8") as banned_h:
    BANNED = re.findall(r"\b(\w+)\([^()]*(?:\(\*\))?[^()]*\)(?: KF_BANNED\(\"[^\"]*\"\))?;", banned_h.read())
MUST_BE_BANNED = """strcpy strcat sprintf vsprintf strtok gets mktemp tmpnam system popen strncpy asprintf
    malloc calloc realloc free strdup time gettimeofday""".split()


def compiles(compiler, body):
    source = os.path.join(os.environ["TMPDIR"], "use.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(body)
    done = subprocess.run(
        [compiler, "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-D_FORTIFY_SOURCE=2", "-Wall", "-Wextra", "-Werror", "-Walloca", "-Wvla",
         "-include", "src/base/banned.h", "-c", "-o", os.devnull, source],
        cwd=TOP, capture_output=True, text=True,
    )
    return done.returncode == 0


def compilers():
    found = [name for name in ("gcc", "clang-14") if shutil.which(name)]
    check(len(found) == 2, "both compilers are here")
    return found


@test
def the_list_has_what_it_must():
    equal([name for name in MUST_BE_BANNED if name not in BANNED], [], "not banned")


@test
def a_source_without_them_compiles():
    for compiler in compilers():
        check(compiles(compiler, "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"), compiler)


@test
def none_of_the_list_compiles():
    for compiler in compilers():
        bodies = {name: f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\ntypedef void any(void);\nany *use(void);\nany *use(void)\n{{\n    return (any *){name};\n}}\n" for name in BANNED}
        equal([name for name, body in bodies.items() if compiles(compiler, body)], [], f"{compiler} compiles")


@test
def a_call_does_not_compile_either():
    for compiler in compilers():
        for call in ("char d[9]; strcpy(d, s); return d[0];", "char *d = strdup(s); return d != 0;",
                     "char *d = __builtin_alloca((unsigned)s[0]); return d[0];", "char d[s[0]]; return sizeof(d) > 3;"):
            check(not compiles(compiler, f"#include <string.h>\n#include <stdlib.h>\nint use(const char *s);\nint use(const char *s)\n{{\n    {call}\n}}\n"), f"{compiler}: {call}")


@test
def a_member_of_that_name_does():
    for compiler in compilers():
        check(compiles(compiler, "struct v {\n    void (*free)(struct v *);\n};\nvoid use(struct v *v);\nvoid use(struct v *v)\n{\n    v->free(v);\n}\n"),
              f"{compiler}: v->free(v)")


main()
