"""Valid inputs to begin from, as small as a reader takes them."""

import gzip
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from batch_inputs import CLASSICAL, small_head
from hostile_files import METAIMAGE, VOXELS, ct_header
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.protocol import VOXEL_FILE, exam_message
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.volume import Volume

NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 12 10 6\n"
    "space directions: (2,0,0) (0,2,0) (0,0,5)\nkinds: domain domain domain\nendian: little\nencoding: {encoding}\n"
    "space origin: (0,0,0)\n\n"
)


def nifti(folder: Path) -> list[bytes]:
    volume = _tiny_head()
    write_nifti(volume.hu[:6, ::8, ::8], _strided(volume), folder / "ct.nii")
    return [(folder / "ct.nii").read_bytes()]


def nifti_gz(folder: Path) -> list[bytes]:
    return [gzip.compress(content, compresslevel=1, mtime=0) for content in nifti(folder)]


def nrrd(folder: Path) -> list[bytes]:
    raw, packed = (NRRD.format(encoding=encoding).encode() for encoding in ("raw", "gzip"))
    return [raw + VOXELS, packed + gzip.compress(VOXELS, compresslevel=1, mtime=0)]


def metaimage(folder: Path) -> list[bytes]:
    import zlib

    stream = zlib.compress(VOXELS, level=1)
    size = f"CompressedDataSize = {len(stream)}\n"
    return [
        METAIMAGE.format(dimensions=3, compressed=False, size="").encode() + VOXELS,
        METAIMAGE.format(dimensions=3, compressed=True, size=size).encode() + stream,
    ]


def dicom(folder: Path) -> list[bytes]:
    """Slices of several transfer syntaxes, and a file of several frames with functional groups."""
    contents = []
    for syntax in (None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless):
        item = ct_header(syntax or pydicom.uid.ExplicitVRLittleEndian)
        _place(item)
        item.PixelData = np.arange(256, dtype="<i2").tobytes()
        if syntax == RLELossless:
            item.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            item.compress(RLELossless)
        contents.append(_saved(item))
    frames = ct_header(pydicom.uid.ExplicitVRLittleEndian)
    frames.SOPClassUID = frames.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedCTImageStorage
    _place(frames)
    frames.NumberOfFrames = 3
    frames.SharedFunctionalGroupsSequence = [_group(PixelMeasuresSequence={"PixelSpacing": [1, 1]})]
    frames.SharedFunctionalGroupsSequence[0].update(
        _group(PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]})
    )
    frames.PerFrameFunctionalGroupsSequence = [
        _group(PlanePositionSequence={"ImagePositionPatient": [0, 0, 5 * number]}) for number in range(3)
    ]
    frames.PixelData = np.arange(3 * 256, dtype="<i2").tobytes()
    frames.SeriesInstanceUID = "1.2.9"
    for number, name in ((2, "0002.dcm"), (3, "0003.dcm")):  # with the damaged slice they make a stack
        item = ct_header(pydicom.uid.ExplicitVRLittleEndian)
        _place(item)
        item.ImagePositionPatient, item.InstanceNumber = [0, 0, 5 * number], number
        item.PixelData = np.arange(256, dtype="<i2").tobytes()
        item.save_as(folder / name, enforce_file_format=True)
    return [*contents, _saved(frames)]


def weights(suffix: str) -> Callable[[Path], list[bytes]]:
    def make(folder: Path) -> list[bytes]:
        import torch

        state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(2)}
        path = folder / f"w{suffix}"
        if suffix == ".npz":
            np.savez(path, **{key: tensor.numpy() for key, tensor in state.items()})
        elif suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file(state, path, metadata={"title": "x"})
        elif suffix == ".pdparams":
            arrays = {key: tensor.numpy() for key, tensor in state.items()}
            return [pickle.dumps(arrays, protocol=protocol) for protocol in (2, 4)]
        else:
            torch.save({"state_dict": state, "epoch": 3}, path)
            torch.save(state, path.with_name("old.pth"), _use_new_zipfile_serialization=False)
            return [path.read_bytes(), path.with_name("old.pth").read_bytes()]
        return [path.read_bytes()]

    return make


def cards(folder: Path) -> list[bytes]:
    from ICHSegmenterLib.cards.json.writer import card_facts
    from ICHSegmenterLib.cards.table import MODEL_CARDS

    own = [
        {**card_facts(card), "name": f"own-{name}"}
        for name, card in MODEL_CARDS.items()
        if name in ("unet", "blast-ct", "hu-threshold")
    ]
    shipped = sorted((Path(__file__).parents[2] / "Resources" / "Models").glob("*.json"))
    return [json.dumps(facts).encode() for facts in own] + [path.read_bytes() for path in shipped]


def recipes(folder: Path) -> list[bytes]:
    from ICHSegmenterLib.learning.recipe_file import load_recipe, recipe_names, recipe_text

    return [recipe_text(load_recipe(name)).encode() for name in recipe_names()]


