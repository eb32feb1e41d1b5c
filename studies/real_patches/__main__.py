"""``python -m studies.real_patches``: train and score on real patches."""

from __future__ import annotations

from studies.real_patches.cross_validate import main

if __name__ == "__main__":
    main()
