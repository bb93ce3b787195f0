"""Branches that nobody means well with, for the hosts of githost.py: what a hacked host, or somebody who may push there, can put before
a program that reads them.

    for name, hostile in HOSTILE.items():
        host.make(name)
        host.commit(name, "data", {"good.json": b"1\n"}, "good")
        tip = hostile(host, name, "data")       one more commit with the hostile thing beside what was there
        hostile.__doc__                         what it is
        hostile.fsck                            what `git fsck --strict` complains about, "" = nothing
        hostile.arrives                         whether a fetch brings it that checks objects and may use 512 MiB

Objects are written as a pack with its index, past all of git's checks:

    pack    "PACK" 2 count | entry ... | SHA-1 of all before
    entry   type and size, 7 bits a byte (4 in the first) | zlib stream; of an offset delta the distance to its base between them
    index   FF "tOc" 2 | 256 counts of first bytes | names, sorted | CRC-32 of entries | their offsets | SHA-1 of the pack | of all before
"""

import bisect
import functools
import hashlib
import json
import os
import secrets
import struct
import zlib

TYPES = {"commit": 1, "tree": 2, "blob": 3}
OFFSET_DELTA = 6
FILE, PROGRAM, LINK, FOLDER, MODULE = b"100644", b"100755", b"120000", b"40000", b"160000"
BLANKS = b" " * (1 << 20)
CANARY = "/tmp/keepfast-canary"  # a program that is run by what is written here would make this file
HOSTILE = {}


def hostile(fsck="", arrives=None):
    """Makes of a function that changes a Branch one that puts it on a host."""
    def decorate(function):
        @functools.wraps(function)
        def put(host, repo, branch):
            change = Branch(host, repo, branch)
            function(change)
            return change.done()
        put.fsck, put.arrives = fsck, not fsck if arrives is None else arrives
        HOSTILE[function.__name__] = put
        return put
    return decorate


# ------------------------------------------------------------------------------------- objects


