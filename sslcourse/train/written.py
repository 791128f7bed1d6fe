"""Values as short texts, equal for equal values in every process: what fingerprint.py compares."""

import hashlib
import re
import types

import numpy as np
import torch


def behaviour(code: types.CodeType) -> str:
    """Everything that says what the code does; not where it stands nor what its variables are called."""
    constants = [constant(value) for value in code.co_consts if not isinstance(value, types.CodeType)]
    counts = (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)
    return repr((code.co_code, getattr(code, "co_exceptiontable", b""), constants, code.co_names, counts))


def constant(value: object) -> str:
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(constant, value))}"  # the order of texts differs from process to process
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} {[constant(item) for item in value]}"
    if isinstance(value, torch.Tensor | np.ndarray):
        return array(value)
    return f"{type(value).__name__} {without_addresses(repr(value))}"


def array(value: torch.Tensor | np.ndarray) -> str:
    text = f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return f"{text} {digest(constant(value.tolist()))}"
        value = torch.from_numpy(np.ascontiguousarray(value).view(np.uint8))
    if value.layout != torch.strided:
        value = value.detach().to_sparse().coalesce()
        return f"{text} {content(value.indices())} {content(value.values())}"
    if value.is_meta:
        return text
    return f"{text} {content(value)}"


def content(tensor: torch.Tensor) -> str:
    """A hash of all its bytes, some rows at a time: a set on a GPU would not fit twice."""
    digest = hashlib.sha256()
    tensor = tensor.detach()
    if tensor.dim() == 0:
        tensor = tensor.reshape(1)
    for part in tensor.split(max(1, 2**24 * len(tensor) // max(1, tensor.numel()))):
        digest.update(part.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]


def short(value: object) -> str:
    value = bytes(value) if isinstance(value, memoryview) else value
    text = without_addresses(repr(value))
    return text if len(text) <= 40 else f"{text[:20]}... {digest(text)}"


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "backslashreplace")).hexdigest()[:8]


def without_addresses(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
