"""What a stack and an ensemble share: they are sequences of models, and are saved in one file."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from mlpcore.backends.backend import Backend
from mlpcore.errors import ConfigurationError, ModelFileError
from mlpcore.files.writing import Path
from mlpcore.model import Model
from mlpcore.stacks.files import load_models, save_models


class Models(Sequence[Model]):
    """Abstract: one or more models; ``models`` is the tuple of them. ConfigurationError for anything else."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models, name = tuple(models), type(self).__name__
        if not self.models:
            raise ConfigurationError(f"{name}: there is no model, expected at least one")
        for i, model in enumerate(self.models):
            if not isinstance(model, Model):
                raise ConfigurationError(
                    f"{name}: member {i} is of type {type(model).__name__}, expected mlpcore.Model"
                )

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, i: Any) -> Any:
        """Member i, or for a slice the same of these members."""
        return type(self)(self.models[i]) if isinstance(i, slice) else self.models[i]

    def save(
        self, path: Path, *, extra_tensors: Mapping[str, Any] | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Write all members to one safetensors file, whole or not at all, as `Model.save` does one."""
        save_models(path, type(self).__name__.lower(), self.models, extra_tensors, extra)

    @classmethod
    def load(cls, path: Path, backend: str | Backend = "numpy", device: Any = None) -> Self:
        """What `save` wrote, on any backend; errors as of `mlpcore.load`."""
        models = load_models(path, cls.__name__.lower(), backend, device)
        try:
            return cls(models)
        except ConfigurationError as error:  # members that do not belong together
            raise ModelFileError(f"{path}: {error}") from None
