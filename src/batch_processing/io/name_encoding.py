"""Names that are bytes: which code page they were written in, where nothing says so.

Promises one code page for all names of an archive or a folder, in which every one of them can be read; UTF-8 where
they are UTF-8; the same names, the same answer. The others are weighed by how much the result reads as text of that
script: letters and syllables that people use count more than rare ones, and box drawings hardly at all.

Does not know languages: a few names of Chinese can be taken for Korean. A person can say better (`--name-encoding`).
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from .naming import NameReservation

__all__ = ["archive_names", "code_page_of", "decoded_names", "is_unicode"]

_RARE, _POSSIBLE, _COMMON = 0.05, 0.5, 1.0

# What chapters, pages and covers are called, and the characters that each language uses most.
_FREQUENT_KANJI: Final = frozenset(
    "第話巻章回表紙裏扉頁目次前後中上下編番外特別一二三四五六七八九十百日本漫画集全完新作者原単行"
    "少年少女人大小国会出生手気自者地方見月分間合時行場事社家学年東京物語世界心花火水木金土空海山川田"
)
_FREQUENT_CHINESE: Final = frozenset(
    "第话話卷回章集期册冊封面底页頁目录錄番外上下前后後中完全新特别別漫画畫版"
    "的一是不了在人有我他这這个個们們来來大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于"
    "着著自之年过過发發作里裡用道行所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動起看定天分还還"
    "进進好小部其些主样樣理心她本开開但因只从從想实實日军軍者意无無力它与與长長把机機十民公此已工使情明性知"
    "三又关關点點正业業将將两兩高间間由问問很最重并物手应應战戰向头頭文体體政美相见見被利什二等产產或己制身果"
    "加西斯月合特代内內信化表老给給世位次度门門任常先海通教儿兒原东東声聲提立及比员員解水名真论論处處走义義各入"
    "几幾口认認条條平系气氣题題活尔爾更打女变變四神总總何电電数數安少报報才结結反受太量再感建务務做接必场場件计計"
    "管市直德资資命山金指克许許统統区區保至队隊形社便空决決治展马馬科司五基眼书書非则則听聽白却卻界达達光放强強"
)
_FREQUENT_KOREAN: Final = frozenset(
    "표지화권제장편회부의이다는가을에고한하로은도를사기자나서인그어들시리아해있만수정으대일보전라주구것여모상생"
    "거안원동오우미조성공신국실세위음마무유계관문비내년간선소입학할과경분방중치야면영출연물금단발결개명통체용진말속"
    "집외완본번작만화가들특별편외전목차앞뒤상하신한국어판최종첫째둘셋넷겉속쪽페이지스캔왕녀검천마법전쟁"
)
# Letters that words of Western Europe have beside those of ASCII.
_EUROPEAN: Final = frozenset("áàâäãåæçéèêëíìîïñóòôöõøœúùûüßÁÀÂÄÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜ¡¿º°·")


def _double(
    frequent: frozenset[str], block: str, common: tuple[int, int], *also: tuple[int, int]
) -> Callable[[str, str], float]:
    """The weight of a character of a code page with letters of two bytes. `common` are the first bytes of those that
    schools teach, `also` ranges of code points that nothing but that script has."""

    def weight(char: str, before: str) -> float:
        if char in frequent or any(first <= ord(char) <= last for first, last in also):
            return _COMMON
        raw = char.encode(block, "ignore")
        if len(raw) != 2 or not common[0] <= raw[0] <= common[1] or raw[1] < 0x40:
            return _RARE
        # A letter of two bytes in the middle of a Latin word is mostly an accent and the letter behind it.
        return _RARE if before.isascii() and before.isalpha() else _POSSIBLE

    return weight


_KANA: Final = (0x3041, 0x30FE)


def _japanese(char: str, before: str) -> float:
    if 0xFF61 <= ord(char) <= 0xFF9F:  # half as wide: what Chinese and Korean look like here
        return _RARE
    if 0xFF01 <= ord(char) <= 0xFF5E or char in "　、。「」『』・ー～〜（）！？":
        return _POSSIBLE
    return _KANJI(char, before)


_KANJI = _double(_FREQUENT_KANJI, "cp932", (0x88, 0x97), _KANA)


def _european(char: str, before: str) -> float:
    if char not in _EUROPEAN:
        return _RARE
    if char.isupper() and before.islower():
        return _RARE
    # Behind a digit or a symbol begins no word with an accent in small letters.
    return 0.6 if not before or before.isalpha() or char.isupper() or before in " _-/.'(" else 0.2


def _cyrillic(char: str, before: str) -> float:
    if not 0x410 <= ord(char) <= 0x44F and char not in "Ёё":
        return _RARE
    if char.isupper() and before.islower():
        return _RARE
    return 0.8 if not before or not before.isascii() or before in " _-/.([0123456789" else _RARE


# In this order where two weigh the same.
_WEIGHTS: Final[dict[str, Callable[[str, str], float]]] = {
    "cp932": _japanese,
    "gb18030": _double(_FREQUENT_CHINESE, "gb2312", (0xB0, 0xD7)),
    "cp949": _double(_FREQUENT_KOREAN, "euc-kr", (0xB0, 0xC8)),
    "big5": _double(_FREQUENT_CHINESE, "big5", (0xA4, 0xC6)),
    "cp437": _european,
    "cp850": _european,
    "cp1252": _european,
    "cp866": _cyrillic,
    "cp1251": _cyrillic,
}
_ALWAYS: Final = "cp437"  # the format's own: every byte is a character
_ENOUGH: Final = 4_000  # names that are weighed: more say nothing new


def code_page_of(names: Iterable[bytes]) -> str:
    """The encoding in which all `names` can be read, the one that reads best. cp437 where none reads all."""
    told = [name for name in dict.fromkeys(names) if not name.isascii()]
    if all(_read(name, "utf-8") is not None for name in told):
        return "utf-8"
    best, weight = _ALWAYS, 0.0
    for encoding, weigh in _WEIGHTS.items():
        texts = [text for name in told if (text := _read(name, encoding)) is not None]
        if len(texts) == len(told) and (found := _weight(texts[:_ENOUGH], weigh)) > weight + 1e-9:
            best, weight = encoding, found
    return best


def decoded_names(names: Sequence[bytes], encoding: str | None = None) -> list[str]:
    """The names as text, all by one encoding: `encoding`, or the one that reads best. Bytes that are no text in it are
    told as `%81`."""
    encoding = encoding or code_page_of(names)
    return [
        text if (text := _read(name, encoding)) is not None else name.decode(encoding, "percent_bytes")
        for name in names
    ]


def is_unicode(name: str) -> bool:
    """Whether a name of a file is text; the bytes of others stand in it as Python has them (PEP 383)."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def archive_names(names: Iterable[str], encoding: str | None = None) -> dict[str, str]:
    """What those of the relative paths are called in an archive that cannot keep their names there, each unlike every
    other: in names there `\\` parts folders for many programs, and what is no Unicode is read by one encoding, as names
    in archives are."""
    known = dict.fromkeys(names)
    odd = sorted(name for name in known if "\\" in name or not is_unicode(name))
    parts = dict.fromkeys(part for name in odd for part in name.split("/") if not is_unicode(part))
    readable = dict(zip(parts, decoded_names([os.fsencode(part) for part in parts], encoding), strict=True))
    taken = NameReservation(known.keys() - odd)
    renamed = {}
    for name in odd:
        wanted = "/".join(readable.get(part, part).replace("/", "_") for part in name.split("/"))
        renamed[name] = taken.reserve(wanted.replace("\\", "_"))
    return renamed


def _percent(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("percent_bytes", _percent)


def _read(name: bytes, encoding: str) -> str | None:
    try:
        return name.decode(encoding)
    except UnicodeDecodeError:
        return None


def _weight(texts: list[str], weigh: Callable[[str, str], float]) -> float:
    """How much the texts read as text, from 0 to 1, by the bytes that are no ASCII."""
    total = count = 0.0
    for text in texts:
        before = ""
        for char in text:
            if not char.isascii():
                total += weigh(char, before)
                count += 1
            before = char
    return total / count if count else 0.0
