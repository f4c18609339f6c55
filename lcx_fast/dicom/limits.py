"""What a file may ask for. Checked before anything of that size is allocated."""

#: Rows and Columns, each.
MAX_SIDE = 32768

#: Rows x Columns.
MAX_PIXELS = 400_000_000

#: NumberOfFrames.
MAX_FRAMES = 4096

#: Bytes of one file, compressed or not.
MAX_FILE_BYTES = 4 << 30

#: Entries of a lookup table (the format's own limit).
MAX_LUT_ENTRIES = 65536


def max_inflated_bytes(compressed_bytes: int) -> int:
    """The size a deflated data set may unfold to.

    A real mammogram shrinks five- to thirtyfold; deflate allows a thousandfold, which is what bombs use.
    """
    return min((64 << 20) + 100 * compressed_bytes, MAX_FILE_BYTES)
