from __future__ import annotations

import pytest

from tests.benchmarks.report import PAGE, RAW, README, ROOT, page_part, put_between_marks, readme_part
from tests.benchmarks.results import read_results


@pytest.mark.parametrize("page", [README, PAGE])
def test_the_published_tables_are_those_of_the_published_results(page: str) -> None:
    part = ""
    if (ROOT / RAW).exists():
        published = read_results(ROOT / RAW)
        part = readme_part(published) if page == README else page_part(published)
    text = (ROOT / page).read_text()
    assert put_between_marks(text, part).split() == text.split()
