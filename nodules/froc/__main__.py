"""``python -m nodules.froc``: LUNA16's official score of a submission."""

from __future__ import annotations

from nodules.froc.score import main

if __name__ == "__main__":
    main()
