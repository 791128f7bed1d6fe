"""The source of cells as Python sees it, whatever stands there. Needs Python alone."""

import ast


def parsed(source: str) -> ast.Module:
    """The syntax tree. Lines for IPython count as blank. SyntaxError for everything that no parser takes."""
    try:
        try:
            return ast.parse(source)
        except SyntaxError:
            return ast.parse(without_magics(source))
    except SyntaxError:
        raise
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:  # null bytes, surrogates, too deep
        raise SyntaxError(str(error) or type(error).__name__) from None


def without_magics(source: str) -> str:
    lines = source.split("\n")
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def told(error: BaseException) -> str:
    """ "SyntaxError: expected ':' (line 3)"."""
    text = str(getattr(error, "msg", None) or error).strip().split("\n")[0][:200]
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' (line {line})' if line else ''}"


def defined(tree: ast.Module) -> set[str]:
    """Names that the statements of a cell bind at its top level."""
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names


def definitions(source: str) -> str:
    """Of a cell that is no exercise, what an exercise may build on: imports, functions, classes, plain constants."""
    try:
        tree = parsed(source)
    except SyntaxError:
        return ""
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    kept = []
    for one in tree.body:
        constant = isinstance(one, ast.Assign | ast.AnnAssign) and one.value is not None
        if isinstance(one, kinds) or (constant and not any(isinstance(node, _ACTS) for node in ast.walk(one))):
            kept.append(one)
    try:
        return ast.unparse(ast.Module(kept, []))
    except (RecursionError, ValueError):
        return ""


_ACTS = ast.Call | ast.Await | ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp | ast.BinOp
