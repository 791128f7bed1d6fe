"""`sslcourse check-env`: what an issue needs to know about a machine, safe to paste in public.

Paths are shortened to begin with ~ where they lie in the home folder; no user, host or network name is shown. Nothing
is imported here but Python's own: what is broken on this machine, torch included, is looked at piece by piece and
becomes a line of the report. The report is also saved: runs/check-env.txt in the course, else check-env.txt here.
"""

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import sslcourse
from sslcourse import files
from sslcourse.cli import OLDEST_PYTHON, Refusal, checkout, too_old

# What the notebooks stand on: {package: modules to import}. Only an import shows that an installed package works.
IMPORTS = {
    "torch": ("torch",),
    "numpy": ("numpy",),
    "scipy": ("scipy.stats",),
    "scikit-learn": ("sklearn.linear_model",),
    "torchvision": ("torchvision",),
    "matplotlib": ("matplotlib.pyplot",),
    "transformers": ("transformers", "transformers.models.bert.modeling_bert"),
    "nbgrader": ("nbgrader.preprocessors",),
    "ipykernel": ("ipykernel",),
    "psutil": ("psutil",),
}
KERNEL = "python3"  # the name that stands in the notebooks


def check_env() -> int:
    """Print and save the facts, then a sentence for all that is too old, missing, broken or small. Returns 1 if any."""
    _shut_out_what_ends_python("torch")
    lines = [f"{name:<16} {value}" for name, value in facts().items()]
    print("\n".join(lines), flush=True)  # before the imports, which take a while
    root = _or(_root, False)  # False where the library itself does not import, which is told as what it lacks
    free = _or(lambda: _free(root), 2**62) if root else 2**62
    found = problems(sys.version_info[:2], _installed(), _or(lambda: _memory()[0], 2**62), free)
    broken = [name for name in IMPORTS if any(line.startswith(f"{name} is missing") for line in found)]
    found += import_problems(skipped=broken)
    found += [problem for problem in (_kernel_problem(), root and writing_problem(root)) if problem]
    lines += found or ["Everything that the course needs is here."]
    print("\n".join(found or lines[-1:]))
    print(f"Saved in {save(lines)}.")
    return int(bool(found))


def facts() -> dict[str, str]:
    """What can be said of the machine; where something cannot, why not."""
    settings = sorted((name, shorten(value)) for name, value in os.environ.items() if name.startswith("SSLCOURSE_"))
    wanted: dict[str, Callable[[], str]] = {
        "sslcourse": lambda: f"{sslcourse.__version__} in {shorten(Path(sslcourse.__file__).parent)}",
        "python": lambda: f"{platform.python_version()} at {shorten(Path(sys.executable))}",
        "system": lambda: f"{platform.system()} {platform.release()}, {platform.machine()}",
        "hardware": lambda: importlib.import_module("sslcourse.cli.machine").hardware(gpu=True),
        "torch threads": lambda: str(importlib.import_module("torch").get_num_threads()),
        "memory": lambda: "{:.1f} GB, {:.1f} GB free".format(*(part / 2**30 for part in _memory())),
        "data root": lambda: _describe(_root()),
        "kernel": _kernel,
        "settings": lambda: ", ".join(f"{name}={value}" for name, value in settings) or "none",
        "packages": lambda: ", ".join(f"{name} {version or 'MISSING'}" for name, version in _installed().items()),
    }
    return {name: _or(say, None) for name, say in wanted.items()}


def problems(python: tuple[int, int], versions: dict[str, str], memory: int, free: int) -> list[str]:
    """One sentence for each thing to mend. memory and free disk in bytes; versions "" for what is not installed."""
    found = []
    if python < OLDEST_PYTHON:
        found.append(too_old(python))
    if not versions:
        found.append("sslcourse is not installed; run: pip install -e . in the folder of the course.")
    oldest_of = requirements()
    for name, version in versions.items():
        oldest = oldest_of[name]
        if not version:
            found.append(f"{name} is missing; run: pip install {name}")
        elif _numbers(version) < _numbers(oldest):
            found.append(f"{name} {version} is too old; run: pip install --upgrade '{name}>={oldest}'")
    if memory < 3 * 2**30:
        found.append(
            f"{memory / 2**30:.1f} GB of memory is little: a notebook at tiny takes up to 2; close other programs."
        )
    if free < 2**30:
        found.append("Less than 1 GB of disk is free where the data go; point SSLCOURSE_DATA to a larger disk.")
    return found


def import_problems(skipped: list[str] = ()) -> list[str]:
    """A sentence for each package of IMPORTS that does not import; those in `skipped` are known to be missing."""
    found = []
    for name, modules in IMPORTS.items():
        for module in () if name in skipped else modules:
            if why := _why_not(module):
                absent = why.startswith("ModuleNotFoundError") and f"'{module.split('.')[0]}'" in why
                broken = f"{name} is missing" if absent else f"{name} does not work ({why})"
                package = "'sslcourse[grading]'" if name == "nbgrader" and absent else name
                found.append(f"{broken}; run: pip install {'' if absent else '--force-reinstall '}{package}")
                break
    return found


