"""Runs a script as `Slicer --python-script` does.

`python -m SlicerShell [--no-main-window] [--additional-module-paths DIR ...] --python-script FILE -- ARGUMENTS`:
inside the event loop, with its arguments in sys.argv, until the script calls slicer.util.exit(). Where Slicer would
stay open after an exception, this ends with exit code 70.
"""

import argparse
import os
import sys
import traceback

import SlicerShell

SCRIPT_FAILED = 70


def main(arguments: list[str]) -> int:
    own, script = _split(arguments)
    parser = argparse.ArgumentParser(prog="SlicerShell")
    parser.add_argument("--python-script", required=True)
    parser.add_argument("--no-main-window", action="store_true")
    parser.add_argument("--additional-module-paths", nargs="*", default=[])
    for accepted in ("--no-splash", "--testing", "--ignore-slicerrc"):
        parser.add_argument(accepted, action="store_true")
    options, rest = parser.parse_known_args(own)
    shell = SlicerShell.boot(window=not options.no_main_window)
    for folder in options.additional_module_paths:
        _loadModules(shell, folder)
    return _run(shell, os.path.abspath(options.python_script), rest + script)


def _split(arguments):
    """What stands after `--` belongs to the script."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:cut], arguments[cut + 1 :]


def _loadModules(shell, folder):
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            shell.loadModule(os.path.join(folder, name))


def _run(shell, path, arguments) -> int:
    from PySide6 import QtCore

    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    namespace = {"__name__": "__main__", "__file__": path}

    def execute():
        try:
            with open(path, encoding="utf-8") as source:
                exec(compile(source.read(), path, "exec"), namespace)
        except SystemExit as ended:
            shell.app.exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        except Exception:
            traceback.print_exc()
            print("Slicer would stay open here: the script raised before slicer.util.exit()", file=sys.stderr)
            shell.app.exit(SCRIPT_FAILED)

    QtCore.QTimer.singleShot(0, execute)
    shell.app.exec()
    shell.close()
    return shell.app._exitCode or 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # VTK and Qt would race for the order of their ends
