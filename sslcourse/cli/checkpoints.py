"""`make checkpoints`: train the networks that ship with the package, measure them, write files and table.

    python -m sslcourse.cli.checkpoints [NAME ...]

All where none is named. A file holds its weights in half precision and says in its header how it was made and what it
reached; what is measured is the network as it comes out of the file, not as it was before rounding. Trainings of an
hour keep their state in runs/checkpoints/ and go on there after an interruption.
"""

import argparse
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from sslcourse import files
from sslcourse.models import pretrained

LARGEST = 15_000_000  # bytes, all files together: they travel with every installation


def make(name: str) -> Path:
    """Train one checkpoint and write its file, replaced whole. Returns the file."""
    row = pretrained.SHIPPED[name]
    path = pretrained.FOLDER / f"{name}.safetensors"
    said = {"name": name, "seed": row.seed, "toy": row.toy, "version": row.version}
    state = unfinished(name) if row.resumes else None
    trained, said["seconds"] = _train(row, state)
    write(path, trained, said | {"quality": {}})
    network = pretrained.from_file(name, row)
    measures = {"quality": row.measure} | ({"again": row.again} if row.again else {})
    write(path, network, said | {kind: function(place)(network) for kind, place in measures.items()})
    if state:
        state.unlink()
    return path


def unfinished(name: str) -> Path:
    """Where a training keeps its state. A recipe that was edited meanwhile starts anew: its hash is in the name."""
    module = importlib.import_module(pretrained.SHIPPED[name].recipe.split(":")[0])
    digest = hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()[:8]
    return pretrained.FOLDER.parents[1] / "runs" / "checkpoints" / f"{name}-{digest}.pt"


def _train(row: pretrained.Shipped, state: Path | None) -> tuple[nn.Module, float]:
    """The network and the seconds of all sittings together."""
    if state:
        network = function(row.recipe)(row.seed, state)
        return network, torch.load(state, weights_only=True)["history"]["seconds"]
    begin = time.perf_counter()
    return function(row.recipe)(row.seed), time.perf_counter() - begin


def function(place: str) -> Callable:
    """What "module:function" names."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def write(path: Path, network: nn.Module, said: dict) -> None:
    """The weights of a network as float16, and notes about them, in one safetensors file."""
    from safetensors.torch import save_file

    weights = {key: _half(value).contiguous() for key, value in network.state_dict().items()}
    said = said | {"parameters": sum(weight.numel() for weight in network.parameters())}
    with files.whole(path) as part:
        save_file(weights, part, metadata={"sslcourse": json.dumps(said)})


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()


def table() -> str:
    """README.md of the folder: a line for each shipped checkpoint."""
    lines = [
        "# Shipped checkpoints",
        "",
        "Written by `make checkpoints`; loaded by `sslcourse.models.load_pretrained(name)`. Float16 safetensors.",
        "Seconds are those of the clock while the training ran, on one core that others may have shared.",
        "",
        "| name | trained | seed | world | parameters | seconds | measured | bytes | SHA-256 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in pretrained.SHIPPED.items():
        path = pretrained.FOLDER / f"{name}.safetensors"
        said, content = pretrained.notes(path), path.read_bytes()
        measured = ", ".join(f"{measure} {value:.3f}" for measure, value in said["quality"].items())
        seconds = f"{said['seconds']:,.0f}" if "seconds" in said else "not noted"
        cells = (f"`{name}`", row.trained, row.seed, pretrained.world(row.toy, row.version), f"{said['parameters']:,}")
        digest = hashlib.sha256(content).hexdigest()[:16]  # enough to tell one file from another
        lines.append(f"| {' | '.join(map(str, (*cells, seconds, measured, f'{len(content):,}', f'`{digest}`')))} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sslcourse.cli.checkpoints", description="Make shipped checkpoints."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(pretrained.SHIPPED)}; else all")
    names = parser.parse_args(arguments).names or list(pretrained.SHIPPED)
    if unknown := [name for name in names if name not in pretrained.SHIPPED]:
        parser.error(f"there is no shipped checkpoint {unknown[0]!r}; choose among {', '.join(pretrained.SHIPPED)}")

    for name in names:
        path = make(name)
        print(f"{path}: {path.stat().st_size:,} bytes, {pretrained.notes(path)['quality']}")
    size = sum(path.stat().st_size for path in pretrained.FOLDER.glob("*.safetensors"))
    if size > LARGEST:
        print(f"All checkpoints take {size:,} bytes, more than {LARGEST:,}; make networks smaller.", file=sys.stderr)
        return 1
    files.write(pretrained.FOLDER / "README.md", table().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
