"""A decoder in a thread of its own, for many askers: what one asks for joins the batch while others are written."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolformer_ray.decode.answer import Answer, Piece
from toolformer_ray.decode.decoder import Decoder, Request
from toolformer_ray.decode.options import DecodeOptions

logger = logging.getLogger(__name__)


class ServiceStopped(RuntimeError):  # noqa: N818  what it says of the service
    """The thread has ended, by `stop` or by an error that it named; what was open has no answer."""


@dataclass(eq=False)
class Asked:
    """One prompt. Both functions are called in the decoder's thread and must return at once."""

    prompt: str
    options: DecodeOptions
    on_pieces: Callable[[Sequence[Piece]], None]
    on_end: Callable[[Answer | Exception], None]
    request: Request | None = None
    is_cancelled: bool = False


class DecodingService:
    """`ask`, `cancel`, `stop` and `is_alive` may be called from any thread."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._inbox: deque[Asked] = deque()
        self._open: dict[Request, Asked] = {}
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="decoder", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive() and not self._is_stopped

    def ask(self, asked: Asked) -> None:
        """Hand in a prompt. Raises ServiceStopped. One that cannot be written on ends with a ValueError."""
        if not self.is_alive:
            raise ServiceStopped("the decoder has ended")
        self._inbox.append(asked)
        self._decoder.wake()

    def cancel(self, asked: Asked) -> None:
        """Nobody waits for it any more."""
        asked.is_cancelled = True
        self._inbox.append(asked)
        self._decoder.wake()

    def stop(self) -> None:
        """End the thread; what is open ends with ServiceStopped."""
        self._is_stopped = True
        self._decoder.wake()
        self._thread.join()

    def _run(self) -> None:
        reason = "the decoder was stopped"
        try:
            while not self._is_stopped:
                self._decoder.wait(lambda: not self._inbox and not self._is_stopped)
                self._take_in()
                for request in self._decoder.step():
                    if (end := request.answer or request.error) is not None:
                        self._open.pop(request).on_end(end)
        except Exception as error:
            reason = f"the decoder failed: {error!r}"
            logger.exception("the decoder failed; whoever runs it has to start another")
        self._is_stopped = True
        for asked in [*self._open.values(), *self._inbox]:
            asked.on_end(ServiceStopped(reason))

    def _take_in(self) -> None:
        while self._inbox:
            asked = self._inbox.popleft()
            if asked.is_cancelled:
                if asked.request in self._open:
                    self._decoder.cancel(asked.request)
                    del self._open[asked.request]
                continue
            try:
                asked.request = self._decoder.submit(asked.prompt, asked.options, asked.on_pieces)
            except Exception as error:  # noqa: BLE001  whatever is wrong with one prompt is no end of the others
                asked.on_end(error)
            else:
                self._open[asked.request] = asked
