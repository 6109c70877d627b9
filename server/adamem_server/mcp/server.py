"""The MCP server over `ScopedMemories`: lists and calls tools, lists and reads resources."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from adamem import AdaMemError, SlotNotFoundError
from adamem_server import __version__
from adamem_server.mcp.arguments import GetMemories, GetMemory
from adamem_server.mcp.failures import told, told_arguments
from adamem_server.mcp.memories import Answer, ScopedMemories
from adamem_server.mcp.tools import INSTRUCTIONS, TOOLS, MemoryTool

ABOUT: Final = "adamem://about"
MEMORIES: Final = "adamem://memories"
_JSON: Final = "application/json"
_N_LISTED: Final = 100

Context = ServerRequestContext[Any]


class MemoryServer:
    """What answers a host.

    Args:
        memories: The only memories that it reads and writes.
        endpoint: Of the memory server, for messages.
        read_only: Tools that write are neither listed nor called.
    """

    def __init__(self, memories: ScopedMemories, endpoint: str, *, read_only: bool = False) -> None:
        self._memories = memories
        self._endpoint = endpoint
        self._tools: Mapping[str, MemoryTool] = {tool.name: tool for tool in TOOLS if not (read_only and tool.writes)}

    def protocol(self) -> Server[Any]:
        """The protocol's side, for any transport."""
        return Server(
            "adamem",
            version=__version__,
            title="AdaMem long-term memory",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )

    async def _list_tools(self, context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:  # noqa: ARG002
        return ListToolsResult(tools=[_described(tool) for tool in self._tools.values()])

    async def _call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult:  # noqa: ARG002
        tool = self._tools.get(params.name)
        if tool is None:
            return _failed(f"there is no tool {params.name!r}; the tools are {', '.join(self._tools)}")
        try:
            given = tool.arguments.model_validate(params.arguments or {})
        except ValidationError as error:
            return _failed(told_arguments(error, tool.name, tool.arguments.model_fields))
        try:
            answer = await tool.method(self._memories, given)
        except AdaMemError as error:
            print(f"adamem mcp: {tool.name}: {error.reason}: {error.message}", file=sys.stderr)  # noqa: T201
            return _failed(told(error, self._endpoint))
        return CallToolResult(content=[TextContent(text=_encoded(answer))], structured_content=answer)

    async def _list_resources(self, context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:  # noqa: ARG002
        return ListResourcesResult(
            resources=[
                Resource(
                    uri=ABOUT,
                    name="about",
                    title="About this memory",
                    description="Which namespace, user and agent it is of, and the server behind it.",
                    mime_type=_JSON,
                ),
                Resource(
                    uri=MEMORIES,
                    name="memories",
                    title="Memories",
                    description=f"The first {_N_LISTED} memories, oldest first; get_memories goes on from there.",
                    mime_type=_JSON,
                ),
            ]
        )

    async def _list_templates(
        self,
        context: Context,  # noqa: ARG002
        params: PaginatedRequestParams | None,  # noqa: ARG002
    ) -> ListResourceTemplatesResult:
        template = ResourceTemplate(
            uri_template=f"{MEMORIES}/{{memory_id}}",
            name="memory",
            title="A memory",
            description="One memory by its id.",
            mime_type=_JSON,
        )
        return ListResourceTemplatesResult(resource_templates=[template])

    async def _read_resource(self, context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:  # noqa: ARG002
        uri = str(params.uri)
        try:
            answer = await self._resource(uri)
        except AdaMemError as error:
            code = INVALID_PARAMS if isinstance(error, SlotNotFoundError | ValueError) else INTERNAL_ERROR
            raise MCPError(code, told(error, self._endpoint), {"uri": uri}) from error
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=_JSON, text=_encoded(answer))])

    async def _resource(self, uri: str) -> Answer:
        if uri == ABOUT:
            return await self._memories.about()
        if uri == MEMORIES:
            return await self._memories.page(GetMemories(limit=_N_LISTED))
        memory_id = uri.removeprefix(f"{MEMORIES}/")
        if memory_id in ("", uri):
            known = f"{ABOUT}, {MEMORIES} and {MEMORIES}/ID"
            raise MCPError(INVALID_PARAMS, f"there is no resource {uri!r}; there are {known}", {"uri": uri})
        return await self._memories.get(GetMemory(memory_id=memory_id))


def _described(tool: MemoryTool) -> Tool:
    schema = tool.arguments.model_json_schema()
    for part in (schema, *schema["properties"].values()):
        part.pop("title", None)  # the name once more
    schema.pop("description", None)  # of the class, for us
    return Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema,
        output_schema=tool.result,
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=not tool.writes,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.destructive or not tool.writes,
            open_world_hint=False,
        ),
    )


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _encoded(answer: Answer) -> str:
    return json.dumps(answer, ensure_ascii=False)
