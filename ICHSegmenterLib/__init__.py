"""ICHSegmenterLib: detect and outline intracranial hemorrhage on head CT. Never imports Slicer, Qt or VTK.

The public names stand here and are loaded when they are first used, so that `import ICHSegmenterLib` needs neither
torch nor NumPy:

    from ICHSegmenterLib import AnalysisRequest, analyze, read_volume, write_outputs

    volume = read_volume("exam/")
    result = analyze(volume, AnalysisRequest("hu-threshold"))
    write_outputs(result, volume, Path("results"))
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "AnalysisRequest",
    "CancelledError",
    "CardError",
    "ClusterError",
    "CompareRequest",
    "DependencyError",
    "DeviceError",
    "DeviceLostError",
    "DeviceRequestError",
    "DownloadError",
    "EvaluationError",
    "GrowingError",
    "ICHSegmenterError",
    "LicenseNotAcceptedError",
    "ModelNotFoundError",
    "NotKeptError",
    "OutOfGpuMemoryError",
    "OutOfMemoryError",
    "OutputError",
    "ReceiverConfigError",
    "ReceiverError",
    "RecipeError",
    "RegistrationError",
    "ResultError",
    "TimeLimitError",
    "TrainingDataError",
    "TrainingExistsError",
    "VolumeError",
    "WeightsCorruptError",
    "WeightsError",
    "WeightsMissingError",
    "WorkerError",
    "__version__",
    "analyze",
    "compare",
    "read_volume",
    "write_outputs",
]

if TYPE_CHECKING:
    from ICHSegmenterLib.analysis.analyze import analyze
    from ICHSegmenterLib.analysis.comparison.compare import compare
    from ICHSegmenterLib.cards.table import MODEL_CARDS as METHODS
    from ICHSegmenterLib.errors import (
        CancelledError,
        CardError,
        ClusterError,
        DependencyError,
        DeviceError,
        DeviceLostError,
        DeviceRequestError,
        DownloadError,
        EvaluationError,
        GrowingError,
        ICHSegmenterError,
        LicenseNotAcceptedError,
        ModelNotFoundError,
        NotKeptError,
        OutOfGpuMemoryError,
        OutOfMemoryError,
        OutputError,
        ReceiverConfigError,
        ReceiverError,
        RecipeError,
        RegistrationError,
        ResultError,
        TimeLimitError,
        TrainingDataError,
        TrainingExistsError,
        VolumeError,
        WeightsCorruptError,
        WeightsError,
        WeightsMissingError,
        WorkerError,
    )
    from ICHSegmenterLib.outputs.write import write_outputs
    from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
    from ICHSegmenterLib.volume.io import read_volume
else:
    _ERRORS = "ICHSegmenterLib.errors"
    _HOMES = {
        "AnalysisRequest": ("ICHSegmenterLib.request", "AnalysisRequest"),
        "CompareRequest": ("ICHSegmenterLib.request", "CompareRequest"),
        "METHODS": ("ICHSegmenterLib.cards.table", "MODEL_CARDS"),
        "analyze": ("ICHSegmenterLib.analysis.analyze", "analyze"),
        "compare": ("ICHSegmenterLib.analysis.comparison.compare", "compare"),
        "read_volume": ("ICHSegmenterLib.volume.io", "read_volume"),
        "write_outputs": ("ICHSegmenterLib.outputs.write", "write_outputs"),
    }

    def __getattr__(name):
        """A public name, loaded from the module where it lives (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _HOMES.get(name, (_ERRORS, name))
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
