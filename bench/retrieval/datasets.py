"""Files of LoCoMo's and XQuAD's form, read into turns, paragraphs and questions.

Source: Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", 2024; Artetxe et al., "On the
Cross-lingual Transferability of Monolingual Representations", 2020, whose files have the form of SQuAD.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CATEGORIES = {1: "multi_hop", 2: "temporal", 3: "open_domain", 4: "single_hop"}
ADVERSARIAL = 5
"""Category of questions that the conversation does not answer."""
DATE_FORM = "%I:%M %p on %d %B, %Y"
_SESSION = re.compile(r"session_(\d+)")
_SPAN = re.compile(r"(\d+)\s*:\s*(\d+)(?:\s*[-\u2013]\s*(?:D?\s*:?\s*(\d+)\s*:\s*)?(\d+))?")
_LANGUAGES = ("ru", "en")
_NAMED = re.compile(r"xquad\.([a-z]{2})\b.*")


class DataError(Exception):
    """A file is missing or has another form; the message is one line for the user."""


@dataclass(frozen=True)
class Turn:
    """What somebody said once in a conversation."""

    dia_id: str
    session: int
    said_at: datetime
    """The session's date; dates of LoCoMo have no zone and are taken as UTC."""
    text: str
    """"Speaker: words", and the caption of a picture where there is one."""


@dataclass(frozen=True)
class Question:
    """A question about a conversation."""

    text: str
    category: int
    evidence: tuple[int, ...]
    """Positions of the turns that answer it, ascending. Ids that name no turn are left out."""


@dataclass(frozen=True)
class Conversation:
    """A dialogue over many sessions, and questions about it."""

    id: str
    turns: tuple[Turn, ...]
    questions: tuple[Question, ...]

    @property
    def asked_at(self) -> datetime:
        """When its questions are asked: the date of the last session."""
        return self.turns[-1].said_at

    @property
    def answerable(self) -> list[Question]:
        """Questions of categories 1 to 4 with evidence."""
        return [one for one in self.questions if one.category in CATEGORIES and one.evidence]

    @property
    def adversarial(self) -> list[Question]:
        """Questions that it does not answer."""
        return [one for one in self.questions if one.category == ADVERSARIAL]


@dataclass(frozen=True)
class Paragraphs:
    """Paragraphs of one language, and questions that one of them answers."""

    language: str
    texts: tuple[str, ...]
    questions: tuple[tuple[str, str, int], ...]
    """Id, text, and the position of the paragraph."""


def read_locomo(path: Path) -> list[Conversation]:
    """All conversations of a file with an answerable question, in its order.

    Raises:
        DataError: It cannot be read, or has another form.
    """
    found = _json(path)
    try:
        conversations = [_conversation(each, position) for position, each in enumerate(found)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path} has not the form of LoCoMo: {type(error).__name__} {error}") from error
    kept = [each for each in conversations if each.answerable]
    if not kept:
        raise DataError(f"{path} holds no question with evidence")
    return kept


def read_xquad(paths: Sequence[Path]) -> tuple[Paragraphs, Paragraphs]:
    """Russian and English paragraphs, from a folder or from the two files.

    Two files may be of other languages than these, which their names then tell: `xquad.de.json` is German.

    Raises:
        DataError: A file is missing or has another form, or the two have no question in common.
    """
    files = _in_folder(paths[0]) if len(paths) == 1 else list(paths)
    if len(files) != len(_LANGUAGES):
        raise DataError(f"XQuAD: a folder, or a Russian and an English file, not {len(files)} files")
    russian, english = (
        _paragraphs(path, _language(path, usual)) for path, usual in zip(files, _LANGUAGES, strict=True)
    )
    if russian.language == english.language:
        raise DataError(f"{files[0]} and {files[1]} are of one language by their names")
    if not {each[0] for each in russian.questions} & {each[0] for each in english.questions}:
        raise DataError(f"{files[0]} and {files[1]} have no question id in common")
    return russian, english


def spans(evidence: str) -> list[tuple[int, int, int]]:
    """The turns that an evidence text names: (session, first turn, last turn).

    Reads "D1:3", several with anything between them, "D:11:26", leading zeros, and ranges ("D1:3-5", "D1:3-D1:5"). A
    range over two sessions names its two ends alone.
    """
    found = []
    for session, first, last_session, last in _SPAN.findall(evidence):
        if last and last_session and int(last_session) != int(session):
            found += [(int(session), int(first), int(first)), (int(last_session), int(last), int(last))]
        else:
            ends = sorted((int(first), int(last or first)))
            found.append((int(session), ends[0], ends[1]))
    return found


def positions(evidence: Iterable[str], turns: Sequence[Turn]) -> tuple[int, ...]:
    """Positions of the turns that evidence texts name, ascending; what names no turn is left out."""
    wanted = [span for each in evidence for span in spans(each)]
    keys = [spans(turn.dia_id) for turn in turns]
    return tuple(
        position
        for position, key in enumerate(keys)
        if key and any(session == key[0][0] and first <= key[0][1] <= last for session, first, last in wanted)
    )


def _conversation(given: dict[str, Any], position: int) -> Conversation:
    talk = given["conversation"]
    numbers = sorted(int(match[1]) for key in talk if (match := _SESSION.fullmatch(key)) and talk[key])
    if not numbers:
        raise ValueError(f"conversation {position} has no session")
    turns = tuple(turn for number in numbers for turn in _session(talk, number))
    questions = tuple(
        Question(str(each["question"]), int(each["category"]), positions(_texts(each.get("evidence")), turns))
        for each in given["qa"]
    )
    return Conversation(str(given.get("sample_id", position)), turns, questions)


def _texts(evidence: Any) -> list[str]:
    """Evidence as a list, which it is in LoCoMo."""
    listed = [evidence] if isinstance(evidence, str) else evidence or []
    return [str(each) for each in listed]


def _session(talk: dict[str, Any], number: int) -> Iterable[Turn]:
    said_at = datetime.strptime(talk[f"session_{number}_date_time"], DATE_FORM).replace(tzinfo=UTC)
    for each in talk[f"session_{number}"]:
        text = f"{each['speaker']}: {each.get('text', '')}"
        if caption := each.get("blip_caption"):
            text += f" [picture: {caption}]"
        yield Turn(each["dia_id"], number, said_at, text)


def _paragraphs(path: Path, language: str) -> Paragraphs:
    found = _json(path)
    texts: list[str] = []
    questions = []
    try:
        for each in (paragraph for article in found["data"] for paragraph in article["paragraphs"]):
            questions += [(str(one["id"]), str(one["question"]), len(texts)) for one in each["qas"]]
            texts.append(str(each["context"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} has not the form of XQuAD: {type(error).__name__} {error}") from error
    if not questions:
        raise DataError(f"{path} holds no question")
    return Paragraphs(language, tuple(texts), tuple(questions))


def _language(path: Path, usual: str) -> str:
    named = _NAMED.fullmatch(path.name)
    return named[1] if named else usual


def _in_folder(folder: Path) -> list[Path]:
    files = []
    for language in _LANGUAGES:
        matching = sorted(folder.glob(f"xquad.{language}*.json"))
        if len(matching) != 1:
            raise DataError(f"XQuAD: {folder} holds {len(matching)} files xquad.{language}*.json, one is expected")
        files += matching
    return files


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
