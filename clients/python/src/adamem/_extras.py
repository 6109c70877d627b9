"""What is there only with an extra of the package: how it is imported, and what is said where it is missing."""

import importlib
from typing import Any


def missing_extra(error: ModuleNotFoundError, extra: str) -> ModuleNotFoundError:
    """The same error, with the command that installs what is missing."""
    package = (error.name or "").partition(".")[0]
    return ModuleNotFoundError(
        f"No module named {package!r}: it comes with `pip install 'adamem-client[{extra}]'`",
        name=error.name,
        path=error.path,
    )


def imported(module: str, extra: str) -> Any:
    """A module that an extra installs.

    Raises:
        ModuleNotFoundError: It is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_extra(error, extra) from error
