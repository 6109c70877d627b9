"""AdaMem server: the long-term memory of LLM agents (see README.md for the map of the rooms)."""

from importlib.metadata import version

__version__ = version("adamem-server")
