"""Reconstruction kernels: which vendor names mean sharp (bone, lung, inner ear) images, unfit for bleed detection."""

from __future__ import annotations

import re

_SHARP = re.compile(
    r"""
    ^ (?:
        .*(?:BONE|EDGE|LUNG|SHARP|OSTEO|KNOCHEN|INNER.?EAR|PETROUS).*  # GE, and what technologists type
      | [BHUIJT] [6-9]\d [A-Z]? (?:[/\\ ].*)?                          # Siemens: H60s, B70f, U90u, I70f, J70h, T80u
      | [BHU][RVPL] (?:5[89]|[6-9]\d) [A-Z]? (?:[/\\ ].*)?             # Siemens, newer: Hr59, Hr68u, Br64, Ur77
      | (?:D|E|YC|YD|YE)  (?:[/\\ ].*)?                                # Philips: D, E, YC, YD, YE
      | FC (?:3[01]|5\d|8\d)  (?:[/\\ ].*)?                            # Canon, Toshiba: FC30 bone, FC5x lung, FC8x bone
    ) $
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_sharp_kernel(kernel: str) -> bool:
    """True for names of bone, lung and inner-ear kernels of GE, Siemens, Philips and Canon."""
    return bool(_SHARP.match(kernel.strip()))
