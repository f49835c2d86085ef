"""Spanish and English: both complete, chosen by the environment; logs, JSON and exceptions stay English."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from batch_processing import i18n
from batch_processing.core.model import ItemState, JobState
from batch_processing.exceptions import ImageProcessingError, ValidationError
from batch_processing.messages import Message, joined
from command import lote
from pages import book

ROOT = Path(__file__).parents[2]
SOURCE = Path(i18n.__file__).parent
POS = sorted(i18n.LOCALE.rglob("*.po"))


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def forms(string: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (string or "",) if isinstance(string, str | None) else tuple(string)


@pytest.fixture(scope="module")
def gathered() -> Catalog:
    """What `make messages` finds in the source."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    catalog = Catalog()
    for _, _, text, _, context in extract_from_dir(SOURCE, methods, options):
        catalog.add(text, context=context)
    return catalog


@pytest.mark.parametrize("po", POS, ids=lambda po: po.parents[1].name)
class TestCatalogue:
    def test_every_text_of_the_source_is_translated_and_no_other(self, po: Path, gathered: Catalog) -> None:
        with po.open("rb") as file:
            known = {(message.context, message.id): message for message in read_po(file) if message.id}
        said = {(message.context, message.id) for message in gathered if message.id}
        assert len(said) > 700
        waiting = [key for key in said if key not in known or not all(forms(known[key].string))]
        assert not waiting, "translate these, after `make messages`"
        assert not known.keys() - said, "no longer said: `make messages` drops them"

    def test_a_translation_has_the_places_of_its_text(self, po: Path) -> None:
        with po.open("rb") as file:
            for message in read_po(file):
                if message.id and "{" in str(message.id):
                    texts = [message.id] if isinstance(message.id, str) else message.id
                    *others, last = forms(message.string)
                    if "'rgb': [200" in last and "{path}" not in last:  # braces of an example, with no place
                        continue
                    assert places(last) == places(texts[-1]), message.id
                    assert all(places(other) == places(texts[0]) for other in others), message.id

    def test_the_compiled_file_is_of_this_catalogue(self, po: Path) -> None:
        compiled = io.BytesIO()
        with po.open("rb") as file:
            write_mo(compiled, read_po(file))
        assert po.with_suffix(".mo").read_bytes() == compiled.getvalue(), "run `make messages`"


def _joins(node: ast.expr) -> bool:
    """Whether a text is put together where it stands, so that nobody could translate it."""
    if isinstance(node, ast.IfExp):
        return _joins(node.body) or _joins(node.orelse)
    return isinstance(node, ast.JoinedStr | ast.BinOp)


def test_nothing_is_said_with_a_text_that_was_put_together() -> None:
    """Errors, warnings and notes have a template and values: no f-string, no `+`."""
    from extraction import TEMPLATES

    wrong, seen = [], 0
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = TEMPLATES.get(name)
            if place is None or name.startswith("print_") or len(node.args) <= place:
                continue
            seen += 1
            if _joins(node.args[place]):
                wrong.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert seen > 500
    assert wrong == []


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


class TestMessages:
    @pytest.mark.parametrize(
        ("message", "english", "spanish"),
        [
            (
                Message("{path} does not exist: check the path.", path=Path("nowhere.cbz")),
                "nowhere.cbz does not exist: check the path.",
                "nowhere.cbz no existe: comprueba la ruta.",
            ),
            (
                ImageProcessingError("p 1.png", "the file is empty").sentence,
                "Error processing p 1.png: the file is empty",
                "Error al procesar p 1.png: el archivo está vacío",
            ),
            (
                Message(
                    "Job {job} is {state}: there is nothing to {wish}.",
                    job=3,
                    state=Message("done"),
                    wish=Message("pause"),
                ),
                "Job 3 is done: there is nothing to pause.",
                "El trabajo 3 está terminado: no hay nada que pausar.",
            ),
            (
                joined((Message("the file is empty"), Message("is empty")), "; "),
                "the file is empty; is empty",
                "el archivo está vacío; está vacía",
            ),
        ],
    )
    def test_values_and_messages_inside_messages(self, message: Message, english: str, spanish: str) -> None:
        assert str(message) == i18n.of("en").message(message) == english
        assert i18n.of("es").message(message) == spanish

    def test_a_path_is_kept_as_it_is(self) -> None:
        path = "/a {0} failed/{path}/done/x.cbz"
        error = ValidationError("{path} does not exist: check the path.", path=path)
        assert i18n.of("es").message(error.sentence).startswith(path)

    def test_what_is_unknown_is_shown_in_english(self) -> None:
        assert (
            i18n.of("es").message(Message("Quite another thing happened.")) == "Quite another thing happened."
        )

    @given(st.text())
    def test_any_text_can_be_shown(self, text: str) -> None:
        for language in ("en", "es"):
            assert i18n.of(language).message(Message("{text}, twice", text=text)).startswith(text)
            assert isinstance(i18n.of(language).message(Message(text)), str)
        assert str(Message(text)) == text


