"""Values on their way between the judging side and student code: plain data and tensors, in a format of their own.

Nothing that comes from student code is unpickled, and nothing of it is code: what is neither number, text, container
nor tensor arrives as an object without any behaviour that bears the name of its type, for messages. A frame is a JSON
tree and the bytes of its tensors; both lengths stand in front.
"""

import dataclasses
import json
import math
import select
import socket
import struct
import time

import numpy as np
import torch

LARGEST = 64 << 20  # bytes of one frame that student code may send
TREE = 8 << 20  # of it without tensors: each of its bytes may become many
DEEPEST = 40  # containers within containers
_HEAD = struct.Struct("<IQ")
_KINDS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
_KINDS += ("uint8", "int8", "int16", "int32", "int64", "bool")
DTYPES = {name: getattr(torch, name) for name in _KINDS}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Unfit(ValueError):
    """A value that cannot travel (on the sending side), or bytes that are no frame (on the receiving side)."""


class Packer:
    """Values into one frame. tensors and generators: those that were met, each once, in their order of appearance."""

    def __init__(self, strict: bool):
        """strict: raise Unfit for what is no plain value, instead of sending its type's name."""
        self.strict = strict
        self.tensors: list[torch.Tensor] = []
        self.generators: list[torch.Generator] = []
        self._blobs: list[bytes] = []

    def tree(self, value: object, depth: int = 0) -> object:
        if depth > DEEPEST:
            raise Unfit("containers are nested too deep")
        inside = depth + 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and type(value).__name__ == "int":
            return value
        if isinstance(value, float | np.floating):
            return {"f": float(value).hex()}
        if isinstance(value, np.bool_ | np.integer | int):
            return value.item() if isinstance(value, np.generic) else int(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, torch.Tensor) and type(value) in (torch.Tensor, torch.nn.Parameter):
            return self._tensor(value)
        if isinstance(value, torch.Generator):
            return {"g": self._place(self.generators, value), "s": self._blob(_bytes(value.get_state()))}
        if isinstance(value, np.ndarray) and str(value.dtype) in DTYPES:
            return {"n": self._tensor(torch.from_numpy(np.ascontiguousarray(value)))}
        if isinstance(value, list):
            return [self.tree(part, inside) for part in value]
        if isinstance(value, tuple):
            return {"t": [self.tree(part, inside) for part in value]}
        if isinstance(value, dict):
            return {"d": [[self.tree(key, inside), self.tree(part, inside)] for key, part in value.items()]}
        if isinstance(value, set | frozenset):
            return {"e": [self.tree(part, inside) for part in value]}
        if self.strict:
            raise Unfit(type(value).__name__)
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else ()
        parts = [[field.name, self.tree(getattr(value, field.name, None), inside)] for field in fields]
        return {"o": type(value).__name__, "a": parts}

    def frame(self, message: dict) -> bytes:
        """A frame of a message whose values have gone through `tree`."""
        head = json.dumps(message).encode()
        sizes = struct.pack(f"<I{len(self._blobs)}Q", len(self._blobs), *map(len, self._blobs))
        body = b"".join((sizes, *self._blobs))
        return _HEAD.pack(len(head), len(body)) + head + body

    def _tensor(self, value: torch.Tensor) -> dict:
        if value.dtype not in _NAMES or value.layout != torch.strided or value.device.type != "cpu":
            if self.strict:
                raise Unfit(f"tensor of {value.dtype}")
            return {"o": f"Tensor of {value.dtype}", "a": []}
        known = next((n for n, other in enumerate(self.tensors) if other is value), None)
        if known is not None:
            return {"T": known}
        self.tensors.append(value)
        # Expanded to its full size, a view of one number may be larger than any memory.
        if value.numel() * value.element_size() > LARGEST:
            raise Unfit(f"a tensor of shape {tuple(value.shape)} is more than {LARGEST >> 20} MB")
        blob = self._blob(_bytes(value))
        return {"T": len(self.tensors) - 1, "k": _NAMES[value.dtype], "s": list(value.shape), "b": blob,
                "r": value.requires_grad}  # fmt: skip

    def _place(self, known: list, value: object) -> int:
        for n, other in enumerate(known):
            if other is value:
                return n
        known.append(value)
        return len(known) - 1

    def _blob(self, data: bytes) -> int:
        self._blobs.append(data)
        return len(self._blobs) - 1


