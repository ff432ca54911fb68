"""A camera that speaks HTTP MJPEG, in this process: it can be unplugged, hang, and come back on its port."""

from __future__ import annotations

import base64
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

FPS = 12.5
USER, PASSWORD = "eve", "7Zecret"


class MjpegCamera:
    """Serves noise, at a steady rate, on a port that stays its own.

    Args:
        closed: ask for `USER` and `PASSWORD`.
    """

    def __init__(self, *, closed: bool = False, frames_each: int | None = None) -> None:
        rng = np.random.default_rng(0)
        pictures = rng.integers(40, 90, (32, 120, 160, 3), np.uint8)
        self._jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
        self._closed = closed
        self._frames_each = frames_each
        self.hangs = threading.Event()
        self.connections = 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._server: ThreadingHTTPServer | None = None
        self._sockets: list[socket.socket] = []
        self.plug_in()

    @property
    def url(self) -> str:
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}/live" if self._closed else self.open_url

    @property
    def open_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live"

    def plug_in(self) -> None:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                camera.greet(self)

            def do_GET(self) -> None:
                if camera.greet(self):
                    camera.show(self)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None: ...  # whoever watched is gone

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def unplug(self) -> None:
        assert self._server is not None
        server, self._server = self._server, None
        server.shutdown()
        while self._sockets:
            with suppress(OSError):  # whoever watched has hung up already
                self._sockets.pop().shutdown(socket.SHUT_RDWR)
        server.server_close()

    def close(self) -> None:
        if self._server is not None:
            self.unplug()

    def greet(self, request: BaseHTTPRequestHandler) -> bool:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self._closed and request.headers.get("Authorization") != wanted:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="camera"')
            request.end_headers()
            return False
        if request.path != "/live":
            request.send_error(404)
            return False
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        request.end_headers()
        return True

    def show(self, request: BaseHTTPRequestHandler) -> None:
        self.connections += 1
        self._sockets.append(request.connection)
        count = 0
        try:
            while self._server is not None and count != self._frames_each:
                jpeg = self._jpegs[count % len(self._jpegs)]
                if not self.hangs.is_set():
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    request.wfile.write(head.encode() + jpeg + b"\r\n")
                    count += 1
                if self._frames_each is None:
                    time.sleep(1 / FPS)
        finally:
            if request.connection in self._sockets:
                self._sockets.remove(request.connection)
