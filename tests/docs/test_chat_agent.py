"""The recipe's chat agent with a model: it is asked with what this user said, and nobody else."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.docs.blocks import blocks
from tests.docs.session import Session
from tests.integration.process import ServerProcess
from tests.unit.lifecycle.endpoints import completion, endpoint

(PROGRAM,) = [block for block in blocks("docs/recipes/chat-agent.md") if block.title == "chat.py"]
# The page makes the namespace that it uses.
IN_ANOTHER = replace(PROGRAM, text=PROGRAM.text.replace('namespace="chat"', 'namespace="chat-with-model"'))


def talk(server: ServerProcess, folder: Path, user: str, *lines: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "chat.py", user, "tests"],
        cwd=folder,
        env=os.environ | {"MEMORY_ENDPOINT": server.address, **environment},
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_model_is_told_what_the_user_said(reader: Session, server: ServerProcess, tmp_path: Path) -> None:
    reader.play([IN_ANOTHER])
    talk(server, tmp_path, "olga", "I am allergic to strawberries", "My brother Pavel sings in the choir of Tartu")
    talk(server, tmp_path, "ivan", "I am allergic to strawberries too, said Ivan")
    with endpoint() as model:
        model.answer = lambda _: (200, completion("Not for you."))
        model_of = {"LLM_URL": model.url, "LLM_MODEL": "small"}
        said = talk(server, tmp_path, "olga", "What am I allergic to: strawberries?", **model_of)
    assert said == "> What am I allergic to: strawberries?\nNot for you.\n"
    (asked,) = model.requests
    system, user = asked["messages"]
    assert "I am allergic to strawberries" in system["content"]
    assert "Ivan" not in system["content"]
    assert user == {"role": "user", "content": "What am I allergic to: strawberries?"}


def test_a_question_that_was_asked_before_is_no_answer(reader: Session, server: ServerProcess, tmp_path: Path) -> None:
    reader.play([replace(IN_ANOTHER, text=IN_ANOTHER.text.replace("chat-with-model", "chat-again"))])
    talk(server, tmp_path, "olga", "I am allergic to strawberries", "My brother Pavel sings in the choir of Tartu")
    first = talk(server, tmp_path, "olga", "Where does my brother Pavel sing?")
    assert first == "> Where does my brother Pavel sing?\nYou told me: My brother Pavel sings in the choir of Tartu\n"
    assert talk(server, tmp_path, "olga", "Where does my brother Pavel sing?") == first
