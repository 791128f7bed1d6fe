"""The reference of the library, from its docstrings: a page a module, a section a name."""

import importlib
import inspect
import re
import textwrap
from pathlib import Path

MODULES = (
    *("sslcourse", "sslcourse.data", "sslcourse.data.own", "sslcourse.augment", "sslcourse.models"),
    *("sslcourse.train", "sslcourse.evaluate", "sslcourse.plot", "sslcourse.check", "sslcourse.check.report"),
    "sslcourse.check.sweep",
)


def write_all(pages: Path) -> None:
    """Write reference.md and a page for each public module."""
    names = []
    for name in MODULES:
        page = "reference_" + name.replace(".", "_")
        (pages / f"{page}.md").write_text(_module(name), encoding="utf-8")
        names.append(page)
    listed = "\n".join(names)
    text = "# Reference\n\nWhat notebooks may import, with shapes, units and sources, as the docstrings have it."
    (pages / "reference.md").write_text(f"{text}\n\n```{{toctree}}\n:maxdepth: 2\n\n{listed}\n```\n", encoding="utf-8")


def _module(name: str) -> str:
    module = importlib.import_module(name)
    parts = [f"# {name}", _text(inspect.getdoc(module) or "")]
    for item in _public(module):
        thing = getattr(module, item)
        parts.append(f"## {item}")
        if inspect.isclass(thing) or inspect.isroutine(thing):
            parts += [_signature(item, thing), _text(thing.__doc__ or "")]
        if inspect.isclass(thing):
            parts += _methods(thing)
    return "\n\n".join(part for part in parts if part) + "\n"


def _public(module) -> list[str]:
    """Names that the module offers: __all__, else what it defines itself."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return [name for name in own if not name.startswith("_")]


def _methods(thing: type) -> list[str]:
    parts = []
    for name, member in vars(thing).items():
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            parts += [f"### {thing.__name__}.{name}", _signature(name, function), _text(function.__doc__)]
    return parts


def _signature(name: str, thing) -> str:
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):  # an exception class, a builtin
        return ""
    signature = re.sub(r"<([\w.]+) object at 0x[0-9a-f]+>|<function (\w+) at 0x[0-9a-f]+>", r"\1\2", signature)
    signature = re.sub(r"\b(?:torch\.nn\.modules\.module|sslcourse(?:\.\w+)+)\.(\w+)", r"\1", signature)
    if len(name + signature) > 90:
        signature = re.sub(r", (?=\*?\*?\w+(?::|=|,|\)))", ",\n    ", signature.replace("(", "(\n    ", 1))
    return f"```{{code-block}} python\n:class: signature\n\n{name}{signature}\n```"


def _text(docstring: str) -> str:
    """A docstring as Markdown: its words as they are, what is indented as it is."""
    parts = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        lines = block.splitlines()
        if all(line.startswith("    ") for line in lines if line.strip()):
            parts.append(f"```text\n{textwrap.dedent(block)}\n```")
            continue
        # An indented line goes on with the item above it.
        block = re.sub(r"\n {2,}", " ", block)
        block = re.sub(r"(?m)^(\w+(?:, \w+)*): ", r"- \1: ", block)
        parts.append(_escaped(block))
    return "\n\n".join(parts)


def _escaped(text: str) -> str:
    """What Markdown would read as marks is meant as it stands, but for `code`."""
    pieces = re.split(r"(`[^`\n]+`)", text)
    for n in range(0, len(pieces), 2):
        pieces[n] = re.sub(r"([*_<>\[\]$|{}\\~^])", r"\\\1", pieces[n])
    return "".join(pieces)
