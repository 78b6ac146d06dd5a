"""How many of the wrong changes of a cosmic-ray session were noticed, file by file; exit code 1 below nine in ten."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome

LEAST_NOTICED = 0.9


def main(session: str) -> int:
    """Print the shares; changes that the filter left out count nowhere."""
    tried: Counter[Path] = Counter()
    noticed: Counter[Path] = Counter()
    with use_db(session, WorkDB.Mode.open) as database:
        for item, result in database.completed_work_items:
            if result.worker_outcome == WorkerOutcome.SKIPPED:
                continue
            path = item.mutations[0].module_path
            tried[path] += 1
            noticed[path] += result.is_killed
        pending = len(list(database.pending_work_items))
    for path in sorted(tried):
        print(f"{path}: {noticed[path]} of {tried[path]} noticed ({noticed[path] / tried[path]:.1%})")
    if pending:
        print(f"{pending} not tried yet")
    return int(noticed.total() < LEAST_NOTICED * tried.total())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
