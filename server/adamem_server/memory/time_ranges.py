# ruff: noqa: RUF001 - Russian words
"""Times that a query names, in English and Russian, as ranges: pure functions, without I/O.

Dates are read in UTC. A month or weekday without a year is the last one that has begun; "this", "last", "прошлый" and
the like move it. What is not understood gives no range: a range only lifts slots, so a miss costs nothing.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

TimeRange = tuple[datetime, datetime]

_MONTHS: Final = (
    ("january", "jan", "январ"),
    ("february", "feb", "феврал"),
    ("march", "mar", "март"),
    ("april", "apr", "апрел"),
    ("may", "май", "мая", "мае"),
    ("june", "jun", "июн"),
    ("july", "jul", "июл"),
    ("august", "aug", "август"),
    ("september", "sept", "sep", "сентябр"),
    ("october", "oct", "октябр"),
    ("november", "nov", "ноябр"),
    ("december", "dec", "декабр"),
)
_WEEKDAYS: Final = (
    ("monday", "понедельник"),
    ("tuesday", "вторник"),
    ("wednesday", "сред"),
    ("thursday", "четверг"),
    ("friday", "пятниц"),
    ("saturday", "суббот"),
    ("sunday", "воскресень"),
)
_CALENDAR_ENDINGS: Final = "(?:ь|я|е|ем|ём|а|у|ом|ой|ю)?"
_NUMBERS: Final = {
    word: value
    for value, words in enumerate(
        ("", "a an one один одну", "two два две", "three три", "four четыре", "five пять", "six шесть", "seven семь")
    )
    for word in words.split()
}
_UNITS: Final = (
    ("day", r"days?|день|дня|дней"),
    ("week", r"weeks?|недел[юиея]|недель"),
    ("month", r"months?|месяц(?:а|ев|е)?"),
    ("year", r"years?|года?|году|лет"),
)


def _any(groups: tuple[tuple[str, ...], ...]) -> str:
    return "|".join(sorted((name for group in groups for name in group), key=len, reverse=True))


_MONTH: Final = rf"(?P<month>{_any(_MONTHS)}){_CALENDAR_ENDINGS}\.?"
_YEAR: Final = r"(?P<year>(?:19|20)\d\d)"
_DAY: Final = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th|-?го|-?е)?"
_UNIT: Final = "|".join(f"(?P<{name}>{pattern})" for name, pattern in _UNITS)
_LAST: Final = r"last|previous|прошл(?:ой|ом|ый|ую|ая|ого)"
_THIS: Final = r"this|current|эт(?:ой|ом|от|у|а|ого)"


def time_ranges(text: str, now: datetime) -> list[TimeRange]:
    """Ranges [start, end) that `text` names, in its order, in UTC.

    Understands dates ("7 May 2023", "May 7, 2023", "2023-05-07", "07.05.2023", "7 мая"), months ("in May 2023",
    "в мае"), years ("in 2022"), weekdays ("on Friday", "в прошлую пятницу"), "yesterday", "вчера", "last week",
    "на прошлой неделе", "this month", "two weeks ago", "3 дня назад". Costs some 40 microseconds.

    Args:
        text: The query.
        now: The time of asking, with a time zone.
    """
    now = now.astimezone(UTC)
    lowered = text.lower().replace("ё", "е")
    found: list[tuple[int, TimeRange]] = []
    for pattern, read in _RULES:
        for match in pattern.finditer(lowered):
            try:
                span = read(match, now)
            except (ValueError, OverflowError):
                # "31 February", "9,999 years ago": no such day.
                continue
            found.append((match.start(), span))
        # What one rule has read is not read again as a part: "7 May 2023" is not also May.
        lowered = pattern.sub(lambda match: " " * len(match[0]), lowered)
    return [span for _, span in sorted(found)]


def _day(year: int, month: int, day: int) -> TimeRange:
    start = datetime(year, month, day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def _month(year: int, month: int) -> TimeRange:
    start = datetime(year, month, 1, tzinfo=UTC)
    return start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def _year(year: int) -> TimeRange:
    return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)


def _index(name: str, groups: tuple[tuple[str, ...], ...]) -> int:
    return next(i for i, group in enumerate(groups) if name in group)


def _written_day(match: re.Match[str], now: datetime) -> TimeRange:
    month, day = _index(match["month"], _MONTHS) + 1, int(match["day"])
    if match["year"]:
        return _day(int(match["year"]), month, day)
    span = _day(now.year, month, day)
    return span if span[0] <= now else _day(now.year - 1, month, day)


def _written_month(match: re.Match[str], now: datetime) -> TimeRange:
    month = _index(match["month"], _MONTHS) + 1
    if match["year"]:
        return _month(int(match["year"]), month)
    return _month(now.year - (month > now.month), month)


def _numeric_day(match: re.Match[str], now: datetime) -> TimeRange:  # noqa: ARG001 - one shape for all
    return _day(int(match["year"]), int(match["number"]), int(match["day"]))


def _written_year(match: re.Match[str], now: datetime) -> TimeRange:  # noqa: ARG001 - one shape for all
    return _year(int(match["year"]))


def _weekday(match: re.Match[str], now: datetime) -> TimeRange:
    back = (now.weekday() - _index(match["weekday"], _WEEKDAYS)) % 7
    if back == 0 and match["last"]:
        back = 7
    then = now - timedelta(days=back)
    return _day(then.year, then.month, then.day)


def _named_day(match: re.Match[str], now: datetime) -> TimeRange:
    then = now - timedelta(days=_DAYS_BACK[match[0]])
    return _day(then.year, then.month, then.day)


def _unit(match: re.Match[str], now: datetime, back: int) -> TimeRange:
    """The calendar day, week, month or year that is `back` before the one of now."""
    if match["day"]:
        then = now - timedelta(days=back)
        return _day(then.year, then.month, then.day)
    if match["week"]:
        then = now - timedelta(days=now.weekday(), weeks=back)
        start, _ = _day(then.year, then.month, then.day)
        return start, start + timedelta(weeks=1)
    if match["month"]:
        months = now.year * 12 + now.month - 1 - back
        return _month(months // 12, months % 12 + 1)
    return _year(now.year - back)


def _last_unit(match: re.Match[str], now: datetime) -> TimeRange:
    return _unit(match, now, 1)


def _this_unit(match: re.Match[str], now: datetime) -> TimeRange:
    return _unit(match, now, 0)


def _ago(match: re.Match[str], now: datetime) -> TimeRange:
    count = match["count"]
    return _unit(match, now, int(count) if count.isdigit() else _NUMBERS.get(count, 1))


_DAYS_BACK: Final = {"today": 0, "сегодня": 0, "yesterday": 1, "вчера": 1, "позавчера": 2}
# "Неделю назад" has no count; a count that is no number known here is not read as one.
_COUNT: Final = rf"(?P<count>\d{{1,4}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))}|(?<!\d)(?<!\d\s))"
_Rule = tuple[re.Pattern[str], Callable[[re.Match[str], datetime], TimeRange]]
# Longer forms come first. "May" and "mar" alone may be words, so a bare month needs a preposition or a year.
_RULES: Final[tuple[_Rule, ...]] = tuple(
    (re.compile(rf"\b(?:{pattern})\b"), read)
    for pattern, read in (
        (r"(?P<year>\d{4})-(?P<number>\d\d)-(?P<day>\d\d)", _numeric_day),
        (r"(?P<day>\d{1,2})\.(?P<number>\d{1,2})\.(?P<year>\d{4})", _numeric_day),
        (rf"{_DAY}\s+(?:of\s+)?{_MONTH},?(?:\s+{_YEAR})?", _written_day),
        (rf"{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?", _written_day),
        (rf"{_MONTH},?\s+(?:of\s+)?{_YEAR}", _written_month),
        (rf"(?:in|during|since|в)\s+{_MONTH}(?P<year>)", _written_month),
        (rf"(?P<last>{_LAST})?\s*\b(?P<weekday>{_any(_WEEKDAYS)}){_CALENDAR_ENDINGS}", _weekday),
        ("|".join(sorted(_DAYS_BACK, key=len, reverse=True)), _named_day),
        (rf"(?:{_LAST})\s+(?:{_UNIT})", _last_unit),
        (rf"(?:{_THIS})\s+(?:{_UNIT})", _this_unit),
        (rf"{_COUNT}\s*\b(?:{_UNIT})\s+(?:ago|назад)", _ago),
        (rf"(?:in|during|of|since|в)\s+{_YEAR}(?:\s+году)?", _written_year),
    )
)
