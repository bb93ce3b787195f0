"""Files of streams at places and in archives, for kfcheck.py: read line by line against docs/formats.md and joined as stores join them. It
knows no line of Keepfast's own code."""

import datetime
import re
from dataclasses import dataclass, field

from kfformat import HEX16, Bad, Number, blake, canonical, canonical_string, line_string, name_fault, parse

WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
STREAM_FILES = b"keepfast-streams/"
PART_ENTRIES = 1000
STAMP_MAX = 2**62
KIND = re.compile(r"[a-z0-9_.-]{0,64}\Z")


@dataclass(frozen=True)
class Entry:
    stamp: int
    site: str
    id: str
    kind: str
    at: int          # milliseconds since 1970
    body: bytes
    attach: bytes    # None: nothing is attached


@dataclass
class Stream:
    attrs: dict = field(default_factory=dict)      # name: value, as bytes
    entries: list = field(default_factory=list)    # of Entry, those kept beside another one included

    def digest_lines(self):
        """What its line of the digest is the hash of."""
        members = ",".join(canonical_string(name) + ":" + canonical(self.attrs[name]).decode("utf-8")
                           for name in sorted(self.attrs))
        lines = [blake(("{" + members + "}").encode("utf-8")).encode()]
        for e in sorted(self.entries, key=lambda e: (e.stamp, e.site)):
            attach = "-" if e.attach is None else blake(canonical(e.attach))
            lines.append(("%d %s %s %s %d %s %s" % (e.stamp, e.site, canonical_string(e.id), e.kind or "-", e.at,
                                                    blake(canonical(e.body)), attach)).encode("utf-8"))
        return b"\n".join(lines) + b"\n"


def stream_file(name):
    """(key, number of its first entry; 0 for stream.ndjson), or None for no file of a stream."""
    match = re.match(rb"keepfast-streams/(.+)/(stream|[0-9]{12})\.ndjson\Z", name, re.S)
    if not match or name_fault(match[1]) or match[2] == b"0" * 12:
        return None
    return match[1], 0 if match[2] == b"stream" else int(match[2])


