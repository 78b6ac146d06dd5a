"""Download of weight files: mirrors in order, resumed after a break, checked by SHA-256, and only then visible.

Of several processes that want one file, one downloads it; the others wait and find it there, or take it up.
Proxies come from the environment (https_proxy, no_proxy) or the system settings, as Python's urllib reads them.
"""

from __future__ import annotations

import contextlib
import http
import http.client
import logging
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ICHSegmenterLib.cards.published_files import WeightsFile
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import CancelledError, DownloadError, LicenseNotAcceptedError, OutputError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.weights.cache import in_megabytes, writable_weights_folder
from ICHSegmenterLib.weights.checks import COMMAND
from ICHSegmenterLib.weights.digests import file_sha256, hash_file, remember
from ICHSegmenterLib.weights.importing import PART_SUFFIX
from ICHSegmenterLib.weights.lock import turn
from ICHSegmenterLib.weights.store import locate, state

logger = logging.getLogger(__name__)

MIRROR_VARIABLE = "ICHSEGMENTER_MIRROR"
"""Environment variable with the URL of a folder that is asked first, for example inside a hospital."""

TIMEOUT_S = 30.0
"""Without a byte for so long, a connection counts as broken."""

ATTEMPTS = 10
"""Connections to one server, as long as each brought new bytes."""

_CHUNK_BYTES = 1 << 18

ProgressCallback = Callable[[int, int, str], None]
"""(bytes done, bytes in all, "Downloading NAME")."""


