"""Spanish and English: both complete, chosen by the environment; logs, JSON and exceptions stay English."""

from __future__ import annotations

import json
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import messages
from batch_processing import i18n
from command import lote
from pages import book

POS = sorted(messages.LOCALE.rglob("*.po"))


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("po", POS, ids=lambda po: po.parents[1].name)
class TestCatalogue:
    def test_every_text_of_the_source_is_translated(self, po: Path) -> None:
        with po.open("rb") as file:
            catalog = read_po(file)
        missing = []
        for message in messages.gather():
            found = catalog.get(message.id if isinstance(message.id, str) else message.id[0], message.context)
            if message.id and not (found and all(messages.forms(found))):
                missing.append(message.id)
        assert not missing, "translate these, after `make messages`"

    def test_a_translation_has_the_places_of_its_text(self, po: Path) -> None:
        with po.open("rb") as file:
            for message in read_po(file):
                if message.id:
                    texts = [message.id] if isinstance(message.id, str) else message.id
                    *others, last = messages.forms(message)
                    assert places(last) == places(texts[-1]), message.id
                    assert all(places(other) == places(texts[0]) for other in others), message.id

    def test_the_compiled_file_is_of_this_catalogue(self, po: Path) -> None:
        assert po.with_suffix(".mo").read_bytes() == messages.compiled(po), "run `make messages`"


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({}, "en"),
        ({"LANG": "es_ES.UTF-8"}, "es"),
        ({"LANG": "es"}, "es"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "es_MX.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "es_AR"}, "es"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:es"}, "es"),
        ({"LANG": "es_ES.UTF-8", "LANGUAGE": "en:es"}, "en"),
        ({"LANG": "C", "LANGUAGE": "es"}, "en"),
        ({"LANG": "es_ES.UTF-8", "LC_ALL": "", "LANGUAGE": ""}, "es"),
    ],
)
def test_the_environment_chooses(environ: dict[str, str], code: str) -> None:
    assert i18n.language(environ) == code


class TestSentence:
    @pytest.mark.parametrize(
        ("english", "spanish"),
        [
            ("nowhere.cbz does not exist: check the path.", "nowhere.cbz no existe: comprueba la ruta."),
            (
                "Error processing p 1.png: the file is empty",
                "Error al procesar p 1.png: el archivo está vacío",
            ),
            (
                "the file is not an image although its name ends in .png (or of a kind that Lote does not read: convert it to PNG)",
                "el archivo no es una imagen aunque su nombre acaba en .png (o es de una clase que Lote no lee: conviértelo a PNG)",
            ),
            (
                "2 settings are wrong:\n  --seed: seed must be a whole number, got 'x'.",
                "2 ajustes son incorrectos:\n  --seed: seed debe ser un número entero, no 'x'.",
            ),
            (
                "Unknown setting 'sed': did you mean 'seed'?",
                "Ajuste desconocido 'sed': ¿querías decir 'seed'?",
            ),
            (
                "its worker process was ended by SIGKILL, probably because the machine ran out of memory",
                "su proceso de trabajo terminó por SIGKILL, probablemente porque la máquina se quedó sin memoria",
            ),
            (
                "Job 3 is done: there is nothing to pause.",
                "El trabajo 3 está terminado: no hay nada que pausar.",
            ),
        ],
    )
    def test_values_and_sentences_inside_sentences(self, english: str, spanish: str) -> None:
        assert i18n.of("es").sentence(english) == spanish
        assert i18n.of("en").sentence(english) == english

    def test_a_path_is_kept_as_it_is(self) -> None:
        path = "/a {0} failed/{path}/done/x.cbz"
        assert i18n.of("es").sentence(f"{path} does not exist: check the path.").startswith(path)

    def test_what_is_unknown_is_shown_in_english(self) -> None:
        assert i18n.of("es").sentence("Quite another thing happened.") == "Quite another thing happened."

    @given(st.text())
    def test_any_text_can_be_shown(self, text: str) -> None:
        assert i18n.of("en").sentence(text) == text
        assert isinstance(i18n.of("es").sentence(text), str)

    def test_a_hostile_name_takes_no_time(self) -> None:
        text = "the hints a have 1 x 1 pixels, the page 1 x 1: save them at the page's size. " * 3000
        assert i18n.of("es").sentence(text)


class TestCommand:
    def test_everything_shown_is_spanish_and_json_is_english(self, tmp_path: Path) -> None:
        source = book(tmp_path / "in", 2)
        (source / "2.png").write_text("no image")
        spanish = {"workspace": tmp_path / "ws", "LANG": "es_ES.UTF-8"}
        log = tmp_path / "run.log"
        done = lote("colorize", source, "--backend", "noop", "--log-file", log, **spanish)  # type: ignore[arg-type]
        assert done.code == 3
        assert "el trabajo 1 está terminado: 1 coloreada, 1 copiada tal cual, 1 fallida" in done.err
        assert "Error al procesar 2.png: el archivo no es una imagen" in done.err
        assert done.out.strip() == str(tmp_path / "in_colorized")
        assert "Error al" not in log.read_text(encoding="utf-8")
        again = lote("retry", "--json", **spanish)  # type: ignore[arg-type]
        assert "the file is not an image" in json.dumps(again.events)
        told = lote("status", **spanish)  # type: ignore[arg-type]
        assert "1 terminada, 1 fallida" in told.out

    def test_help(self, tmp_path: Path) -> None:
        page = lote("colorize", "--help", workspace=tmp_path, LANG="es_ES.UTF-8").out
        assert "Uso: lote colorize" in page
        assert "Muestra esta ayuda y termina." in page
        assert "[obligatorio]" in page
        assert "Show this" not in page

    def test_usage_errors(self, tmp_path: Path) -> None:
        wrong = lote("doctr", workspace=tmp_path, LANG="es_ES.UTF-8")
        assert wrong.code == 2
        assert "lote: No existe la orden 'doctr'. ¿Querías decir 'doctor'?" in wrong.err


def test_the_report_speaks_the_language_of_who_asked_for_the_job(tmp_path: Path) -> None:
    source = book(tmp_path / "in", 1)
    (source / "2.png").write_bytes(b"")
    for language, words in (
        ("es_ES.UTF-8", ('lang="es"', "Conviene saber", "el archivo está vacío", "coloreada, ", "1 página")),
        ("en_US.UTF-8", ('lang="en"', "To know", "the file is empty", "coloured, ", "1 page")),
    ):
        done = lote("colorize", source, "-o", tmp_path / "out", workspace=tmp_path / "ws", LANG=language)
        assert done.code == 3, done.err
        lote("retry", "--page", "1.png", workspace=tmp_path / "ws", LANG="C.UTF-8")  # somebody else
        report = (tmp_path / "out" / "_lote" / "report.html").read_text()
        assert [word for word in words if word not in report] == []
