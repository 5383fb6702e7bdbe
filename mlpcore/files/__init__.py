"""Model files, and the format that checkpoints share: safetensors with the configuration as metadata, no pickle."""

from mlpcore.files.models import Extra, read_extra, read_model, save_model

__all__ = ["Extra", "read_extra", "read_model", "save_model"]
