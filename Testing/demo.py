"""`make demo`: a phantom head CT with a bleed of known place and volume through the whole job, then the comparison."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.table import DEFAULT_METHODS, get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, Phantom, head_geometry, make_phantom
from ICHSegmenterLib.volume.io import read_mask, read_volume

OUTPUT = Path("demo-output")
TILT_DEG = 15.0
THIN_STEP_MM, THICK_STEP_MM = 4.2, 7.4
BLEED_ML, BLEED_HU, BLEED_CENTER_LPS = 20.0, 62.0, (26.0, 6.0, 30.0)


def demo_phantom(*, has_bleed: bool = True) -> Phantom:
    """A tilted series with thin slices below and thick slices above, as scanners acquire it."""
    steps = [THIN_STEP_MM] * 14 + [THICK_STEP_MM] * 13
    geometry = head_geometry((28, 384, 384), pixel_mm=(0.6, 0.6), slice_step_mm=steps, tilt_deg=TILT_DEG)
    bleeds = (Bleed.sphere(BLEED_ML, BLEED_CENTER_LPS, BLEED_HU),) if has_bleed else ()
    return make_phantom(geometry, HeadModel(bleeds=bleeds), seed=1)


def make_series(folder: Path) -> Phantom:
    """The phantom with its bleed, written as a series."""
    phantom = demo_phantom()
    write_dicom_series(phantom.volume, folder)
    return phantom


def compare(phantom: Phantom, results: Path) -> None:
    """Print the known truth beside what was found."""
    volume = read_volume(OUTPUT / "phantom-ct")
    found = read_mask(results / "labelmap.nii.gz", volume.geometry)
    truth = phantom.labelmap > 0
    dice = 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))
    index = np.argwhere(found)[:, ::-1]
    weights = volume.geometry.voxel_volumes_mm3[index[:, 2]]
    center = np.average(volume.geometry.ijk_to_lps(index), axis=0, weights=weights)
    offset_mm = float(np.linalg.norm(center - phantom.blood_center_lps))
    found_ml = float(found.sum(axis=(1, 2)) @ volume.geometry.voxel_volumes_mm3) / 1000
    print("\nKnown truth            found")
    print(f"  {phantom.blood_ml:5.1f} mL of blood       {found_ml:5.1f} mL, Dice {dice:.2f}")
    print(f"  at {np.round(phantom.blood_center_lps, 1)} mm LPS   {offset_mm:.1f} mm beside it")


if __name__ == "__main__":
    start = time.perf_counter()
    print(f"Making a phantom CT: {BLEED_ML:.0f} mL bleed, gantry tilt {TILT_DEG:.0f} degrees, unequal slice spacing")
    known = make_series(OUTPUT / "phantom-ct")
    method = choose_method()
    missing = sorted({name for other in DEFAULT_METHODS for name in get_card(other).missing_packages})
    without = f"; not installed: {', '.join(missing)}" if missing else ""
    print(f"Method: {method}, {get_card(method).title}{without}", flush=True)
    code = main(
        ["segment", str(OUTPUT / "phantom-ct"), "--method", method, "--output", str(OUTPUT / method), "--overwrite"]
    )
    if code == 0:
        compare(known, OUTPUT / method)
        print(f"\nDone in {time.perf_counter() - start:.0f} s. Open these:")
        for name in ("overview.png", "report.html", "segmentation.seg.nrrd"):
            print(f"  {(OUTPUT / method / name).resolve()}")
    sys.exit(code)
