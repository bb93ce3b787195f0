#!/usr/bin/env python3
"""Names in git: what the library makes of them, against a second implementation (kfcheck.py), the facts of Unicode, and git."""

import os
import random
import re
import subprocess
import sys
import unicodedata

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kfcheck  # noqa: E402
from keepfast import folder  # noqa: E402
from tap import check, equal, main, note, test  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(os.environ["KF_BUILD"], "tests/checker/git_names")
OLD = unicodedata.ucd_3_2_0    # whose tables HFS+ has
RANDOM = random.Random(5)


def ask(question, inputs, sabotage=""):
    """The library's answers, one for each of the inputs; None for a path without a name."""
    done = subprocess.run([PROGRAM], input="".join(f"{question} {each.hex()}\n" for each in inputs), check=True, text=True,
                          capture_output=True, timeout=60, env=dict(os.environ, KF_SABOTAGE=sabotage))
    answers = [None if line == "-" else bytes.fromhex(line) for line in done.stdout.splitlines()]
    equal(len(answers), len(inputs), "answers")
    return answers


def runs():
    for run in kfcheck.GIT_LETTERS.split():
        yield int(run[:4], 16), int(run[5:], 16)


LETTERS = [chr(code) for first, last in runs() for code in range(first, last + 1)]
OURS = frozenset(LETTERS) | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
EVERYTHING = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]


# --- the same answers

def odd_names(count):
    """Names made of what is likely to go wrong, no two alike."""
    parts = ["a", "A", "b", "Z", "0", "9", ".", "..", "-", " ", "~", "%", "%41", "%4a", "%~", "%~/", "%2F", "/", "/", "/", "con", "NUL",
             "Com7", "conin$", ".git", ".GIT", ".gitmodules", ".gitattributes", "git~1", "GITMOD~1", ".json", "\t", "\n", "\x7f", "\x01",
             '"', "ż", "Ż", "z\u0307", "ß", "SS", "ı", "İ", "i", "I", "ſ", "\u212a", "Σ", "ς", "ё", "Ё", "が", "か", "한", "漢", "א", "آ",
             "e\u0301", "😀", "\u200c", "\ufeff", "\u00ad", "\ue000", "\uffff", "ﬁ", "x" * 50, "x" * 199, "ł" * 99, ":", "\\", "*", "$", "²"]
    names = {}
    while len(names) < count:
        name = "".join(RANDOM.choice(parts) for _ in range(RANDOM.randint(1, 9))).encode()
        if not kfcheck.name_fault(name):
            names[name] = True
    return list(names)


@test
def two_implementations_agree():
    names = odd_names(20000)
    names += ["".join(EVERYTHING[i : i + 20]).replace("/", "").encode() for i in range(0, len(EVERYTHING), 20)]
    for question, form in (("p", kfcheck.git_plain), ("a", kfcheck.git_apart)):
        paths = ask(question, names)
        for name, path in zip(names, paths):
            if form(name) != path:
                equal(path, form(name), "path of %r" % name)
        equal(ask("n", paths), names, "names")


@test
def they_refuse_the_same():
    paths = []
    for path in ask("p", odd_names(5000)) + ask("a", odd_names(5000)):
        path = bytearray(path)
        path[RANDOM.randrange(len(path))] = RANDOM.choice(b"%~/.-aA4E \xc5")
        paths.append(bytes(path))
    refused = 0
    for path, name in zip(paths, ask("n", paths)):
        try:
            want = kfcheck.git_name(path)
        except kfcheck.Bad:
            want = None
            refused += 1
        equal(name, want, "name of %r" % path)
    check(1000 < refused < len(paths) - 1000, "%d of %d are refused" % (refused, len(paths)))


