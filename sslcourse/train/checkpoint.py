"""A training that can be cut off and go on: one file, replaced whole at the end of each epoch.

It holds tensors, numbers and text only and is read with weights_only=True, so that a foreign file cannot run code.
"""

import io
import os
from pathlib import Path

import torch
from torch import nn

from sslcourse.train.history import History

FORMAT = "sslcourse training 1"


class Checkpoint:
    """Reads and writes the state of modules, optimizer, random numbers and history in the file `path`.

    plan: settings that must be equal for a training to go on, {name: value}. writes: False in all processes but one.
    """

    def __init__(
        self,
        path: str | Path,
        modules: list[nn.Module],
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        plan: dict,
        writes: bool = True,
    ) -> None:
        self.path, self.modules, self.optimizer, self.generator = Path(path), modules, optimizer, generator
        self.plan, self.writes = plan, writes

    def resume(self) -> History:
        """Put all state back as the file has it and return the history so far; without file, an empty history.

        Raises ValueError for a file of another training or a damaged one, before anything is changed; OSError where the
        file could not be written later.
        """
        if not self.path.exists():
            self._replace(b"", keep=False)
            return History()
        saved = self._read()

        for module, state in zip(self.modules, saved["modules"], strict=True):
            module.load_state_dict(state)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["random"]["order"])
        torch.set_rng_state(saved["random"]["cpu"])
        if torch.cuda.is_available() and len(saved["random"]["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved["random"]["cuda"])
        return History(**saved["history"])

    def save(self, history: History) -> None:
        """Write all state; the old file stays until the new one is complete. Raises OSError with what is kept."""
        if not self.writes:
            return
        state = {
            "format": FORMAT,
            "plan": self.plan,
            "modules": [module.state_dict() for module in self.modules],
            "optimizer": self.optimizer.state_dict(),
            "random": {
                "order": self.generator.get_state(),
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
            "history": {
                "loss": history.loss,
                "metrics": history.metrics,
                "steps": history.steps,
                "seconds": history.seconds,
            },
        }
        memory = io.BytesIO()  # torch.save on a full disk dies with an error that does not say so
        torch.save(state, memory)
        self._replace(memory.getbuffer())

    def _replace(self, content: bytes | memoryview, keep: bool = True) -> None:
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if keep:
                os.replace(part, self.path)
        except OSError as error:
            raise OSError(
                f"The checkpoint {self.path} could not be written ({error.strerror or error}). The model in memory is "
                "as trained so far, and an older checkpoint is untouched; make room or name another file."
            ) from error
        finally:
            try:
                part.unlink(missing_ok=True)
            except OSError:
                pass  # the folder itself is missing or is no folder: said above

    def _read(self) -> dict:
        content = self.path.read_bytes()
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            known = saved["format"] == FORMAT
        except Exception:  # torch.load has no error of its own: pickle, zip and runtime errors all mean the same here
            known = False
        if not known:
            raise ValueError(f"{self.path} is damaged or no checkpoint of a training; delete it or name another file.")

        differing = [
            f"{name} {saved['plan'].get(name)} there, {value} here"
            for name, value in self.plan.items()
            if saved["plan"].get(name) != value
        ]
        if differing:
            raise ValueError(
                f"The checkpoint {self.path} is of a training with other settings ({'; '.join(differing)}); "
                "delete it or name another file."
            )
        if [_shapes(m.state_dict()) for m in self.modules] != [_shapes(state) for state in saved["modules"]]:
            raise ValueError(
                f"The checkpoint {self.path} is of another model: names or shapes of its weights differ; "
                "delete it or name another file."
            )
        return saved


def _shapes(state: dict) -> dict:
    return {name: tuple(value.shape) if isinstance(value, torch.Tensor) else None for name, value in state.items()}
