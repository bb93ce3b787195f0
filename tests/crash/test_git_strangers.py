#!/usr/bin/env python3
# test: timeout=120
"""Git hosts that are not who they should be, or do not take us for who we are (tests/faultcells.py): certificates, redirects, tokens. No
credentials go where they are not for."""

import os
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["KF_TOP"], "tests"))
from faultcells import cell, run_cells  # noqa: E402
from githost import FaultProxy, GitHost  # noqa: E402
from tap import equal, main, test  # noqa: E402


class Impostor:
    """Speaks TLS with a certificate of its own and keeps whatever comes after the handshake."""

    def __init__(self, certificate, key):
        self.heard = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.door = socket.create_server(("127.0.0.1", 0))
        self.address = self.door.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self.door.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as tls:
                while piece := tls.recv(4096):
                    self.heard.append(piece)
        except OSError:
            pass  # it was not believed

    def close(self):
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()


def certified(c, authority=True, names="IP:127.0.0.1,DNS:localhost", when=None):
    """Somebody else stands in the host's place."""
    top = c.host.top
    signed = ["-CA", top / "ca.pem", "-CAkey", top / "ca.key"] if authority else []
    words = [*(["faketime", "-f", when] if when else []), "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *signed,
             "-keyout", top / "other.key", "-out", top / "other.pem", "-days", "30", "-subj", "/CN=somebody", "-addext", f"subjectAltName={names}",
             "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    impostor = Impostor(top / "other.pem", top / "other.key")
    c.more.append(impostor)
    good, c.proxy.peer = c.proxy.peer, impostor.address

    def heal():
        c.proxy.peer = good
        equal(impostor.heard, [], "nothing is told to whom nobody knows")
    return heal


@cell("certificate of 127.0.0.1 is not believed", kind="https")
def self_signed(c):
    return certified(c, authority=False)


@cell("certificate of 127.0.0.1 is not believed", kind="https")
def expired(c):
    return certified(c, when="-90d")


@cell("certificate of 127.0.0.1 is not believed", kind="https")
def not_yet_valid(c):
    return certified(c, when="+40d")


@cell("certificate of 127.0.0.1 is not believed", kind="https")
def of_another_name(c):
    return certified(c, names="DNS:elsewhere.example,IP:127.0.0.2")


@cell("certificate of 127.0.0.1 is not believed", kind="https")
def of_another_authority(c):
    other = GitHost("https")
    c.more.append(other)
    good, c.proxy.peer = c.proxy.peer, other.address

    def heal():
        c.proxy.peer = good
        equal([r.line for r in other.requests()], [], "nothing is told to whom nobody knows")
    return heal


@cell("sends us elsewhere")
def redirect(c):
    elsewhere = FaultProxy(None)
    c.more.append(elsewhere)
    c.proxy.redirect(elsewhere.url("store") if elsewhere.host else f"http://127.0.0.1:{elsewhere.port}/git/store.git/info/refs")

    def heal():
        c.proxy.pass_on()
        equal([r.line for r in elsewhere.requests()], [], "nothing goes to where nobody sent it")
    return heal


@cell("sends us elsewhere")
def sent_to_the_surroundings(c):
    """Where clouds answer each machine with its own credentials."""
    c.proxy.redirect("http://169.254.169.254/latest/meta-data/", status=307)
    return c.proxy.pass_on


@cell("does not take the token", code="remote_auth", state="auth", asked=True)
def token_is_revoked(c):
    c.host.revoke()
    return c.host.renew


@cell("does not take the token", code="remote_auth", state="auth", asked=True)
def token_expires_midway(c):
    """The host lets us in and hears what we want, and not what we bring."""
    c.proxy.answer(401, only="POST /git/store.git/git-receive-pack")
    return c.proxy.pass_on


@test
def local_writes_do_not_notice_and_the_queue_drains():
    run_cells()


main()
