"""Where a solution may stand: inside a function body, so that the blank that replaces it still compiles.

nbgrader's ClearSolutions cuts from the BEGIN line to the END line and puts its stub at the indentation of BEGIN; it
neither knows Python nor minds a stray END. So all that would make a broken or leaking blank is found here.

Reference: https://nbgrader.readthedocs.io/en/stable/user_guide/creating_and_grading_assignments.html
"""

import ast
import re

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def has_markers(source: str) -> bool:
    return "BEGIN SOLUTION" in source or "END SOLUTION" in source


def without_markers(source: str) -> str:
    """The source without its marker lines."""
    return "\n".join(line for line in source.split("\n") if line.strip() not in (BEGIN, END))


def check_blanks(source: str, tree: ast.Module | None = None) -> str:
    """What is wrong with the markers of an exercise (with its syntax tree) or of a written question; "" if nothing.

    An exercise without markers is given code and right; a question without them would be blanked as a whole.
    """
    regions, problem = _regions(source)
    if problem:
        return problem
    if tree is None:
        return "" if regions else f"the model answer must stand between {BEGIN} and {END}."
    for begin, end in regions:
        indent = re.match(r" *", source.split("\n")[begin - 1])[0]
        if problem := _outside_a_body(tree, begin, end, len(indent)):
            return problem
    return ""


def _regions(source: str) -> tuple[list[tuple[int, int]], str]:
    """Pairs of marker lines (counted from 1), and what is wrong with them."""
    regions, begin = [], None
    for number, line in enumerate(source.split("\n"), 1):
        if not has_markers(line):
            continue
        if line.strip() not in (BEGIN, END):
            return [], f"a marker stands alone on its line and reads {BEGIN} or {END}."
        if (line.strip() == BEGIN) == (begin is not None):
            return [], f"{BEGIN} and {END} do not alternate."
        if begin is None:
            begin = number
        else:
            regions.append((begin, number))
            begin = None
    return regions, f"{BEGIN} has no {END}." if begin is not None else ""


def _outside_a_body(tree: ast.Module, begin: int, end: int, indent: int) -> str:
    """A region holds whole statements of one block inside a function or method, at the indentation of its markers."""
    parent = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    inside = {node for node in statements if begin < node.lineno and node.end_lineno < end}
    tops = [node for node in inside if not inside & set(_ancestors(node, parent))]

    # Around the statements lie their function, class and loops; whatever else touches the region is cut in two by it.
    around = {ancestor for node in tops for ancestor in _ancestors(node, parent)}
    if not any(isinstance(node, ast.FunctionDef) for node in around):
        return f"{BEGIN} and {END} stand inside the body of a function or method, around at least one statement."
    for node in statements:
        if node not in inside | around and node.lineno < end and begin < node.end_lineno:
            return f"a solution marker cuts the statement at line {node.lineno} of the cell in two."
    if len({parent[node] for node in tops}) > 1 or {node.col_offset for node in tops} != {indent}:
        return f"{BEGIN} and {END} stand at the indentation of the statements between them, all of one block."
    return ""


def _ancestors(node: ast.AST, parent: dict[ast.AST, ast.AST]) -> list[ast.AST]:
    chain = []
    while node in parent:
        node = parent[node]
        chain.append(node)
    return chain
