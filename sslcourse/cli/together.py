"""Notebooks side by side: as many at once as asked for and as fit into memory; one that ends early stops no other.

A notebook waits until there is room for what it took when it was recorded. Where memory runs short all the same, the
one that holds most is ended before the system ends one, and the others go on. Ctrl-C ends all.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from sslcourse.cli import memory
from sslcourse.cli.kernel import ROOM, Watch

RESERVE = 200 * 2**20  # bytes that stay free for everything else
LOOK = 0.2  # seconds between two looks at the memory


@dataclass(frozen=True)
class Task:
    """Something to do for one notebook; memory: bytes that it is known to take at its height."""

    name: str
    do: Callable[..., Any]  # called with watch=Watch()
    memory: int = 2**30


def side_by_side(tasks: Sequence[Task], jobs: int, tell: Callable[[str], None] = print) -> Iterator[Any]:
    """Do the tasks in their order, up to `jobs` at once, and give what they return as each ends.

    An error of one, or of whoever takes the results, ends the others and is raised.
    """
    waiting, told = deque(tasks), set()
    running: dict[Future, tuple[Task, Watch]] = {}
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < jobs and _fits(waiting[0], running, told, tell):
                    task, watch = waiting.popleft(), Watch()
                    running[pool.submit(task.do, watch=watch)] = task, watch
                done, _ = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED)
                for future in done:
                    del running[future]
                    yield future.result()
                _make_room([watch for _, watch in running.values()])
        except BaseException:
            for _, watch in running.values():
                watch.end("")
            raise


def _fits(task: Task, running: dict, told: set[str], tell: Callable[[str], None]) -> bool:
    """Whether there is room for one more; the first always has its try."""
    if not running:
        return True
    # What runs has still to grow to what it is known to take.
    growing = sum(max(0, other.memory - watch.memory()) for other, watch in running.values())
    left = memory.free() - growing - RESERVE
    if left < task.memory and task.name not in told:
        told.add(task.name)
        wanted, there = task.memory >> 20, max(0, left) >> 20
        tell(f"{task.name} waits: it takes about {wanted} MB, and {there} MB of memory are left.")
    return left >= task.memory


def _make_room(watches: list[Watch]) -> None:
    """End the largest of several where memory runs short; one alone has all that there is."""
    largest = max(watches, key=lambda watch: watch.memory(), default=None)
    if len(watches) > 1 and not any(watch.why for watch in watches) and (left := memory.free()) < RESERVE:
        held = largest.memory() >> 20
        largest.end(f"it held {held} MB and {left >> 20} MB of memory were left, so it was ended; {ROOM}")
        time.sleep(LOOK)  # until what it held is free
