"""The connection to Ray, a cluster's own or one that is started on this computer. Nothing else imports Ray."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from ICHSegmenterLib.errors import ClusterError, DependencyError

LOCAL = "local"
"""Address of a cluster that is started on this computer and ends with the run."""
STORE_BYTES = 80 << 20
"""Of its shared memory: exams and results go by the disk, messages are small."""

START_S = 120
"""For the processes of a local cluster, on a busy computer."""


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[ModuleType]:
    """Ray, connected.

    Args:
        address: `LOCAL`, "auto", or as Ray writes addresses, such as "ray://head:10001".
        workers: So many shall have place in a local cluster, whatever this computer has.

    Raises:
        DependencyError: Ray is not installed.
        ClusterError: There is no cluster at the address.
    """
    if "ray" not in sys.modules:  # it reads its environment when it is imported
        for variable, value in _environment(address).items():
            os.environ.setdefault(variable, value)
    try:
        import ray
    except ImportError as error:
        raise DependencyError("A run on a cluster needs Ray: pip install 'ichsegmenter[cluster]'") from error
    if ray.is_initialized():  # of the program that calls us
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    try:
        if address == LOCAL:
            cores = max(workers or 1, os.cpu_count() or 1)
            ray.init("local", num_cpus=cores, object_store_memory=STORE_BYTES, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ClusterError(
            f"No Ray cluster answers at {address} ({reason}). Start one by `ray start --head`, or give --cluster local "
            "for one on this computer."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _environment(address: str) -> dict[str, str]:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # nothing is sent anywhere
    if address != LOCAL:
        return quiet
    patient = dict.fromkeys(("RAY_NUM_REDIS_GET_RETRIES", "RAY_raylet_start_wait_time_s"), str(START_S))
    patient["RAY_worker_niceness"] = "0"  # here they do the work that the program is called for
    # Only who knows the secret of this run may give work to its cluster.
    return quiet | patient | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
