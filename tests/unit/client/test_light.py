"""The client without extras needs grpcio and protobuf alone; what needs more says in which extra it is."""

import subprocess
import sys

import pytest

ONLY = """
import sys

# typing_extensions comes with grpcio.
ALLOWED = {"adamem", "google", "grpc", "typing_extensions"}

class Refusing:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        known = root in sys.stdlib_module_names or root in ALLOWED
        if known and not name.startswith(("google.rpc", "google.api")):
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refusing())
"""
IMPORTS = """
import importlib, pkgutil, adamem
for module in pkgutil.walk_packages(adamem.__path__, "adamem."):
    if not module.name.startswith("adamem.integrations."):
        importlib.import_module(module.name)
import adamem.integrations.mem0
from adamem.v1 import memory_service_pb2
assert "google.rpc.status_pb2" not in sys.modules
client = adamem.Client("localhost:1", max_attempts=1)
try:
    client.update("x", vector=[1.0, 2.0], metadata={"a": 1})
except adamem.UnavailableError as error:
    print(type(error).__name__)
error = adamem.errors.error_from_status(memory_service_pb2.UpdateResult().status)
assert error.code.name == "OK"
"""


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_everything_but_the_frameworks_imports_with_grpcio_and_protobuf_alone() -> None:
    assert ran(ONLY + IMPORTS) == "UnavailableError"


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("langgraph", "langgraph", "langgraph"),
        ("llama_index", "llama_index", "llama-index"),
    ],
)
def test_a_framework_that_is_missing_names_its_extra(module: str, missing: str, extra: str) -> None:
    code = f"""
try:
    import adamem.integrations.{module}
except ModuleNotFoundError as error:
    print(error.name.partition(".")[0], error)
"""
    said = f"No module named {missing!r}: it comes with `pip install 'adamem-client[{extra}]'`"
    assert ran(ONLY + code) == f"{missing} {said}"


def test_importing_it_imports_nothing_that_is_optional() -> None:
    heavy = ("adamem.integrations", "numpy", "pandas")
    assert ran(f"import adamem, sys; print([m for m in sys.modules if m.startswith({heavy!r})])") == "[]"
