"""Pictures of what rules keep: made-up snapshots, squares and colors, and the one of the documentation."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # of what this test drew itself
from datetime import UTC, datetime, timedelta
from pathlib import Path

from farshore.config import RetentionConfig
from farshore.retention.imagined import SPAN, imagine
from farshore.retention.picture import draw_svg

END = datetime(2026, 11, 30, 18, tzinfo=UTC)
RULES = RetentionConfig(keep_last=4, keep_daily=14, keep_weekly=8, keep_monthly=12, keep_yearly=3)
PICTURE = Path(__file__).parents[3] / "docs/operate/retention.svg"
SVG = "{http://www.w3.org/2000/svg}"


def test_imagined_snapshots_are_at_even_distances_and_rules_hold() -> None:
    found = imagine(RetentionConfig(keep_last=2, keep_yearly=2), timedelta(hours=6), END)
    assert len(found) == SPAN // timedelta(hours=6)
    kept = [one.snapshot.committed_utc for one in found if one.kept]
    assert kept == [datetime(2025, 12, 31, 18, tzinfo=UTC), END - timedelta(hours=6), END]


def test_a_square_for_each_day_with_the_color_of_the_longest_rule() -> None:
    rules = RetentionConfig(keep_daily=3, keep_monthly=2, time_zone="Europe/Berlin")
    drawn = ET.fromstring(draw_svg(imagine(rules, timedelta(days=1), END), "Europe/Berlin", "a < b"))
    said = {
        title.text: rect.get("fill")
        for rect in drawn.iter(f"{SVG}rect")
        if (title := rect.find(f"{SVG}title")) is not None
    }
    days = {text: fill for text, fill in said.items() if text and "stay" in text}
    assert len(days) == 4
    assert days["2026-11-29: 1 of 1 stay (daily 2026-11-29)"] != days["2026-10-31: 1 of 1 stay (monthly 2026-10)"]
    assert (
        days["2026-11-30: 1 of 1 stay (daily 2026-11-30, monthly 2026-11, newest)"]
        == days["2026-10-31: 1 of 1 stay (monthly 2026-10)"]
    )
    assert {"daily", "monthly", "forgotten", "no snapshot"} <= set(said)
    assert "a < b" in {one.text for one in drawn.iter(f"{SVG}text")}


def test_the_picture_of_the_documentation_is_what_the_command_draws() -> None:
    kept = "keep_last = 4, keep_daily = 14, keep_weekly = 8, keep_monthly = 12, keep_yearly = 3 (UTC)"
    title = f"One snapshot every 6h: {kept}"
    assert PICTURE.read_text() == draw_svg(imagine(RULES, timedelta(hours=6), END), "UTC", title)