def text(*contents: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [content.encode() for content in contents]


def index(folder: Path) -> list[bytes]:
    from ICHSegmenterLib.datasets.shards import write_shard
    from ICHSegmenterLib.datasets.slices import SliceItem, write_rows

    item = SliceItem("a-000", "p", "a", 0, np.zeros((16, 16), np.int16), None, (0,) * 6, (0.5, 0.5))
    write_rows(write_shard([item], folder / "shard-000000.tar"), folder / "index.csv")
    return [(folder / "index.csv").read_bytes()]


def split(folder: Path) -> list[bytes]:
    from ICHSegmenterLib.datasets.splits import Split, save_split

    save_split(Split(("a",), ("b",), (), 0, 0, 0), folder / "split.json")
    return [(folder / "split.json").read_bytes()]


def results(folder: Path) -> list[bytes]:
    plain = analyze(_tiny_head(), CLASSICAL).to_json()
    before = {key: value for key, value in plain.items() if key not in ("assessment", "exam")}
    return [json.dumps(plain).encode(), json.dumps(before).encode()]


def exam_index(folder: Path) -> list[bytes]:
    """An index of a series and a volume."""
    from ICHSegmenterLib.batch.index.fill import fill
    from ICHSegmenterLib.batch.index.store import INDEX_FILE, Store

    (folder / "exams").mkdir()
    dicom(folder / "exams")
    nifti(folder / "exams")
    with Store(folder / "indexed") as store:
        fill(store, [folder / "exams"])
    return [(folder / "indexed" / INDEX_FILE).read_bytes()]


def caches(folder: Path) -> list[bytes]:
    """What runs keep for themselves between two starts."""
    piece = {"features": {"ml": 1.0}, "volume_ml": 1.0, "true_ml": 0.5}
    exam = {"name": "a", "patient": "p", "truth_ml": 1.0, "slice_value": 0.5, "pieces": [piece]}
    return [
        json.dumps({"/w/a.pt": [3, 1700000000000000000, "ab" * 32]}).encode(),
        json.dumps({"format": 1, "key": "k", "exam": exam}).encode(),
        json.dumps(
            {"facts": {}, "truth": [True], "values": [0.5], "dice": None, "false_positive_voxels": 1, "error": 0.1}
        ).encode(),
    ]


def receiver_configs(folder: Path) -> list[bytes]:
    """Configurations of the receiver, with all that there is and with the least."""
    least = 'folder = "received"\noutput = "results"\npeers = [{ae_title = "PACS"}]\n'
    more = (
        'ae_title = "ICH"\nhost = "127.0.0.1"\nport = 11112\ncomplete_after_s = 60\nretention_hours = 24.0\n'
        "[limits]\nassociations = 2\nobject_mb = 256\nstudy_instances = 1000\nstudy_mb = 4000\nfolder_gb = 100\n"
        '[analysis]\nmethod = "hu-threshold"\ndevice = "cpu"\noutputs = ["json", "csv"]\n'
        '[[send_to]]\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = 104\noutputs = ["dicom_seg"]\n'
    )
    return [least.encode(), (least + more).encode()]


def association(folder: Path) -> list[bytes]:
    """All that a program sends that stores an image: request, image, release."""
    import pynetdicom

    (folder / "sent").mkdir(exist_ok=True)
    image = folder / "sent" / "0001.dcm"
    image.write_bytes(dicom(folder / "sent")[0])
    sent: list[bytes] = []
    archive = pynetdicom.AE(ae_title="ICHSEGMENTER")
    archive.add_supported_context("1.2.840.10008.5.1.4.1.1.2")
    server = archive.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, lambda event: 0)]
    )
    entity = pynetdicom.AE(ae_title="PACS")
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2")
    handlers = [(pynetdicom.evt.EVT_DATA_SENT, lambda event: sent.append(bytes(event.data)))]
    link = entity.associate(*server.server_address[:2], ae_title="ICHSEGMENTER", evt_handlers=handlers)
    link.send_c_store(image)
    link.release()
    server.shutdown()
    return [b"".join(sent), b"".join(sent[:1])]


def worker_lines(folder: Path) -> list[bytes]:
    """Requests about an exam in `folder`, as the panel sends them."""
    volume = _tiny_head()
    np.save(folder / VOXEL_FILE, volume.hu)
    exam = exam_message(folder, volume.geometry, volume.source)
    request = CLASSICAL.to_json()
    several = {"methods": ["hu-threshold"], "device": "cpu"}
    messages = (
        {"type": "analyze", "id": "1", **exam, "request": request},
        {"type": "check", "id": "2", **exam},
        {"type": "compare", "id": "3", **exam, "request": several},
        {"type": "cancel", "id": "1"},
        {"type": "ping"},
        {"type": "free"},
        {"type": "warm", "id": "4", "request": request},
    )
    return [json.dumps(message).encode() for message in messages]


def _tiny_head() -> Volume:
    return small_head(slices=8)


def _strided(volume: Volume):
    from ICHSegmenterLib.volume.geometry import VolumeGeometry

    return VolumeGeometry.from_affine((6, 12, 12), volume.geometry.affine @ np.diag([8.0, 8.0, 1.0, 1.0]))


def _place(item: pydicom.Dataset) -> None:
    item.StudyInstanceUID, item.FrameOfReferenceUID = "1.2.3.4", "1.2.3.5"
    item.ImagePositionPatient, item.ImageOrientationPatient = [0, 0, 5], [1, 0, 0, 0, 1, 0]
    item.PixelSpacing, item.SliceThickness = [1, 1], 5
    item.RescaleSlope, item.RescaleIntercept, item.KVP = 1, -1024, 120
    item.InstanceNumber, item.SeriesNumber, item.AcquisitionNumber = 1, 2, 1
    item.ImageType, item.ConvolutionKernel = ["ORIGINAL", "PRIMARY", "AXIAL"], "SOFT"
    item.AcquisitionDate, item.AcquisitionTime, item.ContentTime = "20240101", "101010.5", "101011"


def _group(**sequences: dict[str, object]) -> pydicom.Dataset:
    group = pydicom.Dataset()
    for keyword, elements in sequences.items():
        inner = pydicom.Dataset()
        for name, value in elements.items():
            setattr(inner, name, value)
        setattr(group, keyword, [inner])
    return group


def _saved(item: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    item.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
