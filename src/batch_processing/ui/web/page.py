"""The Gradio page: tabs, the settings of a chapter, and the places that the script fills."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from ...backends import NAMES
from ...backends import create as create_backend
from ...config.settings import built_in
from ...i18n import of
from ...messages import N_

HEAD = (
    '<link rel="stylesheet" href="/lote/assets/page.css">'
    '<link rel="icon" href="/lote/assets/icon.svg" type="image/svg+xml">'
    '<script type="module" src="/lote/assets/page.js"></script>'
)
SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")


def THEME() -> Any:  # noqa: N802 - a theme, made when Gradio is there
    """Ink, paper and vermilion; fonts of the system, because nothing is fetched."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=SYSTEM_FONTS,
        font_mono=MONO_FONTS,
    )
    return theme.set(
        body_background_fill="#f7f4ef", body_background_fill_dark="#151417",
        background_fill_primary="#ffffff", background_fill_primary_dark="#1e1d21",
        background_fill_secondary="#fbf9f6", background_fill_secondary_dark="#19181b",
        block_background_fill="#ffffff", block_background_fill_dark="#1e1d21",
        border_color_primary="#e4ded4", border_color_primary_dark="#36343a",
        block_border_width="0px", block_shadow="none", block_shadow_dark="none",
        body_text_color="#211f1d", body_text_color_dark="#ece9e4",
        body_text_color_subdued="#6b6560", body_text_color_subdued_dark="#a39d96",
        block_info_text_color="#6b6560", block_info_text_color_dark="#a39d96",
        block_label_text_color="#4c4743", block_label_text_color_dark="#c9c3bb",
        block_title_text_color="#4c4743", block_title_text_color_dark="#c9c3bb",
        input_background_fill="#ffffff", input_background_fill_dark="#151417",
        input_border_width="1px", input_border_color="#d8d0c4", input_border_color_dark="#46434b",
        checkbox_label_background_fill="#f7f4ef", checkbox_label_background_fill_dark="#26252a",
        checkbox_label_background_fill_hover="#efe9df", checkbox_label_background_fill_hover_dark="#2f2e34",
        checkbox_border_color="#b9afa2", checkbox_border_color_dark="#6b6873",
        button_secondary_background_fill="#ffffff", button_secondary_background_fill_dark="#1e1d21",
        button_secondary_background_fill_hover="#f2ede5", button_secondary_background_fill_hover_dark="#2a292e",
        button_secondary_border_color="#d8d0c4", button_secondary_border_color_dark="#46434b", button_border_width="1px",
        button_primary_background_fill="#c2410c", button_primary_background_fill_dark="#ea6a34",
        button_primary_background_fill_hover="#9a3412", button_primary_background_fill_hover_dark="#f58a5a",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#1a1210",
    )  # fmt: skip


LABELS = (
    N_("Backend"),
    N_("Cobra (GPU)"),
    N_("Chapter"),
    N_("Colour the chapter"),
    N_("Configuration file"),
    N_("Folder"),
    N_("History"),
    N_("Job"),
    N_("Lay the page's own ink over the result (cobra)"),
    N_("One colour for each region, to be edited (cobra)"),
    N_("Layered documents"),
    N_("Layers by"),
    N_("Output"),
    N_("Palette of the series"),
    N_("Photos"),
    N_("Replace files that Lote did not write"),
    N_("Seed"),
    N_("Settings"),
    N_("Steps"),
    N_("Style"),
    N_("Try one page"),
    N_("Where to"),
    N_("beside the input, unless you type a path"),
    N_("colours"),
    N_("flats (CPU)"),
    N_("none: copy the pages, to try things out"),
    N_("panels"),
    N_("path of a JSON or TOML file"),
    N_("path of a palette.json, such as the last chapter's"),
    N_("the best that runs here"),
)


def translations() -> Any:
    """The labels of Gradio's own components; English is the key and the fallback."""
    return gr.I18n(en={text: text for text in LABELS}, es={text: of("es").text(text) for text in LABELS})


