"""`make checkpoints`: train the networks that ship with the package, measure them, write files and table.

    python -m sslcourse.cli.checkpoints [NAME ...]

All of them where none is named. A file holds its weights in half precision and says in its header how it was made and
what it reached; what is measured is the network as it comes out of the file, not as it was before rounding.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from sslcourse import files
from sslcourse.models import pretrained

LARGEST = 5_000_000  # bytes, all files together: they travel with every installation


def make(name: str) -> Path:
    """Train one checkpoint and write its file, replaced whole. Returns the file."""
    row = pretrained.SHIPPED[name]
    path = pretrained.FOLDER / f"{name}.safetensors"
    said = {"name": name, "seed": row.seed, "toy": row.toy, "version": row.version}
    write(path, function(row.recipe)(row.seed), said)
    network = pretrained.load_pretrained(name)
    write(path, network, said | {"quality": function(row.measure)(network)})
    return path


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
        "",
        "| name | trained | seed | world | parameters | measured |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in pretrained.SHIPPED.items():
        said = pretrained.notes(pretrained.FOLDER / f"{name}.safetensors")
        measured = ", ".join(f"{measure} {value:.3f}" for measure, value in said["quality"].items())
        world = f"{row.toy}, version {row.version}"
        lines.append(f"| `{name}` | {row.trained} | {row.seed} | {world} | {said['parameters']:,} | {measured} |")
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
