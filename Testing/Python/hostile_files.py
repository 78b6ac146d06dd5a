"""Small damaged files that crash, stall or fill a reader: found by mutation, written anew here."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, RLELossless, generate_uid

METAIMAGE = """ObjectType = Image
NDims = {dimensions}
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = {compressed}
{size}TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 2 2 5
DimSize = 12 10 6
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
VOXELS = np.arange(12 * 10 * 6, dtype="<i2").tobytes()


def write_crashing_metaimage(path: Path) -> Path:
    """A negative number of dimensions: a segmentation fault in SimpleITK."""
    header = METAIMAGE.format(dimensions=-1, compressed=False, size="")
    path.write_bytes(header.encode() + VOXELS)
    return path


def write_crashing_nrrd(path: Path) -> Path:
    """Numbers as text that are none: a segmentation fault in SimpleITK."""
    header = (
        "NRRD0004\ntype: short\ndimension: 4\nspace dimension: 4\nsizes: 12 10 6 2\n"
        "space directions: (2,0,0,0) (0,2,0,0) (0,0,5,0) (0,0,0,2147483647)\n"
        "kinds: domain domain domain domain\nendian: little\nencoding: text\nspace origin: (0,0,0,0)\n\n"
    )
    path.write_bytes(header.encode() + bytes(2880))
    return path


def write_compressed_metaimage(path: Path, *, damage: str = "") -> Path:
    """A MetaImage with zlib's stream: whole, with one flipped bit of a stored block, or without its end."""
    stream = bytearray(zlib.compress(VOXELS, level=0))
    if damage == "bit":
        stream[200] ^= 4
    elif damage == "end":
        del stream[-5:]
    header = METAIMAGE.format(dimensions=3, compressed=True, size=f"CompressedDataSize = {len(stream)}\n")
    path.write_bytes(header.encode() + stream)
    return path


def ct_header(transfer_syntax: str) -> Dataset:
    """The least that makes a CT slice of 16 x 16."""
    item = Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.MediaStorageSOPClassUID = CTImageStorage
    item.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    item.file_meta.TransferSyntaxUID = transfer_syntax
    item.SOPClassUID, item.SOPInstanceUID = CTImageStorage, item.file_meta.MediaStorageSOPInstanceUID
    item.SeriesInstanceUID, item.Modality = "1.2.3", "CT"
    item.Rows = item.Columns = 16
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated = item.BitsStored = 16
    item.HighBit, item.PixelRepresentation = 15, 1
    return item


def write_deflated(path: Path, *, pixel_bytes: int = 512, keep: int | None = None) -> Path:
    """Deflated DICOM of zeros; with `keep` only so many bytes of it."""
    item = ct_header(DeflatedExplicitVRLittleEndian)
    item.PixelData = bytes(pixel_bytes)
    item.save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes()[:keep])
    return path


def write_deep_sequence(path: Path, depth: int = 3000) -> Path:
    """Sequences in sequences, of undefined length, until Python's stack ends."""
    item = ct_header(pydicom.uid.ImplicitVRLittleEndian)
    item.PixelData = bytes(512)
    item.save_as(path, enforce_file_format=True)
    nested = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    content = path.read_bytes()
    at = content.index(struct.pack("<HH", 0x0020, 0x000E))
    path.write_bytes(content[:at] + nested * depth + content[at:])
    return path


def write_endless_number(path: Path, digits: int = 400) -> Path:
    """A SeriesNumber beyond every floating-point number: an OverflowError."""
    item = ct_header(pydicom.uid.ImplicitVRLittleEndian)
    item.PixelData, item.SeriesNumber = bytes(512), 12345678
    item.save_as(path, enforce_file_format=True)
    before, _, after = path.read_bytes().partition(struct.pack("<I", 8) + b"12345678")
    path.write_bytes(before + struct.pack("<I", digits) + b"9" * digits + after)
    return path


def write_panicking_rle(path: Path) -> Path:
    """RLE whose header sends the decoder outside of the data."""
    item = ct_header(RLELossless)
    segments = struct.pack("<16I", 2, 0xFFFFFFF0, 64, *[0] * 13) + bytes(64)
    item.PixelData = pydicom.encaps.encapsulate([segments])
    item["PixelData"].VR = "OB"
    item.save_as(path, enforce_file_format=True)
    return path
