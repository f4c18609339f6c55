"""Blocks counted in a JPEG's entropy-coded data, against a walk bit by bit."""

from __future__ import annotations

import io

import dicom_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lcx_fast import InvalidArgument, _core
from lcx_fast.dicom.codestream import read_jpeg


def codes(dht):
    """{bits as text: symbol} (ISO 10918-1 C.2)."""
    found, code, position = {}, 0, 16
    for length in range(1, 17):
        for _ in range(dht[length - 1]):
            found[f"{code:0{length}b}"] = dht[position]
            code, position = code + 1, position + 1
        code <<= 1
    return found


def pieces(data):
    """The data's bits as text, up to each restart marker, and that marker's number; None at the end."""
    bits, at = "", 0
    while at < len(data):
        if data[at] != 0xFF:
            bits += f"{data[at]:08b}"
            at += 1
        elif data[at + 1 : at + 2] == b"\0":
            bits += "1" * 8
            at += 2
        elif data[at + 1 : at + 2] == b"\xff":
            at += 1
        else:
            number = data[at + 1] - 0xD0 if at + 1 < len(data) and 0xD0 <= data[at + 1] < 0xD8 else None
            yield bits, number
            if number is None:
                return
            bits, at = "", at + 2
    yield bits, None


def walk(data, dc, ac, blocks, interval):
    """Whole blocks, by the definition."""
    dc, ac, found = codes(dc), codes(ac), 0
    parts = pieces(data)
    bits, marker = next(parts, ("", None))
    at = 0

    def symbol(table):
        nonlocal at
        for length in range(1, 17):
            if at + length <= len(bits) and bits[at : at + length] in table:
                at += length
                return table[bits[at - length : at]]
        return None

    def block():
        nonlocal at
        category = symbol(dc)
        if category is None or category > 16 or at + category > len(bits):
            return False
        at += category
        k = 1
        while k < 64:
            value = symbol(ac)
            if value is None:
                return False
            run, size = divmod(value, 16)
            at += size
            if at > len(bits) or (size == 0 and run not in (0, 15)) or (value and k + run > 63):
                return False
            if value == 0:
                return True
            k += run + 1
        return True

    while found < blocks:
        if interval and found and found % interval == 0:
            if len(bits) - at >= 8 or marker != (found // interval - 1) % 8:
                return found
            bits, marker = next(parts, ("", None))
            at = 0
        if not block():
            return found
        found += 1
    return found


def count(data, header, blocks):
    return _core.count_jpeg_blocks(
        b"xy" + data + b"z",
        begin=2,
        end=2 + len(data),
        dc=header.huffman,
        ac=header.huffman_ac,
        blocks=blocks,
        restart_interval=header.restart_interval,
    )


def sample(kind, rng):
    """A small stream and its header."""
    shape = tuple(rng.integers(1, 40, 2))
    image = (rng.random(shape) * rng.choice([3, 400, 4000])).astype(np.uint16)
    image[: shape[0] // 2] = rng.integers(0, 4000)
    if kind == "12 bits":
        stream = files.compress(image, files.JPEG_EXTENDED)
    else:
        buffer = io.BytesIO()
        options = {"restart_marker_blocks": int(rng.integers(1, 5))} if kind == "restarts" else {}
        quality = int(rng.choice([30, 95, 100]))
        Image.fromarray((image >> 4).astype(np.uint8)).save(
            buffer, "JPEG", quality=quality, optimize=kind != "restarts", **options
        )
        stream = buffer.getvalue()
    header = read_jpeg(bytes(stream))
    return bytes(stream)[header.scan : header.end], header, -(-shape[0] // 8) * -(-shape[1] // 8)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["8 bits", "12 bits", "restarts"]),
    st.sampled_from(["whole", "cut", "hole", "bits", "fill"]),
    st.integers(0, 2**31),
)
def test_blocks_equal_the_definition(kind, damage, seed):
    rng = np.random.default_rng(seed)
    data, header, blocks = sample(kind, rng)
    assert count(data, header, blocks) == blocks
    for _ in range(8):
        at = int(rng.integers(0, len(data) + 1))
        damaged = {
            "whole": data,
            "cut": data[:at],
            "hole": data[:at] + data[at + int(rng.integers(1, 30)) :],
            "bits": data[:at] + rng.bytes(3) + data[at + 3 :],
            "fill": data.replace(b"\xff\xd0", b"\xff\xff\xff\xd0"),
        }[damage]
        expected = walk(damaged, header.huffman, header.huffman_ac, blocks + 2, header.restart_interval)
        assert count(damaged, header, blocks + 2) == expected


def test_tables_that_are_none():
    good = bytes([0, 1, *[0] * 14, 5])
    arguments = {"begin": 0, "end": 4, "blocks": 1, "restart_interval": 0}
    for dc, message in (
        (b"", "the DC table has 0 bytes"),
        (bytes([3, *[0] * 15, 1, 2, 3]), "too many codes of 1 bits"),
        (bytes([0, 3, *[0] * 14, 1, 2]), "lacks their symbols"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            _core.count_jpeg_blocks(b"abcd", dc=dc, ac=good, **arguments)
        with pytest.raises(InvalidArgument, match=message.replace("DC", "AC")):
            _core.count_jpeg_blocks(b"abcd", dc=good, ac=dc, **arguments)
    with pytest.raises(InvalidArgument, match="scan from 3 to 9 of 4 bytes"):
        _core.count_jpeg_blocks(b"abcd", dc=good, ac=good, begin=3, end=9, blocks=1, restart_interval=0)
