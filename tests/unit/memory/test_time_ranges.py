"""Times in queries: each form in both languages, and texts that only look like one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamem_server.memory.time_ranges import time_ranges

MOMENTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    datetime(2090, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
# A Thursday.
NOW = datetime(2023, 6, 15, 12, tzinfo=UTC)


def days(text: str, now: datetime = NOW) -> list[tuple[str, int]]:
    """First day and length in days."""
    return [(start.date().isoformat(), (end - start).days) for start, end in time_ranges(text, now)]


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("What did she paint in May 2023?", "2023-05-01", 31),
        ("в мае 2023 года", "2023-05-01", 31),
        ("в мае", "2023-05-01", 31),
        ("in August", "2022-08-01", 31),
        ("on 7 May 2023", "2023-05-07", 1),
        ("May 7, 2023", "2023-05-07", 1),
        ("the 3rd of June", "2023-06-03", 1),
        ("7 мая", "2023-05-07", 1),
        ("2023-05-07", "2023-05-07", 1),
        ("07.05.2023", "2023-05-07", 1),
        ("on 30 December", "2022-12-30", 1),
        ("in 2022", "2022-01-01", 365),
        ("в 2022 году", "2022-01-01", 365),
        ("yesterday", "2023-06-14", 1),
        ("Что было вчера?", "2023-06-14", 1),
        ("позавчера", "2023-06-13", 1),
        ("today", "2023-06-15", 1),
        ("last week", "2023-06-05", 7),
        ("на прошлой неделе", "2023-06-05", 7),
        ("this month", "2023-06-01", 30),
        ("в этом месяце", "2023-06-01", 30),
        ("last year", "2022-01-01", 365),
        ("в прошлом году", "2022-01-01", 365),
        ("on Friday", "2023-06-09", 1),
        ("last Thursday", "2023-06-08", 1),
        ("в прошлую пятницу", "2023-06-09", 1),
        ("two weeks ago", "2023-05-29", 7),
        ("3 дня назад", "2023-06-12", 1),
        ("неделю назад", "2023-06-05", 7),
        ("a month ago", "2023-05-01", 31),
    ],
)
def test_a_named_time(text, start, length):
    assert days(text) == [(start, length)]


@pytest.mark.parametrize(
    "text",
    ["", "may I ask", "he marched in", "31 February 2023", "9999 years ago", "в среднем", "среди нас", "room 2022"],
)
def test_what_names_no_time(text):
    assert days(text) == []


def test_several_times_come_in_their_order():
    assert days("between 3 May 2023 and 5 May 2023, not in 2021") == [
        ("2023-05-03", 1),
        ("2023-05-05", 1),
        ("2021-01-01", 365),
    ]


def test_days_are_those_of_utc():
    east = datetime(2023, 6, 15, 1, tzinfo=timezone(timedelta(hours=3)))
    assert days("today", east) == [("2023-06-14", 1)]


@given(st.text(max_size=80), MOMENTS)
def test_any_text_gives_ranges_that_are_not_empty(text, now):
    assert all(start < end for start, end in time_ranges(text, now))


@given(st.integers(0, 400), MOMENTS)
def test_days_ago_hold_that_day(back, now):
    ((start, end),) = time_ranges(f"{back} days ago", now)
    assert start <= now - timedelta(days=back) < end
