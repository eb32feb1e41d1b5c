from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodules.scans.metaimage import format_header
from nodules.scans.read import list_scans, read_slices, to_hu
from nodules.scans.streams import Plain
from nodules.scans.write import write_archive
from tests.small_luna import noise


def zip_files(archive: Path, *paths: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", method) as opened:
        for path in paths:
            opened.write(path, f"subset0/{path.name}")
    return archive


def edit(archive: Path, members: dict[str, bytes | None]) -> None:
    """Replace, add or (None) remove members."""
    with zipfile.ZipFile(archive) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in (held | members).items():
            if data is not None:
                opened.writestr(name, data)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "subset0.zip"
    write_archive(path, "subset0", [noise("1.2.30"), noise("1.2.4", seed=1)])
    return path


@pytest.mark.parametrize("uid_end", ["603192", "104919"])
def test_real_scan_reads_as_itk_reads_it(real_data: Path, tmp_path: Path, uid_end):
    (header,) = (real_data / "scans").glob(f"*{uid_end}.mhd")
    image = sitk.ReadImage(header)
    archive = zip_files(
        tmp_path / "s.zip", header, header.with_suffix(".zraw"), method=zipfile.ZIP_STORED
    )
    (scan,) = list_scans(archive)
    assert scan.seriesuid == header.stem
    assert scan.header.geometry.size_xyz == image.GetSize()
    assert scan.header.geometry.origin_xyz_mm == image.GetOrigin()
    wanted = [0, 1, 77, image.GetSize()[2] - 1]
    expected = sitk.GetArrayViewFromImage(image)[wanted]
    np.testing.assert_array_equal(read_slices(scan, wanted), expected)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
def test_every_voxel_type_reads_as_itk_writes_it(tmp_path: Path, dtype, compressed, method):
    low = 0 if dtype.startswith("u") else -100
    voxels = np.random.default_rng(0).integers(low, 120, (5, 4, 3)).astype(dtype)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), tmp_path / "a.mhd", compressed)
    voxel_file = tmp_path / ("a.zraw" if compressed else "a.raw")
    archive = zip_files(tmp_path / "a.zip", tmp_path / "a.mhd", voxel_file, method=method)
    (scan,) = list_scans(archive)
    slices_hu = read_slices(scan, [0, 2, 4])
    assert slices_hu.dtype == np.int16
    np.testing.assert_array_equal(slices_hu, voxels[[0, 2, 4]])


@pytest.mark.parametrize("dtype", [">i2", ">u2", ">f4"])
def test_big_endian_voxels_read_as_itk_reads_them(tmp_path: Path, dtype):
    volume = noise("a")
    kind = {"i2": "MET_SHORT", "u2": "MET_USHORT", "f4": "MET_FLOAT"}[dtype[1:]]
    text = format_header(volume.geometry, "a.raw").replace("MET_SHORT", kind)
    text = text.replace("ByteOrderMSB = False", "ByteOrderMSB = True")
    (tmp_path / "a.mhd").write_text(text)
    (tmp_path / "a.raw").write_bytes((volume.voxels_hu + 1000).astype(dtype).tobytes())
    (scan,) = list_scans(zip_files(tmp_path / "a.zip", tmp_path / "a.mhd", tmp_path / "a.raw"))
    expected = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "a.mhd"))
    np.testing.assert_array_equal(read_slices(scan, range(9)), expected)


@given(st.sets(st.integers(0, 8)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_slices_can_be_asked_for(archive: Path, wanted):
    first, second = list_scans(archive)
    assert (first.seriesuid, second.seriesuid) == ("1.2.30", "1.2.4")
    expected = noise("", seed=1).voxels_hu[sorted(wanted)]
    np.testing.assert_array_equal(read_slices(second, sorted(wanted)), expected)


@pytest.mark.parametrize("wanted", [[3, 2], [2, 2], [-1, 0], [8, 9]])
def test_slices_out_of_order_or_range_are_refused(archive: Path, wanted):
    with pytest.raises(ValueError, match=r"Expected ascending slices of 0 .. 8. Received: \["):
        read_slices(list_scans(archive)[0], wanted)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"subset0/1.2.4.raw": None}, "Expected the member subset0/1.2.4.raw, which subset0/1.2.4"),
        (
            {"subset0/1.2.4.raw": bytes(100)},
            r"1.2.4.raw: Expected 14040 bytes of voxels, as its header says \(30 x 26 x 9 of int16"
            r"\). Received: 100 bytes",
        ),
        ({"subset0/1.2.4.raw": bytes(14042)}, "1.2.4.raw: Expected 14040 .* Received: 14042"),
        ({"subset0/1.2.4.mhd": b"NDims = 3"}, "1.2.4.mhd: Expected the key DimSize. Rec.*: NDims"),
        ({"subset0/1.2.4.mhd": None, "subset0/1.2.30.mhd": None}, "Expected at least one scan"),
    ],
)
def test_an_archive_that_disagrees_with_its_headers_is_refused(archive: Path, members, expected):
    edit(archive, members)
    with pytest.raises(ValueError, match=f"subset0.zip: .*{expected}"):
        list_scans(archive)


