from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.scans.streams import (
    GZIP,
    RAW_DEFLATE,
    ZLIB,
    Checksummed,
    DamagedError,
    Inflated,
    Plain,
    Source,
    open_file,
)

# Larger than the pieces that are inflated at once, and not the same throughout.
LONG = b"".join(n.to_bytes(3, "big") for n in range(400_000))
contents = st.binary(max_size=300) | st.integers(0, len(LONG)).map(lambda end: LONG[:end])


def packed(data: bytes, window_bits: int, level: int = 6) -> bytes:
    stream = zlib.compressobj(level, wbits=window_bits)
    return stream.compress(data) + stream.flush()


def plain(data: bytes) -> Plain:
    return Plain(io.BytesIO(data), 0, len(data))


def read_all(source: Source, size: int) -> bytes:
    """Up to `size` bytes."""
    buffer = bytearray(size)
    return bytes(buffer[: source.readinto(memoryview(buffer))])


def sources_of(data: bytes) -> list[Source]:
    """The same bytes, stored in all ways."""
    return [
        Plain(io.BytesIO(b"before" + data + b"after"), 6, len(data)),
        Inflated(plain(packed(data, RAW_DEFLATE)), RAW_DEFLATE),
        Inflated(plain(packed(data, ZLIB)), ZLIB, exact=True),
        Checksummed(plain(data), zlib.crc32(data)),
        Checksummed(
            Inflated(plain(packed(data, RAW_DEFLATE)), RAW_DEFLATE, exact=True), zlib.crc32(data)
        ),
    ]


@given(contents, st.lists(st.tuples(st.booleans(), st.integers(0, 700_000)), max_size=4))
def test_any_bytes_are_read_or_passed_over_alike(data, steps):
    for source in sources_of(data):
        position = 0
        for is_read, count in steps:
            wanted = data[position : position + count]
            if is_read:
                assert read_all(source, count) == wanted
            else:
                assert source.skip(count) == len(wanted)
            position += len(wanted)
        assert read_all(source, len(data) + 1) == data[position:]
        assert source.skip(10) == 0


@given(contents, st.sampled_from([RAW_DEFLATE, ZLIB]), st.integers(0, 9), st.binary(max_size=20))
def test_what_follows_a_stream_counts_only_where_it_must_be_exact(data, bits, level, rest):
    stored = packed(data, bits, level) + rest
    assert read_all(Inflated(plain(stored), bits), len(data) + 1) == data
    exact = Inflated(plain(stored), bits, exact=True)
    if not rest:
        assert read_all(exact, len(data) + 1) == data
        return
    with pytest.raises(DamagedError, match="bytes that follow the compressed stream"):
        exact.skip(len(data) + 1)


def test_what_follows_in_another_piece_is_seen_too():
    # Level 0 stores: the stream is longer than the pieces that are read at once.
    stored = packed(LONG, RAW_DEFLATE, level=0)
    for rest in (b"?", bytes(1 << 20)):
        exact = Inflated(plain(stored + rest), RAW_DEFLATE, exact=True)
        with pytest.raises(DamagedError, match="bytes that follow the compressed stream"):
            exact.skip(len(LONG) + 1)


@given(contents, st.sampled_from([RAW_DEFLATE, ZLIB]), st.data())
def test_a_stream_that_is_cut_anywhere_is_damaged(data, bits, draw):
    stored = packed(data, bits)
    cut = stored[: draw.draw(st.integers(0, len(stored) - 1))]
    with pytest.raises(DamagedError, match="a compressed stream that ends too early"):
        Inflated(plain(cut), bits).skip(len(data) + 1)


@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("data", [b"", b"1234", LONG])
def test_another_checksum_is_told_at_the_end_alone(data, is_read):
    source = Checksummed(plain(data), zlib.crc32(data) ^ 1)
    assert source.skip(len(data)) == len(data)
    expected = f"CRC-32 {zlib.crc32(data):08x} instead of {zlib.crc32(data) ^ 1:08x}"
    with pytest.raises(DamagedError, match=expected):
        read_all(source, 1) if is_read else source.skip(1)


@pytest.mark.parametrize("compression", ["", "zlib", "gzip"])
@pytest.mark.parametrize("start", [0, 11])
def test_a_file_is_one_stream(tmp_path: Path, compression, start):
    path = tmp_path / "a.raw"
    pack = {"": bytes, "zlib": zlib.compress, "gzip": gzip.compress}[compression]
    path.write_bytes(b"x" * start + pack(LONG))
    with open_file(path, compression, start) as source:
        assert source.skip(1000) == 1000
        assert read_all(source, len(LONG)) == LONG[1000:]


@given(st.lists(contents, min_size=1, max_size=3), st.integers(1, 2000))
@settings(deadline=None, max_examples=30)
def test_gzip_streams_that_follow_one_another_are_one_content(parts, piece):
    packed_bytes = b"".join(map(gzip.compress, parts))
    source = Inflated(Plain(io.BytesIO(packed_bytes), 0, len(packed_bytes)), GZIP, exact=True)
    whole = b"".join(parts)
    assert source.skip(min(piece, len(whole))) == min(piece, len(whole))
    assert read_all(source, len(whole) + 9) == whole[piece:]


@pytest.mark.parametrize(
    "spoil", [lambda d: d[:-1], lambda d: d + b"x", lambda d: d[:-5] + bytes([d[-5] ^ 1]) + d[-4:]]
)
def test_a_gzip_file_that_is_not_whole_is_damaged(tmp_path: Path, spoil):
    path = tmp_path / "a.gz"
    path.write_bytes(spoil(gzip.compress(b"content" * 9)))
    with pytest.raises(DamagedError), open_file(path, "gzip") as source:
        source.skip(100)
