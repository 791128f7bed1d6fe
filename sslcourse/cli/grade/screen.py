"""Which code may run in one process with a check: code that cannot reach behind it.

Where a check hands over networks or judges a class, student code and check share a process, and in Python nothing in a
process is safe from the rest of it. So code that runs there is read before, and what an exercise never needs is not
let in: ways to the interpreter, to frames, to code objects and to the file system, modules beyond those of the course,
attributes by names that are made up while it runs, and objects that answer comparisons for themselves. Such an exercise
is graded by hand; the reason is said. Reading cannot rule out everything: docs/teaching.md says so.
"""

import ast

MODULES = frozenset(
    """torch torchvision numpy scipy sklearn math cmath random copy itertools functools collections typing dataclasses
    enum abc re string statistics fractions numbers heapq bisect time warnings contextlib timm transformers tokenizers
    einops matplotlib tqdm sslcourse PIL __future__""".split()
)
_NAMES = frozenset(
    """eval exec compile open globals locals vars __import__ __builtins__ __loader__ __spec__ breakpoint input exit
    quit memoryview help delattr object sys os gc inspect types importlib ctypes builtins operator
    subprocess pickle""".split()
)
_REFLECTION = ("getattr", "setattr", "hasattr")
_ATTRIBUTES = frozenset(  # ways to frames, to the interpreter, to files, and to code that is made up
    """f_back f_globals f_locals f_builtins f_code gi_frame gi_code cr_frame cr_code ag_frame tb_frame tb_next
    with_traceback exc_info currentframe sys os gc inspect types importlib ctypes ctypeslib builtins subprocess
    machinery oracle solutions attrgetter methodcaller load loads loadmat load_library from_file fromfile tofile memmap
    f2py serialization multiprocessing hub package cpp_extension overrides fx jit library make_dataclass
    new_class get_type_hints ForwardRef Formatter get_field dispatch_table deserialize""".split()
)
_EVERYWHERE = "register_module_"  # hooks of all modules, the check's own among them
_METHODS = frozenset(  # that a class of an exercise may define or call by name
    """__init__ __call__ __len__ __getitem__ __setitem__ __contains__ __iter__ __next__ __repr__ __str__ __enter__
    __exit__ __post_init__ __doc__ __name__ __version__ __class__ __annotations__ __all__""".split()
)
_BASES = frozenset("Tensor Parameter Buffer UninitializedParameter ndarray float int str bool tuple list dict".split())


def objection(source: str) -> str:
    """Why this code may not run beside a check, "it uses eval"; "" where it may. SyntaxError is left to be told."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    modules = _modules(tree)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _REFLECTION and id(node) not in called:
            return f"it hands {node.id} around (line {node.lineno})"
        if reason := _objection(node, modules):
            line = getattr(node, "lineno", None)
            return f"{reason}{f' (line {line})' if line else ''}"
    return ""


def _modules(tree: ast.Module) -> set[str]:
    """Names that imports bind, here or in the set-up, and other names for them."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    names |= {"torch", "nn", "F", "np", "math", "copy", "sslcourse", "evaluate", "models"}
    while True:  # other names for these
        assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and _root(node.value) in names]
        more = {target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)} - names
        if not more:
            return names
        names |= more


def _root(value: ast.expr) -> str:
    """ "torch" for torch.nn.functional; "" for what is no such chain."""
    while isinstance(value, ast.Attribute):
        value = value.value
    return value.id if isinstance(value, ast.Name) else ""


def _objection(node: ast.AST, modules: set[str]) -> str:
    match node:
        case ast.Import(names=names):
            return next((f"it imports {one.name}" for one in names if not _may_import(one.name)), "")
        case ast.ImportFrom(module=module, names=names, level=level):
            full = [f"{module}.{one.name}" for one in names]
            return next((f"it imports {one}" for one in full if level or not _may_import(one)), "")
        case ast.alias(name=name) if name.startswith(_EVERYWHERE) or name in _ATTRIBUTES:
            return f"it imports {name}"
        case ast.Name(id=name) if name in _NAMES or (name.startswith("__") and name not in _METHODS):
            return f"it uses {name}"
        case ast.Call(func=ast.Name(id="setattr"), args=[target, *_]) if _root(target) in modules:
            return f"it replaces something of {_root(target)}"
        case ast.Call(func=ast.Name(id=name), args=[_, ast.Constant(value=str(attribute)), *_]) if name in _REFLECTION:
            return f"it uses {attribute}" if _hidden(attribute) else ""
        case ast.Call(func=ast.Name(id=name)) if name in _REFLECTION:
            return f"it uses {name} with a name that is made up while it runs"
        case ast.Call(func=ast.Name(id="type"), args=[_, _, *_]):
            return "it makes a class by a call of type"
        case ast.Attribute(value=value, attr=attribute):
            return _of_attribute(node, value, attribute, modules)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if _dunder(name) and name not in _METHODS:
            return f"it defines {name}"
        case ast.ClassDef(bases=bases, keywords=keywords):
            names = {getattr(base, "id", getattr(base, "attr", "?")) for base in bases}
            if keywords or names & _BASES:
                return f"its class is a kind of {', '.join(sorted(names & _BASES)) or 'metaclass'}"
        case ast.Constant(value=str(text)) if "{" in text and ".__" in text:
            return "it formats attributes with underscores"
        case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()) if _root(value) in modules:
            return f"it replaces something of {_root(value)}"
    return ""


def _of_attribute(node: ast.Attribute, value: ast.expr, attribute: str, modules: set[str]) -> str:
    own = isinstance(value, ast.Name) and value.id in ("self", "cls")
    if _dunder(attribute) and attribute not in _METHODS:
        return f"it uses {attribute}"
    if attribute.startswith("_") and not _dunder(attribute) and not own:
        return f"it uses {attribute} of something else"
    if (attribute in _ATTRIBUTES or attribute.startswith(_EVERYWHERE)) and not own:
        return f"it uses {attribute}"
    if isinstance(node.ctx, ast.Store | ast.Del) and _root(value) in modules:
        return f"it replaces {ast.unparse(node)}"
    return ""


def _may_import(module: str) -> bool:
    parts = module.split(".")
    if parts[0] not in MODULES or any(_dunder(part) and part != "__future__" for part in parts):
        return False
    if parts[0] == "sslcourse" and set(parts) & {"check", "solutions", "cli"}:
        return False
    return not set(parts[1:]) & _ATTRIBUTES and not any(part.startswith("_") for part in parts[1:])


def _hidden(attribute: str) -> bool:
    return attribute.startswith(("_", _EVERYWHERE)) or attribute in _ATTRIBUTES


def _dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
