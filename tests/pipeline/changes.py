"""What the table of what runs again names: changes to the project, and the stages that then run."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.clones import STAGES, SUBSETS, Clone
from tests.docs.pages import DOCS


def told_table() -> list[tuple[str, set[str]]]:
    """Rows of the reference's table of what runs again: a change, and the stages it names."""
    text = (DOCS / "reference/what-runs-again.md").read_text(encoding="utf-8")
    table = text.split("| change | what runs again |")[1].split("\n\n")[0]
    rows = []
    more = [f"{stage}@2" for stage in ("download", "patches", "candidates", "crops", "reduce")]
    for line in table.splitlines()[2:]:
        change, names = (cell.strip() for cell in line.strip("|").split("|"))
        # The clone has one subset less than the project, so that its next one is 2.
        names = names.replace("@3", "@2")
        wanted: set[str] = set()
        for name in re.findall(r"`(.+?)`", names):
            stem = name.removesuffix("@*")
            matches = {s for s in [*STAGES, *more] if s == name}
            matches |= {s for s in STAGES if name.endswith("@*") and s.split("@")[0] == stem}
            assert matches, f"the table names a stage {name}, which is none"
            wanted |= matches
        if names == "everything":
            wanted = set(STAGES)
        rows.append((change, wanted))
    return rows


def comment_in(path: str) -> Callable[[Clone], None]:
    def change(clone: Clone) -> None:
        file = clone.folder / path
        file.write_text(file.read_text() + "\n# A comment.\n")

    return change


OF_PARAMS: dict[str, Callable[[Clone], None]] = {
    "`classifier.dropout`": lambda c: c.set(classifier__dropout=0.5),
    "`localizer.learning_rate`": lambda c: c.set(localizer__learning_rate=0.01),
    "`evaluate.bootstraps`": lambda c: c.set(evaluate__bootstraps=101),
    "`candidates.stride_px`": lambda c: c.set(candidates__stride_px=8),
    "`crops.negatives_per_scan`": lambda c: c.set(crops__negatives_per_scan=5),
    "`reducer.learning_rate`": lambda c: c.set(reducer__learning_rate=0.01),
    "`split.seed`": lambda c: c.set(split__seed=3),
    "`patches.jitter_px`": lambda c: c.set(patches__jitter_px=3),
    "`data.subsets`: one more": lambda c: c.set(data__subsets=[*SUBSETS, 2]),
    "`data.phantom.seed`": lambda c: c.set(data__phantom__seed=1),
    "`parallel.jobs`": lambda c: c.set(parallel__jobs=2),
}
# These change no output.
IDLE: dict[str, Callable[[Clone], None]] = {
    "a comment in `nodules/networks/cnn.py`": comment_in("nodules/networks/cnn.py"),
    "a comment in `nodules/patches/sampling.py`": comment_in("nodules/patches/sampling.py"),
    "a comment in `nodules/evaluation/localizer.py`": comment_in("nodules/evaluation/localizer.py"),
    "a comment in `nodules/detection/linking.py`": comment_in("nodules/detection/linking.py"),
    "a comment in `nodules/reduction/marks.py`": comment_in("nodules/reduction/marks.py"),
    "a file in `data/local/`": lambda c: (c.folder / "data/local/a.txt").write_text("a"),
}
CHANGES = OF_PARAMS | IDLE