def test_each_state_has_its_words() -> None:
    from batch_processing.core.words import JOB_WORDS, PAGE_WORDS
    from batch_processing.ui.web.states import SHOWN_WORDS, Turn

    assert JOB_WORDS.keys() == set(JobState)
    assert PAGE_WORDS.keys() == set(ItemState)
    assert SHOWN_WORDS.keys() == {*JobState, *Turn}
    spanish = i18n.of("es")
    assert spanish.text_in("job", SHOWN_WORDS[Turn.PAUSING]) == "pausando"
    assert spanish.text_in("job", SHOWN_WORDS[JobState.DONE]) == "terminado"
    assert spanish.text_in("pages", PAGE_WORDS[ItemState.FAILED].many) == "fallidas"


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


def test_each_name_of_the_photo_application_has_its_words() -> None:
    from batch_processing.photos import damage, knowledge, removal, tables, verify
    from batch_processing.ui.cli.photos import words

    assert words.SCAN_WORDS.keys() == set(tables.ScanState)
    assert words.BATCH_WORDS.keys() == set(tables.BatchState)
    assert words.KNOWN_WORDS.keys() == set(knowledge.Result)
    assert words.DAMAGE_WORDS.keys() == set(damage.Damage)
    assert words.HOW_WORDS.keys() == set(removal.How)
    for count in (0, 1, 2):
        assert all(words.verified(result, count).startswith(f"{count} ") for result in verify.Result)
        assert all(words.known(result, count).startswith(f"{count} ") for result in knowledge.Result)


# Characters of a piece of English that is looked for: a shorter one may be part of a name, or of a Spanish word.
SHORTEST_TEXT = 12


@pytest.fixture(scope="module")
def said_in_spanish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the main commands say to somebody who reads Spanish, in a workspace with a comic and a library."""
    folder = tmp_path_factory.mktemp("spanish")
    book(folder / "libro", 2)
    (folder / "libro" / "mala.png").write_text("x")
    for number in (1, 1, 2):
        path = folder / "fotos" / f"{number}" / f"{len(list(folder.rglob('*.jpg')))}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"foto %d" % number)
    commands = {
        "colorize": ("colorize", folder / "libro", "--backend", "noop"),
        "list": ("list",),
        "status": ("status", "1", "--pages"),
        "pause": ("pause", "1"),
        "resume": ("resume", "1"),
        "retry": ("retry", "1", "--page", "ninguna.png"),
        "retry again": ("retry", "1"),
        "cancel": ("cancel", "1"),
        "approve": ("approve", "1", "1.png"),
        "classify": ("classify", folder / "libro"),
        "doctor": ("doctor",),
        "clean": ("clean",),
        "scan": ("photos", "scan", folder / "fotos"),
        "plan": ("photos", "scan", folder / "fotos", "--dry-run"),
        "resume scan": ("resume", "2"),
        "photos list": ("photos", "list"),
        "stats": ("photos", "stats"),
        "batches": ("photos", "batches"),
        "duplicates": ("photos", "duplicates"),
        "trash": ("photos", "duplicates", "--trash"),
        "verify": ("photos", "verify"),
        "known": ("photos", "known", folder / "fotos"),
        "errors": ("photos", "errors"),
        "import": ("photos", "import", folder / "fotos", folder / "otra"),
        "forget": ("photos", "forget", folder / "fotos"),
        "nothing": ("colorize", folder / "nada"),
        "wrong": ("colorize", folder / "libro", "--style", "ink"),
        "port": ("ui", "--port", "70000"),
    }
    said = {}
    for name, words in commands.items():
        done = lote(*words, workspace=folder / "ws", LANG="es_ES.UTF-8")
        assert "Traceback" not in done.err, name
        # Commands, and values of settings, are the same in every language.
        said[name] = re.sub(r"`[^`]*`|'line \+ shadow'", "", (done.out + done.err).replace(str(folder), ""))
    return said


def english_texts(gathered: Catalog) -> list[str]:
    """What stands between the places of each English text that has another Spanish one, where it is long enough to be
    told from a name."""
    spanish = i18n.of("es")
    texts: set[str] = set()
    for message in gathered:
        for text in forms(message.id):
            if not text or (
                not message.context and spanish.text(text) == text and isinstance(message.id, str)
            ):
                continue
            try:
                parts = [before for before, *_ in Formatter().parse(text)]
            except ValueError:
                parts = [text]
            texts.update(part.strip(" .:,;()") for part in parts if "`" not in part)
    return sorted(text for text in texts if len(text) >= SHORTEST_TEXT and " " in text)


COMMANDS = (
    "colorize", "list", "status", "pause", "resume", "retry", "retry again", "cancel", "approve", "classify", "doctor",
    "clean", "scan", "plan", "resume scan", "photos list", "stats", "batches", "duplicates", "trash", "verify", "known",
    "errors", "import", "forget", "nothing", "wrong", "port",
)  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_nothing_in_english(
    name: str, said_in_spanish: dict[str, str], gathered: Catalog
) -> None:
    said = said_in_spanish[name]
    assert said.strip()
    assert [text for text in english_texts(gathered) if text in said] == []
    english = {"is", "are", "the", "not", "has", "and", "of", "pages", "job", "failed", "finished", "running"}
    lines = [
        line for line in said.splitlines() if english & set(line.replace(":", " ").replace(",", " ").split())
    ]
    assert lines == []
