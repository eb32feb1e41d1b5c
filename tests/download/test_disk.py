"""Moving, linking and fitting large files."""

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodules.download.disk import link_in, md5_of, move_in, require_disk, same_file_system

DATA = random.Random(5).randbytes(600_000)


@pytest.fixture
def elsewhere() -> Path:
    """A folder on another file system."""
    folder = Path("/dev/shm")
    if not folder.is_dir() or same_file_system(folder, Path.cwd()):
        pytest.skip("this machine has no second file system at /dev/shm")
    return folder


@pytest.fixture
def other_file(elsewhere: Path) -> Iterator[Path]:
    path = elsewhere / f"lung-nodules-test-{os.getpid()}"
    path.write_bytes(DATA)
    yield path
    path.unlink(missing_ok=True)


def test_md5_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    (tmp_path / "empty").touch()
    assert md5_of(tmp_path / "a") == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert md5_of(tmp_path / "empty") == "d41d8cd98f00b204e9800998ecf8427e"  # RFC 1321, A.5
    (tmp_path / "b").write_bytes(b"abc" * 100_000)
    assert md5_of(tmp_path / "b") == hashlib.md5(b"abc" * 100_000).hexdigest()


def test_too_little_disk_names_what_is_needed_and_what_there_is(tmp_path: Path) -> None:
    huge = 10**17
    require_disk([(tmp_path / "not" / "yet", 1000)])
    with pytest.raises(OSError, match=r"Expected 100PB \(100,000,000,000,000,000 bytes\) of free"):
        require_disk([(tmp_path, huge)])


def test_needs_of_one_file_system_add_up(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    most = stat.f_bavail * stat.f_frsize
    require_disk([(tmp_path, most // 2)])
    with pytest.raises(OSError, match="of free disk"):
        require_disk([(tmp_path / "a", most * 2 // 3), (tmp_path / "b", most * 2 // 3)])


def test_moving_within_a_file_system_keeps_the_inode(tmp_path: Path) -> None:
    source = tmp_path / "part"
    source.write_bytes(DATA)
    inode = source.stat().st_ino
    target = tmp_path / "data" / "raw" / "subset0.zip"
    move_in(source, target)
    assert (target.stat().st_ino, source.exists()) == (inode, False)


def test_moving_across_file_systems(other_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "raw" / "subset0.zip"
    move_in(other_file, target)
    assert target.read_bytes() == DATA
    assert not other_file.exists()
    assert list(target.parent.iterdir()) == [target]


def test_linking_within_a_file_system_copies_nothing(tmp_path: Path) -> None:
    source = tmp_path / "mine.zip"
    source.write_bytes(DATA)
    target = tmp_path / "raw" / "subset0.zip"
    kind = link_in(source, target)
    assert kind in ("reflink", "hardlink")
    assert target.read_bytes() == DATA
    assert target.samefile(source) == (kind == "hardlink")
    assert list(target.parent.iterdir()) == [target]


def test_linking_across_file_systems(other_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "raw" / "subset0.zip"
    assert link_in(other_file, target) == "symlink"
    assert target.is_symlink()
    assert target.samefile(other_file)
    other_file.unlink()
    with pytest.raises(FileNotFoundError):
        link_in(other_file, target)


def test_linking_replaces_what_was_there_even_itself(tmp_path: Path) -> None:
    source = tmp_path / "mine.zip"
    source.write_bytes(DATA)
    target = tmp_path / "raw" / "subset0.zip"
    target.parent.mkdir()
    target.write_bytes(b"old")
    for _ in range(2):
        link_in(source, target)
        assert target.read_bytes() == DATA
        assert list(target.parent.iterdir()) == [target]
    # A link to the target itself changes nothing and loses nothing.
    link_in(target, target)
    assert target.read_bytes() == DATA


def test_a_relative_symlink_source_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.zip").write_bytes(DATA)
    Path("alias.zip").symlink_to("mine.zip")
    link_in(Path("alias.zip"), Path("raw/subset0.zip"))
    assert Path("raw/subset0.zip").read_bytes() == DATA
