"""The networks: `create_model` builds one by name, `load_checkpoint` fills it with weights of any supported file."""

from ICHSegmenterLib.checkpoints.checkpoint import load_checkpoint, load_encoder
from ICHSegmenterLib.runtime.networks import MODEL_NAMES, create_model

__all__ = ["MODEL_NAMES", "create_model", "load_checkpoint", "load_encoder"]
