"""Serve with several processes on one socket: a parent that starts them again, and passes signals on.

uvicorn's own supervisor does not fit. It pickles the application, which holds keys and gateways. At SIGHUP it replaces
its processes, which ends the connections of clients. It starts a process that dies again and again without a pause.

The parent has no threads and no event loop, so a fork copies nothing that is in use.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from otpkit.core import hangups
from otpkit.errors import ConfigurationError
from otpkit.service.middleware import log_fault
from otpkit.service.server import GRACE

_log = logging.getLogger("otpkit.service")

WRONG_SETTINGS: Final = 2
"""The exit status of a worker whose settings can't work."""
STEADY_S: Final = 10.0
"""A worker that ran for so long is replaced at once."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_END_S: Final = GRACE + 10.0  # After the grace, listeners pass on what waits.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP) if os.name == "posix" else ()
_READY: Final = b"r"


@dataclass(eq=False)
class _Worker:
    """A place for a worker, with the process that has it."""

    number: int
    pid: int = 0
    link: socket.socket | None = None  # The worker ends when the parent's end of it is closed, as by its death.
    is_ready: bool = False
    started_s: float = 0.0
    pause_s: float = 0.0
    due_s: float = field(default=0.0)  # When to start it, if it has no process.


class Link:
    """A worker's connection to its parent.

    Args:
        end: the worker's end of a pair of sockets.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def report_ready(self) -> None:
        """Report that the worker accepts requests."""
        with suppress(OSError):
            self._end.send(_READY)

    def is_lost(self) -> bool:
        """Return True if the parent is dead."""
        try:
            return self._end.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class Supervisor:
    """The parent of the workers.

    Args:
        count: the number of workers.
        listener: the socket. The parent closes its own copy when it ends, so that no client waits in vain.
        work: serves in a worker's process, given its number and its link, until SIGTERM.
        reload: checks the settings at SIGHUP, and returns True if the workers may read them too.
        on_ready: called when all workers accept requests.
    """

    def __init__(
        self,
        count: int,
        listener: socket.socket,
        work: Callable[[int, Link], object],
        reload: Callable[[], bool],
        on_ready: Callable[[], object],
    ) -> None:
        self._workers = [_Worker(number) for number in range(count)]
        self._listener = listener
        self._work = work
        self._reload = reload
        self._on_ready = on_ready
        self._was_ready = False
        self._ends_s: float | None = None  # When the workers that still run are killed; None before the end.
        self._status = 0

    def run(self) -> int:
        """Run until SIGTERM or Ctrl-C, and return the exit status. Every worker has ended then."""
        with _signals() as wakeup:
            try:
                self._watch(wakeup)
            except BaseException:  # Such as a closed standard output, to which `on_ready` writes.
                self._end()
                self._send(signal.SIGTERM)
                self._watch(wakeup)
                raise
        return self._status

    def _watch(self, wakeup: socket.socket) -> None:
        """Start workers and pass signals on, until the end has begun and every worker has ended."""
        while self._ends_s is None or any(each.pid for each in self._workers):
            self._start_due()
            for number in self._wait(wakeup):
                self._handle(number)
            self._collect()
            if hangups.take() and self._ends_s is None and self._reload():
                self._send(signal.SIGHUP)
            if self._ends_s is not None and time.monotonic() > self._ends_s:
                self._send(signal.SIGKILL)

    def _start_due(self) -> None:
        if self._ends_s is None:
            for each in self._workers:
                if not each.pid and each.due_s <= time.monotonic():
                    self._start(each)

    def _start(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair()
        # The child inherits the parent's handlers, which only wake the parent up. No signal may come before it has
        # its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            ours.close()
            theirs.close()
            self._postpone(worker, f"can't be started: {error.strerror}")
            return
        if not pid:
            status = 1
            try:
                ours.close()
                for each in self._workers:
                    if each.link is not None:
                        each.link.close()
                status = _run_child(lambda: self._work(worker.number, Link(theirs)))
            finally:
                os._exit(status)  # Whatever happens, a child must never return into the parent's code.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        ours.setblocking(False)
        worker.pid, worker.link, worker.started_s, worker.is_ready = pid, ours, time.monotonic(), False

    def _wait(self, wakeup: socket.socket) -> list[int]:
        """Wait for a signal, a message of a worker, or the next thing that is due. Return the signals."""
        times = [each.due_s for each in self._workers if not each.pid] if self._ends_s is None else [self._ends_s]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        links = [each.link for each in self._workers if each.link is not None and not each.is_ready]
        found, _, _ = select.select([wakeup, *links], [], [], timeout)
        for each in self._workers:
            if each.link in found:
                self._hear(each)
        return list(wakeup.recv(4096)) if wakeup in found else []

    def _hear(self, worker: _Worker) -> None:
        if worker.link is None:
            return
        with suppress(OSError):
            worker.is_ready = worker.link.recv(1) == _READY
        if not worker.is_ready:  # It ended; SIGCHLD follows.
            worker.link.close()
            worker.link = None
        elif not self._was_ready and all(each.is_ready for each in self._workers):
            self._was_ready = True
            self._on_ready()

    def _handle(self, number: int) -> None:
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._end()
            self._send(number)  # A second Ctrl-C ends them at once, as it ends a single process.

    def _end(self) -> None:
        if self._ends_s is None:
            self._ends_s = time.monotonic() + _END_S
            self._listener.close()

    def _send(self, number: int) -> None:
        for each in self._workers:
            if each.pid:
                os.kill(each.pid, number)

    def _collect(self) -> None:
        """Note which workers have ended, and when to replace them."""
        for each in self._workers:
            if not each.pid:
                continue
            pid, status = os.waitpid(each.pid, os.WNOHANG)
            if not pid:
                continue
            if each.link is not None:
                each.link.close()
            each.pid, each.link = 0, None
            code = os.waitstatus_to_exitcode(status)
            if self._ends_s is not None:
                continue
            if not self._was_ready and code == WRONG_SETTINGS:  # It would fail again. Its log has the reason.
                self._status = code
                self._end()
                self._send(signal.SIGTERM)
                continue
            if time.monotonic() - each.started_s >= STEADY_S:
                each.pause_s = 0.0
            self._postpone(each, f"ended with status {code}" if code >= 0 else f"was ended by {_name(-code)}")

    def _postpone(self, worker: _Worker, what: str) -> None:
        """Start a worker again: at once after a steady life, and else after a pause that grows."""
        worker.due_s = time.monotonic() + worker.pause_s
        _log.error("Worker %d %s. It is started again in %.1f s.", worker.number + 1, what, worker.pause_s)
        worker.pause_s = min(_LONGEST_PAUSE_S, 2 * worker.pause_s or _FIRST_PAUSE_S)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield a socket that receives the numbers of signals."""
    received, sent = socket.socketpair()
    received.setblocking(False)
    sent.setblocking(False)
    before = {each: signal.signal(each, _pass) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    before |= {each: signal.signal(each, handler) for each, handler in hangups.handlers().items()}
    descriptor = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
    if hangups.is_waiting():  # It came before: look at it at once.
        sent.send(bytes([signal.SIGHUP]))
    try:
        yield received
    finally:
        signal.set_wakeup_fd(descriptor)
        for each, handler in before.items():
            signal.signal(each, handler)
        received.close()
        sent.close()


def _pass(*_: object) -> None:
    """Do nothing: the signal's number is in the socket."""


def _run_child(work: Callable[[], object]) -> int:
    """Run a worker in its own process, and return its exit status."""
    signal.set_wakeup_fd(-1)
    with suppress(OSError):  # Ctrl-C in a terminal then reaches the parent alone, which passes it on.
        os.setpgid(0, 0)
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(each, signal.SIG_DFL)
    hangups.take()
    hangups.hold()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    status = 0
    try:
        work()
    except ConfigurationError as error:
        _log.error("%s", error)
        status = WRONG_SETTINGS
    except Exception as error:  # noqa: BLE001 - any internal error
        log_fault(error, "A worker")
        status = 1
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
    return status


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