def test_a_scan_that_is_there_twice_is_refused(archive: Path):
    with zipfile.ZipFile(archive) as opened:
        again = {
            f"other/1.2.4.{end}": opened.read(f"subset0/1.2.4.{end}") for end in ("mhd", "raw")
        }
    edit(archive, again)
    with pytest.raises(ValueError, match=r"Expected each scan once. Received: .*1.2.4.raw and .*"):
        list_scans(archive)


def test_a_missing_truncated_or_foreign_archive_is_named(archive: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no.zip: Expected a zip archive .* no file"):
        list_scans(tmp_path / "no.zip")
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"subset0.zip: Expected a whole zip archive. Received: "):
        list_scans(archive)
    archive.write_bytes(b"")
    with pytest.raises(ValueError, match=r"subset0.zip: Expected a whole zip archive. Received: "):
        list_scans(archive)


@pytest.mark.parametrize("wanted", [[0], [8], []])
def test_a_damaged_byte_is_caught_whatever_slices_are_asked_for(archive: Path, wanted):
    scan = list_scans(archive)[0]
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(scan.member)
    data = bytearray(archive.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF
    archive.write_bytes(data)
    expected = r"subset0.zip: subset0/1.2.30.raw: Expected undamaged voxels. Received: "
    with pytest.raises(ValueError, match=expected):
        read_slices(scan, wanted)


def test_a_wrong_checksum_is_caught_at_the_end(archive: Path):
    scan = list_scans(archive)[0]
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        crc = opened.getinfo(scan.member).CRC.to_bytes(4, "little")
    place = data.index(crc, data.rindex(b"PK\x01\x02", 0, data.rindex(scan.member.encode())))
    data[place] ^= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"1.2.30.raw: Expected undamaged .* Received: CRC-32 "):
        read_slices(scan, [0])


def test_of_stored_voxels_only_the_slices_asked_for_are_read(tmp_path: Path):
    volume = noise("a")
    (tmp_path / "a.mhd").write_text(format_header(volume.geometry, "a.raw"))
    (tmp_path / "a.raw").write_bytes(volume.voxels_hu.tobytes())
    files = tmp_path / "a.mhd", tmp_path / "a.raw"
    (scan,) = list_scans(zip_files(tmp_path / "a.zip", *files, method=zipfile.ZIP_STORED))
    reads: list[int] = []

    class Counting(Plain):
        def readinto(self, buffer: memoryview) -> int:
            reads.append(len(buffer))
            return super().readinto(buffer)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nodules.scans.streams.Plain", Counting)
        slices_hu = read_slices(scan, [2, 3, 8])
    np.testing.assert_array_equal(slices_hu, volume.voxels_hu[[2, 3, 8]])
    assert reads == [30 * 26 * 2] * 3


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (zlib.compress(bytes(14040))[:-9], "Expected undamaged voxels. Received: a compressed str"),
        (b"no zlib stream", "Expected undamaged voxels. Received: Error -5"),
        (zlib.compress(bytes(14040))[:-1] + b"?", "Expected undamaged .* Received: Error .*check"),
        (zlib.compress(bytes(14038)), "Expected 14040 bytes .* Received: 14038 bytes"),
        (zlib.compress(bytes(3_000_000)), "Expected 14040 bytes .* Received: 3000000 bytes"),
    ],
)
@pytest.mark.parametrize("wanted", [[0], [8], []])
def test_a_compressed_member_is_checked_when_it_is_read(archive: Path, payload, expected, wanted):
    text = format_header(noise("").geometry, "z.zraw").replace(
        "CompressedData = False", "CompressedData = True"
    )
    edit(archive, {"subset0/z.mhd": text.encode(), "subset0/z.zraw": payload})
    scan = list_scans(archive)[-1]
    with pytest.raises(ValueError, match=f"subset0.zip: subset0/z.zraw: {expected}"):
        read_slices(scan, wanted)


def test_an_encrypted_header_is_named(archive: Path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        header = next(info for info in opened.infolist() if info.filename.endswith(".mhd"))
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(header.filename.encode()))
    data[header.header_offset + 6] |= 1
    data[central + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=rf"Received: {header.filename} with encryption; .*7z"):
        list_scans(archive)


def test_deflate64_is_named_with_what_helps(archive: Path):
    scan = list_scans(archive)[0]
    data = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo(scan.member).header_offset
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(scan.member.encode()))
    data = bytearray(data)
    data[start + 8] = data[central + 10] = 9  # the method's place in both headers
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"subset0.zip: Expected .* Deflate. Received: .*with 7z"):
        read_slices(scan, [0])
    central = data.index(b"PK\x01\x02")
    data[8] = data[central + 10] = 9
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"subset0.zip: Expected .* Deflate. Received: .*with 7z"):
        list_scans(archive)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 40000], r"Received: 0 .. 40000"),
        ([-40000.0, 0.0], r"Received: -40000.0 .. 0.0"),
        ([0.0, np.nan], r"Received: nan .. nan"),
        ([0.0, np.inf], r"Received: 0.0 .. inf"),
    ],
)
def test_values_that_are_no_hu_are_refused(values, expected):
    with pytest.raises(ValueError, match=rf"a.raw: Expected HU within -32768..32767. {expected}"):
        to_hu(np.array(values), "a.raw")


def test_floats_are_rounded_not_cut():
    np.testing.assert_array_equal(to_hu(np.array([-999.6, 0.4, 39.7]), ""), [-1000, 0, 40])
