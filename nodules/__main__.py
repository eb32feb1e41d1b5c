"""``python -m nodules``: the command line."""

from __future__ import annotations

from nodules.cli import main

if __name__ == "__main__":
    main()
