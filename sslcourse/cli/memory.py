"""How much memory this process may still take: what the machine has free, or what its container leaves it."""

from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


def free() -> int:
    """Bytes; the kernel's caches count as free."""
    left = [psutil.virtual_memory().available]
    left += [room for room in (_room(_GROUPS, "memory.max", "memory.current", "inactive_file"),
                               _room(_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                     "total_inactive_file")) if room is not None]  # fmt: skip
    return max(0, min(left))


def _room(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """What a control group leaves; None where there is no such group, or none with a limit ("max")."""
    try:
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int((folder / limit).read_text()) - int((folder / used).read_text()) + int(statistics.get(cache, 0))
    except (OSError, ValueError):
        return None
