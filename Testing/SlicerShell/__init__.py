"""A stand-in for desktop Slicer, for tests: real MRML from slicer-core, Qt from PySide6 with PythonQt's behavior.

`shell = SlicerShell.boot()` makes `import slicer, qt, ctk` work as in Slicer's Python; see README.md.
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x02")  # enums are ints, as in PythonQt
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")
os.environ.pop("DISPLAY", None)

from SlicerShell.requirements import missingReason

__all__ = ["boot", "missingReason"]


def boot(window: bool = True):
    """Start the stand-in, once a process. Returns the Shell; `window=False` is Slicer's --no-main-window."""
    from SlicerShell.shell import Shell

    return Shell.start(window)
