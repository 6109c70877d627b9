"""What a namespace learns: half of its questions teach through Feedback, the other half is asked before and after."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.retrieval.datasets import Conversation, Question
from bench.retrieval.locomo import Found, Stored, ask
from bench.retrieval.measures import CUTS, Judged, summary
from bench.retrieval.service import Service

SEED = 4
CUT = "r5"


def split(conversation: Conversation, number: int) -> tuple[list[int], list[int]]:
    """Positions of the answerable questions that teach, and of those that are tested; the greater half tests."""
    order = list(range(len(conversation.answerable)))
    random.Random(SEED * 1000 + number).shuffle(order)
    half = len(order) // 2
    return sorted(order[:half]), sorted(order[half:])


def untaught(taught: Sequence[Question], tested: Sequence[Question]) -> list[bool]:
    """Of each tested question, whether none of its evidence was taught."""
    known = {turn for question in taught for turn in question.evidence}
    return [not known & set(question.evidence) for question in tested]


def run(service: Service, stored: Sequence[Stored], mode: str) -> tuple[dict[str, float], dict[str, Any]]:
    """Teaches every namespace: figures over all tested questions, and means by conversation."""
    before: list[Judged] = []
    after: list[Judged] = []
    unknown: list[bool] = []
    table: dict[str, Any] = {}
    train_s = []
    for number, one in enumerate(stored):
        teaching, testing = split(one.conversation, number)
        questions = one.conversation.answerable
        taught, tested = ([questions[each] for each in chosen] for chosen in (teaching, testing))
        first = [judged for judged, _ in ask(service, one, tested, mode)]
        for question in taught:
            service.feedback(one.namespace, question.text, [one.slot_ids[turn] for turn in question.evidence])
        started = time.perf_counter()
        state = service.train(one.namespace)
        train_s.append(time.perf_counter() - started)
        then = [judged for judged, _ in ask(service, one, tested, mode)]
        fresh = untaught(taught, tested)
        table[one.conversation.id] = _row(first, then, fresh) | {"taught": len(taught), "adapter": str(state)}
        before, after, unknown = before + first, after + then, unknown + fresh
    values = figures(before, after, unknown)
    values["locomo_adapted_worst_gain_r5"] = min(row["gain"] for row in table.values())
    values["adapter_train_s_max"] = max(train_s)
    return values, table


def figures(before: Sequence[Judged], after: Sequence[Judged], fresh: Sequence[bool]) -> dict[str, float]:
    """Of the tested questions and of those whose evidence was never taught, without an adapter and with it."""
    values = {f"locomo_tested_{name}": value for name, value in summary(before).items()}
    values |= {f"locomo_adapted_{name}": value for name, value in summary(after).items()}
    values["locomo_adapted_gain_r5"] = values["locomo_adapted_r5"] - values["locomo_tested_r5"]
    if any(fresh):
        old, new = (summary(_chosen(judged, fresh))[CUT] for judged in (before, after))
        values |= {"locomo_untaught_r5": old, "locomo_untaught_adapted_r5": new, "locomo_untaught_gain_r5": new - old}
    return values


def of_peers(found: Found, conversations: Sequence[Conversation]) -> dict[str, float]:
    """The peers on the tested half: they do not learn, so their gain is none."""
    values: dict[str, float] = {}
    for system, each in found.judged.items():
        if system.startswith("peer_"):
            tested = [
                judged[position]
                for number, (judged, conversation) in enumerate(zip(each, conversations, strict=True))
                for position in split(conversation, number)[1]
            ]
            means = summary(tested)
            values |= {f"{system}_locomo_adapted_r{k}": means[f"r{k}"] for k in CUTS}
            values[f"{system}_locomo_untaught_gain_r5"] = 0.0
    return values


def _row(before: Sequence[Judged], after: Sequence[Judged], fresh: Sequence[bool]) -> dict[str, float]:
    old, new = summary(before)[CUT], summary(after)[CUT]
    row = {"tested": len(before), "before": old, "after": new, "gain": new - old, "untaught": sum(fresh)}
    if any(fresh):
        old, new = (summary(_chosen(judged, fresh))[CUT] for judged in (before, after))
        row |= {"untaught_before": old, "untaught_after": new, "untaught_gain": new - old}
    return row


def _chosen(judged: Sequence[Judged], wanted: Sequence[bool]) -> list[Judged]:
    return [one for one, is_wanted in zip(judged, wanted, strict=True) if is_wanted]


def lines(table: Mapping[str, Any]) -> list[str]:
    """The conversations as a table."""
    shown = [
        f"{'conversation':16}{'taught':>8}{'tested':>8}{'before':>8}{'after':>8}{'untaught':>10}{'before':>8}{'after':>8}"
    ]
    for name, row in table.items():
        known = (
            f"{name:16}{row['taught']:8}{row['tested']:8}{row['before']:8.3f}{row['after']:8.3f}{row['untaught']:10}"
        )
        fresh = (row.get("untaught_before"), row.get("untaught_after"))
        shown.append(known + "".join(f"{'-':>8}" if each is None else f"{each:8.3f}" for each in fresh))
    return shown
