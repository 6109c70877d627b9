"""Structured logs on standard error, as JSON lines or as text. Never the content of memories.

Rooms take a logger with `get_logger` and log an event's name with its variables. Records of the standard `logging`,
which libraries use, pass through the same output.
"""

import logging
import sys
from typing import Any, Final, Literal, TypeAlias

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Format: TypeAlias = Literal["text", "json"]

_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)


def configure(level: Level, form: Format) -> None:
    """Set up the output; called once, before the rooms are built."""
    number = logging.getLevelNamesMapping()[level.upper()]
    renderers = _renderers(form)
    structlog.configure(
        processors=[*_SHARED, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name.removeprefix("adamem_server."))
    return logger


def _renderers(form: Format) -> list[Any]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)]
    # The default formatter of exceptions shows local variables, which hold memories.
    plain = structlog.dev.plain_traceback
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=plain, pad_event_to=0, timestamp_key="time", sort_keys=False
        )
    ]
