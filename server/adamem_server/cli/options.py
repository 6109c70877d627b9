"""Options that several commands share. Each option has an environment variable: MEMORY_, the command, its name."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from adamem_server.cli.session import Session

SCOPE = ("user_id", "agent_id", "conversation_id")
KINDS = ("fact", "message", "preference", "document", "summary")
METHODS = ("auto", "extractive", "llm")
DUPLICATE_SCOPE = ("namespace", *SCOPE, "kind", "role", "source", "time")
_F = TypeVar("_F", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[_F], _F]:
    """A click option whose help names its environment variable and its default."""
    return click.option(*names, show_envvar=True, show_default=True, **settings)


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Session), name, value)

    return callback


json_option = option(
    "--json", is_flag=True, expose_value=False, callback=_set("as_json"), help="Print JSON, one object a line."
)
namespace_option = option(
    "-n",
    "--namespace",
    expose_value=False,
    callback=_set("namespace"),
    metavar="NAME",
    help="The namespace; overrides the one before the command.",
)
erase_option = option(
    "--erase", is_flag=True, help="Wait until no byte of it is left on disk, at a pass over the data file."
)
yes_option = option("-y", "--yes", is_flag=True, help="Do not ask before deleting.")


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object, checked where it is typed."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The object as a dictionary."""
        try:
            decoded = value if isinstance(value, dict) else json.loads(value)
        except json.JSONDecodeError as error:
            self.fail(f"{value!r} is no JSON: {error}", param, ctx)
        if not isinstance(decoded, dict):
            self.fail(f"{value!r} is no JSON object", param, ctx)
        return decoded


class Weight(click.ParamType[tuple[str, float]]):
    """NAME=NUMBER."""

    name = "weight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The name and the number."""
        if isinstance(value, tuple):
            return value
        name, _, number = value.partition("=")
        try:
            return name, float(number)
        except ValueError:
            self.fail(f"{value!r} is not NAME=NUMBER, such as recency=1", param, ctx)


def slot_options(command: _F) -> _F:
    """Kind, scope, role, tags, metadata, importance, times and pin of slots to store."""
    for each in (
        option("--pinned", is_flag=True, help="It is never archived."),
        option(
            "--language", default="", metavar="XX", help="Of the content, two letters; told by its words if left out."
        ),
        option("--expires-at", metavar="TIME", help="When it stops being returned, RFC 3339."),
        option(
            "--ttl-s",
            type=float,
            metavar="SECONDS",
            help="Seconds from now after which it stops being returned; inf: never.",
        ),
        option("--created-at", metavar="TIME", help="When it was made, RFC 3339; now unless given."),
        option("--importance", type=float, metavar="0..1", help="How much it matters; 0.5 unless given."),
        option("--metadata", type=JsonObject(), metavar="JSON", help="An object of yours, kept with it."),
        option("--tag", multiple=True, metavar="TAG", help="A label; may be repeated."),
        option("--role", default="", help="Who said it, such as user or assistant."),
        option("--conversation-id", default="", help="The conversation that it comes from."),
        option("--agent-id", default="", help="The agent that learned it."),
        option("--user-id", default="", help="The person that it is about."),
        option("--kind", type=click.Choice(KINDS), help="The sort of memory; fact unless given."),
    ):
        command = each(command)
    return command


def filter_options(command: _F) -> _F:
    """Conditions on slots, joined into one filter by `joined_filter`."""
    for each in (
        option("--filter", type=JsonObject(), metavar="JSON", help=FILTER_HELP),
        option("--tag", multiple=True, metavar="TAG", help="With this label; may be repeated: all of them."),
        option("--conversation-id", help="From this conversation."),
        option("--agent-id", help="Of this agent."),
        option("--user-id", help="About this person."),
        option("--kind", type=click.Choice(KINDS), help="Of this kind."),
    ):
        command = each(command)
    return command


