"""Configuration of the receiver, a TOML file: where it listens, whom it trusts, how much it takes, what it keeps."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ICHSegmenterLib.errors import DependencyError, ICHSegmenterError, ReceiverConfigError
from ICHSegmenterLib.files import typed_reader
from ICHSegmenterLib.learning.config import build
from ICHSegmenterLib.outputs.table import OUTPUTS, select
from ICHSegmenterLib.outputs.writer import Output

LOOPBACK = "127.0.0.1"
DICOM_PORT = 11112
MAX_CONFIG_BYTES = 1 << 20
_AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
"""1 to 16 characters of ASCII, without a backslash and without spaces at the ends (PS3.5, AE)."""


@dataclass(frozen=True)
class Peer:
    """A program that may send studies.

    Attributes:
        ae_title: By which it calls itself.
        host: Its address; empty for any. A title can be claimed by anyone, an address less easily.
    """

    ae_title: str
    host: str = ""


@dataclass(frozen=True)
class Destination:
    """A program that gets results.

    Attributes:
        ae_title, host, port: Where it listens.
        outputs: Outputs of DICOM files that it gets, by their names.
    """

    ae_title: str
    host: str
    port: int
    outputs: tuple[str, ...] = ("dicom_seg",)


@dataclass(frozen=True)
class IntakeLimits:
    """How much is taken; a peer that sends more is refused or cut off.

    Attributes:
        associations: At a time.
        object_mb: Of one object, in MB.
        study_instances, study_mb: Of one study that is not complete yet.
        folder_gb: Of all that is kept, in GB.
    """

    associations: int = 4
    object_mb: int = 256
    study_instances: int = 10_000
    study_mb: int = 8_000
    folder_gb: int = 100


@dataclass(frozen=True)
class AnalysisChoice:
    """The method and the outputs, as `batch` takes them; what is sent to a destination is written as well."""

    method: str = "auto"
    device: str = "auto"
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReceiverConfig:
    """Everything about one receiver.

    Attributes:
        folder: Received studies, for the owner of the process alone; outside of `output`.
        output: The results, as of a batch.
        peers: Who may send; nobody else.
        ae_title: Of the receiver; calls by another name are refused.
        host: Address that it listens on; other computers reach it only by another one than the default.
        complete_after_s: A study is complete when nothing came for so long, in seconds.
        retention_hours: How long images and unsent results are kept after they came.
        send_to: Who gets results; nobody unless named.
    """

    folder: Path
    output: Path
    peers: tuple[Peer, ...]
    ae_title: str = "ICHSEGMENTER"
    host: str = LOOPBACK
    port: int = DICOM_PORT
    complete_after_s: float = 60.0
    retention_hours: float = 24.0
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    analysis: AnalysisChoice = field(default_factory=AnalysisChoice)
    send_to: tuple[Destination, ...] = ()

    def __post_init__(self) -> None:
        titles = (self.ae_title, *(peer.ae_title for peer in self.peers), *(peer.ae_title for peer in self.send_to))
        for title in titles:
            if not _AE_TITLE.fullmatch(title):
                raise ReceiverConfigError(f"{title[:40]!r} is no AE title: write 1 to 16 letters, digits or signs.")
        for port in (self.port, *(peer.port for peer in self.send_to)):
            if not 0 <= port < 1 << 16:
                raise ReceiverConfigError(f"{port} is no port: choose one from 1024 to 65535, such as {DICOM_PORT}.")
        if not self.peers:
            raise ReceiverConfigError("No peer may send: add [[peers]] with ae_title and host.")
        amounts = {"complete_after_s": self.complete_after_s, "retention_hours": self.retention_hours}
        for name, amount in {**amounts, **vars(self.limits)}.items():
            if not 0 < amount < 1e9:
                raise ReceiverConfigError(f"{name} must be above 0 and below 1e9, got {amount}.")
        inner, outer = self.folder.resolve(), self.output.resolve()
        if inner == outer or inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise ReceiverConfigError(
                f"folder {self.folder} holds images of patients and must lie outside of output {self.output}, which is "
                "shared; name two folders that do not hold each other."
            )
        _check_outputs(self)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs that are written."""
        sent = [f"+{name}" for peer in self.send_to for name in peer.outputs]
        return select((*self.analysis.outputs, *sent))


@typed_reader(ReceiverConfigError)
def read_config(path: Path) -> ReceiverConfig:
    """The configuration in a file; folders in it are relative to the file's.

    Raises:
        ReceiverConfigError: No TOML, an unknown key, a missing one, or a value that is wrong or impossible.
    """
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ReceiverConfigError(f"{path.name} is too large for a configuration; name another file.")
    content = _toml(path)
    for key in ("folder", "output"):
        if isinstance(content.get(key), str):
            content[key] = path.parent / Path(content[key]).expanduser()
    try:
        return build(ReceiverConfig, content, "receiver")
    except ReceiverConfigError:
        raise
    except (ICHSegmenterError, ValueError) as error:
        raise ReceiverConfigError(f"{path.name}: {error}") from error


def _check_outputs(config: ReceiverConfig) -> None:
    """Refuse names that are no outputs, and to send what is no DICOM."""
    try:
        select(config.outputs)
    except ValueError as error:
        raise ReceiverConfigError(f"{error}.") from error
    for name in (name for peer in config.send_to for name in peer.outputs):
        if name not in OUTPUTS or not _is_dicom(OUTPUTS[name]):
            known = (key for key, output in OUTPUTS.items() if _is_dicom(output))
            raise ReceiverConfigError(f"{name[:40]!r} cannot be sent: it is no DICOM. Choose of {', '.join(known)}.")


def _is_dicom(output: Output) -> bool:
    """True if all its files are DICOM, and there are some."""
    return bool(output.files) and all(file.endswith(".dcm") for file in output.files)


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise DependencyError(
                "Reading TOML needs tomli with Python 3.10: pip install 'ichsegmenter[receive]'"
            ) from error
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ReceiverConfigError(f"{path.name} is no valid TOML ({error}). Correct it.") from error
