"""An S3 server on loopback, and a proxy in front of it that counts, refuses and cuts."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

BUCKET = "results"
REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1\.1\r\n")
# The last chunk of a body in AWS's own chunks: it is empty, and a checksum follows.
LAST_CHUNK = re.compile(rb"(^|\r\n)0\r\nx-amz-checksum-[^\r]+\r\n\r\n$")


def address(port: int, prefix: str) -> str:
    return f"s3://{BUCKET}/{prefix}?endpoint_override=127.0.0.1:{port}&scheme=http"


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """A server with one empty bucket, as a process of its own; gives its port."""
    command = [sys.executable, "-W", "ignore", __file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            url = f"http://127.0.0.1:{port}/{BUCKET}"
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=60).close()
            yield port
        finally:
            server.kill()


def whole_body(environ: dict[str, Any]) -> bytes | None:
    """The body of a request, or None where its connection broke off in the middle."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        body: bytes = environ["wsgi.input"].read(-1 if environ.get("wsgi.input_terminated") else length)
    except OSError:  # within one of HTTP's chunks
        return None
    if "aws-chunked" in environ.get("HTTP_CONTENT_ENCODING", "") and not LAST_CHUNK.search(body):
        return None
    return body if len(body) >= length else None


def whole_bodies_only(application: Callable[..., Any]) -> Callable[..., Any]:
    """Answers requests whose body broke off as S3 does, and not as moto does, which takes what came."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        body = whole_body(environ)
        if body is None:
            start_response("400 Bad Request", [("Content-Length", "0")])
            return [b""]
        return application({**environ, "wsgi.input": io.BytesIO(body)}, start_response)

    return answer


def serve() -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = whole_bodies_only(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    print(server.port, flush=True)
    server.serve_forever()


class Proxy:
    """A port on loopback that passes everything on to another one, until it is told not to.

    `requests` are those that came, such as `PUT /results/a`. `cut` ends a connection, once so many bytes of a
    request whose line matches the pattern have passed. `before` is called with each request line before the
    request passes.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.requests: list[str] = []
        self.refusing = False
        self.cut: tuple[str, int] | None = None
        self.before: Callable[[str], None] | None = None
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def refuse(self) -> None:
        """End all connections, and every new one, until `restore` is called."""
        self.refusing = True
        for connection in tuple(self._open):
            _end(connection)

    def restore(self) -> None:
        self.refusing, self.cut, self.before = False, None, None

    def close(self) -> None:
        _end(self._listener)
        self._thread.join()
        self._listener.close()
        self.refuse()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self.refusing:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                self._open |= {client, server}
                answers = threading.Thread(target=_answers, args=(server, client), daemon=True)
                answers.start()
                with contextlib.suppress(OSError):
                    self._questions(client, server)
                _end(server)
                answers.join()
                self._open -= {client, server}

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        line, left = "", None
        while data := client.recv(1 << 16):
            if found := REQUEST.match(data):
                line = os.fsdecode(found[1] + b" " + found[2])
                self.requests.append(line)
                if self.before is not None:
                    self.before(line)
                cut = self.cut
                left = cut[1] if cut is not None and re.match(cut[0], line) else None
            if left is not None and len(data) >= left:
                server.sendall(data[:left])
                return
            left = None if left is None else left - len(data)
            server.sendall(data)


def _answers(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(1 << 16):
            client.sendall(data)
    _end(client)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    serve()
