"""Sealed names, bodies and files by docs/formats.md and the papers it names, written without libsodium: what the program makes is held
against this, and this says what a place must not show. Slow: for small documents."""

import base64
import hashlib
import json
import struct

PREFIX = "keepfast-sealed/"
CHUNK = 65536


def _quarter(x, a, b, c, d):
    x[a] = (x[a] + x[b]) & 0xFFFFFFFF; t = x[d] ^ x[a]; x[d] = (t << 16 | t >> 16) & 0xFFFFFFFF
    x[c] = (x[c] + x[d]) & 0xFFFFFFFF; t = x[b] ^ x[c]; x[b] = (t << 12 | t >> 20) & 0xFFFFFFFF
    x[a] = (x[a] + x[b]) & 0xFFFFFFFF; t = x[d] ^ x[a]; x[d] = (t << 8 | t >> 24) & 0xFFFFFFFF
    x[c] = (x[c] + x[d]) & 0xFFFFFFFF; t = x[b] ^ x[c]; x[b] = (t << 7 | t >> 25) & 0xFFFFFFFF


def _rounds(state):
    x = list(state)
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            _quarter(x, a, b, c, d)
    return x


_SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def hchacha20(key, nonce16):
    x = _rounds(_SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce16))
    return struct.pack("<8I", *(x[:4] + x[12:]))


def _stream(key, words, counter, data):
    """`words`: of the state behind the key, from the counter of the block."""
    out = bytearray()
    for at in range(0, len(data), 64):
        state = _SIGMA + struct.unpack("<8I", key) + words(counter)
        block = struct.pack("<16I", *[(a + b) & 0xFFFFFFFF for a, b in zip(_rounds(state), state)])
        out += bytes(a ^ b for a, b in zip(data[at:at + 64], block))
        counter += 1
    return bytes(out)


def chacha20_ietf(key, nonce12, counter, data):
    n = struct.unpack("<3I", nonce12)
    return _stream(key, lambda c: (c & 0xFFFFFFFF,) + n, counter, data)


def xchacha20(key, nonce24, data):
    n = struct.unpack("<2I", nonce24[16:])
    return _stream(hchacha20(key, nonce24[:16]), lambda c: (c & 0xFFFFFFFF, c >> 32) + n, 0, data)


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at:at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


class Stream:
    """secretstream_xchacha20poly1305, both ways."""

    def __init__(self, key, header):
        self.key, self.counter, self.nonce = hchacha20(key, header[:16]), 1, header[16:]

    def _mac(self, ad, block, text):
        nonce = struct.pack("<I", self.counter) + self.nonce
        key = chacha20_ietf(self.key, nonce, 0, bytes(64))[:32]
        return poly1305(key, ad + bytes(-len(ad) % 16) + block + text + bytes(len(text) & 15) +
                        struct.pack("<QQ", len(ad), 64 + len(text)))

    def _crypt(self, tag, data):
        nonce = struct.pack("<I", self.counter) + self.nonce
        return (chacha20_ietf(self.key, nonce, 1, bytes([tag]) + bytes(63)), chacha20_ietf(self.key, nonce, 2, data))

    def _step(self, mac):
        self.nonce = bytes(a ^ b for a, b in zip(self.nonce, mac))
        self.counter += 1

    def push(self, data, ad, final):
        block, text = self._crypt(3 if final else 0, data)
        mac = self._mac(ad, block, text)
        self._step(mac)
        return block[:1] + text + mac

    def pull(self, chunk, ad):
        nonce = struct.pack("<I", self.counter) + self.nonce
        tag = chunk[0] ^ chacha20_ietf(self.key, nonce, 1, bytes(64))[0]
        block, _ = self._crypt(tag, b"")
        mac = self._mac(ad, block, chunk[1:-16])
        if mac != chunk[-16:]:
            raise ValueError("not authentic")
        data = chacha20_ietf(self.key, nonce, 2, chunk[1:-16])
        self._step(mac)
        return data, tag == 3


class Key:
    def __init__(self, hexdigits):
        master = bytes.fromhex(hexdigits.strip())
        self.sub = [hashlib.blake2b(b"", key=master, salt=struct.pack("<QQ", i, 0), person=b"kpftseal" + bytes(8),
                                    digest_size=32).digest() for i in range(7)]
        self.id = hashlib.blake2b(b"", key=self.sub[1], digest_size=32).hexdigest()[:8]

    def name(self, name):
        raw = name.encode()
        nonce = hashlib.blake2b(raw, key=self.sub[2], digest_size=24).digest()
        text = base64.b32encode(nonce + xchacha20(self.sub[3], nonce, raw)).decode().lower().rstrip("=")
        sealed = f"{PREFIX}{self.id}/{text[:2]}/{text[2:]}"
        if len(sealed) <= 1024:
            return sealed
        return f"{PREFIX}{self.id}/long/" + hashlib.blake2b(b"long" + raw, key=self.sub[2], digest_size=32).hexdigest()

    def body(self, sealed, heading, data):
        plain = json.dumps(heading, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" + data
        header = hashlib.blake2b(struct.pack("<Q", len(sealed)) + sealed.encode() + plain, key=self.sub[4],
                                 digest_size=24).digest()
        stream, out = Stream(self.sub[5], header), header
        for at in range(0, len(plain), CHUNK):
            out += stream.push(plain[at:at + CHUNK], sealed.encode(), at + CHUNK >= len(plain))
        return json.dumps({"keepfast": "sealed", "format": 1, "key": self.id, "data": base64.b64encode(out).decode()},
                          separators=(",", ":"))

    def file(self, data, header):
        line = b'{"keepfast":"sealed-file","format":1,"key":"%s"}\n' % self.id.encode()
        stream, out = Stream(self.sub[6], header), line + header
        for at in range(0, len(data) or 1, CHUNK):
            out += stream.push(data[at:at + CHUNK], line, at + CHUNK >= len(data))
        return out

    def open_file(self, sealed):
        line, _, rest = sealed.partition(b"\n")
        stream, plain, final, at = Stream(self.sub[6], rest[:24]), b"", False, 24
        while at < len(rest):
            chunk, final = stream.pull(rest[at:at + CHUNK + 17], line + b"\n")
            plain += chunk
            at += CHUNK + 17
        if not final or json.loads(line) != {"keepfast": "sealed-file", "format": 1, "key": self.id}:
            raise ValueError("cut")
        return plain

    def open(self, sealed, text):
        value = json.loads(text)
        data = base64.b64decode(value["data"], validate=True)
        stream, plain, final, at = Stream(self.sub[5], data[:24]), b"", False, 24
        while at < len(data):
            chunk, final = stream.pull(data[at:at + CHUNK + 17], sealed.encode())
            plain += chunk
            at += CHUNK + 17
        if not final or value["key"] != self.id:
            raise ValueError("cut")
        heading, _, body = plain.partition(b"\n")
        return json.loads(heading), body
