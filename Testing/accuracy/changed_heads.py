"""False alarms in the two real bleed-free heads, each as another scanner or reconstruction might have shown it.

python Testing/accuracy/changed_heads.py [--method compact-unet]

Prints verdict, probability and drawn blood of each head in each of `CHANGES`; exit code 1 if blood is found in
any, or there is no head. They are read from $ICHSEGMENTER_SHARED/data, as the weights of BLAST-CT are; a head that is
absent is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.verdict import VerdictCode
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume
from Testing.accuracy.known_exam import ScanMissingError, read_scan
from Testing.accuracy.measure import shared_data, shared_weights

HEADS = ("ge_head_ct", "invesalius_cranium")
SOFT_HU = (-200.0, 150.0)
"""What is denser or less dense is bone or air, and stays."""
Floats = NDArray[np.float32]
Change = Callable[[Volume], Volume]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="compact-unet")
    options = parser.parse_args(arguments)
    request = AnalysisRequest(options.method, weights=shared_weights(options.method, shared_data()))
    session, alarms, total = Session(), 0, 0
    for head in HEADS:
        try:
            volume = read_scan(head, shared_data())
        except ScanMissingError as error:
            print(f"Left out: {error}")
            continue
        for name, change in CHANGES.items():
            result = analyze(change(volume), request, session=session)
            judged = result.assessment
            alarms, total = alarms + (judged.code is not VerdictCode.NONE_FOUND), total + 1
            print(
                f"{head:20s} {name:34s} {judged.code.value:11s} {judged.probability:5.2f} {result.blood_ml:6.2f} mL",
                flush=True,
            )
    print(f"{options.method}: blood is found in {alarms} of {total}")
    return int(alarms > 0 or not total)


def _pixels(change: Callable[[Floats], Floats]) -> Change:
    """Other densities on the same grid."""
    return lambda volume: replace(volume, hu=np.ascontiguousarray(change(volume.hu), dtype=np.float32))


def _soft(change: Callable[[Floats], Floats]) -> Change:
    """Other densities of soft tissue."""
    return _pixels(lambda hu: np.where((hu > SOFT_HU[0]) & (hu < SOFT_HU[1]), change(hu), hu))


def _noise(sd_hu: float) -> Change:
    return _pixels(lambda hu: hu + np.random.default_rng(1).normal(0.0, sd_hu, hu.shape))


def _blurred(hu: Floats, pixels: float) -> Floats:
    blurred: Floats = ndimage.gaussian_filter(hu, (0, pixels, pixels))
    return blurred


def _glow(hu: Floats) -> Floats:
    """Beam hardening: brighter beside bone."""
    return hu + 25 * ndimage.gaussian_filter((hu > 300).astype(np.float32), (0, 12, 12))


def _larger(factor: float) -> Change:
    """The same pixels, larger in the plane."""
    return lambda volume: _on(volume, volume.hu, volume.geometry.slice_origins, factor)


def _thick(volume: Volume) -> Volume:
    """Two slices become one."""
    even = len(volume.hu) // 2 * 2
    hu, origins = ((one[:even:2] + one[1:even:2]) / 2 for one in (volume.hu, volume.geometry.slice_origins))
    return _on(volume, hu, origins)


def _without_vertex(volume: Volume) -> Volume:
    kept = int(0.8 * len(volume.hu))
    return _on(volume, volume.hu[:kept], volume.geometry.slice_origins[:kept])


def _coarse(volume: Volume) -> Volume:
    return _on(volume, np.ascontiguousarray(volume.hu[:, ::2, ::2]), volume.geometry.slice_origins, 2.0)


def _on(volume: Volume, hu: Floats, origins: NDArray[np.float64], larger: float = 1.0) -> Volume:
    """Other slices at these places, their pixels larger by a factor."""
    old = volume.geometry
    grid = VolumeGeometry(hu.shape, larger * old.column_step, larger * old.row_step, origins)
    return replace(volume, hu=hu, geometry=grid)


CHANGES: Mapping[str, Change] = {
    "as it is": lambda volume: volume,
    "noise of 8 HU": _noise(8.0),
    "noise of 16 HU": _noise(16.0),
    "smoothed by 1 pixel": _pixels(lambda hu: _blurred(hu, 1.0)),
    "sharpened": _pixels(lambda hu: np.clip(hu + 1.5 * (hu - _blurred(hu, 1.2)), -1024, 3071)),
    "soft tissue 5 HU denser": _soft(lambda hu: hu + 5),
    "soft tissue 5 HU less dense": _soft(lambda hu: hu - 5),
    "soft tissue with 1.15 times contrast": _soft(lambda hu: 30 + 1.15 * (hu - 30)),
    "brighter beside bone": _soft(_glow),
    "turned by 12 degrees": _pixels(lambda hu: ndimage.rotate(hu, 12, (1, 2), reshape=False, order=1, cval=-1000.0)),
    "mirrored": _pixels(lambda hu: hu[:, :, ::-1]),
    "a tenth larger": _larger(1.1),
    "an eighth smaller": _larger(0.88),
    "slices of twice the thickness": _thick,
    "without vertex": _without_vertex,
    "pixels of twice the size": _coarse,
}

if __name__ == "__main__":
    raise SystemExit(main())
