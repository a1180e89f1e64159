"""Connections to PostgreSQL: one in replication mode for the stream, one ordinary for facts. The only part that waits.

The stream is read through libpq without blocking calls, because a blocking one would hold the interpreter's lock and
stop every other thread of the process while the server is silent.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator
from functools import partial

import psycopg
from psycopg import pq

from farshore.clock import Clock
from farshore.errors import (
    READ_ERRORS,
    ConfigInvalid,
    FarshoreError,
    SourceDenied,
    SourceUnavailable,
    SourceUnsupported,
)
from farshore.limits import CONNECT_TIMEOUT_S, POSTGRES_SILENCE_S
from farshore.model import Problem, ProblemCode
from farshore.sources.postgres.errors import (
    GRANT_HINT,
    POOL_HINT,
    SENDERS_HINT,
    error_of_answer,
    error_of_connecting,
    is_loss,
    redact,
)
from farshore.sources.postgres.left_out import LEFT_OUT_MESSAGE, NO_LOSS, Meaning, judge_warning, left_out_error
from farshore.sources.postgres.session import WARNINGS, plan_options, plan_parameters

_POLL_MS = 1000  # TLS may hold bytes that the socket no longer shows, so input is read at least this often
_WARNINGS_MAX = 1000  # one for each file that the server leaves out; a person reads no more
_DATABASE = "postgres"
_FINE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)

_MAY_REPLICATE = "SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user"

Row = tuple[str | None, ...]

_NO_ANSWER: tuple[type[Exception], ...] = (*READ_ERRORS, psycopg.Error)  # to a question that may stay open


class Server:
    """Where a server is and how to log in; connects when asked, and keeps the password out of every message."""

    def __init__(self, *, source: str, dsn: str) -> None:
        given = _parse(dsn)
        if given is None:  # without the cause: libpq quotes the part it cannot parse, which may be the password
            raise ConfigInvalid(
                f"the dsn of source {source!r} cannot be read",
                "Write it as postgresql://user@host:port/database or as 'host=... port=... user=...'.",
            )
        self._options = given.pop("options", "")
        self._database_given = "dbname" in given or "service" in given
        self._parameters = plan_parameters(given, connect_timeout_s=int(CONNECT_TIMEOUT_S))
        self._version = 0
        self._secret = self._parameters.get("password", "")
        host = self._parameters.get("hostaddr") or self._parameters.get("host") or "the default host"
        self.place = f"source {source!r} at {host}:{self._parameters.get('port', '5432')}"

    def connect(self, *, replication: bool, database: str = "", bare: bool = False) -> psycopg.Connection:
        """Open a connection, in physical replication mode if asked.

        Raises:
            SourceDenied: The server does not let this role in, or not for replication.
            SourceUnsupported: The server allows no replication at all.
            SourceUnavailable: No answer, or no connection left.
        """
        mode = {
            "replication": "true" if replication else "false",
            "options": self._options if bare else plan_options(self._options, self._version),
        }
        if database:
            mode["dbname"] = database
        elif not replication and not self._database_given and not _database_of_environment():
            mode["dbname"] = _DATABASE  # libpq's default is one of the role's name, which need not exist
        try:
            return psycopg.Connection.connect(**(self._parameters | mode), autocommit=True)  # type: ignore[arg-type]
        except psycopg.Error as error:
            needs_password = error.pgconn is not None and error.pgconn.needs_password
            translated = error_of_connecting(self.place, self.clean(str(error)), needs_password=needs_password)
        if replication and isinstance(translated, SourceUnavailable):
            self._raise_if_never(translated.message)
        raise translated

    def settle(self, connected: pq.abc.PGconn) -> None:
        """Have all later connections go to the server that this one reached, where the dsn names several."""
        self._version = connected.server_version
        found = {"host": connected.host, "hostaddr": connected.hostaddr, "port": connected.port}
        self._parameters |= {name: value.decode() for name, value in found.items() if value}

    def _raise_if_never(self, said: str) -> None:
        """Raise if replication is refused for good. Found by SQL, because the refusal itself may be in any language."""
        try:
            with self.connect(replication=False) as connection:
                may = connection.execute(_MAY_REPLICATE).fetchone()
                senders = connection.execute("SHOW max_wal_senders").fetchone()
        except _NO_ANSWER:
            return
        if senders == ("0",):
            raise SourceUnsupported(said, SENDERS_HINT)
        if may == (False,):
            raise SourceDenied(said, GRANT_HINT)

    def ask(self, questions: list[str], *, database: str = "", bare: bool = False) -> dict[str, list[str]]:
        """Return the first column of the answer to each SQL question, without those that were refused.

        Never raises: a question that the role may not ask has no answer.

        Args:
            database: To ask in, where it is not the one of the dsn.
            bare: Whether to leave the session's settings as server and role have them.
        """
        answers: dict[str, list[str]] = {}
        connecting = partial(self.connect, replication=False, database=database, bare=bare)
        with contextlib.suppress(*_NO_ANSWER), connecting() as connection:
            for sql in questions:
                with contextlib.suppress(psycopg.Error):
                    answers[sql] = [str(value) for (value,) in connection.execute(sql.encode()).fetchall()]
        return answers

    def clean(self, text: str) -> str:
        """Return one line of text without the password."""
        return redact(text, self._secret)

    def error(self, sqlstate: str, text: str, *, function: str = "", sending: bool = False) -> FarshoreError:
        """Return the error that an answer of this server means."""
        return error_of_answer(self.place, sqlstate, self.clean(text), function=function, sending=sending)


class ReplicationSession:
    """Commands and one COPY stream over a connection in replication mode. Used by one thread.

    Leaving the context closes the connection: the server then ends an unfinished backup and drops a temporary slot.
    """

    def __init__(self, *, server: Server, clock: Clock, silence_s: float = POSTGRES_SILENCE_S) -> None:
        self._server = server
        self._clock = clock
        self._silence_s = silence_s
        self._connection = server.connect(replication=True)
        self._connection.add_notice_handler(self._notice)
        self._pgconn = self._connection.pgconn
        server.settle(self._pgconn)
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        self._heard_s = clock.monotonic_s()
        self._after_copy: pq.abc.PGresult | None = None  # the answer after the stream
        self._warnings: list[tuple[str, str]] = []  # (the server's function that warned, what it said)
        self._left_out: FarshoreError | None = None  # a file of the cluster itself is
        self._sending = False  # a backup was asked for
        self.log_directory = ""  # of the server, where it is known
        self.explain_loss: Callable[[], FarshoreError | None] = lambda: None  # asked when the stream breaks off

    def __enter__(self) -> ReplicationSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Safe to repeat."""
        self._connection.close()

    @property
    def problems(self) -> list[Problem]:
        """The server's warnings so far that mean a loss, as problems."""
        found = []
        for function, said in tuple(self._warnings):
            meaning, path = judge_warning(function, said, log_directory=self.log_directory)
            if meaning is Meaning.LEFT_OUT:
                found.append(Problem(path.encode(), ProblemCode.UNSUPPORTED, LEFT_OUT_MESSAGE, matters=False))
            elif meaning is Meaning.OTHER:
                found.append(Problem(b"", ProblemCode.CHANGING, said, matters=function not in NO_LOSS))
        return found

    def check_left_out(self) -> None:
        """Raise if the server has said by now that it leaves out a file of the cluster itself.

        Raises:
            SourceFileLeftOut: It has.
        """
        if self._left_out is not None:
            raise self._left_out

    def check_settings(self) -> None:
        """Check that the server will warn of each file it leaves out.

        Raises:
            SourceUnsupported: Something in between drops the settings of a session, as a connection pool may.
        """
        name, value = WARNINGS
        found = self.run(f"SHOW {name}")[0][0]
        if found != value:
            raise SourceUnsupported(
                f"{self._server.place}: {name} is {found} although this session sets it to {value}", POOL_HINT
            )

    @property
    def server_version(self) -> int:
        """The version as a number: 180006 is 18.6."""
        return self._pgconn.server_version

    def parameter(self, name: str) -> str:
        """Return what the server reported on connecting, or nothing."""
        value = self._pgconn.parameter_status(name.encode())
        return "" if value is None else value.decode("utf-8", "replace")

    def run(self, command: str) -> list[Row]:
        """Run one replication command and return the rows of its answer.

        Raises:
            SourceDenied, SourceUnsupported, SourceUnavailable, SourceCorrupt: By the server's answer.
        """
        self._send(command)
        return [row for result in self.finish() for row in result]

    def start_copy(self, command: str) -> list[list[Row]]:
        """Run a command that answers with result sets and then a COPY stream; return the result sets.

        Raises:
            SourceDenied, SourceUnsupported, SourceUnavailable, SourceCorrupt: By the server's answer.
        """
        self._sending = True
        self._send(command)
        results: list[list[Row]] = []
        while (result := self._result()) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                return results
            results.append(_rows(result))
        raise SourceUnavailable(f"{self._server.place}: the server sent no backup")

    def messages(self) -> Iterator[memoryview]:
        """Yield the messages of the COPY stream; it ends where the server says so and nowhere else.

        Raises:
            SourceUnavailable: The stream broke off, or the server was silent for too long.
            SourceCorrupt: The server found damaged data.
        """
        get_copy_data = self._pgconn.get_copy_data
        while True:
            try:
                count, data = get_copy_data(1)
            except psycopg.Error as error:
                raise self._lost(error) from None
            if count > 0:
                yield data
                self._heard_s = self._clock.monotonic_s()  # time spent by the reader is not the server's silence
            elif count == 0:
                self._wait()
            else:
                self._after_copy = self._result()  # where it broke off, the reason is here
                return

    def finish(self) -> list[list[Row]]:
        """Return the remaining result sets of the command; the last answer must say that it is complete.

        Raises:
            SourceCorrupt: The server's own verification failed.
            SourceUnavailable: It did not complete.
        """
        results = []
        result, self._after_copy = self._after_copy or self._result(), None
        while result is not None:
            results.append(_rows(result))
            result = self._result()
        return results

    def _send(self, command: str) -> None:
        self._heard_s = self._clock.monotonic_s()
        try:
            self._pgconn.send_query(command.encode())
            while self._pgconn.flush():
                self._wait()
        except psycopg.Error as error:
            raise self._lost(error) from None

    def _result(self) -> pq.abc.PGresult | None:
        try:
            while self._pgconn.is_busy():
                self._wait()
            result = self._pgconn.get_result()
        except psycopg.Error as error:
            raise self._lost(error) from None
        if result is not None and result.status not in (*_FINE, pq.ExecStatus.COPY_OUT):
            sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
            said = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
            text = result.get_error_message() if said is None else said.decode("utf-8", "replace")
            function = result.error_field(pq.DiagnosticField.SOURCE_FUNCTION) or b""
            self._drain()
            raise self._error(sqlstate.decode("ascii", "replace"), text, function.decode("ascii", "replace"))
        return result

    def _drain(self) -> None:
        """Read the rest of an answer after its error, so that the connection, if it lives, can be used again."""
        with contextlib.suppress(psycopg.Error):
            while True:
                while self._pgconn.is_busy():
                    self._wait()
                if self._pgconn.get_result() is None:
                    return

    def _wait(self) -> None:
        """Wait a moment for the server, and read the bytes that arrived."""
        if self._poll.poll(_POLL_MS):
            self._heard_s = self._clock.monotonic_s()
        elif self._clock.monotonic_s() - self._heard_s > self._silence_s:
            raise SourceUnavailable(f"{self._server.place}: the server was silent for {self._silence_s:.0f} s")
        try:
            self._pgconn.consume_input()
        except psycopg.Error as error:
            raise self._lost(error) from None

    def _lost(self, error: psycopg.Error) -> FarshoreError:
        said = str(error) or "the connection was lost"
        if self._sending and not error.sqlstate:  # libpq's own words are of a server that crashed, which it seldom did
            said = "the connection was closed while the server sent the backup"
        return self._error(error.sqlstate or "", said)

    def _error(self, sqlstate: str, text: str, function: str = "") -> FarshoreError:
        if self._sending and is_loss(sqlstate) and (explained := self.explain_loss()) is not None:
            return explained
        said = self._with_warnings(text)
        return self._server.error(sqlstate, said, function=function, sending=self._sending)

    def _with_warnings(self, text: str) -> str:
        """Add the warnings before the error: the server names damaged files there, not in the error itself."""
        return "; ".join([text, *(said for _, said in self._warnings[:3])])

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized != "WARNING":
            return
        function, said = notice.source_function or "", self._server.clean(notice.message_primary or "")
        meaning, path = judge_warning(function, said)
        if meaning is Meaning.NO_COPY and self._left_out is None:  # whatever came before it
            self._left_out = left_out_error(self._server.place, said, path)
        if len(self._warnings) < _WARNINGS_MAX:
            self._warnings.append((function, said))


def _database_of_environment() -> bool:
    """Return whether PGDATABASE, or the service that PGSERVICE names, says which database to use."""
    return any(option.keyword == b"dbname" and option.val for option in pq.Conninfo.get_defaults())


def _parse(dsn: str) -> dict[str, str] | None:
    """Return the parameters of a connection string, or None if it is none."""
    try:
        given = {
            name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(dsn).items() if value is not None
        }
    except psycopg.Error:
        return None
    ports = given.get("port", "").split(",")  # one for each host
    return given if all(not port or port.isdecimal() for port in ports) else None


def _rows(result: pq.abc.PGresult) -> list[Row]:
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode("utf-8", "replace")
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]
