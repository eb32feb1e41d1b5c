"""LUNA16 from a Zenodo on loopback: records, pins, tables, adoption."""

import hashlib
import io
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodules.download.part import Remote, part_path
from nodules.download.retry import Patience
from nodules.sources.zenodo import TABLES, Zenodo
from tests.zenodo_server import Fault, ZenodoServer, serving

HASTY = Patience(
    connect_timeout_s=10,
    stall_timeout_s=10,
    tries=3,
    backoff_s=0.01,
    backoff_max_s=0.02,
    wait_max_s=5,
)
MHD = """ObjectType = Image
NDims = 3
DimSize = 64 64 8
ElementSpacing = 0.7 0.7 1.25
Offset = 0 0 0
TransformMatrix = 1 0 0 0 1 0 0 0 1
ElementType = MET_SHORT
ElementDataFile = {uid}.raw
"""


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def subset(k: int) -> bytes:
    """A small archive as LUNA16 lays them out, the same at every call."""
    voxels = random.Random(k).randbytes(64 * 64 * 8 * 2)
    mhd = MHD.format(uid=f"1.{k}").encode()
    return zipped({f"subset{k}/1.{k}.mhd": mhd, f"subset{k}/1.{k}.raw": voxels})


TABLE_BYTES = {
    "annotations.csv": b"seriesuid,coordX,coordY,coordZ,diameter_mm\n1.0,1,2,3,5.5\n",
    "candidates_V2.csv": b"seriesuid,coordX,coordY,coordZ,class\n1.0,1,2,3,1\n",
    "annotations_excluded.csv": b"seriesuid,coordX,coordY,coordZ,diameter_mm\n1.0,1,2,3,-1\n",
    "seriesuids.csv": b"1.0\n1.3\n",
}
PART_1 = {
    "annotations.csv": TABLE_BYTES["annotations.csv"],
    "candidates.csv": b"superseded",
    "candidates_V2.zip": zipped({"candidates_V2.csv": TABLE_BYTES["candidates_V2.csv"]}),
    "evaluationScript.zip": zipped(
        {
            "evaluationScript/noduleCADEvaluationLUNA16.py": b"print()",
            "evaluationScript/annotations/annotations.csv": TABLE_BYTES["annotations.csv"],
            "evaluationScript/annotations/annotations_excluded.csv": TABLE_BYTES[
                "annotations_excluded.csv"
            ],
            "evaluationScript/annotations/seriesuids.csv": TABLE_BYTES["seriesuids.csv"],
            "__MACOSX/evaluationScript/annotations/._seriesuids.csv": b"junk",
        }
    ),
} | {f"subset{k}.zip": subset(k) for k in range(7)}
PART_2 = {f"subset{k}.zip": subset(k) for k in range(7, 10)}


@pytest.fixture
def server() -> Iterator[ZenodoServer]:
    records = {"3723295": list(PART_1), "4121926": list(PART_2)}
    with serving(PART_1 | PART_2, records) as server:
        yield server


def zenodo(server: ZenodoServer, folder: Path, connections: int = 3) -> Zenodo:
    return Zenodo(
        registry=folder / "zenodo.json",
        scratch=folder / "tmp" / "download",
        base_url=server.url,
        connections=connections,
        patience=HASTY,
    )


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_just_the_subsets_asked_for_arrive(server: ZenodoServer, tmp_path: Path) -> None:
    targets = {f"subset{k}.zip": tmp_path / "raw" / f"subset{k}.zip" for k in (0, 3, 9)}
    zenodo(server, tmp_path).download(targets)
    for name, path in targets.items():
        assert path.read_bytes() == (PART_1 | PART_2)[name]
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == sorted(targets)
    assert sorted(request.name for request in server.log) == sorted(targets)
    assert not list((tmp_path / "tmp" / "download").glob("*.part"))


