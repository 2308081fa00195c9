"""Reads labelled images in the IDX format, gzip'ed and cut into shards.

Standard library only. The format is described in ../digits/data/SOURCE.md.
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

CLASSES = 10
IMAGES_MAGIC = 0x00000803
LABELS_MAGIC = 0x00000801


class FormatError(Exception):
    """A file is not what its name promises."""


@dataclass(frozen=True)
class Split:
    """One split: `pixels` holds rows*cols bytes per image, `labels` one byte."""

    rows: int
    cols: int
    pixels: bytes
    labels: bytes

    def __len__(self) -> int:
        return len(self.labels)


def load(folder: Path, split: str) -> Split:
    """Reads every shard of a split ("train" or "heldout") in the order of names."""
    rows = cols = 0
    pixels, labels = bytearray(), bytearray()
    for path in sorted((folder / split).glob("images-*.idx3-ubyte.gz")):
        shard_pixels, size = _read_images(path)
        shard_labels = _read_labels(path.with_name(_labels_name(path.name)))
        if (rows, cols) not in ((0, 0), size):
            raise FormatError(f"{path.name} has images of {size}, the shards before it {(rows, cols)}")
        rows, cols = size
        if len(shard_labels) * rows * cols != len(shard_pixels):
            raise FormatError(f"{path.name} does not have one image per label")
        pixels += shard_pixels
        labels += shard_labels
    if not labels:
        raise FormatError(f"no rows found in {split}/images-*.idx3-ubyte.gz: "
                          "use a folder that `digits export` wrote")
    return Split(rows, cols, bytes(pixels), bytes(labels))


def _labels_name(images_name: str) -> str:
    shard = images_name.removeprefix("images-").removesuffix(".idx3-ubyte.gz")
    return f"labels-{shard}.idx1-ubyte.gz"


def _read_images(path: Path) -> tuple[bytes, tuple[int, int]]:
    (count, rows, cols), body = _read(path, IMAGES_MAGIC, 3)
    if rows < 1 or cols < 1 or len(body) != count * rows * cols:
        raise FormatError(f"{path.name} says {count} images of {rows}x{cols}, but holds {len(body)} pixels")
    return body, (rows, cols)


def _read_labels(path: Path) -> bytes:
    (count,), body = _read(path, LABELS_MAGIC, 1)
    if len(body) != count or any(label >= CLASSES for label in body):
        raise FormatError(f"{path.name} does not hold {count} labels of 0 to {CLASSES - 1}")
    return body


def _read(path: Path, magic: int, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, OSError) as error:
        raise FormatError(f"cannot read {path.name}: {error}") from error
    header = 4 * (1 + dimensions)
    if len(content) < header or struct.unpack(">I", content[:4])[0] != magic:
        raise FormatError(f"{path.name} is not an IDX file of {dimensions} dimensions")
    return struct.unpack(f">{dimensions}I", content[4:header]), content[header:]
