"""What a model is told of a failure."""

import adamem
from adamem.errors import error_from_status
from adamem_server.errors import NamespaceNotFoundError
from adamem_server.mcp.failures import told
from adamem_server.rpc.errors import error_status


def test_a_model_learns_of_no_namespace_but_its_own() -> None:
    error = error_from_status(error_status(NamespaceNotFoundError("tema-blue", "team-blue")))
    assert isinstance(error, adamem.NamespaceNotFoundError)
    assert error.metadata == {"namespace": "tema-blue", "similar": "team-blue"}
    message = told(error, "localhost:50051")
    assert "'tema-blue'" in message
    assert "team-blue" not in message