def _why_not(module: str) -> str:
    """Why a module cannot be imported, "" where it can. Whatever a broken package raises while it is imported."""
    if sys.modules.get(module, sys) is None:
        return "to import it ends Python"
    try:
        loaded = importlib.import_module(module)
        if module == "torch" and float(loaded.ones(2).sum()) != 2:
            return "it adds 1 and 1 wrongly"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too
        return _words(error)
    return ""


def _shut_out_what_ends_python(module: str) -> None:
    """Tried in another process: a library made for another processor ends the one that loads it, without an error."""
    if module in sys.modules:
        return
    command = [sys.executable, "-c", f"import {module}"]
    quiet = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if quiet.returncode not in (0, 1):  # 1: an ordinary error, which the import here will show
        sys.modules[module] = None  # Python's own way to say that an import should fail


def writing_problem(root: Path) -> str:
    """What is wrong with writing to the data root, "" where it works; nothing stays behind."""
    absent = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        files.write(root / "check-env.tmp", b"written")
        (root / "check-env.tmp").unlink()
    except OSError as error:
        why = error.strerror or type(error).__name__
        return f"The data root {shorten(root)} cannot be written ({why}); point SSLCOURSE_DATA to a folder that can."
    finally:
        for folder in absent:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    return ""


def _kernel() -> str:
    """The kernel that notebooks ask for, and its interpreter."""
    spec = importlib.import_module("jupyter_client.kernelspec").KernelSpecManager().get_kernel_spec(KERNEL)
    name = Path(spec.argv[0]).name
    if spec.argv[0] == name and re.fullmatch(r"python[\d.]*(\.exe)?", name):
        program = sys.executable  # a bare "python" means the Python that Jupyter runs in
    else:
        program = shutil.which(spec.argv[0])
    if not program:
        raise FileNotFoundError(f"its program {shorten(spec.argv[0])} is not there")
    return f"{KERNEL} at {shorten(program)}"


def _kernel_problem() -> str:
    try:
        _kernel()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"No kernel {KERNEL} for the notebooks ({_words(error)}); run: python -m ipykernel install --sys-prefix"
    return ""


def save(lines: list[str]) -> str:
    """Write the report to the first folder that can be written; returns its path, shortened."""
    try:
        first = checkout() / "runs" / "check-env.txt"
    except Refusal:
        first = Path.cwd() / "check-env.txt"
    for path in (first, Path(tempfile.gettempdir()) / "sslcourse-check-env.txt"):
        try:
            files.write(path, ("\n".join(lines) + "\n").encode())
            return shorten(path)
        except OSError:
            continue
    return "no file, since no folder can be written: copy it from here"


def requirements() -> dict[str, str]:
    """Oldest versions that the installed package asks for, extras left out; {} where it is not installed."""
    try:
        lines = importlib.metadata.requires("sslcourse") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    found = (re.match(r"([\w.-]+)>=([\d.]+)$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def shorten(path: Path | str) -> str:
    """A path with ~ for the home folder, so that it names nobody."""
    home = str(Path.home())
    return "~" + str(path).removeprefix(home) if str(path).startswith(home) else str(path)


def _installed() -> dict[str, str]:
    versions = {}
    for name in requirements():
        try:
            versions[name] = importlib.metadata.version(name) or ""
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def _memory() -> tuple[int, int]:
    """Bytes in all and free."""
    memory = importlib.import_module("psutil").virtual_memory()
    return memory.total, memory.available


def _root() -> Path:
    return importlib.import_module("sslcourse.data.root").data_root()


def _describe(root: Path) -> str:
    return f"{shorten(root)}, {_free(root) / 2**30:.1f} GB free, holds {_contents(root)}"


def _contents(root: Path) -> str:
    """Names of the data sets below the root."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return ", ".join(names) or "nothing yet"


def _free(folder: Path) -> int:
    """Bytes free on the disk that a folder lies on or will lie on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _or(say: Callable, otherwise: object) -> object:
    """What a function says; where it raises, `otherwise`, or why in words where that is None."""
    try:
        return say()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"unknown ({_words(error)})" if otherwise is None else otherwise


def _words(error: BaseException) -> str:
    """The first line of an error, short, in plain characters, without the name of anybody's home folder."""
    text = (str(error).strip().splitlines() or [""])[0].replace(str(Path.home()), "~")[:160]
    return f"{type(error).__name__}: {text}".rstrip(": ").encode("ascii", "replace").decode()


def _numbers(version: str) -> tuple[int, ...]:
    """(2, 15, 0) for "2.15.0+cpu"."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])
