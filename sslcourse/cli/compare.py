"""`sslcourse build --check`: do the committed notebooks and modules follow from the sources? Nothing is written.

Each finding is one line: the file, what does not fit, the command that mends it.
"""

from pathlib import Path

from nbformat import NotebookNode

from sslcourse.cli import build, cells, files, source

MAX_BYTES = 600_000


def report(root: Path, weeks: list[str] | None = None) -> int:
    """Print every finding. Returns 1 if there is one."""
    found = findings(root, weeks)
    for line in found:
        print(line)
    print(f"{len(found)} findings." if found else "The notebooks and solution modules follow from their sources.")
    return int(bool(found))


def findings(root: Path, weeks: list[str] | None = None) -> list[str]:
    """What does not fit, of some weeks or of all (leftovers without a source are then looked for too)."""
    found = [] if weeks else _leftovers(root)
    for path in source.find_scripts(root, weeks):
        script = source.read(path)
        paths = build.products(root, script.name)
        mend = f"sslcourse build {script.week}"
        problems = [
            (paths.student, _compare_student(paths.student, script)),
            (paths.solution, _compare_solution(paths.solution, script)),
            (paths.module, _compare_module(paths.module, script)),
        ]
        found += [
            f"{file.relative_to(root).as_posix()}: {what}; {mend}"
            for file, all_of_it in problems
            for what in _some(all_of_it)
        ]
    return found


def _some(problems: list[str], most: int = 8) -> list[str]:
    """Not every cell of a notebook that is wholly out of date."""
    left = len(problems) - most
    return problems if left <= 1 else [*problems[:most], f"and {left} things more"]


def _leftovers(root: Path) -> list[str]:
    """Files that look generated but have no source: renamed, removed or made by hand."""
    names = [path.stem for path in source.find_scripts(root)]
    kept = {path for name in names for path in vars(build.products(root, name)).values()}
    kept.add(root / "sslcourse" / "solutions" / "__init__.py")
    folders = (("notebooks", "*.ipynb"), ("notebooks/solutions", "*"), ("sslcourse/solutions", "*.py"))
    there = {path for folder, pattern in folders for path in (root / folder).glob(pattern) if path.is_file()}
    names = [path.relative_to(root).as_posix() for path in sorted(there - kept)]
    return [f"{name}: no source script makes this file; git rm {name}" for name in names]


def _compare_module(path: Path, script: source.Script) -> list[str]:
    if not path.is_file():
        return ["is missing"]
    fits = path.read_text(encoding="utf-8") == cells.solution_module(script)
    return [] if fits else ["differs from the source"]


def _compare_student(path: Path, script: source.Script) -> list[str]:
    there = files.read(path)
    ran = [cell.id for cell in there.cells if cell.get("outputs") or cell.get("execution_count")] if there else []
    problems = _compare(there, cells.student_notebook(script))
    return problems + [f"cell {name} was executed, students get it without outputs" for name in ran]


def _compare_solution(path: Path, script: source.Script) -> list[str]:
    """The cells, and whether the outputs come from this code and are fit to be committed."""
    there = files.read(path)
    problems = _compare(there, cells.solution_notebook(script))
    if there is None:
        return problems
    noted = there.metadata.get("sslcourse", {})
    if noted.get("code_sha256") != build.code_hash(cells.solution_notebook(script)):
        return [*problems, "its outputs are stale, made by other code than the source holds now"]
    if noted.get("outputs_sha256") != build.outputs_hash(there):
        problems.append("its outputs were changed after it was built")
    return problems + output_problems(there) + _too_large(path)


def _compare(there: NotebookNode | None, wanted: NotebookNode) -> list[str]:
    """Where the cells of a notebook are not those that the source makes: ids, types, sources, metadata and order."""
    if there is None:
        return ["is missing or cannot be read"]
    old, new = ({cell.get("id", ""): cell for cell in notebook.cells} for notebook in (there, wanted))
    problems = [f"cell {name} is missing" for name in new if name not in old]
    problems += [f"cell {name} is not in its script" for name in old if name not in new]
    for name in new.keys() & old.keys():
        for key in ("cell_type", "source", "metadata"):
            if old[name][key] != new[name][key]:
                problems.append(f"cell {name} differs from its script in its {key.removeprefix('cell_')}")
    if not problems and [cell.get("id") for cell in there.cells] != list(new):
        problems.append("its cells stand in another order or are repeated")

    # The hashes that an executed notebook carries are compared by what they stand for.
    metadata = {key: value for key, value in there.metadata.items() if key != "sslcourse"}
    own = {key: value for key, value in there.metadata.get("sslcourse", {}).items() if not key.endswith("_sha256")}
    if metadata | {"sslcourse": own} != wanted.metadata:
        problems.append("its metadata differ from the source's")
    return sorted(problems)


def output_problems(notebook: NotebookNode) -> list[str]:
    """What committed outputs must not hold. nbval 0.11 passes, or fails oddly on, most of this."""
    problems = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.execution_count is None:
            problems.append(f"cell {cell.id} was not executed")
        elif _is_compared(cell) and not cell.outputs:
            problems.append(f"cell {cell.id} is to be compared but has no output")
        for output in cell.outputs:
            if output.output_type == "error":
                problems.append(f"cell {cell.id} ended in {output.ename}")
            elif output.get("name") == "stderr":
                problems.append(f"cell {cell.id} wrote to stderr")
            elif any("widget" in kind for kind in output.get("data", {})):
                problems.append(f"cell {cell.id} shows a widget; a plain text bar stays readable")
            elif output.output_type == "execute_result" and output.execution_count != cell.execution_count:
                problems.append(f"cell {cell.id} and its output have different execution counts")
    return problems


def _is_compared(cell: NotebookNode) -> bool:
    """Does nbval compare this cell's output? By its tag, or by the comment that authors write."""
    return "nbval-check-output" in cell.metadata.get("tags", []) or "# NBVAL_CHECK_OUTPUT" in cell.source.splitlines()


def _too_large(path: Path) -> list[str]:
    size = path.stat().st_size
    return [f"is {size / 1000:.0f} KB, more than {MAX_BYTES // 1000}; make figures smaller"] if size > MAX_BYTES else []
