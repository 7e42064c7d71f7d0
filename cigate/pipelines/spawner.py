"""The one thread of this process that starts jobs.

A job asks the kernel to be killed when its parent dies, and the kernel takes the *thread* that started it
for the parent (threats H5). So a job started by the thread that serves a request would die with that
request; started here, it dies with the process.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Spawner:
    """Runs what it is given, one after the other, on a thread that lives as long as the process."""

    def __init__(self) -> None:
        self._fresh()
        os.register_at_fork(after_in_child=self._fresh)

    def _fresh(self) -> None:
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()

    def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, run on the thread, or its error."""
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_serve, args=(self._waiting,), name="cigate-spawner", daemon=True
                )
                self._thread.start()
            result: Future[T] = Future()
            self._waiting.put((work, result))
        return result.result()


def _serve(waiting: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]]) -> None:
    while True:
        work, result = waiting.get()
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001  # the error belongs to whoever asked; the thread lives on
            result.set_exception(error)
        del work, result


SPAWNER = Spawner()
