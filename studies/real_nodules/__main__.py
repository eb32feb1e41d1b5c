"""``python -m studies.real_nodules``: train and measure networks on real nodules."""

from __future__ import annotations

from studies.real_nodules.command import main

if __name__ == "__main__":
    main()