STALE = ("stale", "never_used")
FINDINGS = ("recall_loops", "stale", "never_used", "secrets", "expired", "superseded")
stale_days_option = option(
    "--stale-days",
    type=int,
    metavar="N",
    help="What was neither used nor written for N days is stale; 90 unless given.",
)


def finding_options(command: _F) -> _F:
    """Slots that `adamem report` counts."""
    finding = option("--finding", type=click.Choice(FINDINGS), help="All slots that `adamem report` counts so.")
    return finding(stale_days_option(command))


scope_option = option(
    "--duplicate-scope",
    multiple=True,
    type=click.Choice(DUPLICATE_SCOPE),
    help="What must agree between duplicates; may be repeated.",
)


def duplicate_options(command: _F) -> _F:
    """What a namespace does with duplicates; joined by `joined_policy`."""
    for each in (
        option(
            "--on-recalled", type=click.Choice(["mark", "skip"]), help="What was just recalled and is stored again."
        ),
        scope_option,
        option("--duplicate-threshold", type=float, metavar="0..1", help="Least cosine of near duplicates."),
        option("--on-duplicate", type=click.Choice(["keep", "skip", "merge"]), help="A duplicate that is written."),
    ):
        command = each(command)
    return command


def archive_options(command: _F) -> _F:
    """What a namespace keeps found; joined by `joined_archive`."""
    for each in (
        option(
            "--half-life-s",
            type=float,
            metavar="SECONDS",
            help="After which the importance of an unused slot is halved; 30 days unless given, 0: never.",
        ),
        option("--min-importance", type=float, metavar="0..1", help="Archive slots of which less is left; 0: none."),
        option("--max-bytes", type=int, metavar="N", help="Archive the least important beyond it; 0: no limit."),
        option("--max-slots", type=int, metavar="N", help="Archive the least important beyond it; 0: no limit."),
    ):
        command = each(command)
    return command


def joined_archive(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of `archive_options`; None where none is given."""
    policy = {name: given[name] for name in ("max_slots", "max_bytes", "min_importance", "half_life_s")}
    return policy if any(value is not None for value in policy.values()) else None


def joined_policy(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of `duplicate_options`; None where none is given."""
    policy = {
        "on_duplicate": given["on_duplicate"],
        "on_recalled": given["on_recalled"],
        "threshold": given["duplicate_threshold"],
        "scope": given["duplicate_scope"],
    }
    return policy if any(value not in (None, ()) for value in policy.values()) else None


def consolidation_options(command: _F) -> _F:
    """When and how a namespace is consolidated by itself; joined by `joined_consolidation`."""
    for each in (
        option("--consolidate-threshold", type=float, metavar="0..1", help="Least cosine outside of conversations."),
        option("--consolidate-max-chars", type=int, metavar="N", help="Most characters of a summary; 1000 at first."),
        option("--consolidate-method", type=click.Choice(METHODS), help="What writes its summaries; auto at first."),
        option(
            "--consolidate-every-s", type=float, metavar="SECONDS", help="Sum up so long after the last time; 0: not."
        ),
        option("--consolidate-after-slots", type=int, metavar="N", help="Sum up after so many new slots; 0: not."),
    ):
        command = each(command)
    return command


def joined_consolidation(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of `consolidation_options`; None where none is given."""
    names = ("after_slots", "every_s", "method", "max_chars", "threshold")
    policy = {name: given[f"consolidate_{name}"] for name in names}
    return policy if any(value is not None for value in policy.values()) else None


FILTER_HELP = """A condition such as '{"importance": {"$gte": 0.5}, "metadata.lang": "ru"}'."""


def joined_filter(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of `filter_options` as one filter dictionary; None where none is given."""
    parts: list[dict[str, Any]] = [given["filter"]] if given["filter"] else []
    parts += [{field: given[field]} for field in ("kind", *SCOPE) if given[field]]
    parts += [{"tags": tag} for tag in given["tag"]]
    if len(parts) == 1:
        return parts[0]  # an error then has the path that was given
    return {"$and": parts} if parts else None
