"""Own weights: a file of yours instead of the installed one, with its card, NAME.json, beside it.

python examples/own_weights.py EXAM METHOD WEIGHTS...

Several files make an ensemble. `ichsegmenter train` and `ichsegmenter models convert` write such pairs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from ICHSegmenterLib import METHODS, AnalysisRequest, analyze, read_volume


def main(exam: Path, method: str, weights: Sequence[Path]) -> None:
    """Print the verdict, and which file with which SHA-256 gave it."""
    print(METHODS[method].title)
    result = analyze(read_volume(exam), AnalysisRequest(method, weights=tuple(weights)))
    print(result.verdict)
    for name, digest in result.provenance.weights.items():
        print(f"{name}: SHA-256 {digest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [Path(word) for word in sys.argv[3:]])
