"""A batch that is killed again and again: its table must equal that of a calm one, nothing lost, nothing twice.

python Testing/endurance/kills.py [--kills 50] [--exams 12] [--seed 0] [--signal KILL] [--folder DIR]

Exams are small phantom heads, analyzed by `hu-threshold`. The batch gets the signal (KILL, TERM, INT) at a random
moment, as long after its start at most as the last one took that came to its end: other programs may make each take
longer or shorter. One that it can answer must end it with exit code 1, or before Python listens with its own. Whenever
more than half of the exams are done, half of the results are removed, so that there is always something to kill. A line
every ten kills. Exit code 1 if the tables differ.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "Python")]

from batch_inputs import small_head, summary  # noqa: E402
from ICHSegmenterLib.volume.export import write_nifti  # noqa: E402

NUMBERS = ("status", "any", "blood_ml", "positive_slices", "slices", "key_slice", "error")
TABLES = ("slices.csv", "findings.csv")
LONGEST_S = 600.0
LOG = "log.txt"
"""What the last batch said."""
ANSWERED = 1
"""Exit code of a batch that a signal asked to stop."""


def main() -> int:
    """Print what was seen; exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--exams", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--folder", type=Path, help="work here instead of in a temporary folder, and keep it")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary)
        os.environ["ICHSEGMENTER_KEYS"] = str(folder / "keys")
        sent = signal.Signals[f"SIG{parsed.signal}"]
        kills, differences = killed_and_calm(folder, parsed.exams, parsed.kills, random.Random(parsed.seed), sent)
    print(f"{kills} kills, {len(differences)} differences to the calm table")
    print("\n".join(differences))
    return 1 if differences else 0


def killed_and_calm(
    folder: Path, exams: int, kills: int, random_source: random.Random, sent: signal.Signals = signal.SIGKILL
) -> tuple[int, list[str]]:
    """How often the batch was killed in the middle, and how the tables of a killed and of a calm batch differ."""
    head = small_head()
    for number in range(exams):
        path = folder / "exams" / f"{number:03}.nii.gz"
        write_nifti(head.hu + number, head.geometry, path)
        os.utime(path, (1.7e9, 1.7e9))
    begun = time.monotonic()
    assert batch(folder, "calm") == 0
    whole_s = time.monotonic() - begun
    done = 0
    while done < kills:
        begun = time.monotonic()
        code = batch(folder, "killed", random_source.uniform(0.0, whole_s), sent)
        if code not in (0, None):
            raise SystemExit(ended_by_itself(folder, code))
        if code is None:
            done += 1
            if done % 10 == 0:
                print(f"{done} kills", flush=True)
        else:
            whole_s = time.monotonic() - begun
        if len(list((folder / "killed").glob("*/result.json"))) > exams // 2:
            for result in sorted((folder / "killed").glob("*/result.json"))[: exams // 2]:
                shutil.rmtree(result.parent)
    if (code := batch(folder, "killed")) != 0:
        raise SystemExit(ended_by_itself(folder, code))
    return done, differences_of(folder)


def batch(
    folder: Path, output: str, kill_after_s: float = LONGEST_S, sent: signal.Signals = signal.SIGKILL
) -> int | None:
    """Run the command in a process of its own, which gets the signal after so long.

    Returns:
        Its exit code, None if the signal ended it.
    """
    words = ["batch", str(folder / "exams"), "--output", str(folder / output), "--method", "hu-threshold"]
    words += ["--map", str(folder / f"{output}.csv")]
    program = [sys.executable, "-m", "ICHSegmenterLib", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with (
        (folder / LOG).open("wb") as log,
        subprocess.Popen(program, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            return process.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
            code = process.wait(LONGEST_S)
    return None if code in (ANSWERED, -sent) else code


def ended_by_itself(folder: Path, code: int | None) -> str:
    """What a batch that should have gone on said last."""
    return f"the batch ended with {code} by itself:\n{(folder / LOG).read_text(encoding='utf-8')[-2000:]}"


def differences_of(folder: Path) -> list[str]:
    """Exams, slices and findings that are not the same in both batches, and leftovers of the kills."""
    calm, killed = (tables_of(folder, output) for output in ("calm", "killed"))
    found = [
        f"{table} of {exam}" for table in calm for exam in calm[table] if calm[table][exam] != killed[table].get(exam)
    ]
    found += [f"{table}: {exam} only after kills" for table in killed for exam in killed[table].keys() - calm[table]]
    return found + [f"left over: {path.name}" for path in (folder / "killed").glob(".ichsegmenter-*-*")]


def tables_of(folder: Path, output: str) -> dict[str, dict[str, list[list[str]]]]:
    """Table to name of an input file to its rows."""
    with (folder / f"{output}.csv").open(newline="", encoding="utf-8") as file:
        files = {row["exam"]: Path(row["path"]).name for row in csv.DictReader(file)}
    rows = summary(folder / output)
    with (folder / output / "results.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(rows), "an exam stands in the table twice"
    tables = {"results.csv": {files[name]: [[row[key] for key in NUMBERS]] for name, row in rows.items()}}
    for table in tables["results.csv"].values():
        table[0][0] = "done" if table[0][0] == "skipped" else table[0][0]
    for name in TABLES:
        tables[name] = {}
        with (folder / output / name).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                tables[name].setdefault(files[row.pop("exam")], []).append(list(row.values()))
    return tables


if __name__ == "__main__":
    sys.exit(main())
