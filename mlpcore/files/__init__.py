"""Model files and what checkpoints share with them: safetensors with the configuration in the metadata, no pickle."""

from mlpcore.files.models import Extra, read_extra, read_model, save_model

__all__ = ["Extra", "read_extra", "read_model", "save_model"]
