"""How processes are started that collect beside this one: the threads of one share a core."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Final

_MAX_SOCKET_DIRECTORY: Final = 64


def context(module: str) -> ForkServerContext | SpawnContext:
    """How to start processes that need a module. None is forked from this one: other sources have threads of their own
    here.

    What they need is loaded once, in a process that they are forked from; the first that asks says what. That one
    listens on a socket in the directory for temporary files: without such a directory, or with too long a name for a
    socket (unix(7)), each loads it anew.
    """
    try:
        if len(os.fsencode(tempfile.gettempdir())) > _MAX_SOCKET_DIRECTORY:
            return multiprocessing.get_context("spawn")
    except FileNotFoundError:
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([module])
    return found


def warm_up(module: str) -> None:
    """Starts to load what processes need, in the one that they are forked from: it goes on beside what comes here."""
    if context(module).get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()
