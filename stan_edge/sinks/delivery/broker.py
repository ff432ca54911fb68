"""Where an MQTT broker is."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from stan_edge.errors import ConfigError
from stan_edge.sinks.delivery.address import split_url

PORTS = {"mqtt": 1883, "mqtts": 8883}
DEFAULT_PREFIX = "stan-edge"
LONGEST_PREFIX = 200
FORM = "write it like mqtt://user:password@host:1883/prefix, or mqtts:// for TLS, with special characters encoded"


@dataclass(frozen=True)
class Broker:
    """The address of a broker; prints without the password."""

    host: str
    port: int
    prefix: str
    user: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)

    @classmethod
    def parse(cls, url: str, password: str | None = None, ca: Path | None = None) -> Broker:
        """Read `mqtt://user:password@host:port/prefix`; everything but the host may be left out.

        Args:
            password: from elsewhere, for an address without one.
            ca: PEM file of the authorities to trust instead of the system's.

        Raises:
            ConfigError: it is no such address; the sentence does not repeat it, because it may hold a password.
        """
        try:
            parts, host = split_url(url, PORTS)
            port = parts.port or PORTS[parts.scheme]
            prefix = unquote(parts.path).strip("/") or DEFAULT_PREFIX
            user = unquote(parts.username or "")
            password = unquote(parts.password or "") or password or ""
            f"{user}{password}".encode()  # what came in as other bytes than UTF-8 cannot go out
        except ValueError:
            host = ""
        if not host or set(url) & set("?#"):
            raise ConfigError(f"This is not the address of a broker; {FORM}.", field="mqtt.url")
        # an @ there is the end of a password with an unescaped slash
        if re.search(r"[+#$@\x00-\x1f\x7f-\x9f\ud800-\udfff]", prefix) or len(prefix) > LONGEST_PREFIX:
            raise ConfigError(f"The path is not a prefix of topics; leave out + # $ @ and {FORM}.", field="mqtt.url")
        if password and not user:
            raise ConfigError("A password needs a user; write mqtt://user@host/prefix.", field="mqtt.url")
        if ca is not None and parts.scheme != "mqtts":
            raise ConfigError(
                "Authorities are for mqtts:// only; without TLS nothing would be checked.", field="mqtt.ca"
            )
        tls = _trusting(ca) if parts.scheme == "mqtts" else None
        return cls(host, port, prefix, user or None, password or None, tls)


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"{ca} cannot be used ({error}); give a PEM file of certificates.", field="mqtt.ca"
        ) from error