def test_every_table_is_found_where_zenodo_packs_it(server: ZenodoServer, tmp_path: Path) -> None:
    targets = {name: tmp_path / "raw" / name for name in TABLES}
    zenodo(server, tmp_path).download_tables(targets)
    assert {name: path.read_bytes() for name, path in targets.items()} == TABLE_BYTES
    assert len(server.log) == 3
    zenodo(server, tmp_path).download_tables({"seriesuids.csv": tmp_path / "again.csv"})
    assert (tmp_path / "again.csv").read_bytes() == TABLE_BYTES["seriesuids.csv"]
    assert len(server.log) == 3  # the archive was still in the scratch folder


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"other.csv": b""}, r"one member \.\.\./candidates_V2\.csv\. Received: \['other\.csv'\]"),
        ({"a/candidates_V2.csv": b"", "b/candidates_V2.csv": b""}, "Expected one member"),
    ],
)
def test_a_table_that_is_not_where_it_should_be(
    tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    with serving({"candidates_V2.zip": zipped(members)}) as server:
        target = tmp_path / "candidates_V2.csv"
        with pytest.raises(ValueError, match=reason):
            zenodo(server, tmp_path).download_tables({"candidates_V2.csv": target})
    assert not target.exists()


def test_a_damaged_table_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    packed = bytearray(PART_1["candidates_V2.zip"])
    packed[60] ^= 0xFF
    target = tmp_path / "raw" / "candidates_V2.csv"
    with (
        serving({"candidates_V2.zip": bytes(packed)}) as server,
        pytest.raises(ValueError, match=r"Expected a whole candidates_V2\.csv"),
    ):
        zenodo(server, tmp_path).download_tables({"candidates_V2.csv": target})
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_mirror_serves_as_long_as_it_agrees_with_the_pins(
    server: ZenodoServer, tmp_path: Path
) -> None:
    zenodo(server, tmp_path).download({"subset0.zip": tmp_path / "0.zip"})
    with serving({"subset1.zip": PART_1["subset1.zip"]}) as mirror:
        zenodo(mirror, tmp_path).download({"subset1.zip": tmp_path / "1.zip"})
        assert len(mirror.log) == 1
        with pytest.raises(
            ValueError, match=rf"{mirror.url}: Expected subset2\.zip in record 3723295"
        ):
            zenodo(mirror, tmp_path).download({"subset2.zip": tmp_path / "2.zip"})


def test_unknown_names_and_records_are_errors(server: ZenodoServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"subset9\.zip'\]\. Received: 'subset10\.zip'"):
        zenodo(server, tmp_path).download({"subset10.zip": tmp_path / "10.zip"})
    with pytest.raises(ValueError, match=r"Received: 'candidates\.csv'"):
        zenodo(server, tmp_path).download_tables({"candidates.csv": tmp_path / "c.csv"})
    assert server.api_calls == []
    with (
        serving({}, {"1": []}) as empty,
        pytest.raises(ConnectionError, match=r"/api/records/3723295: .*HTTP 404"),
    ):
        zenodo(empty, tmp_path).download({"subset0.zip": tmp_path / "0.zip"})


@pytest.mark.parametrize("connections", [1, 2])
def test_no_more_connections_than_allowed(
    server: ZenodoServer, tmp_path: Path, connections: int
) -> None:
    names = [f"subset{k}.zip" for k in range(4)]
    for name in names:
        server.faults[name] = [Fault(piece_bytes=20_000, pause_s=0.02)]
    zenodo(server, tmp_path, connections).download({name: tmp_path / name for name in names})
    assert server.most_busy == connections


def test_a_failure_of_one_file_loses_no_other(
    server: ZenodoServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["subset0.zip", "subset1.zip", "subset2.zip"]
    server.faults["subset0.zip"] = [Fault(status=404)]
    server.faults["subset1.zip"] = [Fault(stop_at=1000), *[Fault(status=500)] * 9]
    server.faults["subset2.zip"] = [Fault(piece_bytes=10_000, pause_s=0.02)]
    with pytest.raises(ConnectionError, match=r"subset0\.zip.*: Expected .*HTTP 404"):
        zenodo(server, tmp_path).download({name: tmp_path / name for name in names})
    assert "1,000 of" in caplog.text
    assert (tmp_path / "subset2.zip").read_bytes() == PART_1["subset2.zip"]
    server.faults.clear()
    zenodo(server, tmp_path).download({name: tmp_path / name for name in names})
    assert server.starts("subset1.zip")[-1] == 1000
    assert len(server.starts("subset2.zip")) == 1


def test_a_target_that_is_there_and_right_is_left_alone(
    server: ZenodoServer, tmp_path: Path
) -> None:
    (tmp_path / "0.zip").write_bytes(PART_1["subset0.zip"])
    zenodo(server, tmp_path).download({"subset0.zip": tmp_path / "0.zip"})
    assert server.log == []
    (tmp_path / "0.zip").write_bytes(bytes(len(PART_1["subset0.zip"])))
    zenodo(server, tmp_path).download({"subset0.zip": tmp_path / "0.zip"})
    assert (tmp_path / "0.zip").read_bytes() == PART_1["subset0.zip"]


def test_a_refused_archive_never_reaches_its_target(tmp_path: Path) -> None:
    bad = zipped({"subset0/1.0.mhd": MHD.format(uid="1.0").encode(), "subset0/1.0.raw": b"short"})
    with serving({"subset0.zip": bad}) as server:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"subset0/1\.0\.raw: .*65536 bytes.*Received: 5 "):
                zenodo(server, tmp_path).download({"subset0.zip": tmp_path / "raw" / "0.zip"})
        assert len(server.log) == 1  # it is not downloaded again to be refused again
    assert not (tmp_path / "raw").exists()


def test_too_little_disk_is_said_before_a_byte_is_asked_for(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.listed["subset3.zip"] = (17 * 10**12, "0" * 32)
    with pytest.raises(OSError, match=r"Expected 17\.0TB .*of free disk\. Received"):
        zenodo(server, tmp_path).download(
            {"subset0.zip": tmp_path / "0.zip"}, ahead=["subset3.zip"]
        )
    assert server.log == []


def test_what_is_wanted_next_is_fetched_ahead_and_gone_on_with(
    server: ZenodoServer, tmp_path: Path
) -> None:
    size = len(PART_1["subset1.zip"])
    server.faults["subset0.zip"] = [Fault(piece_bytes=20_000, pause_s=0.2)]
    server.faults["subset1.zip"] = [Fault(piece_bytes=1000, pause_s=0.02)]
    client = zenodo(server, tmp_path)
    client.download(
        {"subset0.zip": tmp_path / "0.zip"}, ahead=["subset0.zip", "subset1.zip", "subset2.zip"]
    )
    assert not (tmp_path / "subset1.zip").exists()
    wanted = Remote("subset1.zip", "", size, md5(PART_1["subset1.zip"]))
    had = part_path(wanted, client.scratch).stat().st_size
    assert 0 < had < size
    client.download({"subset1.zip": tmp_path / "1.zip", "subset2.zip": tmp_path / "2.zip"})
    assert server.starts("subset1.zip") == [0, had]
    assert server.starts("subset2.zip") == [0]
    for k in range(3):
        assert (tmp_path / f"{k}.zip").read_bytes() == PART_1[f"subset{k}.zip"]


def test_a_failure_ahead_is_no_failure(
    server: ZenodoServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults["subset0.zip"] = [Fault(piece_bytes=20_000, pause_s=0.1)]
    server.faults["subset1.zip"] = [Fault(status=404)]
    zenodo(server, tmp_path).download({"subset0.zip": tmp_path / "0.zip"}, ahead=["subset1.zip"])
    assert "subset1.zip: not ahead of its turn" in caplog.text


def test_two_processes_share_one_download(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults["subset0.zip"] = [Fault(piece_bytes=5000, pause_s=0.05)]
    script = (
        "import sys; from pathlib import Path; from nodules.sources.zenodo import Zenodo; "
        "folder = Path(sys.argv[1]); "
        "scratch = folder / 'tmp' / 'download'; "
        "Zenodo(registry=folder / 'zenodo.json', scratch=scratch, base_url=sys.argv[2])"
        ".download({'subset0.zip': folder / '0.zip'})"
    )
    orphan = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), server.url])
    while not server.log:
        time.sleep(0.01)
        assert orphan.poll() is None
    zenodo(server, tmp_path).download({"subset0.zip": tmp_path / "0.zip"})
    assert orphan.wait() == 0
    assert (tmp_path / "0.zip").read_bytes() == PART_1["subset0.zip"]
    assert server.starts("subset0.zip") == [0]


def test_interrupting_stops_every_connection(server: ZenodoServer, tmp_path: Path) -> None:
    for k in range(3):
        server.faults[f"subset{k}.zip"] = [Fault(piece_bytes=100, pause_s=0.05)]
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    # The processes of pytest-xdist ignore the signal unless told otherwise.
    before, ignoring = time.monotonic(), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            zenodo(server, tmp_path).download(
                {f"subset{k}.zip": tmp_path / f"{k}.zip" for k in range(3)}
            )
    finally:
        signal.signal(signal.SIGINT, ignoring)
    assert time.monotonic() - before < 3
    zenodo(server, tmp_path).download({f"subset{k}.zip": tmp_path / f"{k}.zip" for k in range(3)})
    for k in range(3):
        first, second = server.starts(f"subset{k}.zip")
        assert first == 0 < second
        assert (tmp_path / f"{k}.zip").read_bytes() == PART_1[f"subset{k}.zip"]


def test_adopting_links_what_agrees(
    server: ZenodoServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for k in (0, 9):
        (mine / f"subset{k}.zip").write_bytes((PART_1 | PART_2)[f"subset{k}.zip"])
    targets = {f"subset{k}.zip": tmp_path / "raw" / f"subset{k}.zip" for k in (0, 9)}
    client = zenodo(server, tmp_path)
    with caplog.at_level(logging.INFO):
        client.adopt(mine, targets)
    assert server.log == []
    assert len(server.api_calls) == 2
    for name, path in targets.items():
        assert path.read_bytes() == (mine / name).read_bytes()
        assert path.samefile(mine / name) or f"{name}: adopted by reflink" in caplog.text
    client.adopt(mine, targets)
    assert len(server.api_calls) == 2  # pinned now


def test_adopting_refuses_what_does_not(server: ZenodoServer, tmp_path: Path) -> None:
    client = zenodo(server, tmp_path)
    target = tmp_path / "raw" / "subset0.zip"
    with pytest.raises(
        FileNotFoundError, match=rf"{tmp_path}/subset0\.zip: Expected a file .*Received: no"
    ):
        client.adopt(tmp_path, {"subset0.zip": target})
    truncated = subset(0)[:-1000]
    (tmp_path / "subset0.zip").write_bytes(truncated)
    with pytest.raises(
        ValueError, match=rf"zip: Expected md5 {md5(subset(0))}\. Received: {md5(truncated)}"
    ):
        client.adopt(tmp_path, {"subset0.zip": target})
    assert not target.exists()
