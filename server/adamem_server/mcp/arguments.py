"""What the tools take. The descriptions here are what a model reads, so they say when and how, not only what."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

MAX_HITS: Final = 50
MAX_PAGE: Final = 200

Kind = Literal["fact", "message", "preference", "document", "summary"]


def _undefaulted(schema: dict[str, Any]) -> None:
    """Some hosts refuse a default of null beside a type."""
    schema.pop("default", None)


def _time(text: str) -> str:
    """A date or time of ISO 8601 as RFC 3339; without a zone it is UTC."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def _optional(description: str) -> Any:
    return Field(default=None, description=description, json_schema_extra=_undefaulted)


_Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
_Labels = Annotated[list[_Text], Field(max_length=64)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Time = Annotated[str, AfterValidator(_time)]
_Id = Annotated[_Text, Field(description="The memory's id, as search_memories, get_memories or add_memory gave it.")]


class Arguments(BaseModel):
    """Of any tool; what is not known is refused, so that no argument is silently without effect."""

    model_config = ConfigDict(extra="forbid")


class AddMemory(Arguments):
    """Of add_memory."""

    text: _Text = Field(
        description="The memory: one self-contained statement that is understood without the conversation, with names"
        " instead of pronouns and dates instead of 'yesterday'. Store separate facts by separate calls."
    )
    cue: str = Field(
        default="", description="The question that this answers, such as 'Where does Ann live?'; makes it easier found."
    )
    kind: Kind = Field(
        default="fact",
        description="fact: something that holds. preference: what somebody likes or wants. message: a turn of a"
        " conversation as it was said. document: a passage of a longer text. summary: of other memories.",
    )
    tags: _Labels = Field(default=[], description="Labels to filter by later, such as a project's name.")
    metadata: dict[str, Any] = Field(default={}, description="A JSON object that is kept with it, such as a source.")
    importance: _Share = Field(default=0.5, description="0: a trifle, 1: vital.")
    conversation_id: str = Field(default="", description="The conversation or task that it comes from.")
    ttl_s: Annotated[float, Field(gt=0)] | SkipJsonSchema[None] = _optional(
        "Seconds after which it is forgotten. Leave it out for what shall stay."
    )


class _Conditions(Arguments):
    kind: Kind | SkipJsonSchema[None] = _optional("Only memories of this kind.")
    tags: _Labels = Field(default=[], description="Only memories with all of these tags.")
    conversation_id: str = Field(default="", description="Only memories of this conversation.")
    created_after: _Time | SkipJsonSchema[None] = _optional(
        "Only memories made at or after this time, ISO 8601, such as 2026-01-31 or 2026-01-31T09:30:00Z."
    )
    created_before: _Time | SkipJsonSchema[None] = _optional("Only memories made before this time, ISO 8601.")

    def conditions(self) -> list[dict[str, Any]]:
        """As filters, all of which have to hold."""
        found: list[dict[str, Any]] = [{"tags": tag} for tag in self.tags]
        if self.kind is not None:
            found.append({"kind": self.kind})
        if self.conversation_id:
            found.append({"conversation_id": self.conversation_id})
        if self.created_after is not None:
            found.append({"created_at": {"$gte": self.created_after}})
        if self.created_before is not None:
            found.append({"created_at": {"$lt": self.created_before}})
        return found


class SearchMemories(_Conditions):
    """Of search_memories."""

    query: _Text = Field(
        description="A question or a phrase in plain words, in the user's language, such as 'What is Ann allergic to?'."
        " Times such as 'in May 2023' are understood."
    )
    limit: int = Field(default=10, ge=1, le=MAX_HITS, description="The most memories to return.")


class GetMemory(Arguments):
    """Of get_memory."""

    memory_id: _Id


class GetMemories(_Conditions):
    """Of get_memories."""

    limit: int = Field(default=50, ge=1, le=MAX_PAGE, description="The most memories to return at once.")
    page_token: str = Field(
        default="", description="next_page_token of the call before, with the other arguments unchanged."
    )


class UpdateMemory(Arguments):
    """Of update_memory; what is left out stays."""

    memory_id: _Id
    text: _Text | SkipJsonSchema[None] = _optional("The new text, whole.")
    cue: str | SkipJsonSchema[None] = _optional("The new question that it answers; empty for none.")
    kind: Kind | SkipJsonSchema[None] = _optional("The new kind.")
    tags: _Labels | SkipJsonSchema[None] = _optional("The new tags, in place of all old ones.")
    metadata: dict[str, Any] | SkipJsonSchema[None] = _optional("The new metadata, in place of the old.")
    importance: _Share | SkipJsonSchema[None] = _optional("The new importance.")

    def changes(self) -> dict[str, Any]:
        """What was given of the slot's fields."""
        given = self.model_dump(exclude={"memory_id"}, exclude_none=True)
        return {"content" if name == "text" else name: value for name, value in given.items()}


class DeleteMemory(Arguments):
    """Of delete_memory."""

    memory_id: _Id


class DeleteAllMemories(Arguments):
    """Of delete_all_memories, which takes none."""