def _silent(done: int, total: int, message: str) -> None:
    """Report to nobody."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Transfer:
    """How to download, and whom to tell.

    Attributes:
        progress: Called after each piece.
        cancelled: Asked after each piece.
        timeout_s: Longest silence of a server.
    """

    progress: ProgressCallback = _silent
    cancelled: Callable[[], bool] = _never
    timeout_s: float = TIMEOUT_S


class _ServerRefusedError(Exception):
    """This server does not give the file; asking again does not help."""


def download_model(
    card: ModelCard, transfer: Transfer | None = None, *, all_files: bool = False, accept_license: bool = False
) -> list[Path]:
    """Download what a method lacks: its first `default_models` files, or all that are published.

    Args:
        card: Of the method.
        transfer: Progress and cancellation.
        all_files: Every published file.
        accept_license: The user has accepted the terms of the training data (`card.trust.terms`).

    Raises:
        LicenseNotAcceptedError: There are such terms, and they were not accepted; nothing was asked of any server.
        DownloadError: No server gave a file.
        CancelledError: `transfer.cancelled` said so; the next call resumes.
        OutputError: The weights folder cannot be written.
    """
    now = state(card)
    files = now.missing if all_files else now.wanted
    if files and card.trust.terms and not accept_license:
        raise LicenseNotAcceptedError(
            f"The weights of {card.name} are {files[0].license}, but what they were trained on has terms of its own: "
            f"{card.trust.terms}. Accept them in the panel or run `{COMMAND} download {card.name} --accept-license`.",
            Cause.LICENSE,
        )
    return [download(file, transfer) for file in files]


def download(file: WeightsFile, transfer: Transfer | None = None) -> Path:
    """Download one published file into the weights folder, unless it is there. Raises: see `download_model`."""
    transfer = transfer or Transfer()
    present = _present(file)
    if present is not None:
        return present
    folder = writable_weights_folder(file.size)
    part = folder / (file.name + PART_SUFFIX)

    def wait() -> None:
        transfer.progress(min(_size(part), file.size), file.size, f"Downloading {file.name}")
        _stop_if_cancelled(file, transfer)

    with turn(folder / file.name, wait) as is_alone:
        part = part if is_alone else folder / f"{file.name}.{os.getpid()}{PART_SUFFIX}"
        return _present(file) or _download(file, part, transfer)


def _present(file: WeightsFile) -> Path | None:
    """Path of the file where it lies whole and intact."""
    path = locate(file)
    return path if path and path.stat().st_size == file.size and file_sha256(path) == file.sha256 else None


def _download(file: WeightsFile, part: Path, transfer: Transfer) -> Path:
    """From the first server that gives it, by way of `part`."""
    reasons: list[str] = []
    for url in _urls(file):
        try:
            _fetch_and_check(url, file, part, transfer)
        except _ServerRefusedError as error:
            reasons.append(f"{urllib.parse.urlsplit(url).hostname or url}: {error}")
            logger.info("%s: %s", url, error)
            continue
        target = part.replace(part.with_name(file.name))
        remember(target, file.sha256)
        return target
    raise DownloadError(_failure_notice(file, reasons))


def _urls(file: WeightsFile) -> tuple[str, ...]:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    return (f"{mirror.rstrip('/')}/{urllib.parse.quote(file.name)}", *file.urls) if mirror else file.urls


def _fetch_and_check(url: str, file: WeightsFile, part: Path, transfer: Transfer) -> None:
    """Complete `part` from one server. What another server began is used, and thrown away if it does not fit."""
    was_begun = part.exists()
    _fetch(url, file, part, transfer)
    if hash_file(part) == file.sha256:
        return
    part.unlink()
    if was_begun:
        _fetch(url, file, part, transfer)
        if hash_file(part) == file.sha256:
            return
        part.unlink()
    raise _ServerRefusedError("sends another file (wrong SHA-256)")


def _fetch(url: str, file: WeightsFile, part: Path, transfer: Transfer) -> None:
    """Load until the file has its size, taking up broken connections."""
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            _fetch_once(url, file, part, transfer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink(missing_ok=True)  # begun from another file: the next server starts anew
                raise _ServerRefusedError(_http_reason(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if _size(part) <= before:
                raise _ServerRefusedError(_network_reason(error, transfer.timeout_s) + _way(url)) from error
        if _size(part) == file.size:
            return
        if _size(part) <= before:
            break
        logger.info("%s broke off at %d of %d bytes, taking it up again", url, _size(part), file.size)
    raise _ServerRefusedError("the connection breaks off again and again")


def _fetch_once(url: str, file: WeightsFile, part: Path, transfer: Transfer) -> None:
    """One connection: append to `part` what is still missing, or start anew if the server cannot resume."""
    begun = _size(part) if _size(part) < file.size else 0
    request = urllib.request.Request(url, headers={"User-Agent": "ICHSegmenter", "Accept-Encoding": "identity"})
    if begun:
        request.add_header("Range", f"bytes={begun}-")
    _stop_if_cancelled(file, transfer)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_trust()))  # with the proxies of now
    with opener.open(request, timeout=transfer.timeout_s) as response:
        done = begun if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        announced = response.headers.get("Content-Length")
        if announced is not None and done + int(announced) != file.size:
            raise _ServerRefusedError(f"sends {done + int(announced)} bytes instead of {file.size}")
        with part.open("ab" if done else "wb") as stream:
            while done < file.size and (chunk := response.read1(_CHUNK_BYTES)):
                _write(stream, chunk)
                done += len(chunk)
                transfer.progress(done, file.size, f"Downloading {file.name}")
                _stop_if_cancelled(file, transfer)


def _stop_if_cancelled(file: WeightsFile, transfer: Transfer) -> None:
    if transfer.cancelled():
        raise CancelledError(ErrorNotice(ErrorCode.DOWNLOAD_CANCELLED, {"name": file.name}))


def _write(stream: BinaryIO, chunk: bytes) -> None:
    try:
        stream.write(chunk)
    except OSError as error:  # told apart from errors of the network, which are OSError too
        raise OutputError(
            f"{stream.name} cannot be written ({error.strerror or error}). Is the disk full?", Cause.DISK
        ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _trust() -> ssl.SSLContext:
    """Certificates of the system, which know a hospital's own proxy, and those of certifi if it is there."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        import certifi  # part of Slicer; elsewhere the certificates of the system do

        context.load_verify_locations(certifi.where())
    return context


def _http_reason(error: urllib.error.HTTPError) -> str:
    if error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE):
        return f"the file is no longer there (HTTP {error.code})"
    if error.code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return _PROXY_REASON
    return f"refused (HTTP {error.code} {error.reason})"


_PROXY_REASON = "the proxy wants a name and password; set https_proxy=http://NAME:PASSWORD@HOST:PORT"


def _network_reason(error: Exception, timeout_s: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer for {timeout_s:g} s"
    if isinstance(cause, ssl.SSLError):
        return f"not trusted ({cause}); if a proxy inspects the traffic, name its certificate in SSL_CERT_FILE"
    if isinstance(cause, socket.gaierror):
        return "not found: this computer seems to be offline, or needs a proxy (https_proxy)"
    return _PROXY_REASON if " 407 " in str(cause) else str(cause) or type(cause).__name__


def _way(url: str) -> str:
    """Names the proxy between here and a server, without its password."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return ""
    return f" (through the proxy {proxy.rpartition('://')[2].rpartition('@')[2]})"


def _failure_notice(file: WeightsFile, reasons: list[str]) -> ErrorNotice:
    why = "; ".join(dict.fromkeys(reasons)) or f"no server is known for it; {MIRROR_VARIABLE} can name one"
    size = in_megabytes(file.size)
    return ErrorNotice(
        ErrorCode.DOWNLOAD_FAILED, {"name": file.name, "size": size, "reasons": why, "sha256": file.sha256}
    )
