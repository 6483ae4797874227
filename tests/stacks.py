"""Where every Trio task stands, for a test that hangs."""

from __future__ import annotations

from collections.abc import Iterator

import trio

__all__ = ["task_tree"]


def task_tree() -> str:
    """Return the tree of this thread's Trio tasks with their stacks, or ``""``."""
    try:
        root = trio.lowlevel.current_root_task()
    except RuntimeError:  # no Trio here
        return ""
    return "" if root is None else "\n".join(_lines(root, ""))


def _lines(task: trio.lowlevel.Task, indent: str) -> Iterator[str]:
    yield f"{indent}{task.name}"
    for frame, line in task.iter_await_frames():
        code = frame.f_code
        yield f"{indent}  {code.co_filename}:{line} in {code.co_qualname}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _lines(child, indent + "    ")