def _when(text):
    if not WHEN.match(text):
        raise Bad("%r is no time" % text)
    at = datetime.datetime.strptime(text[:-1] + "000", "%Y-%m-%dT%H:%M:%S.%f")
    return (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(milliseconds=1)


def _depth(value):
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


class Line:
    """A line of a file, its members as they were parsed and its value as bytes. Bad unless it is in its one form."""

    # First member: the others in their order; what is in brackets may be missing. The value comes last.
    FORMS = {
        "last": ([], None),
        "attr": (["stamp", "site"], "value"),
        "erased": (["stamp", "at"], None),
        "trimmed": (["stamp"], None),
        "attach": ([], "body"),
        "n": (["stamp", "site", "at", "[id]", "[kind]", "[attach]"], "body"),
        "once": (["n", "asked", "at"], None),
    }

    def __init__(self, text):
        members = parse(text)
        if not isinstance(members, dict) or not members:
            raise Bad("no object")
        self.form = next(iter(members))
        if self.form not in self.FORMS:
            raise Bad("members %s" % list(members))
        others, value = self.FORMS[self.form]
        self.members = members
        names = [self.form] + [name.strip("[]") for name in others if name[0] != "[" or name[1:-1] in members]
        front = "{" + ",".join('"%s":%s' % (name, self._plain(name)) for name in names)
        self.value = self._value(text, front.encode("utf-8"), value)
        self._check()

    def _plain(self, name):
        got = self.members.get(name)
        if name in ("last", "n"):
            if not isinstance(got, Number) or not re.match(r"[1-9][0-9]{0,11}\Z", got):
                raise Bad("%s: %r" % (name, got))
            return str(got)
        if not isinstance(got, str) or isinstance(got, Number):
            raise Bad("%s: %r" % (name, got))
        return line_string(got)

    def _value(self, text, front, name):
        if name is None:
            if text != front + b"}":
                raise Bad("it is not in its one form")
            return None
        if self.form == "attr" and text == front + b',"removed":true}':
            return None
        plain = front + b',"%s":' % name.encode()
        if text.startswith(plain):
            value = text[len(plain):-1]
            if value != value.strip(b" \t\r\n"):
                raise Bad("a value with blanks around it stands in the line")
        else:
            string = self.members.get("text")
            if not isinstance(string, str) or isinstance(string, Number):
                raise Bad("it has no value")
            value = string.encode("utf-8")
            plain = front + b',"text":'
            if text != plain + line_string(string).encode("utf-8") + b"}":
                raise Bad("it is not in its one form")
            blank = b"\n" in value or value != value.strip(b" \t\r\n")
            if not blank and _depth(parse(value)) < 64 and len(value) < 99968:
                raise Bad("a value that could stand in the line is a string")
        parse(value)
        return value

    def _check(self):
        members = self.members
        site = members.get("site") if self.form in ("attr", "n") else members.get(self.form)
        if self.form in ("attr", "n", "erased", "trimmed"):
            if not HEX16.match(site) or not HEX16.match(members["stamp"]):
                raise Bad("site %r, stamp %r" % (site, members["stamp"]))
            if not 0 < int(members["stamp"], 16) <= STAMP_MAX:
                raise Bad("the stamp %r" % members["stamp"])
        if self.form == "attach" and blake(self.value) != members["attach"]:
            raise Bad("the attachment does not match its hash")
        if self.form == "n":
            if not KIND.match(members.get("kind", "")) or members.get("kind") == "" or members.get("id") == "":
                raise Bad("kind %r, id %r" % (members.get("kind"), members.get("id")))
            if len(members.get("id", "").encode("utf-8")) > 255 or "\0" in members.get("id", ""):
                raise Bad("id %r" % members["id"])
        if self.form == "once":
            if not members["once"] or len(members["once"].encode("utf-8")) > 255 or "\0" in members["once"]:
                raise Bad("id %r" % members["once"])
            if not re.match(r"([0-9a-f]{32}){1,2}\Z", members["asked"]):
                raise Bad("asked %r" % members["asked"])
        self.at = _when(members["at"]) if "at" in members else 0


def read_stream_file(name, text):
    """The lines of a file behind its first one. Bad for the first fault."""
    place = stream_file(name)
    if place is None:
        raise Bad("its name is none of a stream's file")
    key, first = place
    head = '{"keepfast":"%s","format":1,"stream":%s' % ("part" if first else "stream",
                                                        line_string(key.decode("utf-8")))
    head += ',"first":%d}' % first if first else "}"
    if not text.endswith(b"\n"):
        raise Bad("its last line is cut")
    lines = text[:-1].split(b"\n")
    if lines[0] != head.encode("utf-8"):
        raise Bad("it does not begin as a file of this stream does")
    read = []
    for number, line in enumerate(lines[1:], 2):
        try:
            read.append(Line(line))
            _check_line_place(read, first)
        except (Bad, KeyError, UnicodeEncodeError) as e:
            raise Bad("line %d: %s" % (number, e)) from None
    if first:
        _check_part(read)
    return read


def _check_line_place(read, first):
    line = read[-1]
    before = read[-2] if len(read) > 1 else None
    if (line.form in ("attach", "n", "once")) != (first > 0):
        raise Bad("it does not belong there")
    if first:
        if line.form == "n" and int(line.members["n"]) < first:
            raise Bad("its number is below that of the part")
        return
    order = list(Line.FORMS)
    keys = [(order.index(each.form), b"" if each.form == "last" else each.members[each.form].encode())
            for each in (before, line) if each]
    if len(keys) == 2 and keys[0] >= keys[1]:
        raise Bad("it is out of order")
    if line.form == "trimmed" and read[0].form != "last":
        raise Bad("trimmed, and no last number")


def _check_part(read):
    attached, known, last, waiting = set(), set(), 0, None
    if any(line.form == "once" for line in read):
        ids = [line.members.get("once", "").encode("utf-8") for line in read]
        if not all(ids) or ids != sorted(set(ids)) or len(ids) > PART_ENTRIES:
            raise Bad("ids beside entries, out of order or too many")
        return
    for line in read:
        members = line.members
        if line.form == "attach":
            if waiting or members["attach"] in attached:
                raise Bad("an attachment that no entry names, or twice")
            waiting = members["attach"]
            attached.add(waiting)
            continue
        if waiting and members.get("attach") != waiting:
            raise Bad("the attachment in front of it is not its own")
        if "attach" in members and members["attach"] not in attached:
            raise Bad("its attachment is not there")
        waiting = None
        if int(members["n"]) <= last:
            raise Bad("the numbers do not grow")
        last = int(members["n"])
        if (members["site"], members["stamp"]) in known:
            raise Bad("an entry stands twice")
        known.add((members["site"], members["stamp"]))
    if waiting or not 1 <= len(known) <= PART_ENTRIES:
        raise Bad("it has %d entries" % len(known))


class StreamFiles:
    """The files of streams of one place, joined."""

    def __init__(self, report):
        self._report = report
        self._members, self._erased, self._entries = {}, {}, {}
        self._numbers = {}    # key: [(first number of a part, last)]
        self._last, self._ids = {}, {}    # key: the last number given; {id: number} of those whose entries were trimmed
        self.joined = {}      # key: Stream

    def add(self, name, text):
        try:
            lines = read_stream_file(name, text)
        except Bad as e:
            self._report.find("%r: %s", name, e)
            return
        key, first = stream_file(name)
        attached = {line.members["attach"]: line.value for line in lines if line.form == "attach"}
        for line in lines:
            if line.form == "attr":
                self._members.setdefault(key, {})[line.members["attr"]] = line.value
            elif line.form == "erased":
                self._erased.setdefault(key, {})[line.members["erased"]] = int(line.members["stamp"], 16)
            elif line.form == "n":
                self._add_entry(key, line, attached)
            elif line.form == "last":
                self._last[key] = int(line.members["last"])
            elif line.form == "once":
                if line.members["once"] in self._ids.setdefault(key, {}):
                    self._report.find("stream %r: the id %r stands there twice", key, line.members["once"])
                self._ids[key][line.members["once"]] = int(line.members["n"])
        if first and lines[0].form != "once":
            numbers = [int(line.members["n"]) for line in lines if line.form == "n"]
            self._numbers.setdefault(key, []).append((first, numbers[-1]))

    def _add_entry(self, key, line, attached):
        members = line.members
        entry = Entry(int(members["stamp"], 16), members["site"], members.get("id", ""), members.get("kind", ""),
                      line.at, line.value, attached[members["attach"]] if "attach" in members else None)
        entries = self._entries.setdefault(key, {})
        if entries.setdefault((entry.stamp, entry.site), entry) != entry:
            self._report.find("stream %r: two entries have the stamp %s and the site %s", key, members["stamp"],
                              entry.site)

    def end(self):
        """Into the report."""
        for key, parts in self._numbers.items():
            parts.sort()
            for (_, last), (first, _) in zip(parts, parts[1:]):
                if first <= last:
                    self._report.find("stream %r: part %d begins before the one in front of it ends", key, first)
        for key, ids in self._ids.items():
            if key in self._last and max(ids.values()) > self._last[key]:
                self._report.find("stream %r: an id is of an entry that it never had", key)
            if key not in self._last and key not in self._erased:
                self._report.find("stream %r: ids and no last number", key)
        for key in set(self._members) | set(self._entries):
            erased = self._erased.get(key, {})
            stream = Stream({name: value for name, value in self._members.get(key, {}).items() if value is not None},
                            [e for e in self._entries.get(key, {}).values() if e.stamp > erased.get(e.site, 0)])
            if stream.attrs or stream.entries:
                self._report.streams[key] = blake(stream.digest_lines())
                self.joined[key] = stream