@test
def the_description_lists_these_letters():
    with open(os.path.join(ROOT, "docs/formats.md"), encoding="utf-8") as file:
        section = file.read().split("## Names in git\n")[1].split("\n## ")[0]
    listed = set()
    for first, last in re.findall(r"U\+([0-9A-F]{4})(?:-([0-9A-F]{4}))?", "".join(re.findall(r"^\| [^`]*$", section, re.M))):
        listed.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    equal(sorted(listed ^ set(LETTERS)), [], "letters in one of both")
    examples = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| `(%~[^`]*)` \|$", section, re.M)
    check(len(examples) >= 5, "there are examples")
    for name, plain, apart in examples:
        equal(kfcheck.git_plain(name.encode()).decode(), plain, "plain path of %s" % name)
        equal(kfcheck.git_apart(name.encode()).decode(), apart, "apart path of %s" % name)


# --- the facts

@test
def letters_that_stay_are_left_alone_by_normal_forms():
    compose = {unicodedata.decomposition(c).split()[1] for c in EVERYTHING
               if len(unicodedata.decomposition(c).split()) == 2 and "<" not in unicodedata.decomposition(c)}
    for c in LETTERS:
        for data in (OLD, unicodedata):
            check(data.category(c)[0] == "L" or c == "〇", "%04X is a letter of Unicode %s" % (ord(c), data.unidata_version))
            check(data.combining(c) == 0, "%04X does not combine" % ord(c))
            for form in ("NFC", "NFKC"):
                check(data.normalize(form, c) == c, "%04X is its own %s" % (ord(c), form))
        check("%04X" % ord(c) not in compose, "%04X is no second half of another letter" % ord(c))
        check(not 0x1100 <= ord(c) < 0x1200, "%04X is no part of a hangul syllable" % ord(c))
    for path in ask("p", odd_names(5000)) + ["".join(RANDOM.choices(LETTERS, k=60)).encode() for _ in range(2000)]:
        for form in ("NFC", "NFKC"):
            equal(unicodedata.normalize(form, path.decode()).encode(), path, form)


def key(text):
    """Equal for what Unicode calls a canonical caseless match (3.13, D145), and for the i with and without a dot."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return folded.replace("ı", "i").replace("i\u0307", "i")


def variants(c):
    for c in (c, c.lower(), c.upper(), c.title(), c.casefold()):
        for form in ("NFC", "NFD"):
            yield unicodedata.normalize(form, c)
            yield OLD.normalize(form, c)


def is_compatibility_ideograph(c):
    return unicodedata.name(c, "").startswith("CJK COMPATIBILITY IDEOGRAPH")


def pairs_that_could_be_one_file():
    """(a letter that stays or a run of them, what some file system takes for it)"""
    for c in sorted(OURS):
        for variant in set(variants(c)):
            yield c, variant
    for c in EVERYTHING:
        like = unicodedata.normalize("NFC", key(c))
        if like and set(like) <= OURS and not is_compatibility_ideograph(c):
            yield like, c
        for variant in set(variants(c)):
            if variant in OURS and not is_compatibility_ideograph(c):
                yield variant, c


def apart_in_folds(sabotage=""):
    pairs = list(pairs_that_could_be_one_file())
    check(len(pairs) > 100000, "pairs")
    left = ask("f", [a.encode() for a, _ in pairs], sabotage)
    right = ask("f", [b.encode() for _, b in pairs], sabotage)
    return [pair for pair, a, b in zip(pairs, left, right) if a != b]


@test
def letters_that_are_one_to_a_file_system_fold_equal():
    equal(apart_in_folds(), [], "pairs whose folds differ")


@test
def saboteur_fold_ascii_only():
    check(len(apart_in_folds("fold-ascii-only")) > 1000, "saboteur fold-ascii-only is found")


@test
def other_letters_do_not():
    letters = sorted(OURS)
    met = {}
    for c, fold in zip(letters, ask("f", [c.encode() for c in letters])):
        first = met.setdefault(fold, c)
        check(key(first) == key(c), "%s and %s meet" % (first, c))
    note("%d letters in %d folds" % (len(letters), len(met)))


@test
def what_has_no_meaning_is_not_seen():
    # What HFS+ overlooks, as git knows it (utf8.c, next_hfs_char), and others that Linux does.
    overlooked = [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF,
                  0xAD, 0x34F, 0x200B, 0x2060, 0x3164, 0xFE0F, 0xE0001]
    equal(set(ask("f", [("A" + chr(c) + "b").encode() for c in overlooked])), {b"ab"}, "folds")


# --- git itself

SETTINGS = """core.protectHFS=true core.protectNTFS=true transfer.fsckObjects=true receive.fsckObjects=true fetch.fsckObjects=true
    core.autocrlf=false init.defaultBranch=main protocol.file.allow=always""".split()


def git(*words, input=None, expect=0):
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    done = subprocess.run(["git", *settings, *map(str, words)], input=input, capture_output=True, timeout=60,
                          env=dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", LC_ALL="C",
                                   GIT_TERMINAL_PROMPT="0"))
    check((done.returncode == 0) == (expect == 0), "git %s: %d %s" % (words[0], done.returncode, done.stderr[-2000:]))
    return done.stdout + done.stderr


def commit(repository, files):
    """One commit on main of paths and contents, as they are."""
    stream = b"commit refs/heads/main\ncommitter Keepfast <keepfast@localhost> 1794234225 +0000\ndata 0\n"
    for path, content in files.items():
        stream += b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)
    git("-C", repository, "fast-import", "--quiet", input=stream + b"done\n")


def folders(path):
    return [path[:i] for i, byte in enumerate(path) if byte == b"/"[0]]


def place(names):
    """Paths of all names in one tree: plain where there is room, apart elsewhere."""
    files, above, placed = set(), set(), {}
    plain, apart = ask("p", names), ask("a", names)
    plain_folds, apart_folds = ask("f", plain), ask("f", apart)
    for name, *forms in zip(names, zip(plain, plain_folds), zip(apart, apart_folds)):
        room = [(path, fold) for path, fold in forms
                if fold not in files and fold not in above and not files.intersection(folders(fold))]
        check(forms[1] in room, "there is room for %r apart" % name)
        path, fold = room[0]
        files.add(fold)
        above.update(folders(fold))
        placed[path] = name
    return placed


def nasty_names():
    names = [f"case/{word}{n}".encode() for n in range(50) for word in ("Readme", "README", "readme", "Größe", "GRÖSSE", "größe", "ЁЖ", "ёж")]
    names += [b"case", b"Case", b"CASE/readme1/x", "Größe".encode(), b"a" * 1024, b"A/" * 511 + b"A", b"~" * 1024, b"~/" * 511 + b"~",
              ("\u200c" * 341).encode()]
    return names + [name for name in odd_names(2100 - len(names)) if name not in names]


@test
def git_holds_them_and_gives_them_back():
    top, names = folder(), nasty_names()
    RANDOM.shuffle(names)
    placed = place(names)
    check(len(placed) == len(names) >= 2000, "each name has a path of its own")
    apart = sum(path.startswith(b"%~") for path in placed)
    check(apart > 250, "%d of %d stand apart" % (apart, len(names)))
    for path in placed:
        shown = unicodedata.normalize("NFKD", path.decode())
        check(all(ord(c) >= 32 and c not in '\\:*?"<>|' for c in shown), "%r is a path on Windows" % path)
    matched = [key("/".join(s.rstrip(". ") for s in path.decode().split("/"))) for path in placed]
    check(len(set(matched)) == len(matched), "no two are one file to a file system that folds")
    check(not set(matched).intersection(f for m in matched for f in (m[:i] for i, c in enumerate(m) if c == "/")), "no file is a folder")

    for name in ("a.git", "b.git"):
        git("init", "--quiet", "--bare", top / name)
    commit(top / "a.git", placed)
    equal(git("-C", top / "a.git", "fsck", "--strict", "--no-dangling"), b"", "what fsck says")
    git("-C", top / "a.git", "push", "--quiet", top / "b.git", "main")
    git("clone", "--quiet", top / "b.git", top / "tree")
    found = {}
    base = os.fsencode(top / "tree")
    for where, below, files in os.walk(base):
        if b".git" in below:
            below.remove(b".git")
        for file in files:
            with open(os.path.join(where, file), "rb") as f:
                found[os.path.relpath(os.path.join(where, file), base)] = f.read()
    equal(len(found), len(placed), "files in the work tree")
    check(found == placed, "each file has its content")
    equal(ask("n", list(found)), list(found.values()), "names of the paths in the work tree")
    note("%d names, %d of them apart" % (len(names), apart))


@test
def git_refuses_what_is_not_mapped():
    top, judged = folder(), 0
    for n, path in enumerate((b".GIT/x", b"git~1", ".g\u200cit/x".encode(), b"a/../b")):
        git("init", "--quiet", "--bare", top / f"{n}.git")
        try:
            commit(top / f"{n}.git", {path: b"x"})
        except AssertionError:
            continue    # already here
        git("-C", top / f"{n}.git", "fsck", "--strict", expect=1)
        judged += 1
    check(judged >= 2, "%d were left to fsck" % judged)


main()
