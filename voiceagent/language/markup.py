"""Markup: what models write for readers and no voice can say, taken out of a text in any language."""

from __future__ import annotations

import html
import re
import unicodedata

__all__ = ["plain_typography", "sentences", "speakable_characters", "without_markup"]

_TAG = re.compile(r"</?[a-zA-Z!?][^<>]*>")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_RULE = re.compile(r"^[ \t]*(?:[-*_=|:][ \t]*){3,}$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_LINE_HEAD = re.compile(r"^[ \t]*(?:(?:#{1,6}|>+|[-*+•–])[ \t]+)+", re.MULTILINE)
_OUTER_WALL = re.compile(r"^[ \t]*\||\|[ \t]*$", re.MULTILINE)
_TYPOGRAPHY = str.maketrans({
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "…": "...", "\u00a0": " ", "\u2011": "-",
    "*": " ", "`": " ", "~": " ", "_": " ", "^": " ", "\\": " ", "{": " ", "}": " ", "[": " ",
    "]": " ", "|": " ", "<": " ", ">": " ", "•": " ",
})  # fmt: skip
_UNSPEAKABLE = frozenset({"So", "Sk", "Cs", "Co", "Cn", "Cf", "Cc", "Me", "Zl", "Zp"})


def without_markup(text: str) -> str:
    """Return `text` without tags, links, headings, lists and tables."""
    plain = _TAG.sub(" ", html.unescape(text))
    plain = _FENCE.sub("", plain)
    plain = _RULE.sub("", plain)
    plain = _LINK.sub(r"\1", plain)
    plain = _LINE_HEAD.sub("", _OUTER_WALL.sub("", plain))
    return plain.replace("|", ", ")


def plain_typography(text: str) -> str:
    """Return `text` with quotes and spaces as a keyboard has them, and without what only marks up."""
    return text.translate(_TYPOGRAPHY)


def speakable_characters(text: str) -> str:
    """Return `text` with a space for every emoji, symbol and control character."""
    return "".join(
        " " if unicodedata.category(char) in _UNSPEAKABLE and char != "\n" else char for char in text
    ).replace("\ufe0f", "")


def sentences(plain: str) -> str:
    """Join lines, each of them a sentence of its own."""
    lines = [" ".join(line.split()) for line in plain.split("\n")]
    spoken = [_tidy(line) for line in lines]
    spoken = [line for line in spoken if any(char.isalnum() for char in line)]
    ended = [line if line[-1] in ".!?:;,\"')" else f"{line}." for line in spoken[:-1]]
    return " ".join([*ended, *spoken[-1:]])


def _tidy(line: str) -> str:
    line = re.sub(r" ([.,;:!?])", r"\1", line)
    return re.sub(r"^(?:[\s,;:]|[-+](?=\s))+|(?<=,),+|\(\s*\)", "", line).strip()
