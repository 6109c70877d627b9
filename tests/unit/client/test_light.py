"""The client without extras needs its three dependencies and nothing else."""

import subprocess
import sys

ONLY = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root in sys.stdlib_module_names or root in {"adamem", "google", "grpc", "grpc_status", "typing_extensions"}:
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refusing())
import adamem, adamem.changes, adamem.filters, adamem.integrations.mem0
adamem.Client("localhost:1").close()
try:
    import adamem.integrations.langchain
except ModuleNotFoundError as error:
    print(error.name)
"""


def test_it_imports_with_grpc_and_protobuf_alone() -> None:
    done = subprocess.run([sys.executable, "-c", ONLY], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "langchain_core"


def test_importing_it_imports_no_framework() -> None:
    code = "import adamem, sys; print([m for m in sys.modules if m.startswith(('adamem.integrations', 'numpy'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"
