"""What an encoder gives to texts that have nothing to do with a query, for memories too small to tell it themselves."""

import re
from concurrent.futures import Future
from typing import Final

from adamem_server.embed.batcher import EmbedBatcher
from adamem_server.types import FloatVector

# Of many subjects, as no memory is about all of them; in the query's script, as an encoder may give more to its own.
_LATIN: Final = (
    "I had soup for lunch and then went back to work.",
    "The meeting was moved to Thursday at ten.",
    "My brother bought an old car last year.",
    "It rained all night, so the garden is wet.",
    "She plays the piano and sings in a choir.",
    "The train to the coast takes about four hours.",
    "We painted the kitchen white and put up new shelves.",
    "He is looking for a job as a teacher.",
    "The function returns a list of open files.",
    "Prices of coffee rose by five percent this summer.",
    "The castle was built in the twelfth century on a hill.",
    "Our dog likes to run on the beach.",
    "Please send me the report before Friday.",
    "The doctor told him to sleep more and to eat less sugar.",
    "They won the final by two goals.",
    "A new library opened near the market square.",
)
_CYRILLIC: Final = (
    "На обед был суп, а потом я вернулся к работе.",
    "Встречу перенесли на четверг, на десять утра.",
    "Брат в прошлом году купил старую машину.",
    "Всю ночь шёл дождь, и в саду мокро.",
    "Она играет на пианино и поёт в хоре.",
    "Поезд до моря идёт около четырёх часов.",
    "Мы покрасили кухню в белый цвет и повесили полки.",
    "Он ищет работу учителем.",
    "Функция возвращает список открытых файлов.",
    "Кофе за лето подорожал на пять процентов.",
    "Замок построили в двенадцатом веке на холме.",
    "Наша собака любит бегать по берегу.",
    "Пришлите мне отчёт до пятницы.",
    "Врач велел ему больше спать и есть меньше сахара.",
    "Они выиграли финал с разницей в два мяча.",
    "У рыночной площади открылась новая библиотека.",
)
_IS_CYRILLIC: Final = re.compile(r"[\u0400-\u052f]")
# Of the time that is left, what may be waited for the first vectors of these texts.
_SHARE_OF_TIME: Final = 0.5


class Unrelated:
    """The texts' vectors by encoder, embedded when they are first needed. Thread-safe."""

    def __init__(self) -> None:
        self._vectors: dict[tuple[str, bool], Future[FloatVector]] = {}

    def scores(
        self, encoder: EmbedBatcher, text: str, vector: FloatVector, timeout_s: float | None
    ) -> tuple[float, ...]:
        """The cosines of a query to 16 texts that have nothing to do with it, or nothing where time is short.

        Cost: some microseconds; for an encoder's first query of a script what embedding 16 sentences takes.

        Args:
            encoder: What has embedded the query.
            text: The query.
            vector: Its vector, float32 [dim], unit norm.
            timeout_s: What is left of its time; None: no limit. Vectors that come too late serve the next query.

        Raises:
            EmbedderClosedError: The encoder is closed.
        """
        key = (encoder.info.fingerprint, _IS_CYRILLIC.search(text) is not None)
        future = self._vectors.get(key)
        if future is None or (future.done() and future.exception() is not None):
            future = self._vectors[key] = encoder.submit_documents(_CYRILLIC if key[1] else _LATIN)
        try:
            vectors = future.result(None if timeout_s is None else _SHARE_OF_TIME * timeout_s)
        except TimeoutError:
            return ()
        return tuple((vectors @ vector).tolist())
