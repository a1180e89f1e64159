"""One whole backup with threads: as the command line runs it. A flow runs the steps of `session` as tasks instead."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from farshore.errors import Bug, Failure, FarshoreError
from farshore.ops.backup.session import BackupSession
from farshore.replicas.repository import Repository
from farshore.results import BackupResult
from farshore.run import Run
from farshore.sources.base import Source


def run_backup(
    repository: Repository,
    source: Source,
    *,
    identity: str = "",
    tags: Sequence[str] = (),
    allow_empty: bool = False,
    accept_new: bool = False,
    run: Run,
) -> BackupResult:
    """Back one source up, with one thread per replica. Green means the commit was read back at a quorum.

    Raises:
        FarshoreError: As the steps of `BackupSession` do; the run is recorded as failed and nothing is half committed.
    """
    session = BackupSession(
        repository, source, identity=identity, tags=tags, allow_empty=allow_empty, accept_new=accept_new, run=run
    )
    try:
        started = session.begin()
        if started.already_done:
            return session.audit()
        with ThreadPoolExecutor(len(started.replicas), thread_name_prefix="replicate") as pool:
            futures: list[Future[None]] = []
            try:
                futures.extend(pool.submit(_replicate, session, name) for name in started.replicas)
                session.seal()
                for future in futures:
                    future.result()
            except BaseException as error:
                session.stop()  # or an interrupt would wait until every queue is empty
                if isinstance(error, FarshoreError) and (cause := _unexpected_error(futures)):
                    raise cause from error
                raise
        session.commit()
        return session.audit()
    except Failure as error:
        session.fail(error)
        raise
    finally:
        session.close()


def _replicate(session: BackupSession, replica: str) -> None:
    """Send one replica everything; try again after passing failures, as long as no other replica has to wait for it."""
    while True:
        try:
            session.replicate(replica)
            return
        except FarshoreError as error:
            if not error.retryable or not session.backoff(replica, error):
                session.drop(replica, error)
                return
        except BaseException as error:  # no replica's fault; but sealing must not wait for a queue that nobody empties
            session.drop(replica, error if isinstance(error, Failure) else Bug(repr(error)))
            raise


def _unexpected_error(futures: Sequence[Future[None]]) -> BaseException | None:
    """Wait for the queues of a run that was stopped; return an error of one of them that is no replica's failure."""
    return next((error for one in futures if (error := one.exception())), None)
