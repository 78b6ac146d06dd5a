"""A folder of exams: one network kept warm, one failed exam does not stop the others, a table of milliliters.

python examples/folder.py EXAMS TABLE.csv [METHOD]

`ichsegmenter batch` does this with all files, and goes on where it stopped; this is for a program of your own.
"""

import csv
import sys
from pathlib import Path

from ICHSegmenterLib import AnalysisRequest, ICHSegmenterError, analyze, read_volume
from ICHSegmenterLib.analysis.session import Session


def main(exams: Path, table: Path, method: str = "hu-threshold") -> None:
    """Analyze every file or folder in a folder; one row each."""
    request, session = AnalysisRequest(method), Session()
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["exam", "positive", "blood_ml", "error"])
        for exam in sorted(exams.iterdir()):
            try:
                result = analyze(read_volume(exam), request, session=session)
            except ICHSegmenterError as error:
                writer.writerow([exam.name, "", "", error.kind])
            else:
                writer.writerow([exam.name, int(result.detection.is_positive), f"{result.blood_ml:.2f}", ""])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
