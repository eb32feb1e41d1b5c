"""Archives that must be refused, each with a word on why, and archives that must not be."""

import csv
import io
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.sources.archive_check import check_archive
from tests.places import REAL

real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the real data of ../shared/data, which is not here"
)
UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.100225287222365663678666836860"
SHAPE = (16, 12, 5)
VOXELS = random.Random(7).randbytes(16 * 12 * 5 * 2 // 2) + bytes(16 * 12 * 5 * 2 // 2)
MHD = f"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = -157.67773 -311.67773 -438.4
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 0.64453125 0.64453125 1.8
DimSize = 16 12 5
ElementType = MET_SHORT
ElementDataFile = {UID}.raw
"""


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def scan(mhd: str = MHD, voxels: bytes = VOXELS, suffix: str = ".raw") -> dict[str, bytes]:
    return {
        "subset0/": b"",
        f"subset0/{UID}.mhd": mhd.encode(),
        f"subset0/{UID}{suffix}": voxels,
    }


def compressed_scan(voxels: bytes, size: int | None = None) -> dict[str, bytes]:
    packed = zlib.compress(voxels)
    mhd = MHD.replace("CompressedData = False", "CompressedData = True").replace(".raw", ".zraw")
    mhd += f"CompressedDataSize = {len(packed) if size is None else size}\n"
    return scan(mhd, packed, ".zraw")


def deflated(data: bytes, end: int = zlib.Z_FINISH) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush(end)


def patch(path: Path, name: str, change: Callable[[zipfile.ZipInfo, bytearray], None]) -> Path:
    """Rewrite the archive's bytes: `change` gets the member and the whole archive."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    change(info, data)
    path.write_bytes(data)
    return path


def central_header(info: zipfile.ZipInfo, data: bytearray) -> int:
    name = info.filename.encode()
    at = data.rindex(name)
    assert data[at - 46 : at - 42] == b"PK\x01\x02"
    return at - 46


def set_method(method: int) -> Callable[[zipfile.ZipInfo, bytearray], None]:
    def change(info: zipfile.ZipInfo, data: bytearray) -> None:
        struct.pack_into("<H", data, info.header_offset + 8, method)
        struct.pack_into("<H", data, central_header(info, data) + 10, method)

    return change


def set_sizes_and_crc(size: int, crc: int) -> Callable[[zipfile.ZipInfo, bytearray], None]:
    def change(info: zipfile.ZipInfo, data: bytearray) -> None:
        for at in (info.header_offset + 14, central_header(info, data) + 16):
            struct.pack_into("<III", data, at, crc, info.compress_size, size)

    return change


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whole_archives_pass(tmp_path: Path, full: bool, method: int) -> None:
    path = tmp_path / "subset0.zip"
    check_archive(write(path, scan(), method), full=full)
    check_archive(write(path, compressed_scan(VOXELS), method), full=full)
    check_archive(write(path, scan() | {"subset0/notes.txt": b"x"}, method), full=full)
    # As some Windows tools have it.
    backslashed = {name.replace("/", "\\"): data for name, data in scan().items() if data}
    check_archive(write(path, backslashed, method), full=full)


def test_members_of_unstated_size_pass(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Cannot seek, so that the sizes follow each member."""

        def __init__(self, path: Path) -> None:
            self.file = path.open("wb")

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            return self.file.write(data)

        def close(self) -> None:
            self.file.close()
            super().close()

    path = tmp_path / "subset0.zip"
    with Pipe(path) as pipe, zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in scan().items():
            archive.writestr(name, data)
    with zipfile.ZipFile(path) as archive:
        assert all(info.flag_bits & 8 for info in archive.infolist() if not info.is_dir())
    check_archive(path)


def test_members_with_their_sizes_in_a_zip64_field_pass(tmp_path: Path) -> None:
    path = tmp_path / "subset0.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in scan().items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
    assert b"\xff" * 8 in path.read_bytes()
    check_archive(path)


def test_offsets_beyond_4_gib_pass(tmp_path: Path) -> None:
    path = tmp_path / "subset0.zip"
    with path.open("wb") as file:
        file.seek(5 << 30)  # a hole: takes no disk
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in scan().items():
                archive.writestr(name, data)
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[-1].header_offset > 1 << 32
    check_archive(path)


@pytest.mark.parametrize("name", [f"subset0/{UID}.raw", f"subset0/{UID}.mhd"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_changed_byte_is_refused_with_the_member(tmp_path: Path, name: str, method: int) -> None:
    path = write(tmp_path / "subset0.zip", scan(), method)

    def change(info: zipfile.ZipInfo, data: bytearray) -> None:
        data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0x10

    patch(path, name, change)
    with pytest.raises(ValueError, match=rf"^{path}: {name}: Expected .*Received: "):
        check_archive(path)


def test_deflate64_is_refused_with_the_way_out(tmp_path: Path) -> None:
    name = f"subset0/{UID}.raw"
    path = patch(write(tmp_path / "subset0.zip", scan()), name, set_method(9))
    with pytest.raises(ValueError, match=rf"^{path}: {name}: .*Received: deflate64.*7z x"):
        check_archive(path, full=False)


def test_other_methods_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "subset0.zip", scan(), zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match=r"stored or deflated\. Received: method 12"):
        check_archive(path, full=False)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    name = f"subset0/{UID}.raw"

    def change(info: zipfile.ZipInfo, data: bytearray) -> None:
        data[info.header_offset + 6] |= 1
        data[central_header(info, data) + 8] |= 1

    path = patch(write(tmp_path / "subset0.zip", scan()), name, change)
    with pytest.raises(
        ValueError, match=rf"{path}: {name}: .*Received: an encrypted or special one"
    ):
        check_archive(path, full=False)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../evil.raw", "subset0/../../evil", "C:\\evil", "c:evil", "..\\evil"]
)
def test_paths_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "subset0.zip", scan() | {name: b"x"})
    with pytest.raises(ValueError, match="inside the archive's folder") as error:
        check_archive(path, full=False)
    assert f"{path}: {name}: " in str(error.value)


def test_names_given_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "subset0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in scan().items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(f"subset0/{UID}.raw", VOXELS)
    with pytest.raises(
        ValueError, match=rf"subset0/{UID}\.raw: Expected every member once\. Received: one twice"
    ):
        check_archive(path, full=False)


def test_one_path_written_in_two_ways_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "subset0.zip", scan() | {f"subset0\\{UID}.raw": VOXELS})
    with pytest.raises(
        ValueError, match=r"\.raw: Expected every member once\. Received: one twice"
    ):
        check_archive(path, full=False)


@pytest.mark.parametrize(
    ("mhd", "voxels", "suffix", "reason"),
    [
        (
            MHD,
            VOXELS[:-2],
            ".raw",
            r"\.raw: Expected 1920 bytes of voxels, as its header .*Received: 1918 ",
        ),
        (
            MHD,
            VOXELS + b"\0\0",
            ".raw",
            r"\.raw: Expected 1920 bytes of voxels, as its header .*Received: 1922 ",
        ),
        (MHD.replace("SHORT", "FLOAT"), VOXELS, ".raw", "3840 bytes of voxels, as its header"),
        (
            MHD.replace("SHORT", "STRANGE"),
            VOXELS,
            ".raw",
            r"\.mhd: Expected ElementType of .*Received: MET_STRANGE",
        ),
        (MHD.replace("16 12 5", "16 12 -5"), VOXELS, ".raw", r"\.mhd: Expected .*Received: .*-5"),
        (MHD.replace("DimSize", "Size"), VOXELS, ".raw", "Expected the key DimSize"),
        (MHD, VOXELS, ".txt", r"the member .*\.raw, which .*\.mhd names\. Received: no such"),
        (MHD.replace(UID, f"../{UID}"), VOXELS, ".raw", "to name one file beside the header"),
        (MHD + " " * 70_000, VOXELS, ".raw", "a header of at most 65,536 bytes"),
    ],
)
def test_headers_and_voxels_must_agree(
    tmp_path: Path, mhd: str, voxels: bytes, suffix: str, reason: str
) -> None:
    path = write(tmp_path / "subset0.zip", scan(mhd, voxels, suffix))
    with pytest.raises(ValueError, match=reason) as error:
        check_archive(path, full=False)
    assert UID in str(error.value)
    assert str(path) in str(error.value)


def test_voxels_without_a_header_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "subset0.zip", scan() | {"subset0/9.raw": b"1234"})
    with pytest.raises(
        ValueError, match=r"subset0/9\.raw: .*names each voxel file\. Received: none"
    ):
        check_archive(path, full=False)


def test_one_voxel_file_of_two_headers_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "subset0.zip", scan() | {"subset0/twin.mhd": MHD.encode()})
    with pytest.raises(
        ValueError, match=rf"Expected one header .*{UID}\.raw. Rec.*{UID}\.mhd, .*twin\.mhd"
    ):
        check_archive(path, full=False)


def test_an_archive_of_no_scans_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "subset0.zip"
    for members in ({}, {"subset0/notes.txt": b"x"}):
        with pytest.raises(
            ValueError, match=rf"{path}: Expected at least one scan\. Received: .* no \.mhd"
        ):
            check_archive(write(path, members))


def test_a_member_that_inflates_past_its_stated_size_is_refused(tmp_path: Path) -> None:
    bomb = VOXELS + bytes(50_000_000)
    name = f"subset0/{UID}.raw"
    path = write(tmp_path / "subset0.zip", scan(voxels=bomb))
    patch(path, name, set_sizes_and_crc(len(VOXELS), zlib.crc32(VOXELS)))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None  # zipfile sees nothing wrong
    check_archive(path, full=False)
    with pytest.raises(
        ValueError, match=f"{name}: Expected 1,920 bytes, as the directory says. Received: more"
    ):
        check_archive(path)


def test_a_member_that_inflates_to_less_is_refused(tmp_path: Path) -> None:
    name = f"subset0/{UID}.raw"
    path = write(tmp_path / "subset0.zip", scan(voxels=VOXELS[:-200]))
    patch(path, name, set_sizes_and_crc(len(VOXELS), zlib.crc32(VOXELS[:-200])))
    with pytest.raises(ValueError, match=f"{name}: Expected 1,920 bytes, .*Received: 1,720"):
        check_archive(path)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (deflated(VOXELS) + b"junk", "bytes that follow the compressed stream"),
        (deflated(VOXELS, zlib.Z_SYNC_FLUSH), "a compressed stream that ends too early"),
    ],
)
def test_a_stream_that_does_not_end_where_it_should_is_refused(
    tmp_path: Path, packed: bytes, reason: str
) -> None:
    name = f"subset0/{UID}.raw"
    members = scan() | {name: packed}
    path = write(tmp_path / "subset0.zip", members, zipfile.ZIP_STORED)
    patch(path, name, set_method(zipfile.ZIP_DEFLATED))
    patch(path, name, set_sizes_and_crc(len(VOXELS), zlib.crc32(VOXELS)))
    with zipfile.ZipFile(path) as archive:
        assert archive.read(name) == VOXELS  # zipfile sees nothing wrong
    with pytest.raises(
        ValueError, match=f"{name}: Expected an undamaged member. Received: {reason}"
    ):
        check_archive(path)


@pytest.mark.parametrize(
    ("voxels", "reason"),
    [
        (VOXELS + bytes(10_000_000), "1,920 bytes of voxels, as the header makes. Received: more"),
        (VOXELS[:-2], "1,920 bytes of voxels, as the header makes. Received: 1,918"),
    ],
)
def test_zraw_must_inflate_to_what_its_header_makes(
    tmp_path: Path, voxels: bytes, reason: str
) -> None:
    path = write(tmp_path / "subset0.zip", compressed_scan(voxels))
    check_archive(path, full=False)
    with pytest.raises(ValueError, match=reason):
        check_archive(path)
    path = write(path, compressed_scan(voxels, size=12))
    with pytest.raises(
        ValueError, match=r"\.zraw: Expected 12 bytes, as its header says. Received: "
    ):
        check_archive(path, full=False)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda packed: packed + b"junk", "bytes that follow the compressed stream"),
        (lambda packed: packed + bytes(1 << 20), "bytes that follow the compressed stream"),
        (lambda packed: packed[:-5], "a compressed stream that ends too early"),
        (lambda packed: packed[:-1] + b"?", "Error .*check"),
    ],
)
def test_zraw_that_is_not_one_whole_stream_is_refused(
    tmp_path: Path, spoil: Callable[[bytes], bytes], reason: str, method: int
) -> None:
    mhd = MHD.replace("CompressedData = False", "CompressedData = True").replace(".raw", ".zraw")
    members = scan(mhd, spoil(zlib.compress(VOXELS)), ".zraw")
    path = write(tmp_path / "subset0.zip", members, method)
    check_archive(path, full=False)
    with pytest.raises(
        ValueError, match=rf"\.zraw: Expected an undamaged member. Received: {reason}"
    ):
        check_archive(path)


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    name = f"subset0/{UID}.mhd"

    def change(info: zipfile.ZipInfo, data: bytearray) -> None:
        size = info.compress_size + 40
        struct.pack_into("<I", data, info.header_offset + 18, size)
        struct.pack_into("<I", data, central_header(info, data) + 20, size)

    path = patch(write(tmp_path / "subset0.zip", scan()), name, change)
    with pytest.raises(ValueError, match=f"{name}: .*Received: one that runs into the next"):
        check_archive(path, full=False)


def test_a_local_header_that_says_otherwise_is_refused(tmp_path: Path) -> None:
    name = f"subset0/{UID}.raw"

    def change(info: zipfile.ZipInfo, data: bytearray) -> None:
        struct.pack_into("<I", data, info.header_offset + 22, 1919)

    path = patch(write(tmp_path / "subset0.zip", scan()), name, change)
    with pytest.raises(
        ValueError, match=f"{name}: Expected 1920 in the local header.*Received: 1919"
    ):
        check_archive(path, full=False)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "subset0.zip"
    path.write_bytes(b"<html>Too many requests</html>")
    with pytest.raises(ValueError, match=f"{path}: Expected a whole zip archive. Received: "):
        check_archive(path)
    with pytest.raises(FileNotFoundError):
        check_archive(tmp_path / "absent.zip")


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "subset0.zip", scan())
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="Expected"):
            check_archive(path, full=False)


def _whole_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in scan().items():
            archive.writestr(name, data)
    return buffer.getvalue()


WHOLE = _whole_archive()


@settings(max_examples=400, deadline=None)
@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_what_a_passing_archive_holds(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.zip"
    path.write_bytes(changed)
    try:
        check_archive(path)
    except ValueError:
        return
    with zipfile.ZipFile(path) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == scan()


@real_data
def test_a_real_scan_passes_and_its_damage_does_not(tmp_path: Path) -> None:
    uid = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
    mhd = (REAL / "scans" / f"{uid}.mhd").read_text()
    packed = (REAL / "scans" / f"{uid}.zraw").read_bytes()
    path = tmp_path / "subset1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"subset1/{uid}.mhd", mhd)
        archive.writestr(f"subset1/{uid}.zraw", packed)
    check_archive(path)
    with path.open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"damage")
    with pytest.raises(ValueError, match=f"{uid}.zraw"):
        check_archive(path)

    # As LUNA16 ships it: raw voxels.
    plain = mhd.replace("CompressedData = True", "CompressedData = False").replace(".zraw", ".raw")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"subset1/{uid}.mhd", plain)
        archive.writestr(f"subset1/{uid}.raw", zlib.decompress(packed))
    check_archive(path)


@real_data
def test_real_headers_make_the_sizes_that_an_independent_table_has(tmp_path: Path) -> None:
    with (REAL / "luna16" / "scans.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["size_z"]))[:4]
    path = tmp_path / "smallest.zip"
    with (
        zipfile.ZipFile(REAL / "luna16" / "mhd_headers.zip") as headers,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for row in rows:
            name = f"{row['seriesuid']}.mhd"
            archive.writestr(f"subset/{name}", headers.read(f"mhd/{name}"))
            size = int(row["size_x"]) * int(row["size_y"]) * int(row["size_z"]) * 2
            with archive.open(f"subset/{row['seriesuid']}.raw", "w") as voxels:
                shutil.copyfileobj(io.BytesIO(bytes(size)), voxels, 1 << 20)
    check_archive(path)


def test_a_check_can_be_ended_early(tmp_path: Path) -> None:
    path = write(tmp_path / "subset0.zip", scan())

    def tick() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_archive(path, tick=tick)
