"""`python -m ICHSegmenterLib`: the command line."""

import sys

from ICHSegmenterLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