def build() -> Any:
    """The page, which is the same for everybody: what it shows is asked for by its script."""
    label = gr.I18n()
    with gr.Blocks(title="Lote", analytics_enabled=False, fill_width=True) as page:
        _place('<div data-part="top"></div>', elem_id="lote-top")
        with gr.Tabs(elem_id="lote-tabs"):
            with gr.Tab(label("Chapter"), id="chapter", elem_id="tab-chapter"):
                _place(_CHAPTER, elem_id="lote-chapter")
                controls = _settings(label)
                _place('<p id="lote-missing" class="muted" role="status"></p>')
                with gr.Row(elem_id="lote-start"):
                    trial = gr.Button(label("Try one page"), elem_id="try", scale=0, min_width=160)
                    go = gr.Button(label("Colour the chapter"), variant="primary", elem_id="start", scale=0, min_width=220)  # fmt: skip
                _place('<div data-part="preview"></div>')
            with gr.Tab(label("Job"), id="job", elem_id="tab-job"):
                _place(_JOB, elem_id="lote-job")
            with gr.Tab(label("History"), id="history", elem_id="tab-history"):
                _place('<div data-part="history"></div>', elem_id="lote-history")
            with gr.Tab(label("Photos"), id="photos", elem_id="tab-photos"):
                _place('<div data-part="photos"></div>', elem_id="lote-photos")
        # No function of ours is called through Gradio: the page's script sends what it is given here.
        names = json.dumps(list(controls))
        for pressed, what in ((go, "start"), (trial, "try")):
            pressed.click(
                None, list(controls.values()), None, queue=False, api_visibility="private",
                js=f"(...values) => {{ lote.pressed({what!r}, {names}, values); }}",
            )  # fmt: skip
    return page


def _place(content: str, elem_id: str | None = None) -> Any:
    """HTML with places for the script to fill."""
    return gr.HTML(content, elem_id=elem_id, apply_default_css=False, js_on_load=None)


_CHAPTER = (
    '<div data-part="drop"></div><div data-part="inputs"></div><div data-part="unreadable"></div>'
    '<div class="galleries"><div data-part="page"></div><div data-part="reference"></div></div>'
)
_JOB = (
    '<div class="job"><div data-part="title"></div><div data-part="numbers"></div><div class="controls" data-part="controls"></div>'
    '<div class="filters" data-part="filters"></div><div data-part="results"></div><div data-part="rows"></div></div>'
)


def _settings(label: Any) -> dict[str, Any]:
    """The components of the settings, by the name of the setting."""
    missing = {name: reason for name in NAMES if (reason := create_backend(name).unavailable())}
    # An experiment that nobody has set up is nothing to be told of.
    why = " ".join(f"{name}: {reason}" for name, reason in missing.items() if name != "diffusers")
    words = {
        "auto": label("the best that runs here"),
        "flats": label("flats (CPU)"),
        "cobra": label("Cobra (GPU)"),
        "noop": label("none: copy the pages, to try things out"),
    }
    choices = [(words.get(name, name), name) for name in ("auto", *NAMES) if name not in missing]
    diffusion = "cobra" not in missing
    with gr.Accordion(label("Settings"), open=False, elem_id="settings"):
        with gr.Row():
            controls = {
                "backend": gr.Radio(
                    choices, value="auto", label=label("Backend"), info=why or None, elem_id="set-backend"
                ),
                "style": gr.Radio(["line", "line + shadow"], value=built_in("style"), label=label("Style")),
                "form": gr.Radio(
                    [(label("Folder"), "folder"), ("ZIP", "zip"), ("CBZ", "cbz")],
                    value="cbz",
                    label=label("Output"),
                ),
                "layers": gr.CheckboxGroup(
                    ["psd", "ora", "png", "json"], label=label("Layered documents"), elem_id="set-layers"
                ),
                "layers_by": gr.CheckboxGroup(
                    [(label("panels"), "panel"), (label("colours"), "color")],
                    label=label("Layers by"),
                    elem_id="set-layers-by",
                ),
            }
        with gr.Row(visible=diffusion):
            controls |= {
                "seed": gr.Number(
                    built_in("seed"),
                    label=label("Seed"),
                    precision=0,
                    minimum=0,
                    min_width=90,
                    visible=diffusion,
                ),
                "num_inference_steps": gr.Number(
                    built_in("num_inference_steps"),
                    label=label("Steps"),
                    precision=0,
                    minimum=1,
                    min_width=90,
                    visible=diffusion,
                ),
                "top_k": gr.Number(
                    built_in("top_k"), label="Top k", precision=0, minimum=1, min_width=90, visible=diffusion
                ),
                "flats": gr.Checkbox(
                    value=built_in("flats"),
                    label=label("One colour for each region, to be edited (cobra)"),
                    elem_id="set-flats",
                    visible=diffusion,
                ),
                "keep_ink": gr.Checkbox(
                    value=built_in("keep_ink"),
                    label=label("Lay the page's own ink over the result (cobra)"),
                    elem_id="set-keep-ink",
                    visible=diffusion,
                ),
            }
        with gr.Row():
            controls |= {
                "output": gr.Textbox(
                    label=label("Where to"), placeholder=label("beside the input, unless you type a path")
                ),
                "overwrite": gr.Checkbox(
                    value=False, label=label("Replace files that Lote did not write"), elem_id="set-overwrite"
                ),
                "palette": gr.Textbox(
                    label=label("Palette of the series"),
                    placeholder=label("path of a palette.json, such as the last chapter's"),
                    elem_id="set-palette",
                ),
                "config_file": gr.Textbox(
                    label=label("Configuration file"), placeholder=label("path of a JSON or TOML file")
                ),
            }
    return controls