class Pack:
    """Objects to be written; the same one twice is written once."""

    def __init__(self):
        self.entries = {}  # name: (CRC-32, offset)
        self.body = bytearray()

    def add(self, kind, content):
        name = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content).hexdigest()
        return self.entry(name, TYPES[kind], len(content), b"", zlib.compress(content, 1))

    def entry(self, name, number, size, base, stream):
        if name not in self.entries:
            first = number << 4 | size & 15
            head, size = bytearray(), size >> 4
            while size:
                head.append(first | 128)
                first, size = size & 127, size >> 7
            head.append(first)
            entry = bytes(head) + base + stream
            self.entries[name] = (zlib.crc32(entry), 12 + len(self.body))
            self.body += entry
        return name

    def blanks(self, size):
        """A blob of blanks and, at its end, a 1: JSON of so many bytes. Its stream repeats what one MiB compresses to."""
        full, rest = divmod(size - 1, len(BLANKS))
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        piece = squeeze.compress(BLANKS) + squeeze.flush(zlib.Z_FULL_FLUSH)
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        stream = b"\x78\xda" + piece * full + squeeze.compress(BLANKS[:rest] + b"1") + squeeze.flush()
        # Adler-32 of n bytes of one value needs no walk over them.
        n = size - 1
        sums = (n + 32 * n * (n + 1) // 2) % 65521 << 16 | (1 + 32 * n) % 65521
        return self.entry(name_of_blanks(n, b"1"), TYPES["blob"], size, b"", stream + struct.pack(">I", zlib.adler32(b"1", sums)))

    def blanks_of(self, base, base_size, times, end=b""):
        """A delta: so many copies of a blob of blanks alone, and what stands behind them."""
        size = base_size * times + len(end)
        piece = min(base_size, 1 << 23)
        copy = b"\x80" if piece == 65536 else b"\xf0" + struct.pack("<I", piece)[:3]
        delta = varint(base_size) + varint(size) + copy * (base_size // piece * times) + (bytes([len(end)]) + end if end else b"")
        back = 12 + len(self.body) - self.entries[base][1]
        distance = bytearray([back & 127])
        while back := back >> 7:
            back -= 1
            distance.insert(0, 128 | back & 127)
        return self.entry(name_of_blanks(base_size * times, end), OFFSET_DELTA, len(delta), bytes(distance), zlib.compress(delta))

    def write(self, folder):
        pack = b"PACK" + struct.pack(">II", 2, len(self.entries)) + bytes(self.body)
        checksum = hashlib.sha1(pack).digest()
        names = sorted(self.entries)
        counts = [bisect.bisect_left(names, f"{byte + 1:02x}" if byte < 255 else "g") for byte in range(256)]
        index = b"\xfftOc" + struct.pack(">I256I", 2, *counts) + b"".join(bytes.fromhex(name) for name in names)
        index += b"".join(struct.pack(">I", self.entries[name][0]) for name in names)
        index += b"".join(struct.pack(">I", self.entries[name][1]) for name in names) + checksum
        folder.mkdir(parents=True, exist_ok=True)
        # The pack first: whoever finds an index finds its pack.
        (folder / f"pack-{checksum.hex()}.pack").write_bytes(pack + checksum)
        (folder / f"pack-{checksum.hex()}.idx").write_bytes(index + hashlib.sha1(index).digest())


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def name_of_blanks(count, end):
    name = hashlib.sha1(b"blob %d\0" % (count + len(end)))
    for _ in range(count // len(BLANKS)):
        name.update(BLANKS)
    name.update(BLANKS[:count % len(BLANKS)] + end)
    return name.hexdigest()


class Branch:
    """The next commit of a branch, whose parts may be anything."""

    def __init__(self, host, repo, branch):
        self.host, self.repo, self.branch = host, repo, branch
        self.pack = Pack()
        tip = host.tip(repo, branch)
        self.parents = [tip] if tip else []
        self.top = self.read(f"{tip}^{{tree}}") if tip else []  # (mode, name, object) of the root folder
        self.in_order = True
        self.when = 1700000000
        self.author = b"author Somebody <somebody@example.org> %d +0000\n"
        self.message = b"something else\n"

    def read(self, tree):
        raw, entries = self.host.at(self.repo, "cat-file", "tree", tree), []
        while raw:
            mode, _, raw = raw.partition(b" ")
            name, _, raw = raw.partition(b"\0")
            entries.append((mode, name, raw[:20].hex()))
            raw = raw[20:]
        return entries

    def blob(self, content):
        return self.pack.add("blob", content)

    def tree(self, entries, in_order=True):
        if in_order:
            entries = sorted(entries, key=lambda entry: entry[1] + (b"/" if entry[0] == FOLDER else b""))
        return self.pack.add("tree", b"".join(b"%s %s\0" % (mode, name) + bytes.fromhex(what) for mode, name, what in entries))

    def file(self, name, content=b"{}\n", mode=FILE):
        self.top.append((mode, name, self.blob(content)))

    def folder(self, name, entries):
        self.top.append((FOLDER, name, self.tree(entries)))

    def commit(self, tree, parents, message=None):
        lines = b"tree %s\n" % tree.encode() + b"".join(b"parent %s\n" % parent.encode() for parent in parents)
        who = self.author % self.when if b"%d" in self.author else self.author
        committer = b"committer Somebody <somebody@example.org> %d +0000\n" % self.when
        return self.pack.add("commit", lines + who + committer + b"\n" + (self.message if message is None else message))

    def done(self):
        tip = self.commit(self.tree(self.top, self.in_order), self.parents)
        self.pack.write(self.host.path(self.repo) / "objects" / "pack")
        self.point(f"refs/heads/{self.branch}", tip)
        return tip

    def point(self, ref, name):
        """Written as a file: git would look at what it points to."""
        path = self.host.path(self.repo) / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        new.write_text(name + "\n")
        os.replace(new, path)


# ------------------------------------------------------------------------------------- things that are no files


@hostile()
def symlinks(change):
    """Links to a file of the machine, out of the folder, to a folder, to themselves, and with the name of a document."""
    for name, to in ((b"passwd.json", b"/etc/passwd"), (b"out.json", b"../../../outside.json"), (b"folder", b"/tmp"), (b"self.json", b"self.json"),
                     (b"new\nline.json", b"a\nb"), (b"empty.json", b"x" * 5000)):
        change.file(name, to, LINK)


@hostile()
def link_where_a_folder_was(change):
    """The folder of Keepfast's own files is a link to somewhere else."""
    change.top = [entry for entry in change.top if entry[1] != b".keepfast"]
    change.file(b".keepfast", b"/etc", LINK)


@hostile()
def submodules(change):
    """A submodule whose address would run a program, and one without any address."""
    change.file(b".gitmodules", b'[submodule "a.json"]\n\tpath = a.json\n\turl = ext::sh -c touch%% %s\n' % CANARY.encode())
    change.top += [(MODULE, b"a.json", "1" * 40), (MODULE, b"b.json", "2" * 40)]


@hostile(fsck="gitmodulesUrl")
def submodule_that_is_an_option(change):
    """A submodule whose address begins with a dash."""
    change.file(b".gitmodules", b'[submodule "a"]\n\tpath = a\n\turl = "-u./%s"\n' % CANARY.encode())
    change.top.append((MODULE, b"a", "1" * 40))


@hostile(fsck="gitmodulesSymlink")
def gitmodules_is_a_link(change):
    """.gitmodules is a link to a file elsewhere."""
    change.file(b".gitmodules", b"a/b", LINK)


@hostile()
def modes(change):
    """A document that may be run, a link and a submodule with names of documents."""
    change.file(b"run.json", b"1\n", PROGRAM)
    change.file(b"link.json", b"run.json", LINK)
    change.top.append((MODULE, b"module.json", "3" * 40))


@hostile(fsck="badFilemode", arrives=True)
def modes_of_nothing(change):
    """Documents with modes that git does not write: a group may write one, anybody the other."""
    change.file(b"group.json", b"1\n", b"100664")
    change.file(b"all.json", b"1\n", b"100777")


@hostile()
def attributes_and_filters(change):
    """Attributes that ask for filters, drivers and conversions on everything, and a file of settings for another program."""
    change.file(b".gitattributes", b"* filter=evil diff=evil merge=evil text eol=crlf working-tree-encoding=UTF-16 ident export-subst\n")
    change.file(b".lfsconfig", b"[lfs]\n\turl = http://127.0.0.1:1/\n")
    change.file(b"ident.json", b'"$Id$"\r\n')


# ------------------------------------------------------------------------------------- names


def git_folder(change, name):
    """What would be a repository with a hook and settings that run a program, were it ever checked out."""
    hook = change.blob(b"#!/bin/sh\ntouch %s\n" % CANARY.encode())
    config = change.blob(b"[core]\n\tfsmonitor = touch %s\n\thooksPath = .\n" % CANARY.encode())
    change.folder(name, [(FILE, b"config", config), (PROGRAM, b"post-checkout", hook)])


@hostile(fsck="hasDotgit")
def dot_git(change):
    """A folder named .git."""
    git_folder(change, b".git")


@hostile(fsck="hasDotgit")
def dot_git_in_capitals(change):
    """A folder named .GIT, which is .git where case does not count."""
    git_folder(change, b".GIT")


@hostile(fsck="hasDotgit")
def dot_git_as_windows_has_it(change):
    """A folder named git~1, the short name of .git there."""
    git_folder(change, b"git~1")


@hostile(fsck="hasDotgit")
def dot_git_with_a_hidden_letter(change):
    """.git with a letter that has no width, which macOS leaves out."""
    git_folder(change, b".g\xe2\x80\x8cit")


@hostile(fsck="hasDotgit")
def dot_git_deep_inside(change):
    """A file named .git some folders down."""
    inner = change.tree([(FILE, b".git", change.blob(b"gitdir: /tmp\n"))])
    change.folder(b"a", [(FOLDER, b"b", inner)])


@hostile(fsck="hasDotdot")
def dot_dot(change):
    """A folder named .. with a document in it."""
    change.folder(b"..", [(FILE, b"outside.json", change.blob(b"1\n"))])


@hostile(fsck="hasDot")
def dot(change):
    """A folder named . with a document that is there already."""
    change.folder(b".", [(FILE, b"good.json", change.blob(b'"other"\n'))])


@hostile(fsck="fullPathname")
def name_with_a_slash(change):
    """One entry named a/../../outside.json."""
    change.file(b"a/../../outside.json", b"1\n")


@hostile(fsck="empty filename in tree entry")
def name_without_letters(change):
    """An entry whose name is empty."""
    change.top.insert(0, (FILE, b"", change.blob(b"1\n")))


@hostile()
def not_utf8(change):
    """Names that are no UTF-8: bytes of Latin-1, a surrogate, an overlong slash, half a letter."""
    for name in (b"\xe9t\xe9.json", b"\xed\xa0\x80.json", b"\xc0\xaf.json", b"\xc4", b"\xff\xfe.json"):
        change.file(name, b"1\n")


@hostile()
def odd_names(change):
    """Names that a shell, a terminal, a list or Windows takes for something else."""
    for name in (b"-rf.json", b"--upload-pack=x.json", b"new\nline.json", b"tab\t.json", b"\x1b[31mred.json", b'quo"te.json', b"back\\slash.json",
                 b"C:.json", b"con.json", b"end. ", b" begin.json", b"%2e%2e.json", b"$(touch x).json", b"*.json", b":!x.json", b"\xe2\x80\xaegnp.json"):
        change.file(name, b"1\n")


@hostile()
def long_names(change):
    """A name of 5,000 bytes, and a path of 40 folders of 200 bytes each: longer than files may be called."""
    change.file(b"n" * 4990 + b".json.json", b"1\n")
    inner = change.tree([(FILE, b"x.json", change.blob(b"1\n"))])
    for _ in range(39):
        inner = change.tree([(FOLDER, b"d" * 200, inner)])
    change.top.append((FOLDER, b"d" * 200, inner))


@hostile()
def case_twins(change):
    """Documents and folders whose names differ in case, or in how a letter is composed."""
    for name in (b"Twin.json", b"twin.json", b"TWIN.JSON", b"\xc4\x85.json", b"a\xcc\xa8.json"):
        change.file(name, b'"%s"\n' % name)
    for name in (b"Folder", b"folder"):
        change.folder(name, [(FILE, b"x.json", change.blob(b'"%s"\n' % name))])


@hostile(fsck="duplicateEntries")
def duplicate_entries(change):
    """Two files of one name in one folder, with different content."""
    change.file(b"twice.json", b"1\n")
    change.file(b"twice.json", b"2\n")


@hostile(fsck="duplicateEntries")
def file_and_folder_of_one_name(change):
    """A file and a folder that have the same name."""
    change.file(b"both", b"1\n")
    change.folder(b"both", [(FILE, b"x.json", change.blob(b"2\n"))])


@hostile(fsck="treeNotSorted")
def not_in_order(change):
    """Entries in another order than git's."""
    change.file(b"z.json", b"1\n")
    change.file(b"0.json", b"2\n")
    change.in_order = False


# ------------------------------------------------------------------------------------- sizes


@hostile()
def huge_file(change):
    """A document of 1 GiB, all blanks and a 1, which is 1 MB on its way."""
    change.top.append((FILE, b"huge.json", change.pack.blanks(1 << 30)))


@hostile(arrives=False)
def delta_bomb(change):
    """A document of 1 GiB that is some 500 bytes on its way: copies of copies of 64 blanks."""
    size, top = 64, change.blob(BLANKS[:64])
    change.file(b"delta0.json", BLANKS[:64])
    for level in range(1, 5):
        last = level == 4
        bomb = change.pack.blanks_of(top, size, 64, b"1" if last else b"")
        change.top.append((FILE, b"delta%d.json" % level, bomb))
        size, top = size * 64, bomb


@hostile()
def deep_folders(change):
    """A document 3,000 folders down."""
    inner = change.tree([(FILE, b"deep.json", change.blob(b"1\n"))])
    for _ in range(2999):
        inner = change.tree([(FOLDER, b"d", inner)])
    change.top.append((FOLDER, b"d", inner))


@hostile()
def tree_bomb(change):
    """Ten billion documents in eleven objects: each of 10 levels has the level below ten times."""
    inner = change.blob(b"1\n")
    for level in range(10):
        inner = change.tree([(FOLDER if level else FILE, b"%d" % n, inner) for n in range(10)])
    change.top.append((FOLDER, b"bomb", inner))


@hostile()
def tree_bomb_of_no_names(change):
    """As many files, none of which can be a document: their paths are no UTF-8."""
    inner = change.blob(b"1\n")
    for level in range(10):
        inner = change.tree([(FOLDER if level else FILE, b"\xff%d" % n, inner) for n in range(10)])
    change.top.append((FOLDER, b"bomb", inner))


@hostile()
def many_files(change):
    """100,000 documents in one folder, of 100 different contents."""
    blobs = [change.blob(b"%d\n" % n) for n in range(100)]
    change.folder(b"many", [(FILE, b"%06d.json" % n, blobs[n % 100]) for n in range(100_000)])


@hostile()
def long_message(change):
    """A commit whose message is 10 MB in one line."""
    change.message = b"x" * 10_000_000 + b"\n"


@hostile()
def many_parents(change):
    """A commit with 500 parents, each a root of its own."""
    empty = change.tree([])
    change.parents += [change.commit(empty, [], b"root %d\n" % n) for n in range(500)]


# ------------------------------------------------------------------------------------- Keepfast's own files, and documents


SITE, TIME = "0" * 15 + "1", "2026-01-01T00:00:00.000Z"


def row(name, content=b"1\n", **other):
    """The line that stands for a document (docs/formats.md), with other values where they are given; None takes a member away."""
    values = {"file": name, "version": 1, "stamp": "019b76daa8000000", "site": SITE, "at": TIME, "size": len(content),
              "hash": hashlib.blake2b(content, digest_size=32).hexdigest(), "path": name,
              "text": hashlib.blake2b(content, digest_size=32).hexdigest()} | other
    text = json.dumps({member: value for member, value in values.items() if value is not None}, separators=(",", ":"), ensure_ascii=False)
    return text.replace("\\n", "\\u000a").encode() + b"\n"


def rows(change, *lines, shelf=None, form=b'{"keepfast":"git","format":1}\n'):
    """Keepfast's own folder with these lines, each on the shelf of its name, or all on one."""
    shelves = {}
    for line in lines:
        name = json.loads(line)["file"].encode("utf-8", "surrogatepass") if shelf is None else b""
        shelves.setdefault(shelf or hashlib.blake2b(name, digest_size=32).hexdigest()[:2], []).append(line)
    docs = change.tree([(FILE, name.encode(), change.blob(b"".join(sorted(lines)))) for name, lines in shelves.items()])
    change.top = [entry for entry in change.top if entry[1] != b".keepfast"]
    change.folder(b".keepfast", [(FILE, b"format.json", change.blob(form)), (FOLDER, b"docs", docs)])


@hostile()
def format_of_the_future(change):
    """The branch says that a Keepfast wrote it that we are not."""
    rows(change, row("good.json"), form=b'{"keepfast":"git","format":999}\n')


@hostile()
def format_that_is_none(change):
    """What should say which format this is says nothing."""
    rows(change, row("good.json"), form=b'{"keepfast":"git","form')


@hostile()
def own_folder_is_a_file(change):
    """.keepfast is a file, and .KEEPFAST a folder beside it."""
    change.top = [entry for entry in change.top if entry[1] != b".keepfast"]
    change.file(b".keepfast", b"{}\n")
    change.folder(b".KEEPFAST", [(FILE, b"format.json", change.blob(b'{"keepfast":"git","format":1}\n'))])


LIES = (row("good.json", path="../../outside.json"), row("/etc/passwd", path="/etc/passwd"), row("a/../b.json"),
        row("git", path=".git/config"), row("own", path=".keepfast/format.json"), row("b.json", path="good.json"),
        row("c.json", version=0), row("d.json", version=-1), row("e.json", version=1 << 63), row("f.json", stamp="0" * 16),
        row("g.json", site="x" * 16), row("h.json", size=1 << 62), row("i.json", hash="0" * 64), row("j.json", text="7" * 40),
        row("k.json", size=-1, path=None), row("l.json"), row("l.json", b"2\n", version=2), row("m.json", more=1),
        row("n.json", at="yesterday"), row("nul\0.json"), row("\n.json"), row("n" * 2000))


@hostile()
def rows_that_lie(change):
    """Well-formed rows with paths that leave the tree, belong to another document or to Keepfast, values out of their range, and
    one document twice."""
    rows(change, *LIES)


@hostile()
def rows_of_the_far_future(change):
    """A row whose stamp is the largest there is, and one of the year 2200."""
    rows(change, row("good.json", stamp="3fffffffffffffff", version=2), row("later.json", stamp="0699e991a8000000"))


@hostile()
def rows_on_the_wrong_shelf(change):
    """All rows stand in one file, whatever their names."""
    rows(change, *(row(f"{n}.json") for n in range(50)), row("good.json"), shelf="00")


@hostile()
def rows_that_are_none(change):
    """Lines that are cut, no JSON, no UTF-8, empty, or the members of which stand in another order; the last one does not end."""
    rows(change, b"\n", b"[1]\n", b'{"file":"a","version":1\n', b'{"file":"\xff"}\n', b'{"version":1,"file":"b.json"}\n', b"\0\0\0\n",
         row("c.json") + b" \n", b'{"file":"d.json"', shelf="7f")


@hostile()
def row_without_end(change):
    """One row of 32 MiB."""
    rows(change, row("r" * (32 << 20)))


@hostile()
def documents_that_are_no_json(change):
    """Files that a person or a program left half done: cut, empty, with a byte order mark, with NaN, a comment or a member twice,
    of bytes that are no text, of two values, of a conflict that was not resolved."""
    contents = (b"", b'{"a":', b"\xef\xbb\xbf1\n", b"NaN\n", b"// 1\n1\n", b'{"a":1,"a":2}\n', b"\xff\xfe1\0", b"\0" * 100, b"1 2\n", b"[1,]\n", b"01\n",
                b'"\\ud800"\n', b"<<<<<<< ours\n1\n=======\n2\n>>>>>>> theirs\n", b"version https://git-lfs.example/spec/v1\n")
    for n, content in enumerate(contents):
        change.file(b"bad%02d.json" % n, content)


@hostile()
def documents_beyond_their_bounds(change):
    """JSON that is deep, long, wide or large: 100,000 brackets, a number of a million digits, 200,000 members, 10 MiB."""
    change.file(b"deep.json", b"[" * 100_000 + b"]" * 100_000)
    change.file(b"long.json", b"1" * 1_000_000)
    change.file(b"wide.json", b"{" + b",".join(b'"%d":0' % n for n in range(200_000)) + b"}")
    change.file(b"large.json", b'"' + b"x" * (10 << 20) + b'"')
    change.file(b"number.json", b"1e999999999")


# ------------------------------------------------------------------------------------- commits


@hostile(fsck="missingAuthor")
def no_author(change):
    """A commit that names no author."""
    change.author = b""


@hostile(fsck="missingEmail")
def half_an_author(change):
    """A commit whose author has neither address nor time."""
    change.author = b"author Somebody\n"


@hostile(fsck="nulInCommit")
def nul_in_message(change):
    """A commit whose message goes on behind a NUL."""
    change.message = b"before\0after\n\nKey: value\n"


@hostile()
def message_that_lies(change):
    """A message that is no UTF-8, moves the terminal's cursor and has fields like those of Keepfast's own messages."""
    change.message = b"\xff\xfe\x1b[2J\x1b[1;1Hall is well\n\nKeepfast-Site: 0000000000000000\nKeepfast-Seq: 18446744073709551615\n"


@hostile()
def year_1970(change):
    """A commit of the first second of 1970."""
    change.when = 0


@hostile()
def year_2100(change):
    """A commit of 2100."""
    change.when = 4102444800


@hostile(fsck="badDateOverflow")
def time_without_end(change):
    """A commit whose time fits no number."""
    change.author = b"author Somebody <somebody@example.org> 99999999999999999999 +0000\n"


@hostile(fsck="badTimezone")
def zone_of_nowhere(change):
    """A commit whose zone is no number."""
    change.author = b"author Somebody <somebody@example.org> 1700000000 +x\n"


# ------------------------------------------------------------------------------------- histories


@hostile()
def unrelated_root(change):
    """A history that begins anew: the commit has no parent."""
    change.parents = []


@hostile()
def second_root(change):
    """A merge with a history that has nothing in common with the branch."""
    other = change.tree([(FILE, b"other.json", change.blob(b"1\n"))])
    change.parents.append(change.commit(other, [], b"somewhere else\n"))


@hostile(arrives=False)
def shallow(change):
    """The host itself has only the newest commits and says so. A fetch then ends well and leaves the branch where it was."""
    parent = change.commit(change.tree(change.top), ["4" * 40], b"whose parent is not here\n")
    (change.host.path(change.repo) / "shallow").write_text(parent + "\n")
    change.parents = [parent]


@hostile()
def replaced(change):
    """The host has replaced the commit before this one by another for all who believe in replacements."""
    other = change.commit(change.tree([(FILE, b"replaced.json", change.blob(b"1\n"))]), [], b"instead\n")
    if change.parents:
        change.point(f"refs/replace/{change.parents[0]}", other)


@hostile(fsck="broken link")
def parent_is_missing(change):
    """A commit whose parent is nowhere."""
    change.parents = ["5" * 40]


@hostile(fsck="broken link")
def file_is_missing(change):
    """A document whose content is nowhere."""
    change.top.append((FILE, b"missing.json", "6" * 40))


@hostile(fsck="broken link")
def file_is_a_folder(change):
    """An entry that says it is a file and is a folder, and the other way round."""
    change.top.append((FILE, b"file.json", change.tree([(FILE, b"x", change.blob(b"1\n"))])))
    change.top.append((FOLDER, b"folder", change.blob(b"2\n")))
