"""The command that verifies archives, against a Zenodo on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodules.cli import main
from tests.sources.test_zenodo import PART_1, PART_2, md5, subset
from tests.zenodo_server import ZenodoServer, serving


@pytest.fixture
def server() -> Iterator[ZenodoServer]:
    with serving(PART_1 | PART_2, {"3723295": list(PART_1), "4121926": list(PART_2)}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Subsets 0 and 9 where the command looks for them."""
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    for k in (0, 9):
        (raw / f"subset{k}.zip").write_bytes(subset(k))
    return raw


def refused(*words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["verify", *words])
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


def test_what_is_pinned_is_compared_and_nobody_is_asked(server, folder, capsys):
    main(["verify", "--base-url", server.url])
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"ok       subset{k}.zip: md5 {md5(subset(k))}" for k in (0, 9)]
    asked = len(server.api_calls)
    assert asked == 2
    main(["verify", "--base-url", server.url])
    main(["verify", "data/raw", "--subsets", "0", "--registry", "data/zenodo.json"])
    assert capsys.readouterr().out.splitlines() == [*printed, printed[0]]
    assert len(server.api_calls) == asked
    assert server.log == [], "an archive was asked for"
    # Nothing is left beside the archives and the pins.
    left = {str(path.relative_to(folder)) for path in folder.iterdir()}
    assert left == {"subset0.zip", "subset9.zip"}


def test_what_differs_or_is_missing_ends_with_one_line(server, folder, capsys):
    main(["verify", "--base-url", server.url])
    (folder / "subset9.zip").write_bytes(subset(0))
    capsys.readouterr()
    wanted = "error: data/raw: Expected every archive with its pinned md5. Received: "
    wrong = " missing or with another md5"
    assert refused() == f"{wanted}['subset9.zip']{wrong}"
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith(f"differs  subset9.zip: expected md5 {md5(subset(9))} (")
    assert refused("--subsets", "0", "3") == f"{wanted}['subset3.zip']{wrong}"
    assert capsys.readouterr().out.splitlines()[1].startswith("missing  subset3.zip: expected data")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "data/zenodo.json: Expected a checksum of subset0.zip. Received: those of "),
        (("--registry", "pins.json"), "pins.json: Expected a checksum of subset0.zip. Received: "),
        (("data",), "data: Expected archives subset0.zip .. subset9.zip. Received: none"),
    ],
    ids=["no pins", "no pins there", "no archives"],
)
def test_nothing_to_compare_ends_with_one_line(folder, words, expected):
    assert refused(*words).startswith(f"error: {expected}")
