"""Fetches the browser's libraries into `static/vendor/` (`make vendor`): one file each, its licence, and vendor.json.

There is no build step and nothing is loaded from elsewhere; what is fetched is committed, and a test recomputes the
hashes. npm is needed here only. Icons come one by one into a single sprite.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
ICON_PACKAGE, ICON_VERSION = "lucide-static", "1.62.0"
ICONS = (
    *("arrow-right", "check", "chevron-down", "circle-alert", "circle-check", "circle-dashed", "clock", "copy"),
    *("copy-plus", "download", "ellipsis-vertical", "external-link", "flask-conical", "info", "key-round", "layers"),
    *("log-out", "menu", "pause", "pencil", "play", "plug", "plus", "refresh-cw", "search", "send", "settings"),
    *("shield", "sun-moon", "trash-2", "triangle-alert", "unplug", "users", "x"),
)
# The source map is not shipped, and the hashed storage refuses a reference to a file that is not there.
_SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=\S*\s*$")


@dataclass(frozen=True)
class Library:
    """One file of one npm package."""

    package: str
    version: str
    path: str
    licence: str

    @property
    def file_name(self) -> str:
        """Return the name under which it is served; the version is part of it."""
        return f"{self.package.removesuffix('.org').removesuffix('.js')}-{self.version}.min.js"


LIBRARIES = (
    Library("htmx.org", "2.0.11", "package/dist/htmx.min.js", "0BSD"),
    Library("chart.js", "4.6.1", "package/dist/chart.umd.js", "MIT"),
)


def fetch_all() -> None:
    """Write every vendored file and vendor.json anew."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    entries = {}
    for library in LIBRARIES:
        with _Unpacked(library.package, library.version) as package:
            code = _SOURCE_MAP.sub(b"\n", (package / library.path).read_bytes())
            _keep_licence(package, library.package)
        (VENDOR / library.file_name).write_bytes(code)
        entries[library.file_name] = _entry(library.package, library.version, library.licence, code)
    with _Unpacked(ICON_PACKAGE, ICON_VERSION) as package:
        sprite = _sprite(package / "package" / "icons")
        _keep_licence(package, ICON_PACKAGE)
    (VENDOR / "icons.svg").write_bytes(sprite)
    entries["icons.svg"] = _entry(ICON_PACKAGE, ICON_VERSION, "ISC", sprite)
    (VENDOR / "vendor.json").write_text(json.dumps(entries, indent=2) + "\n")


def _entry(package: str, version: str, licence: str, content: bytes) -> dict[str, str]:
    return {
        "package": package,
        "version": version,
        "licence": licence,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


class _Unpacked:
    """Unpack an npm package into a temporary folder for the block."""

    def __init__(self, package: str, version: str) -> None:
        self._wanted = f"{package}@{version}"

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        subprocess.run(["npm", "pack", "--silent", self._wanted], cwd=folder, check=True)  # noqa: S603, S607
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
        return folder

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _keep_licence(folder: Path, package: str) -> None:
    found = next(path for path in (folder / "package").iterdir() if path.name.upper().startswith("LICENSE"))
    (VENDOR / f"LICENSE-{package}.txt").write_bytes(found.read_bytes())


def _sprite(icons: Path) -> bytes:
    """Return one SVG with a symbol per icon; `<use href="icons.svg#name">` shows it in the text's colour."""
    symbols = []
    for name in ICONS:
        drawing = (icons / f"{name}.svg").read_text()
        inner = drawing[drawing.index(">", drawing.index("<svg")) + 1 : drawing.rindex("</svg>")]
        shapes = " ".join(inner.split())
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
            f'stroke-linecap="round" stroke-linejoin="round">{shapes}</symbol>'
        )
    return ('<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n").encode()


if __name__ == "__main__":
    fetch_all()
