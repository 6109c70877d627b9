import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adamem_server.cli.splitting import (
    MAX_BLOCK_CHARS,
    Passage,
    split_lines,
    split_markdown,
    split_text,
)

LINE = st.one_of(
    st.just(""),
    st.text(max_size=60),
    st.text("abc .!?»\"' ", max_size=120),
    st.sampled_from(
        ["# A", "## B ##", "### C", "#no", "```", "~~~python", "---", "===", "- item", "12. item", "    code"]
    ),
    st.lists(st.sampled_from(["Слово", "word", "e.g.", "end.", "“Yes.”", "конец!"]), max_size=30).map(" ".join),
)
LINES = st.lists(LINE.map(lambda line: line.replace("\n", " ") + "\n"), max_size=25)
SIZE = st.integers(1, 200)


def solid(text: str) -> str:
    return "".join(each for each in text if not each.isspace())


@pytest.mark.parametrize("split", [split_text, split_markdown])
@given(lines=LINES, max_chars=SIZE)
@example(lines=["".join(["a"] * 50)], max_chars=7)
@example(lines=["。。。。。。。。。。"], max_chars=3)
def test_nothing_is_lost_and_no_passage_is_too_long(split, lines, max_chars) -> None:
    passages = list(split(lines, max_chars))
    assert "".join(solid(each.text) for each in passages) == solid("".join(lines))
    assert all(0 < len(each.text) <= max_chars for each in passages)
    assert all(each.text == each.text.strip() or each.text.strip() for each in passages)


@given(LINES)
def test_a_line_a_passage_loses_nothing(lines) -> None:
    assert "".join(solid(each.text) for each in split_lines(lines)) == solid("".join(lines))


@given(LINES)
@example(["```\n"])
def test_the_lines_need_not_fit_into_memory(lines) -> None:
    read = 0

    def counted():
        nonlocal read
        for _ in range(10_000):
            for line in [*lines, "A paragraph.\n", "\n"]:
                read += 1
                yield line

    assert next(split_text(counted(), 100)).text
    assert next(split_markdown(counted(), 100)).text
    assert read < 3 * MAX_BLOCK_CHARS


def test_a_paragraph_without_an_end_is_cut() -> None:
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "word " * 20 + "\n"

    assert len(next(split_text(endless(), 800)).text) <= 800
    assert len(next(split_markdown(["```\n", *(next(endless()) for _ in range(2000))], 800)).text) <= 800
    assert read * 100 < 2 * MAX_BLOCK_CHARS + 300_000


def test_short_paragraphs_share_a_passage_and_long_ones_do_not() -> None:
    short, long = "Short one.", "x" * 70
    assert [each.text for each in split_text([short, "", short, "", long, "", long], 80)] == [
        f"{short}\n\n{short}",
        long,
        long,
    ]


def test_cuts_between_sentences() -> None:
    text = "One is here. Two is “there.” Three! Is four? Yes."
    assert [each.text for each in split_text([text], 30)] == ["One is here. Two is “there.”", "Three! Is four? Yes."]


def test_cuts_between_words_where_a_sentence_is_too_long() -> None:
    assert [each.text for each in split_text(["alpha beta gamma delta"], 11)] == ["alpha beta", "gamma delta"]


def test_list_items_stay_whole() -> None:
    items = [f"{n}. Item number {n} says this. And that." for n in range(8, 13)]
    for each in split_text(items, 90):
        assert each.text[:2].rstrip(".").isdigit()
        assert each.text.endswith("that.")


def test_headings_make_sections_and_open_them() -> None:
    document = """Before all.

# Guide
## Install
Run it.

Then wait.
## Use #
Ask.
Deep
----
Down here.
# Other
"""
    assert list(split_markdown(document.splitlines(), 200)) == [
        Passage("Before all.", ()),
        Passage("# Guide\n## Install\nRun it.\n\nThen wait.", ("Guide", "Install")),
        Passage("## Use #\nAsk.\nDeep\n----\nDown here.", ("Guide", "Use")),
        Passage("# Other", ("Other",)),
    ]


def test_signs_that_close_a_heading_are_no_words() -> None:
    lines = ["# One ##\n", "a\n", "## C#\n", "b\n", "### # #\n", "c\n", "#### #\n", "d\n"]
    assert [each.headings for each in split_markdown(lines)] == [
        ("One",), ("One", "C#"), ("One", "C#", "#"), ("One", "C#", "#"),
    ]  # fmt: skip


def test_a_heading_of_many_spaces_takes_no_time() -> None:
    # A pattern that tries each space as the end of the words needs a minute for this one.
    (passage,) = split_markdown(["# a" + " " * 60_000 + "b\n", "c\n"], 100_000)
    assert passage.headings == ("a" + " " * 60_000 + "b",)


def test_an_underlined_line_is_a_heading() -> None:
    assert list(split_markdown(["Title", "=====", "", "Text.", "", "Part", "---", "More."])) == [
        Passage("Title\n=====\nText.", ("Title",)),
        Passage("Part\n---\nMore.", ("Title", "Part")),
    ]


def test_a_comment_in_a_code_block_is_no_heading() -> None:
    document = ["# Real", "```sh", "# no heading", "", "ls", "```", "# Next", "~~~", "``` # still code", "~~~"]
    assert [each.headings for each in split_markdown(document)] == [("Real",), ("Next",)]
    assert next(split_markdown(document)).text == "# Real\n```sh\n# no heading\n\nls\n```"


def test_a_section_that_is_cut_keeps_its_headings() -> None:
    passages = list(split_markdown(["# A", "## B", *["A sentence of some length." for _ in range(20)]], 120))
    assert len(passages) > 4
    assert {each.headings for each in passages} == {("A", "B")}
    assert passages[0].text.startswith("# A\n## B\nA sentence")
