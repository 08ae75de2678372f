"""Checks of addresses before something is sent: the server's own, and signed ones."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ..errors import ServerError
from .redaction import clean, redact

__all__ = ["DEFAULT_URL", "check_signed", "check_url"]

#: The public Codabench; without `www.` it redirects.
DEFAULT_URL = "https://www.codabench.org"


def check_url(url: str) -> str:
    """Check the address of a server; returns it without a slash at the end.

    Raises:
        ServerError: A token must not be sent to this address.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    advice = f"expected an address such as {DEFAULT_URL}"
    if not host or not re.fullmatch(r"[A-Za-z0-9.:_-]+", host):
        raise ServerError(f"--url {clean(redact(url))}: {advice}, found none in it")
    if parts.username is not None or parts.password is not None:
        raise ServerError(f"--url {host}: {advice}, found a user name in it")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ServerError(
            f"--url {parts.scheme}://{parts.netloc}: {advice}, found more behind the "
            "host",
            "leave that out",
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ServerError(
            f"--url {parts.scheme}://{parts.netloc}: {advice}, found {parts.scheme}, "
            "which would send the token without encryption"
        )
    return f"{parts.scheme}://{parts.netloc}".lower()


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_signed(url: str, server: str) -> str:
    """Check where a signed URL leads; returns the host.

    Args:
        url: A signed URL from the server.
        server: The server's own address.

    Raises:
        ServerError: Nothing may be sent there.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.username is not None:
        raise ServerError(
            "the server names no usable address for the storage", "try again later"
        )
    here = parts.scheme == "http" and _is_loopback(host)
    if parts.scheme != "https" and not (here and server.startswith("http:")):
        raise ServerError(
            f"the storage at {clean(host)} is to be reached without encryption, "
            "which is refused",
            "try again later, or tell the server's operators",
        )
    return host
