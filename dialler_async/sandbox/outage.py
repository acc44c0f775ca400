"""A simulated outage of the server."""

from types import TracebackType

from .listener import Listener
from .loop_thread import LoopThread


class Outage:
    """A context manager inside which a server resets connections and refuses new ones.

    Use `async with`, or a plain `with` if the server runs in its own thread.
    """

    def __init__(self, listener: Listener, thread: LoopThread | None) -> None:
        self._listener = listener
        self._thread = thread

    async def __aenter__(self) -> None:
        if self._thread is None:
            await self._listener.refuse()
        else:
            await self._thread.run_async(self._listener.refuse())

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is None:
            await self._listener.listen()
        else:
            await self._thread.run_async(self._listener.listen())

    def __enter__(self) -> None:
        self._other_thread().run(self._listener.refuse())

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._other_thread().run(self._listener.listen())

    def _other_thread(self) -> LoopThread:
        if self._thread is None:
            raise RuntimeError("this sandbox runs in your event loop: use `async with sandbox.refusing()`")
        return self._thread
