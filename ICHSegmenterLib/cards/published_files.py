"""Weight files that the authors published: where, how large, which digest, on which terms.

Sources: HealthX-Lab/HGI-SAM at eb4d32b (Git LFS pointers) and biomedia-mira/blast-ct at 96666a1, both Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

APACHE = "Apache-2.0"


@dataclass(frozen=True)
class WeightsFile:
    """A published weight file.

    Attributes:
        name: File name in the cache.
        urls: Tried in order; empty if it can only be imported.
        sha256: Hex digest, its identity.
        size: Bytes.
        license: SPDX identifier or one sentence.
        note: What is known of its availability.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    license: str
    note: str = ""


_LFS = "https://media.githubusercontent.com/media/HealthX-Lab/HGI-SAM/eb4d32b/extra/weights/backup/"
_LFS_MIRROR = "https://media.githubusercontent.com/media/ah-rasoulian/HGI-SAM/eb4d32b/extra/weights/backup/"
_UNVERIFIED = "Git LFS object; whether it can still be downloaded is not known. Importing a copy works by SHA-256."


def _hgi_sam_file(name: str, sha256: str, size: int) -> WeightsFile:
    return WeightsFile(name, (_LFS + name, _LFS_MIRROR + name), sha256, size, APACHE, _UNVERIFIED)


SWIN_CROSS_ENTROPY = _hgi_sam_file(
    "SwinWeak_CrossEntropyLoss.pth", "a5a2a9354a0f20e91c406e0be866b80b440eb8b54675c1f107686c5c674655e4", 361_237_599
)
SWIN_FOCAL_BINARY = _hgi_sam_file(
    "SwinWeak_FocalBinaryCrossEntropyLoss-binary.pth",
    "91694cf0a43f2043c9cdf02f6628ff9a9e7629bce57d8e6d4c24d1bdcd22959c",
    361_251_067,
)
SWIN_FOCAL_MULTI = _hgi_sam_file(
    "SwinWeak_FocalBinaryCrossEntropyLoss-multi.pth",
    "5c6999642c0b1bccee58c3d718b2be74b8d866e1038c19a858cae85c29d2a2be",
    361_254_349,
)

UNET_FOLDS = tuple(
    _hgi_sam_file(f"UNet-DiceCELoss-fold{fold}.pt", sha256, 4_834_943)
    for fold, sha256 in enumerate(
        (
            "c779e4655e2ed121419aed4942d532a8fb244d88b2733814022104a9a6f7e405",
            "0c35ca332ab8fd4db52b171c53dd4b301ecbb6dfbd7f5a24fa971137c2131ba5",
            "97f07abd5a91f756b01b9ded4538d76fea5f6192ff73e418926acb956b2ede5f",
            "47bb2129247b521e3aaada29c3a0356c51cea23704cf628e441935ec88243782",
            "10e6312aec6f2d5ec0d767351bc5cf15b640a186cd6c6cd59c601331d4e52fb2",
        )
    )
)

_BLAST_PATH = "96666a1/blast_ct/data/saved_models/"
_BLAST_URLS = (
    "https://raw.githubusercontent.com/biomedia-mira/blast-ct/" + _BLAST_PATH,
    "https://raw.githubusercontent.com/biomedia-mira/blast_ct/" + _BLAST_PATH,
)
_BLAST_FILES = (
    ("95f76e8b16fe42b6aa49388cb798e282c55cd70191544f4417445bb87803f99f", 4_171_361),
    ("44621a70866c5d4a69a2011f258d2c2f17d86af047d384f858a74ae0151e149c", 4_171_361),
    ("58c82cf9fa984266ffe56866e569241dfe41726f61101df963260da45fa4d120", 4_171_361),
    ("b4d344dfeda52a190280bef76bd0719744a8ce01e735d01fcd4e3fe1d8d04609", 4_171_363),
    ("5789d5d98f5a4507ffa5edec205026a26570a0444f09272de6dc06cdede92a99", 4_171_363),
    ("5dc30c4008b2ba6c76934ddef23db76cba962f76ce1c052ca067b94f187e0477", 4_171_363),
    ("af54c424b97f8dc4c62fe8c33af55d886d2dd444f4b55e9cab50f49af4084b86", 4_171_361),
    ("8f5d5a48c382300646517049c6b87ae3074a91ae0c7a85d292998272673d876e", 4_171_361),
    ("a255de8d04b670cbcbd0eda7c8bb7baf25d4a48a8606458000694b5062d7674c", 4_171_361),
    ("7bb4643c1317e6d5b7dbcbf44669d5653d3ae3d2f01a04a22f3b2f84416dbc05", 4_171_363),
    ("4a9e432244cf6c082f71b834b1aca6e6b9d44f514f2e52f07edd2f2802674121", 4_171_361),
    ("1d567f0ec5f1888b5ce6660314db9c51af9758c861f66f001c980f46fe6f49b3", 4_171_363),
)
_BLAST_ORDER = (7, 5, 6, 3, 9, 4, 11, 1, 2, 10, 12, 8)
"""The first `default_models` are used. On a head without a bleed models 7 and 5 label 0.3 mL of blood, models 1 and 2
1.6 mL, all twelve 0.6 mL; they outline an inserted ball of 20 mL with Dice 0.97, 0.95 and 0.97."""
BLAST_CT_MODELS = tuple(
    WeightsFile(
        f"blast_ct_v1_model_{n}.pt", tuple(f"{url}model_{n}.pt" for url in _BLAST_URLS), *_BLAST_FILES[n - 1], APACHE
    )
    for n in _BLAST_ORDER
)


@dataclass(frozen=True)
class AuthorsFile:
    """A file that its authors offer and that has to be fetched by hand: no digest of it is known.

    Attributes:
        page: Address of the page that links it.
        size: Bytes, as the authors say.
        steps: What to do with it; FILE is the file to import.
    """

    page: str
    size: int
    steps: str


AUTHORS_FILES: Mapping[str, AuthorsFile] = MappingProxyType(
    {
        "rsna-sequence": AuthorsFile(
            "https://github.com/PaddlePaddle/Research/tree/master/CV/"
            "Effective%20Transformer-based%20Solution%20for%20RSNA%20Intracranial%20Hemorrhage%20Detection",
            1_070_000_000,
            "download brain_ihd.tar.gz by the link there, unpack it, and import 0.04368_rank1/model.pdparams "
            "(`ichsegmenter models import FILE --method rsna-sequence`)",
        )
    }
)
"""Method name to what its authors offer beside `WeightsFile`s."""
