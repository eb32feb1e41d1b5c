from __future__ import annotations

import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodules.scans.metaimage import format_header
from nodules.scans.read import list_scans, read_slices
from nodules.scans.streams import Plain
from tests.scans.zips import edit, set_method, zip_files
from tests.small_luna import noise


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
        patched.setattr("nodules.scans.zip_member.Plain", Counting)
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


def test_deflate64_of_voxels_is_named_with_what_helps(archive: Path):
    scan = list_scans(archive)[0]
    set_method(archive, scan.member, 9)
    with pytest.raises(ValueError, match=r"subset0.zip: Expected .* Deflate. Received: .*with 7z"):
        read_slices(scan, [0])


def test_what_is_neither_an_archive_nor_a_folder_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no.zip: Expected a zip archive .* no file"):
        list_scans(tmp_path / "no.zip")


def test_an_archive_is_read_without_waiting_for_simpleitk():
    code = "import nodules.scans.read, sys; sys.exit('SimpleITK' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
