"""HTML from templates: every value is text, texts are translated, and scripts are well-formed."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

import batch_processing
from batch_processing import i18n, markup

SOURCE = Path(batch_processing.__file__).parent


def rendered(template: str, language: str = "en", **values: object) -> str:
    made = markup.environment("batch_processing.comics.report", i18n.of(language))
    return made.from_string(template).render(values)


class TestValues:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("<b>'\"&", "&lt;b&gt;&#39;&#34;&amp;"),
            ("two\nlines\t", r"two\nlines\t"),
            ("right\u202egnp", r"right\u202egnp"),
            ("bytes\udcff", r"bytes\udcff"),
            ("{{ 1 }}${2}", "{{ 1 }}${2}"),
            (7, "7"),
            (Markup("<i>"), "<i>"),
        ],
    )
    def test_a_value_is_text_in_its_place_and_in_a_sentence(self, given: object, shown: str) -> None:
        assert rendered("{{ given }}", given=given) == shown
        assert rendered('{{ _("Archive {name}", name=given) }}', given=given) == f"Archive {shown}"
        text = '{{ ngettext("{count} page {x}", "{count} pages {x}", 2, x=given) }}'
        assert rendered(text, given=given) == f"2 pages {shown}"

    @pytest.mark.parametrize(
        "template", ["{{ nothing }}", "{{ given.other }}", "{% if nothing %}{% endif %}"]
    )
    def test_what_the_view_has_not_is_an_error(self, template: str) -> None:
        with pytest.raises(jinja2.UndefinedError):
            rendered(template, given=object())

    def test_numbers_are_shown_as_everywhere(self) -> None:
        template = "{{ 200|seconds }}, {{ 1234567|size }}, {{ 0.314|percent }}"
        assert rendered(template) == "3:20, 1.2 MB, 31%"


class TestTexts:
    def test_texts_words_plurals_and_sentences_are_translated(self) -> None:
        template = (
            '{{ _("To the pages") }}; {{ pgettext("page", "failed") }}; {{ "the file is empty"|sentence }}; '
            '{{ ngettext("{count} page", "{count} pages", 2) }}; {{ _("coloured, {share:.0%} sure", share=0.5) }}'
        )
        assert rendered(template, "es") == (
            "A las páginas; fallida; el archivo está vacío; 2 páginas; coloreada, 50% de certeza"
        )

    def test_a_text_without_values_keeps_its_places(self) -> None:
        assert rendered('{{ _("{percent}% before") }}') == "{percent}% before"


class TestLines:
    def test_a_break_beside_a_tag_or_a_place_is_nothing_and_a_space_between_words(self) -> None:
        template = '<ul\n    class="x">\n  <li>a\n   b</li>\n  {% if x %}\n    <li>{{ x }}\n </li>\n  {% endif %}\n</ul>\n'
        assert rendered(template, x="c d") == '<ul class="x"><li>a b</li><li>c d</li></ul>'

    def test_an_error_names_its_line(self) -> None:
        with pytest.raises(jinja2.TemplateSyntaxError) as raised:
            rendered("<p>\n\n{{ x. }}")
        assert raised.value.lineno == 3


@pytest.mark.parametrize("script", sorted(SOURCE.rglob("*.js")), ids=lambda path: path.name)
def test_a_script_is_a_module_that_can_be_read(script: Path, tmp_path: Path) -> None:
    found = find_spec("playwright")
    assert found is not None
    assert found.origin is not None
    node = Path(found.origin).parent / "driver" / "node"
    module = tmp_path / f"{script.stem}.mjs"  # the ending by which node knows a module
    module.write_bytes(script.read_bytes())
    done = subprocess.run([node, "--check", module], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("template", sorted(SOURCE.rglob("*.j2")), ids=lambda path: path.name)
def test_a_template_runs_nothing_inline_and_makes_no_exception_to_escaping(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert re.findall(r"\son\w+=|javascript:|autoescape", text) == []
    unescaped = set(re.findall(r"{{([^{}]*\|\s*safe[^{}]*)}}", text))
    assert unescaped <= {" report.style|safe ", " report.script|safe ", ' "\\n"|safe '}
