"""A decoder in a thread of its own, for many clients: a request joins the batch while other texts are written."""

import logging
import threading
from collections import deque

from toolformer_ray.decode.completion import Completion
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.request import DecodeRequest

logger = logging.getLogger(__name__)


class ServiceStopped(RuntimeError):  # noqa: N818  what it says of the service
    """The thread has ended, because it was stopped or by an error; open requests get no completion."""


class DecodingService:
    """`submit`, `cancel`, `stop` and `is_alive` may be called from any thread.

    Functions of requests are called in the decoder's thread and must return at once.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._inbox: deque[tuple[DecodeRequest, bool]] = deque()
        """Requests, and whether each is to be cancelled."""
        self._open: set[DecodeRequest] = set()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="decoder", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._is_stopped

    def read(self, request: DecodeRequest) -> None:
        """Encode its prompt in the thread that calls this. Raises ValueError if it cannot be gone on from."""
        self._decoder.read(request)

    def submit(self, request: DecodeRequest) -> None:
        """Begin a text; one that cannot be begun ends with a ValueError. Raises ServiceStopped."""
        if not self.is_alive:
            raise ServiceStopped("the decoder has ended")
        self._inbox.append((request, False))
        self._decoder.wake()

    def cancel(self, request: DecodeRequest) -> None:
        """Stop writing a text; nothing more is said of it."""
        self._inbox.append((request, True))
        self._decoder.wake()

    def stop(self) -> None:
        """End the thread; open requests end with ServiceStopped."""
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
                    self._end(request, request.completion or request.error)
        except Exception as error:
            reason = f"the decoder failed: {error!r}"
            logger.exception("the decoder failed; whoever runs it has to start another")
        self._is_stopped = True
        self._open |= {request for request, is_cancelled in self._inbox if not is_cancelled}
        for request in list(self._open):
            self._end(request, ServiceStopped(reason))

    def _take_in(self) -> None:
        while self._inbox:
            request, is_cancelled = self._inbox.popleft()
            if not is_cancelled:
                self._begin(request)
            elif request in self._open:
                self._decoder.cancel(request)
                self._open.remove(request)

    def _begin(self, request: DecodeRequest) -> None:
        self._open.add(request)
        try:
            self._decoder.begin(request)
        except Exception as error:  # noqa: BLE001  whatever is wrong with one prompt does not end the others
            self._end(request, error)

    def _end(self, request: DecodeRequest, ending: Completion | Exception | None) -> None:
        self._open.discard(request)
        if request.on_end is not None and ending is not None:
            request.on_end(ending)
