"""The floors of the library hold: no module imports from a floor above its own, and imports stand at the top of a file.

docs/architecture.md draws the floors. Two doors lead upwards by name instead of by import: `sslcourse.solution`, since
a hand-out may lack the solutions, and `sslcourse.data.prefetch`, since people look for it there.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sslcourse"
FLOORS = [  # from the ground up; "" is sslcourse/__init__.py, which offers begin and WEEKS
    {"arguments", "clock", "files", "missing", "notices", "references", "weeks", "wording"},
    {"scale"},
    {""},
    {"data"},
    {"augment", "models", "evaluate", "plot"},
    {"train", "prefetch"},
    {"check"},
    {"solutions", "cli"},
]
HEAVY = {  # half a second or more, or missing on some machines: imported where they are used
    *("accelerate", "datasets", "filelock", "httpx", "huggingface_hub", "IPython", "matplotlib", "medmnist"),
    *("nbconvert", "nbgrader", "PIL", "pooch", "psutil", "pyarrow", "requests", "resource"),
    *("safetensors", "scipy", "sklearn", "timm", "tokenizers", "torchvision", "transformers", "urllib3"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    """"check" for "sslcourse.check.week04"; what `from sslcourse import begin` takes is the package itself."""
    name = (module.split(".") + [""])[1]
    return name if any(name in floor for floor in FLOORS) else ""


def floor(name: str) -> int:
    return next(height for height, names in enumerate(FLOORS) if name in names)


def imported(node: ast.AST) -> list[str]:
    """Full names of what an import statement brings; "sslcourse.check" for `from sslcourse import check`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written out in full"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_runs_upwards(path):
    home = room(".".join(["sslcourse", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in imported(node):
            if name.split(".")[0] == "sslcourse":
                assert floor(room(name)) <= floor(home), f"{path.name}, line {node.lineno}: {name} is above {home}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_inside_functions_are_of_heavy_libraries(path):
    if path.parent.name == "solutions":
        return  # generated from exercises, which may import what they like
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        for node in ast.walk(function):
            for name in imported(node):
                assert name.split(".")[0] in HEAVY, f"{path.name}, line {node.lineno}: {name} belongs at the top"
