"""The server's certificate: read when it starts, and again when there is a newer one."""

from __future__ import annotations

import ssl
from pathlib import Path

from voiceagent.errors import OperatorError

__all__ = ["Certificate"]


class Certificate:
    """What new connections are met with. Raises OperatorError where certificate and key are of no use."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.context = _context(certificate, key)

    def renew(self) -> None:
        """Read both files again; connections that are open keep what they have.

        Raises OperatorError where the new ones are of no use: the old ones go on.
        """
        self.context = _context(self._certificate, self._key)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    _require_pem(certificate, "certificate", "CERTIFICATE-----")
    _require_pem(key, "key", "PRIVATE KEY-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def encrypted() -> str:  # without this OpenSSL would ask whoever sits at the terminal
        raise OperatorError(f"the TLS key {key} is encrypted: give one without a password, readable by the server only")

    try:
        context.load_cert_chain(certificate, key, password=encrypted)
    except ssl.SSLError as exc:
        raise OperatorError(_why(exc, certificate, key)) from exc
    except OSError as exc:  # it went away a moment ago
        raise OperatorError(f"the TLS certificate {certificate} cannot be read: {exc.strerror}") from exc
    return context


def _require_pem(file: Path, what: str, marked_by: str) -> None:
    """OpenSSL does not say which of the two files it does not like."""
    try:
        text = file.read_bytes()
    except OSError as exc:
        raise OperatorError(f"the TLS {what} {file} cannot be read: {exc.strerror}") from exc
    if marked_by.encode() not in text:
        raise OperatorError(f"the TLS {what} {file} is none in PEM: there is no '-----BEGIN …{marked_by}' in it")


def _why(exc: ssl.SSLError, certificate: Path, key: Path) -> str:
    if exc.reason == "KEY_VALUES_MISMATCH":
        return f"the TLS key {key} does not belong to the certificate {certificate}"
    return f"the TLS certificate {certificate} and its key {key} cannot be used: {exc.reason or exc}"