class Unpacker:
    """One frame into its message, and trees into values. Raises Unfit for what no Packer has made."""

    def __init__(self, head: bytes, body: bytes):
        self.tensors: list[torch.Tensor] = []
        self.generators: dict[int, torch.Generator] = {}
        try:
            self.message = json.loads(head)
            (count,) = struct.unpack_from("<I", body)
            sizes = struct.unpack_from(f"<{count}Q", body, 4) if count * 8 <= len(body) else ()
        except (ValueError, RecursionError, struct.error) as error:
            raise Unfit("no frame") from error
        start, self._blobs = 4 + 8 * count, []
        for size in sizes:
            self._blobs.append(body[start : start + size])
            start += size
        if start != len(body) or not isinstance(self.message, dict):
            raise Unfit("no frame")

    def value(self, tree: object, depth: int = 0) -> object:
        try:
            return self._value(tree, depth)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError, RuntimeError) as error:
            raise Unfit("no value") from error

    def _value(self, tree: object, depth: int) -> object:
        if depth > DEEPEST:
            raise Unfit("too deep")
        if tree is None or isinstance(tree, bool | int | str):
            return tree
        if isinstance(tree, list):
            return [self._value(part, depth + 1) for part in tree]
        match tree:
            case {"f": text}:
                return float.fromhex(text)
            case {"T": place, **rest}:
                return self._tensor(place, rest)
            case {"n": inner}:
                return self._value(inner, depth + 1).numpy()
            case {"g": place, "s": blob}:
                if place not in self.generators:
                    state = torch.frombuffer(bytearray(self._blobs[blob]), dtype=torch.uint8)
                    self.generators[place] = torch.Generator()
                    self.generators[place].set_state(state)
                return self.generators[place]
            case {"t": parts}:
                return tuple(self._value(part, depth + 1) for part in parts)
            case {"e": parts}:
                return {self._value(part, depth + 1) for part in parts}
            case {"d": pairs}:
                return {self._value(key, depth + 1): self._value(part, depth + 1) for key, part in pairs}
            case {"o": name, "a": fields}:
                return _stand_in(str(name), {str(key): self._value(part, depth + 1) for key, part in fields})
        raise Unfit("no value")

    def _tensor(self, place: int, rest: dict) -> torch.Tensor:
        if not rest:
            return self.tensors[place]
        if place != len(self.tensors):
            raise Unfit("no value")
        dtype, shape, blob = DTYPES[rest["k"]], rest["s"], self._blobs[rest["b"]]
        if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(blob):
            raise Unfit("no value")
        if not blob:
            tensor = torch.empty(shape, dtype=dtype)
        else:
            flat = torch.frombuffer(bytearray(blob), dtype=torch.uint8)
            # Bytes other than 0 and 1 are no booleans, and nobody knows what they would do.
            tensor = (flat != 0 if dtype == torch.bool else flat.view(dtype)).reshape(shape)
        if rest["r"] is True:
            tensor.requires_grad_()
        self.tensors.append(tensor)
        return tensor


def _bytes(value: torch.Tensor) -> bytes:
    flat = value.detach().resolve_conj().resolve_neg().reshape(-1).contiguous()
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _stand_in(name: str, fields: dict) -> object:
    kind = type(name if name.isidentifier() else "object", (), {"__slots__": ("__dict__",)})
    made = kind()
    made.__dict__.update(fields)
    return made


class Gone(Exception):
    """The other side does not answer: `late` where time is up, else its process has ended."""

    def __init__(self, late: bool):
        super().__init__("time is up" if late else "ended")
        self.late = late


class Channel:
    """Frames over a socket, until a moment of time.monotonic(); None waits for ever."""

    def __init__(self, link: socket.socket, largest: int = LARGEST):
        self.link, self.largest, self.deadline = link, largest, None
        link.setblocking(False)

    def send(self, frame: bytes) -> None:
        view = memoryview(frame)
        while view:
            self._wait(writing=True)
            try:
                view = view[self.link.send(view) :]
            except (BrokenPipeError, ConnectionResetError):
                raise Gone(late=False) from None

    def receive(self) -> Unpacker:
        head_size, body_size = _HEAD.unpack(self._exactly(_HEAD.size))
        if head_size > TREE or head_size + body_size > self.largest:
            raise Unfit(f"what it gives is more than {self.largest >> 20} MB")
        head = self._exactly(head_size)
        return Unpacker(head, self._exactly(body_size))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._wait()
            try:
                part = self.link.recv(min(size - len(data), 1 << 20))
            except ConnectionResetError:
                part = b""
            if not part:
                raise Gone(late=False)
            data += part
        return bytes(data)

    def _wait(self, writing: bool = False) -> None:
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        reading, ready, _ = select.select([] if writing else [self.link], [self.link] if writing else [], [], left)
        if not reading and not ready:
            raise Gone(late=True)

    def close(self) -> None:
        self.link.close()
