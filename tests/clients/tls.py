"""A door with TLS before a server without: some clients send their credentials over HTTPS only, and rightly."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.1"


class TlsDoor:
    """Listens on loopback with a certificate of its own, `folder`/door.pem, and passes everything on to a port."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*_certificate(folder))
        self._context = context
        self._listener = socket.create_server((ADDRESS, 0))

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> TlsDoor:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._connect, args=(visitor,), daemon=True).start()

    def _connect(self, visitor: socket.socket) -> None:
        try:
            outside = self._context.wrap_socket(visitor, server_side=True)
            inside = socket.create_connection((ADDRESS, self._port))
        except OSError:  # a visitor without trust in the certificate, or no server
            visitor.close()
            return
        threading.Thread(target=_pass_on, args=(outside, inside), daemon=True).start()
        _pass_on(inside, outside)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            end.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for loopback and its key, made on first use."""
    certificate_file, key_file = folder / "door.pem", folder / "door.key"
    if not certificate_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CohortSync's live clients")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_file.write_bytes(key.private_bytes(*private))
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file
