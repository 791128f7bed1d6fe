"""What code changes: read from its instructions, without running it."""

import dis
import re
from collections.abc import Iterator

CHANGING = {"append", "appendleft", "extend", "insert", "add", "update", "setdefault"}
CHANGING |= {"pop", "popitem", "popleft", "remove", "discard", "clear"}
CHANGING |= {"extendleft", "rotate", "sort", "reverse", "fill"}


def assigned(instructions: list[dis.Instruction], free: tuple[str, ...]) -> set[str]:
    """What code assigns to that lives on after it: globals, variables of a function around it, ".attribute"s."""
    found = set()
    for one in instructions:
        if one.opname in ("STORE_ATTR", "DELETE_ATTR"):
            found.add(f".{one.argval}")
        elif one.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") or (
            one.opname in ("STORE_DEREF", "DELETE_DEREF") and one.argval in free
        ):
            found.add(one.argval)
    return found


def changed_in_place(instructions: list[dis.Instruction]) -> Iterator[tuple[str, str]]:
    """(name, method or "") of each variable, and (".name", ...) of each attribute, that the code changes in place.

    Follows a value on the stack from where it is loaded: queue[i] = x, seen["a"].append(x), mean.mul_(0.9), also under
    a local name. A value that is handed to a function is not followed, nor one that a loop runs over.
    """
    local: dict[str, str] = {}
    for start, first in enumerate(instructions):
        if first.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            name = first.argval
        elif first.opname.startswith("LOAD_FAST") and first.argval in local:
            name = local[first.argval]
        elif first.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            name = f".{first.argval}"
        else:
            continue
        place = 1  # on the stack, 1 at the top
        for one in instructions[start + 1 :]:
            code, subscript = one.opname, one.opname == "BINARY_SUBSCR" or one.argrepr == "[]"
            if place == 1 and code in ("LOAD_ATTR", "LOAD_METHOD"):
                if one.argval in CHANGING or re.fullmatch(r"[a-z]\w*_", one.argval):  # torch's end in _
                    yield name, one.argval
                    break
            elif code in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
                if place == (3 if code == "STORE_SLICE" else 2):
                    yield name, ""
                break
            elif place == 1 and code == "STORE_FAST":
                local[one.argval] = name
                break
            elif (subscript and place == 2) or (code == "BINARY_SLICE" and place == 3):
                place = 1
            elif code == "SWAP" and place in (1, one.arg):
                place = one.arg if place == 1 else 1
            elif code not in ("SWAP", "NOP", "EXTENDED_ARG"):
                if one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
                    break
                effect = dis.stack_effect(one.opcode, one.arg, jump=False)
                if code != "COPY" and place <= 1 - effect:  # it was taken, and something else lies there
                    break
                place += effect
