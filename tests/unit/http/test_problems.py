"""Errors as problems: a status, a reason that stays, and what to do."""

from http import HTTPStatus

import pytest
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from adamem_server import errors
from adamem_server.errors import AdaMemError
from adamem_server.http import problems
from adamem_server.http.problems import STATUSES, HttpError, problem_of
from tests.test_errors import classes


def test_every_code_has_a_status() -> None:
    assert set(STATUSES) == set(StatusCode)
    assert all(status == 499 or HTTPStatus(status) for status in STATUSES.values())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidArgumentError("top_k", "is 0"), 400),
        (errors.UnauthenticatedError("no key"), 401),
        (errors.NamespaceNotFoundError("n"), 404),
        (errors.NamespaceExistsError("n"), 409),
        (errors.FailedPreconditionError("no"), 400),
        (errors.OverloadedError("full"), 429),
        (errors.ResourceExhaustedError("large"), 413),
        (errors.StorageFullError("full"), 507),
        (errors.ShuttingDownError(), 503),
        (errors.DeadlineExceededError("late"), 504),
        (errors.DataCorruptError("bad"), 500),
        (AdaMemError("oops"), 500),
    ],
)
def test_statuses(error: AdaMemError, status: int) -> None:
    problem = problem_of(error, "r-1")
    assert problem.status == problem.content["status"] == status
    assert problem.content["reason"] == error.reason
    assert problem.content["type"] == f"urn:adamem:problem:{error.reason.lower().replace('_', '-')}"
    assert problem.content["detail"] == error.message
    assert problem.content["request_id"] == "r-1"
    assert ("retry-after" in problem.headers) == ("retry_after_s" in problem.content) == (status in (429, 503))


def test_only_what_may_be_tried_again_says_so() -> None:
    """429 and 503 have clients try again: every error with such a status says when, and none else does."""
    # The server downloads when it starts, not in a call.
    for cls in set(classes()) - {errors.ModelDownloadError}:
        error = cls.__new__(cls)
        AdaMemError.__init__(error, "text", field="f")
        error.__dict__.setdefault("field", "f")
        error.__dict__.setdefault("problem", "p")
        problem = problem_of(error, "")
        assert ("retry-after" in problem.headers) == (problem.status in (429, 503)), cls


def test_who_is_not_known_learns_how_to_be() -> None:
    assert problem_of(errors.UnauthenticatedError("no key"), "").headers == {"www-authenticate": "Bearer"}


def test_violations_name_the_field() -> None:
    content = problem_of(errors.InvalidArgumentError("filter.all", "is empty", limit="1"), "").content
    assert content["violations"] == [{"field": "filter.all", "description": "is empty"}]
    assert content["metadata"] == {"field": "filter.all", "limit": "1"}
    assert content["code"] == "INVALID_ARGUMENT"


def test_a_status_without_details() -> None:
    problem = problem_of(Status(code=5, message="not there"), "")
    assert (problem.status, problem.content["reason"]) == (404, "NOT_FOUND")
    assert problem_of(Status(code=99), "").status == 500


def test_errors_of_http_have_reasons_of_their_own() -> None:
    own = [cls for cls in vars(problems).values() if isinstance(cls, type) and issubclass(cls, HttpError)]
    reasons = [cls.reason for cls in own]
    assert len(set(reasons)) == len(reasons)
    assert not set(reasons) & {cls.reason for cls in classes()}
    for cls in own:
        problem = problem_of(cls("text", limit="3"), "")
        assert HTTPStatus(problem.status)
        assert problem.content["metadata"] == {"limit": "3"}
