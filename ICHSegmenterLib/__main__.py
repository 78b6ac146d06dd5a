"""`python -m ICHSegmenterLib`: the command line."""

import sys

if __name__ == "__main__":
    try:
        from ICHSegmenterLib.cli.main import main  # takes most of a second, in which Ctrl-C must not print a traceback
    except KeyboardInterrupt:
        sys.exit("cancelled; nothing was changed")
    sys.exit(main())
