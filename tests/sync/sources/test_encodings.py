"""Which encoding small files are read in: the right one, or none and a question."""

# ruff: noqa: E501, RUF001 - names of many languages

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Iterator
from contextlib import suppress

import pytest

from personaclick_async.sync.sources import CsvSource, StreamInput, UnknownEncoding

NAMES = {
    "de": "cp1252 Jörg Käthe Günter Weiß Große Schön Bär Öztürk Übelhör Ähre Strauß Lüders Köster",
    "fr": "cp1252 Amélie Éléonore Geneviève Grégoire Zoé Éloïse Anaïs Gérôme Prévôt Lefèvre Müller",
    "es": "cp1252 Muñiz Iñaki Ramírez Fernández Vázquez Ñoño Ibañez Cristóbal Ávila Güemes Avilés",
    "pt": "cp1252 Falcão Conceição Estêvão Luísa Antônia Gusmão Bragança Inês Júlio Simões Guimarães",
    "it": "cp1252 Nicolò Salomè Viganò Forlì Cantù Gesù Però Niccolò Libertà Perché Noè Mosè",
    "nl": "cp1252 Zoë Michaël André Loïs Noëlle Raphaël Daniëlle Joël Renée Israël Gabriël Chloë",
    "se": "cp1252 Åkesson Söderberg Öhman Jönsson Åberg Hägglund Löfgren Mårtensson Sjöström Gävle",
    "dk": "cp1252 Nørgaard Kjærgaard Søgaard Rødovre Ålborg Skjødt Jørgensen Bækgaard Østergaard",
    "pl": "cp1250 Wróbel Szczęsny Łukaszewski Kozłowska Ząbek Dąbrowski Pawłowicz Głąb Ślązak Bień",
    "cz": "cp1250 Černý Šimek Tichý Růžička Pospíšil Krejčí Hájek Jelínek Říčan Žáček Bláha Kolář",
    "tr": "cp1254 Kadın Yılmaz Şimşek Aydın Doğru Çetin Gülşen Işıl Karadağ Yiğit Sarı Ünlü Tanrıkulu",
    "ru": "cp1251 Алексей Татьяна Ирина Соколов Новиков Морозова Волков Лебедева Павел Роман Юрий",
    "gr": "cp1253 Αλέξανδρος Κατερίνα Θεόδωρος Ευαγγελία Σπύρος Ρόδος Πάτρα Ηράκλειο Βόλος Λάρισα",
    "de-mac": "mac_roman Jörg Käthe Günter Weiß Große Schön Bär Übelhör Ähre Strauß Lüders Köster",
    "es-mac": "mac_roman Muñiz Iñaki Ramírez Fernández Vázquez Cristóbal Avilés Díaz",
    "de-dos": "cp850 Jörg Käthe Günter Große Schön Bär Übelhör Ähre Lüders Köster",
    "es-dos": "cp850 Muñiz Iñaki Ramírez Fernández Vázquez Cristóbal Avilés",
    "pl-iso": "iso8859-2 Wróbel Szczęsny Łukaszewski Kozłowska Ząbek Dąbrowski Głąb Ślązak Bień",
    "cz-iso": "iso8859-2 Černý Šimek Tichý Růžička Pospíšil Krejčí Říčan Žáček Kolář",
    "ru-koi": "koi8-r Алексей Татьяна Ирина Соколов Новиков Морозова Волков Лебедева Павел",
    "ru-dos": "cp866 Алексей Татьяна Ирина Соколов Новиков Морозова Волков Лебедева Павел",
    "hu": "cp1250 Szőke Győző Kovács Németh Tóth Szabó Horváth Kőműves Dezső Függő",
    "lt": "cp1257 Kazlauskienė Petrauskaitė Žemaitis Šimkus Rūta Jonė Čiurlionis Vėjas",
    "jp": "shift_jis 山田 太郎 花子 渡辺 伊藤 中村 小林 加藤",
    "cn": "gb18030 王伟 李娜 张丽 刘强 陈杰 赵敏 黄磊 周静",
}
SURE = ("de", "fr", "es", "pt", "it", "nl", "se", "dk")
"""Languages whose small files are read without a question, but for a few words."""


def files(language: str) -> Iterator[tuple[str, bytes, str]]:
    """Make files of one name, and of several, with plain rows in between."""
    encoding, *names = NAMES[language].split()
    some = random.Random(1)
    lists = [[name] for name in names]
    lists += [some.choices([*names, "Ada"], k=size) for size in (2, 3, 5, 10, 30, 100) * 4]
    for one in lists:
        rows = [f"{n},p{n}@shop.example,{name}\n" for n, name in enumerate(one, 1)]
        text = "id,email,name\n" + "".join(rows)
        if not text.isascii():
            yield encoding, text.encode(encoding), text


def found(content: bytes) -> str | None:
    """Return the encoding that a file of this content is read in; None if there is a question."""
    with suppress(UnknownEncoding):
        return CsvSource(StreamInput(io.BytesIO(content))).seen.encoding.name
    return None


@pytest.mark.parametrize("language", NAMES)
def test_no_file_is_read_in_a_wrong_encoding(language: str) -> None:
    for _, content, text in files(language):
        name = found(content)
        assert name is None or content.decode(name) == text, name


@pytest.mark.parametrize("language", SURE)
def test_western_files_are_read_without_a_question(language: str) -> None:
    answers = [found(content) for _, content, _ in files(language)]

    assert answers.count("cp1252") >= 0.9 * len(answers)


@pytest.mark.parametrize("language", ["pl", "cz", "tr", "ru", "gr"])
def test_a_hundred_names_are_strong_evidence(language: str) -> None:
    encoding, content, _ = list(files(language))[-1]

    assert found(content) == encoding


@pytest.mark.parametrize("language", NAMES)
def test_the_right_encoding_is_among_those_to_choose_from(language: str) -> None:
    missed = []
    for _, content, text in files(language):
        if found(content) is None:
            with pytest.raises(UnknownEncoding) as asked:
                CsvSource(StreamInput(io.BytesIO(content))).columns  # noqa: B018 - it looks
            candidates = asked.value.candidates
            assert 1 <= len(candidates) <= 3
            assert not any(one.sample in f"{asked.value!r} {asked.value}" for one in candidates)
            missed.append(not any(one.sample in text for one in candidates))

    assert sum(missed) <= 0.35 * len(list(files(language)))


def test_one_word_in_doubt_among_many_is_no_question() -> None:
    names = [
        *["José", "María", "Núñez", "Peña", "Muñoz", "Ibáñez", "Íñigo", "Añón"],
        *("Ñ" + "a" * n for n in range(1, 50)),
    ]
    text = "name\n" + "\n".join([*names, "Raïa"])

    assert found(text.encode("cp1252")) == "cp1252"


@pytest.mark.parametrize(
    "words",
    ["O’Brien", "Anna’s", "50 €", "C/ Mayor 1º B", "Nº 5", "Mª José", "Paris – Lyon", "“Ada”"[1:4]],
)
def test_signs_of_cp1252_are_no_doubt(words: str) -> None:
    assert found(f"name,note\nJosé,{words}\nPeña,x\n".encode("cp1252")) == "cp1252"


def test_the_question_can_be_sent_between_processes() -> None:
    with pytest.raises(UnknownEncoding) as asked:
        CsvSource(StreamInput(io.BytesIO("name\nKad\u0131n\n".encode("cp1254")))).sample()

    again = pickle.loads(pickle.dumps(asked.value))

    assert str(again) == str(asked.value)
    assert again.candidates == asked.value.candidates
