"""Camera addresses: a form that is safe to print, and why one does not open."""

from __future__ import annotations

import re
import socket
from urllib.parse import SplitResult, urlsplit

from stan_edge.errors import ConfigError, SourceAuthError, SourceConnectError, SourceError, SourceNotFoundError

PROBE_TIMEOUT_S = 3.0
PIPELINE_PREFIX = "gst:"
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}
_HARMLESS_KEYS = {"channel", "subtype", "stream", "profile"}


def is_pipeline(spec: str) -> bool:
    """Whether a source is a GStreamer pipeline: `gst:...`, or elements joined by `!`."""
    return spec.startswith(PIPELINE_PREFIX) or " ! " in spec


def camera_name(spec: str) -> str:
    """What to call a camera, without credentials."""
    if is_pipeline(spec):
        return re.sub(r"=\s*(\"[^\"]*\"|\S+)", "=***", PIPELINE_PREFIX + spec.removeprefix(PIPELINE_PREFIX))
    if "://" in spec:
        return printable_address(spec)
    return f"camera {spec}" if spec.isdigit() else spec


def printable_address(url: str) -> str:
    """The address without its credentials.

    Everything before the last `@` goes, because passwords hold `/`, `?` and `@` unescaped, and so does the
    value of every `key=value` that is not known to be harmless (`?user=..&password=..` is common).
    """
    scheme, _, rest = url.partition("://")
    _, at, tail = rest.rpartition("@")

    def mask(match: re.Match[str]) -> str:
        key, value = match.groups()
        return f"{key}={value if key.lower() in _HARMLESS_KEYS else '***'}"

    tail = re.sub(r"([^?&=/]*)=([^&]*)", mask, tail)
    return f"{scheme}://{'***@' if at else ''}{tail}"


def parse_address(url: str) -> SplitResult:
    """Split the address of a camera.

    Raises:
        ConfigError: it names no host, or its port is no number.
    """
    try:
        parts = urlsplit(url)
        usable = parts.port is None or parts.port > 0
    except ValueError:
        usable = False
    if not usable or not parts.hostname:
        raise ConfigError(
            f"{printable_address(url)} is not a camera address; write it like rtsp://user:password@host:554/path, "
            "with special characters of the password percent-encoded."
        )
    return parts


def connect_failure(url: str) -> SourceError:
    """Find out why an address did not open, by one plain request to its host without credentials."""
    name, parts = printable_address(url), parse_address(url)
    port = parts.port or _PORTS.get(parts.scheme)
    if port is None:
        return SourceConnectError(f"{name} does not open; check the address and that the sender is running.")
    try:
        status = _status_line(url, parts, port)
    except OSError as error:
        reason = error.strerror or str(error)
        return SourceConnectError(
            f"{name} cannot be reached ({parts.hostname}:{port}: {reason}); "
            "check the address, the cable and that the camera is on."
        )
    if re.match(r"\S+ 40[13]\b", status):
        why = "none were given; put them in the address, rtsp://user:password@host/path."
        if parts.username is not None:
            why = "did not accept the ones given; check user, password and path."
        return SourceAuthError(f"{name} asks for credentials and {why}")
    if re.match(r"\S+ (404|410|454)\b", status):
        return SourceNotFoundError(f"{name} does not exist (the camera answers {status!r}); check the path.")
    answer = f" (it answers {status!r})" if status else ""
    return SourceConnectError(f"{name} is reachable but delivers no video{answer}; check the path.")


def _status_line(url: str, parts: SplitResult, port: int) -> str:
    """First line of the answer to a request without credentials; empty for protocols that are not text."""
    host = parts.hostname or ""
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    request = {
        "rtsp": f"DESCRIBE rtsp://{host}:{port}{target} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n",
        "http": f"HEAD {target} HTTP/1.0\r\nHost: {host}\r\n\r\n",
    }.get(parts.scheme)
    with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
        if request is None:
            return ""
        connection.sendall(request.encode("utf-8", "replace"))
        return connection.recv(256).split(b"\r\n")[0].decode("ascii", "replace")[:80]
