"""How old the data of a snapshot is, where its source was itself a copy (Trial D12)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from farshore.model import DATA_AS_OF, UNKNOWN_MOMENT, data_moment

STARTED = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reported", "moment"),
    [
        (None, STARTED),
        ("2026-11-28T23:59:59Z", datetime(2026, 11, 28, 23, 59, 59, tzinfo=UTC)),
        ("2026-11-30T00:00:00Z", STARTED),  # the primary's clock is ahead: never younger than the snapshot
        (UNKNOWN_MOMENT, None),
        ("yesterday", None),
        ("2026-11-28T23:59:59", None),  # of no zone
    ],
)
def test_data_is_as_old_as_its_source(reported: str | None, moment: datetime | None) -> None:
    assert data_moment(STARTED, {} if reported is None else {DATA_AS_OF: reported}) == moment
