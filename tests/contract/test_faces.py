"""The list, replayed through each face."""

from typing import Any

import pytest

from tests.contract.listing import Case, CaseFile, read_files
from tests.contract.matching import differences, filled
from tests.contract.tally import passed, total

FILES = read_files()


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_face(face: Any, file: CaseFile) -> None:
    variables: dict[str, Any] = {}
    wrong = []
    for case in file.cases:
        total[face.name] += 1
        found = _carried_out(face, case, variables)
        if found:
            wrong.append(f"{file.name}: {case.name}\n    " + "\n    ".join(found))
        else:
            passed[face.name] += 1
    assert not wrong, f"{len(wrong)} cases differ through {face.name}\n" + "\n".join(wrong)


def _carried_out(face: Any, case: Case, variables: dict[str, Any]) -> list[str]:
    """What differs from what is expected."""
    try:
        request = filled(case.request, variables)
    except KeyError as missing:
        return [f"needs {missing}, which no case before it has bound"]
    result = face.call(case.call, request)
    if case.error is not None:
        if "answer" in result:
            return [f"is answered: {result['answer']!r}"]
        return differences(case.error, result["error"], variables)
    if "error" in result:
        return [f"is refused: {result['error']!r}"]
    return differences(case.answer, result["answer"], variables)
