"""Which machine this is, in one line for records and issues."""

import os
import platform
import re
from pathlib import Path

import torch


def hardware(gpu: bool) -> str:
    """Processor, usable cores and, where it was used, the GPU."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE)
        model = named[1] if named else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    card = torch.cuda.get_device_name() if gpu and torch.cuda.is_available() else ""
    return f"{model}, {cores} cores" + (f", {card}" if card else "")
