"""Clones of the project that the real dvc command runs in.

Reduced to small phantoms and two epochs; what is tested is which stages run, what they write and
that it is always the same, not how good the networks are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.places import ROOT

TASKS = ("classifier", "localizer")
SUBSETS = [0, 1]
STAGES = [
    "tables",
    *[f"download@{k}" for k in SUBSETS],
    *[f"patches@{k}" for k in SUBSETS],
    "split",
    "train@classifier",
    "train@localizer",
    "evaluate@classifier",
    "evaluate@localizer",
    *[f"candidates@{k}" for k in SUBSETS],
    *[f"crops@{k}" for k in SUBSETS],
    "train_reducer",
    *[f"reduce@{k}" for k in SUBSETS],
    "score",
    "report",
]


class Clone:
    """A git clone of the project with reduced params."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def environment() -> dict[str, str]:
        """Give what commands run with: this environment's dvc and python first.

        Bytecode is written, as where nothing forbids it: it lies in the folders that stages list.
        """
        own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return own | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command in the clone; gives what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}:\n{done.stdout}"
        return done.stdout

    def repro(self) -> list[str]:
        """Run `dvc repro`; gives the stages that ran, in order."""
        return re.findall(r"Running stage '(.+)':", self.run("dvc", "repro"))

    def json(self, *command: str) -> dict:
        """Run a command that ends by printing JSON; gives that."""
        return json.loads(self.run(*command).splitlines()[-1])

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def set(self, **values: object) -> None:
        """Set params; a__b is a.b."""
        path = self.folder / "params.yaml"
        tree = yaml.safe_load(path.read_text())
        for key, value in values.items():
            *parents, last = key.split("__")
            section = tree
            for parent in parents:
                section = section[parent]
            assert last in section
            section[last] = value
        path.write_text(yaml.safe_dump(tree, sort_keys=False))


def make_clone(folder: Path) -> Clone:
    """Copy what git has or would add, with reduced params, as a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    clone = Clone(folder)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "config", "user.name", "test")
    clone.run("git", "config", "user.email", "test@example.org")
    clone.set(
        data__subsets=SUBSETS,
        data__phantom__scans_per_subset=15,
        data__phantom__size_px=128,
        data__phantom__slices=24,
        classifier__epochs=2,
        # Starts faster than the default.
        localizer__architecture="cnn",
        localizer__epochs=2,
        localizer__warmup_epochs=0,
        patches__positives_per_nodule=4,
        evaluate__bootstraps=100,
        candidates__stride_px=16,
        # Two epochs of a classifier are sure of nothing.
        candidates__threshold=0.5,
        crops__size_px=15,
        crops__negatives_per_scan=10,
        reducer__epochs=2,
        reducer__steps_per_epoch=4,
        reducer__mining_rounds=1,
        reducer__batch_size=16,
        # Each process that runs networks takes seconds to start; other tests compare one with two.
        parallel__jobs=1,
    )
    clone.commit("reduced")
    return clone


def make_stand_ins(folder: Path) -> Clone:
    """Make a clone with `tests.pipeline.stand_in` in the place of every stage."""
    clone = make_clone(folder)
    for stage in yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values():
        (module,) = re.findall(r"python -m (\S+)", stage["cmd"])
        path = folder / f"{module.replace('.', '/')}.py"
        path.write_text("from tests.pipeline.stand_in import main\n\nmain()\n")
    clone.commit("stand-ins")
    return clone
