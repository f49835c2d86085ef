"""What the page says, in English and in Spanish.

English sentences are the keys. Texts of errors come from the rooms below in English; what this table does
not know is looked up in the catalogue of the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...i18n import of

Say = Callable[..., str]
LANGUAGES = ("en", "es")


def language_of(accepted: str) -> str:
    """The language that an Accept-Language header asks for first, of those that there are."""
    wishes: list[tuple[float, str]] = []
    for part in accepted.split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), tag.partition("-")[0].lower()))
        except ValueError:
            continue
    for _, tag in sorted(wishes, key=lambda wish: wish[0]):
        if tag in LANGUAGES:
            return tag
    return "en"


def speak(accepted: str) -> Say:
    """The function that says a text in the language of that header, with its {places} filled.

    `of` is what a word is said of where its translation depends on that: "job", "page"."""
    spanish = language_of(accepted) == "es"

    def say(text: str, *, of: str = "", **places: Any) -> str:
        shown = SPANISH.get(f"{text}|{of}") or _spanish(text) if spanish else text
        return shown.format(**places) if places else shown

    return say


def _spanish(text: str) -> str:
    return SPANISH[text] if text in SPANISH else of("es").sentence(text)


SPANISH: dict[str, str] = {
    "Another site cannot use this page.": "Otro sitio no puede usar esta página.",
    "Open the page by the whole address that lote ui has printed: its token is the key.": "Abre la página con la "
    "dirección completa que escribió lote ui: su token es la llave.",
    "The request is larger than the page ever sends.": "La petición es más grande que las que envía la página.",
    "Left alone": "Lo que se dejó como está",
    "the first is {path}": "el primero es {path}",
    "not recorded": "no se registran",
    "their originals are not there now: plug in their drive, or scan their folder again": "sus originales no están ahora: "
    "conecte su disco o vuelva a explorar su carpeta",
    "damaged": "dañadas",
    "links": "enlaces",
    "folders with .nomedia": "carpetas con .nomedia",
    "ignored": "excluidos por .lote-ignore o --exclude",
    "bins": "papeleras",
    "machine folders": "carpetas de máquinas",
    "macOS side files": "archivos auxiliares de macOS",
    "no regular files": "archivos que no son normales",
    "Replace files that Lote did not write": "Sustituir archivos que Lote no escribió",
    "Add": "Añadir",
    "All": "Todas",
    "Approve": "Aprobar",
    "Approve and colour the chapter": "Aprobar y colorear el capítulo",
    "Approved ✓": "Aprobada ✓",
    "Backend": "Motor",
    "Before and after": "Antes y después",
    "Best": "Las mejores",
    "Brush": "Pincel",
    "Cancel": "Cancelar",
    "Cannot be read": "No se pueden leer",
    "Choose files": "Elegir archivos",
    "Clear": "Borrar",
    "Click a colour in {name}": "Haz clic en un color de {name}",
    "Close": "Cerrar",
    "Colour": "Color",
    "Colour a whole chapter from its own coloured pages.": "Colorea un capítulo entero a partir de sus propias páginas en color.",
    "Colour the chapter": "Colorear el capítulo",
    "Coloured pages, covers and model sheets appear here.": "Aquí aparecen páginas en color, portadas y hojas de modelo.",
    "Configuration file": "Archivo de configuración",
    "Do the page again": "Rehacer la página",
    "Do the rest": "Hacer el resto",
    "Download": "Descargar",
    "Draw hints": "Pintar pistas",
    "Drop pages here": "Suelta aquí las páginas",
    "Earlier": "Anteriores",
    "Eraser": "Goma",
    "Folder": "Carpeta",
    "History": "Historial",
    "How sure Lote is": "Cuánta seguridad tiene Lote",
    "In page order": "Por orden de página",
    "Job": "Trabajo",
    "Keep": "Guardar",
    "Lay the page's own ink over the result (cobra)": "Poner la tinta de la página sobre el resultado (cobra)",
    "Layers by": "Capas por",
    "Larger": "Ampliar",
    "Later": "Siguientes",
    "Layered documents": "Documentos por capas",
    "Least confidence in percent": "Confianza mínima en porcentaje",
    "Leave": "Salir",
    "Light or dark": "Claro u oscuro",
    "Like it? Colour the chapter. If not: change the settings or the references, and try again.": "¿Te gusta? Colorea el capítulo. Si no, cambia los ajustes o las referencias y prueba otra vez.",
    "Line art": "Línea",
    "Looking at the images: {seen} of {total}": "Mirando las imágenes: {seen} de {total}",
    "Next page": "Página siguiente",
    "No jobs yet": "Aún no hay trabajos",
    "No pages here": "No hay páginas aquí",
    "None": "Ninguna",
    "None yet": "Aún ninguna",
    "One page, to look at": "Una página de prueba",
    "Output": "Salida",
    "Pages in black and white appear here.": "Aquí aparecen las páginas en blanco y negro.",
    "Pages of the list": "Páginas de la lista",
    "Palette of the series": "Paleta de la serie",
    "Paint colours where they belong; the page is then done again": "Pinta colores en su sitio; después se rehace la página",
    "Pause": "Pausar",
    "Photos": "Fotos",
    "Previous page": "Página anterior",
    "Priority": "Prioridad",
    "Progress": "Progreso",
    "References": "Referencias",
    "References for this page alone": "Referencias solo para esta página",
    "Report": "Informe",
    "Resume": "Reanudar",
    "Retry": "Reintentar",
    "Retry failed": "Reintentar las fallidas",
    "Seed": "Semilla",
    "Settings": "Ajustes",
    "Smaller": "Reducir",
    "Start over": "Empezar de nuevo",
    "Steps": "Pasos",
    "Style": "Estilo",
    "Surest first": "Más seguras primero",
    "Take back": "Deshacer ajustes",
    "The page's server does not answer. Jobs go on; start lote ui again.": "El servidor de la página no responde. Los trabajos continúan; vuelve a iniciar lote ui.",
    "There is no such file.": "No existe ese archivo.",
    "They appear as soon as the chapter has been looked at.": "Aparecen en cuanto se ha mirado el capítulo.",
    "Try again": "Probar otra vez",
    "Try again with other settings": "Probar con otros ajustes",
    "Try one page": "Probar una página",
    "Trying {name}": "Probando {name}",
    "Undo": "Deshacer",
    "Use all references": "Usar todas las referencias",
    "Use no reference": "No usar ninguna referencia",
    "Use references from the confidence beside this button on": "Usar las referencias a partir de la confianza indicada",
    "Use {name}": "Usar {name}",
    "What is left empty is taken from the settings of the chapter.": "Lo que quede vacío se toma de los ajustes del capítulo.",
    "What you colour here or on the command line is listed here.": "Aquí se listan los trabajos de esta página y de la línea de órdenes.",
    "Where to": "Destino",
    "after": "después",
    "and {count} more": "y {count} más",
    "before": "antes",
    "being looked at": "mirando",
    "beside the input, unless you type a path": "junto a la entrada, si no escribes una ruta",
    "dropped images": "imágenes soltadas",
    "images, a ZIP or a CBZ: line art and coloured references together": "imágenes, un ZIP o un CBZ: líneas y referencias en color juntas",
    "in {time}": "en {time}",
    "job {number}": "trabajo {number}",
    "or a folder or file on this machine": "o una carpeta o un archivo de este equipo",
    "own settings": "ajustes propios",
    "pages": "páginas",
    "panels": "viñetas",
    "path of a JSON or TOML file": "ruta de un archivo JSON o TOML",
    "path of a palette.json, such as the last chapter's": "ruta de un palette.json, como el del último capítulo",
    "reused": "reutilizada",
    "to line art": "a líneas",
    "to references": "a referencias",
    "try this page": "probar esta página",
    "use": "usar",
    "with subfolders": "con subcarpetas",
    "{count} failed": "{count} fallidas",
    "{count} used": "{count} en uso",
    "{name}, coloured": "{name}, coloreada",
    "{rate} a minute": "{rate} por minuto",
    "{time} left": "quedan {time}",
    "queued": "en cola",
    "planning": "preparando",
    "running": "en marcha",
    "paused": "en pausa",
    "pausing": "pausando",
    "finishing": "terminando",
    "done": "terminado",
    "failed": "fallidas",
    "failed|job": "fallido",
    "failed|page": "fallida",
    "cancelled": "canceladas",
    "cancelled|job": "cancelado",
    "cancelled|page": "cancelada",
    "cancelling": "cancelando",
    "interrupted": "interrumpido",
    "starting": "empezando",
    "all": "todas",
    "processing": "en proceso",
    "completed": "hechas",
    "completed|page": "hecha",
    "pending": "pendientes",
    "pending|page": "pendiente",
    "line": "línea",
    "line + shadow": "línea + sombra",
    "Page": "Página",
    "State": "Estado",
    "Seconds": "Segundos",
    "Error": "Error",
    "Chapter": "Capítulo",
    "Pages": "Páginas",
    "When": "Cuándo",
    "looking for images": "buscando imágenes",
    "examining": "examinando",
    "learning the references": "aprendiendo las referencias",
    "copying what stays as it is": "copiando lo que no cambia",
    "binding the archive": "encuadernando el archivo",
    "Folder of photos on this machine": "Carpeta de fotos de este equipo",
    "Scan": "Examinar",
    "Stop": "Parar",
    "files seen": "archivos vistos",
    "{count} already known": "{count} ya conocidos",
    "{count} new copies": "{count} copias nuevas",
    "{count} errors": "{count} errores",
    "Batch": "Lote",
    "So far": "Hasta ahora",
    "From": "Desde",
    "photos": "fotos",
    "in all": "en total",
    "colours": "colores",
    "copies": "copias",
    "to gain": "por liberar",
    "missing": "ausentes",
    "errors": "errores",
    "No duplicates": "Sin duplicados",
    "Photos that are on the disk twice appear here.": "Aquí aparecen las fotos que están dos veces en el disco.",
    "original": "original",
    "copy, costs {size}": "copia, ocupa {size}",
    "{count} alike": "{count} iguales",
    "{size} to gain": "{size} por liberar",
    "Duplicates": "Duplicados",
    "Errors": "Errores",
}
