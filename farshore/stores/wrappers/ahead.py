"""A wrapper that asks for what is wanted soon, so that a far replica answers several questions in one trip."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from queue import Full, Queue

from farshore.errors import Unavailable
from farshore.stores.base import ObjectInfo, Store
from farshore.stores.wrappers import WrappingStore

_PIECE_OBJECTS = 1000  # a page of most services
_PIECES_MAX = 8  # that wait for a reader
_LOOK_EVERY_S = 1.0  # whether the reader is still there
_HEADS_AT_ONCE = 8  # a new connection costs as much as four answers over one that is there


class AheadStore(WrappingStore):
    """The same store. An answer that was asked ahead is given to the next `list` or `head` of that name, once.

    It shows the store at some moment after `ask_ahead`, so a caller whose answer must follow another request calls
    `ask_ahead` after that one. As safe for threads as the store inside. The threads hold no process: a store may hang.

    Args:
        once: The same store without wrappers that try again or pause. It is asked ahead; where it has no answer now,
            `store` is asked when the answer is wanted, as if nobody had asked ahead. So a service that is away is not
            paused for questions that nobody waits for.
    """

    def __init__(self, store: Store, once: Store | None = None) -> None:
        super().__init__(store)
        self._once = store if once is None else once
        self._lock = threading.Lock()
        self._lists: dict[str, _Listing] = {}
        self._heads: dict[str, _Head] = {}
        self._unasked: deque[tuple[str, _Head]] = deque()  # heads that no thread asks yet
        self._asking = 0  # threads that ask heads
        self._closed = False

    def ask_ahead(self, prefixes: Iterable[str] = (), heads: Iterable[str] = (), *, again: bool = False) -> None:
        """Begin to list each prefix and to look at each name; a lasting error is raised where the answer is used.

        Args:
            again: Ask anew for what was asked ahead before and is not used yet.
        """
        begun: list[_Listing] = []
        with self._lock:
            if self._closed:
                return
            for prefix in prefixes:
                if again and prefix in self._lists:
                    self._lists.pop(prefix).abandon()
                if prefix not in self._lists:
                    begun.append(self._lists.setdefault(prefix, _Listing(self._once, prefix)))
            for name in heads:
                if again or name not in self._heads:
                    self._heads[name] = _Head()
                    self._unasked.append((name, self._heads[name]))
            threads = min(len(self._unasked), _HEADS_AT_ONCE - self._asking)
            self._asking += threads
        for listing in begun:
            listing.start()
        for _ in range(threads):
            threading.Thread(target=self._ask_heads, name="ahead", daemon=True).start()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            listing = self._lists.pop(prefix, None)
        return self._store.list(prefix) if listing is None else self._entries(prefix, listing)

    def head(self, name: str) -> ObjectInfo:
        with self._lock:
            head = self._heads.pop(name, None)
        try:
            return self._store.head(name) if head is None else head.answer()
        except Unavailable:
            if head is None:
                raise
            return self._store.head(name)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            listings = list(self._lists.values())
            self._lists.clear()
            self._heads.clear()
            self._unasked.clear()
        for listing in listings:
            listing.abandon()
        super().close()

    def _entries(self, prefix: str, listing: _Listing) -> Iterator[ObjectInfo]:
        last = ""
        try:
            for info in listing.entries():
                yield info
                last = info.name
        except Unavailable:
            yield from (info for info in self._store.list(prefix) if info.name > last)

    def _ask_heads(self) -> None:
        while True:
            with self._lock:
                if not self._unasked:
                    self._asking -= 1
                    return
                name, head = self._unasked.popleft()
            head.ask(self._once, name)


class _Head:
    """The answer of a store about one object, once it is there."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self._found: ObjectInfo | Exception | None = None

    def ask(self, store: Store, name: str) -> None:
        """Ask, and keep the answer or the error."""
        try:
            self._found = store.head(name)
        except Exception as error:  # noqa: BLE001 - raised by the thread that wants the answer
            self._found = error
        self._there.set()

    def answer(self) -> ObjectInfo:
        """Wait for the answer, and return or raise it."""
        self._there.wait()
        if isinstance(self._found, ObjectInfo):
            return self._found
        assert self._found is not None  # noqa: S101 - `ask` has set it
        raise self._found


class _Listing:
    """One listing, read by a thread of its own as far as its reader leaves room."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._pieces: Queue[list[ObjectInfo] | Exception | None] = Queue(_PIECES_MAX)
        self._abandoned = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._read, name="ahead", daemon=True).start()

    def abandon(self) -> None:
        """Let the thread end at the next piece."""
        self._abandoned.set()

    def entries(self) -> Iterator[ObjectInfo]:
        """Yield what is listed, as it arrives. Raises what the store raised."""
        try:
            while (piece := self._pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield from piece
        finally:
            self.abandon()

    def _read(self) -> None:
        piece: list[ObjectInfo] = []
        try:
            for info in self._store.list(self._prefix):
                piece.append(info)
                if len(piece) == _PIECE_OBJECTS:
                    if not self._hand_over(piece):
                        return
                    piece = []
        except Exception as error:  # noqa: BLE001 - raised by the thread that asks for the listing
            self._hand_over(piece)
            self._hand_over(error)
            return
        self._hand_over(piece)
        self._hand_over(None)

    def _hand_over(self, piece: list[ObjectInfo] | Exception | None) -> bool:
        """Give a piece to the reader; False once it is gone."""
        while not self._abandoned.is_set():
            try:
                self._pieces.put(piece, timeout=_LOOK_EVERY_S)
            except Full:
                continue
            return True
        return False
