"""Words of many languages, found by the engine in both modes that look for words, with the language told and not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from adamem_server.types import QueryMode
from tests.unit.memory.engines import Lab


class Sample(NamedTuple):
    """Paragraphs of a language, and for each a question with forms of its words, or its words where it has no forms."""

    language: str
    paragraphs: tuple[str, str, str]
    questions: tuple[str, str, str]


SAMPLES: Final = (
    Sample(
        "de",
        (
            "Die alten Häuser der Stadt wurden nach dem Krieg wieder aufgebaut. Viele Familien zogen zurück.",
            "Im Garten wachsen Apfelbäume und Rosen. Meine Großmutter gießt die Blumen jeden Abend.",
            "Der Zug nach München hatte zwei Stunden Verspätung, weil die Strecke gesperrt war.",
        ),
        ("Wann wurde das alte Haus aufgebaut?", "Welche Blume gießt die Großmutter?", "Warum sind Züge verspätet?"),
    ),
    Sample(
        "es",
        (
            "Los niños jugaban en la playa mientras sus padres preparaban la comida.",
            "La empresa vendió tres fábricas antiguas y despidió a cien trabajadores.",
            "El médico le recetó unas pastillas contra el dolor de cabeza.",
        ),
        ("¿En qué playa jugaba un niño?", "¿Qué fábrica vendieron?", "¿Qué pastilla recetaron los médicos?"),
    ),
    Sample(
        "fr",
        (
            "Les chercheurs ont découvert une nouvelle espèce de grenouille dans la forêt.",
            "Ma sœur chantait souvent des chansons anciennes à la maison.",
            "Le marché est fermé le lundi, mais les boulangers travaillent.",
        ),
        ("Quelles espèces découvre le chercheur ?", "Qui chante une chanson ?", "Quand ferment les marchés ?"),
    ),
    Sample(
        "tr",
        (
            "Çocuklar bahçede oynuyor, anneleri evde yemek yapıyordu.",
            "Kitapları okuduktan sonra kütüphaneye geri götürdüm.",
            "İstanbul'daki köprüler akşamları çok kalabalık oluyor.",
        ),
        ("Çocuk bahçe oyunu", "Hangi kitap okundu?", "Köprü ne zaman kalabalık?"),
    ),
    Sample(
        "ro",
        (
            "Copiii mergeau la școală pe jos, prin pădurea înghețată.",
            "Bunicul repara ceasuri vechi în atelierul lui mic.",
            "Trenurile spre București întârzie aproape în fiecare zi.",
        ),
        ("Cum merge copilul la școli?", "Cine repară un ceas?", "Întârzierea trenului"),
    ),
    Sample(
        "el",
        (
            "Τα παιδιά έπαιζαν στους κήπους του σχολείου.",
            "Ο γιατρός έδωσε φάρμακα για τον πονοκέφαλο.",
            "Τα πλοία φεύγουν κάθε πρωί από το λιμάνι.",
        ),
        ("κήπος σχολείο παιδί", "ποιο φάρμακο έδωσαν οι γιατροί;", "πότε φεύγει το πλοίο;"),
    ),
    Sample(
        "ar",
        (
            "لعب الأطفال في الحديقة قرب المدرسة.",
            "اشترى والدي كتابا قديما من السوق.",
            "وصل القطار متأخرا بسبب العاصفة.",
        ),
        ("أين الحديقة والمدرسة؟", "كتاب من الأسواق القديم والسوق", "لماذا تأخر قطار؟"),
    ),
    Sample(
        "hi",
        (
            "बच्चे बगीचे में खेल रहे थे और माँ खाना बना रही थी।",
            "मैंने पुस्तकालय से तीन किताबें लीं।",
            "तूफान के कारण रेलगाड़ियाँ देर से पहुँचीं।",
        ),
        ("बच्चा बगीचा", "कौन सी किताब पुस्तकालय से?", "रेलगाड़ी तूफान"),
    ),
    Sample(
        "zh",
        ("孩子们在学校的花园里玩耍。", "我父亲在市场上买了一本旧书。", "因为暴风雨，火车晚点了两个小时。"),
        ("花园在哪里？", "谁买了旧书？", "火车为什么晚点？"),
    ),
    Sample(
        "th",
        ("เด็กๆ เล่นอยู่ในสวนของโรงเรียน", "พ่อของฉันซื้อหนังสือเก่าจากตลาด", "รถไฟมาสายสองชั่วโมงเพราะพายุ"),
        ("สวนอยู่ที่ไหน", "ใครซื้อหนังสือ", "ทำไมรถไฟมาสาย"),
    ),
    Sample(
        "vi",
        (
            "Trẻ em chơi trong vườn của trường học.",
            "Cha tôi mua một cuốn sách cũ ở chợ.",
            "Tàu hỏa đến muộn hai giờ vì bão.",
        ),
        ("Vườn trường ở đâu?", "Ai mua sách cũ?", "Vì sao tàu hỏa muộn?"),
    ),
    Sample(
        "ru",
        (
            "Дети играли в саду возле старой школы.",
            "Мой отец купил на рынке древнюю книгу.",
            "Из-за бури поезда опоздали на два часа.",
        ),
        ("Где играет ребёнок и дети у школ?", "Какие книги покупал отец?", "Почему опаздывал поезд?"),
    ),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.mark.parametrize("mode", [QueryMode.LEXICAL, QueryMode.HYBRID])
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.language for sample in SAMPLES])
def test_a_text_is_found_by_itself_and_by_forms_of_its_words(
    lab: Lab, sample: Sample, is_told: bool, mode: QueryMode
) -> None:
    language = sample.language if is_told else ""
    others = [text for other in SAMPLES if other is not sample for text in other.paragraphs]
    lab.put("n", *others)
    lab.put("n", *sample.paragraphs, language=language)
    for paragraph, question in zip(sample.paragraphs, sample.questions, strict=True):
        assert lab.query("n", text=paragraph, language=language, mode=mode)[0] == paragraph
        assert lab.query("n", text=question, language=language, mode=mode)[0] == paragraph, question


@pytest.mark.parametrize("mode", [QueryMode.LEXICAL, QueryMode.HYBRID])
def test_a_language_that_is_told_for_the_query_alone_hides_nothing(lab: Lab, mode: QueryMode) -> None:
    texts = [text for sample in SAMPLES for text in sample.paragraphs]
    lab.put("n", *texts)
    for language in ("", "de", "zh", "xx", "tr", "pt-BR"):
        found = [lab.query("n", text=text, language=language, mode=mode)[0] for text in texts]
        assert found == texts, language


@pytest.mark.parametrize("mode", [QueryMode.LEXICAL, QueryMode.HYBRID])
def test_a_name_is_found_in_another_script(lab: Lab, mode: QueryMode) -> None:
    lab.put("n", "Washington crossed the Delaware in winter", "Tesla moved to Colorado Springs", "Норман купил лодку")
    assert lab.query("n", text="Где зимой был Вашингтон?", mode=mode)[0].startswith("Washington")
    assert lab.query("n", text="Зачем Тесле Колорадо?", mode=mode)[0].startswith("Tesla")
    assert lab.query("n", text="What did Norman buy?", mode=mode)[0].startswith("Норман")
