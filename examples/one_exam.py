"""One exam: read it, analyze it, print what was found, write the files.

python examples/one_exam.py EXAM RESULTS [METHOD]
"""

import sys
from pathlib import Path

from ICHSegmenterLib import AnalysisRequest, ICHSegmenterError, analyze, read_volume, write_outputs


def main(exam: Path, folder: Path, method: str = "hu-threshold") -> None:
    """Analyze a DICOM folder or file, NIfTI, NRRD or MHA; the files go into the folder."""
    volume = read_volume(exam)
    result = analyze(volume, AnalysisRequest(method))
    print(result.verdict)
    for segment in result.measurements:
        print(f"  {segment.name}: {segment.volume_ml:.1f} mL, mean {segment.mean_hu:.0f} HU")
    for name in write_outputs(result, volume, folder):
        print(folder / name)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
    except ICHSegmenterError as error:  # says what is wrong, what was found and what to do
        sys.exit(f"{error.kind}: {error}")
