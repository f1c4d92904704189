"""`python -m pose2mesh.cli`."""

from __future__ import annotations

import sys

from pose2mesh.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
