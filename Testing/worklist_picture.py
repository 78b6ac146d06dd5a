"""The worklist and the summary of a batch as pictures, made of synthetic exams and one damaged file.

    pip install playwright
    python Testing/worklist_picture.py --output docs/images

Chromium is looked for on the PATH; --browser names another one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ICHSegmenterLib.batch.pages import SUMMARY_PAGE, WORKLIST_FILE
from ICHSegmenterLib.cli.main import main as command

VIEWS = {
    "worklist": (WORKLIST_FILE, "light", 1280, 800),
    "worklist-narrow": (WORKLIST_FILE, "dark", 700, 800),
    "batch-summary": (SUMMARY_PAGE, "light", 1280, 1080),
}
"""Picture to page, color scheme, width and height."""
SHARE_WITH_BLOOD = 0.6


def make_batch(folder: Path, exams: int, method: str) -> Path:
    """The output of a batch over synthetic exams."""
    inputs, output = folder / "exams", folder / "results"
    words = ["--output", str(inputs), "--exams", str(exams), "--style", "clinical", "--seed", "21"]
    if command(["synthesize", *words, "--positive", str(SHARE_WITH_BLOOD)]) != 0:
        raise SystemExit("the exams could not be made")
    (inputs / "images" / "damaged.nii.gz").write_bytes(b"cut off")
    command(["batch", str(inputs / "images"), "--output", str(output), "--method", method])
    return output


def photograph(output: Path, pictures: Path, browser: str) -> None:
    """Write a PNG of each view."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, (page, scheme, width, height) in VIEWS.items():
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            tab = context.new_page()
            tab.goto((output / page).resolve().as_uri())
            tab.wait_for_function("[...document.images].every((image) => image.complete)")
            tab.screenshot(path=pictures / f"{name}.png")
            context.close()
        chromium.close()


def main() -> None:
    """Make the exams, run the batch, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--batch", type=Path, help="output of a batch to show instead of a new one")
    parser.add_argument("--exams", type=int, default=12)
    parser.add_argument("--method", default="compact-unet")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    arguments = parser.parse_args()
    if arguments.browser is None:
        parser.error("no Chromium on the PATH; name one with --browser")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        batch = arguments.batch or make_batch(Path(folder), arguments.exams, arguments.method)
        photograph(batch, arguments.output, arguments.browser)


if __name__ == "__main__":
    main()
