"""Texts for people: titles and descriptions as systems take them, and a system's own words.

Every function takes time in proportion to its text, whatever a stranger wrote into it (S6).
"""

from __future__ import annotations

import html
import re
import unicodedata

from sync.model.event import clean

# Calendar keeps 8,192 characters of a description, and no provider takes more than 2,000.
_LONGEST_DESCRIPTION = 16_384
_LONGEST_QUOTE = 200

_BLOCKS = frozenset({"p", "div", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "table", "tr"})
_UNSEEN = frozenset({"style", "script", "head", "title", "template"})


def quoted(message: object) -> str:
    """Return a provider's own words for the list of failures: short, without any address.

    `"User ada@example.com has no\\nmeeting"` becomes `": User … has no meeting"`. What is no text
    becomes `""`.
    """
    if not isinstance(message, str):
        return ""
    words = clean(message[: 10 * _LONGEST_QUOTE]).split()
    if not words:
        return ""
    text = " ".join("…" if _is_address(word) else word for word in words)
    return f": {text[:_LONGEST_QUOTE]}"


def _is_address(word: str) -> bool:
    """A mail address or a link, also one without a scheme or with percent codes."""
    if any(sign in word for sign in ("@", "://", "%40", "%3A", "%3a")):
        return True
    host, slash, _ = word.partition("/")
    return bool(slash) and "." in host.strip(".")


def plain_text(description: str) -> str:
    """Return a description without the HTML that Calendar's editor puts in.

    Links keep their address, list items a dash, and style sheets and scripts go. A lone `<` is no
    HTML and stays: `<ul><li>a <a href="https://b.example">b</a></ul>` becomes
    `- a b (https://b.example)`.

    The tags are found here, for `html.parser` takes seconds for a thousand tags left open.
    """
    text = description[:_LONGEST_DESCRIPTION]
    reader = _Reader()
    at = 0
    while (begins := text.find("<", at)) >= 0:
        reader.say(text[at:begins])
        if text.startswith("<!--", begins):
            ends = text.find("-->", begins)
            at = ends + 3 if ends >= 0 else len(text)
        elif tag := _TAG.match(text, begins):
            reader.open_or_close(tag["name"].lower(), tag["rest"], closing=bool(tag["closing"]))
            at = tag.end()
        else:
            reader.say("<")
            at = begins + 1
    reader.say(text[at:])
    return reader.text()


_TAG = re.compile(r"<(?P<closing>/?)(?P<name>[A-Za-z][A-Za-z0-9]*)(?P<rest>(?:[\s/][^<>]*)?)>")
_ADDRESS = re.compile(r"""\bhref=(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)


class _Reader:
    """Collects what a person would see."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._unseen: str | None = None
        self._link: tuple[str, int] | None = None

    def say(self, text: str) -> None:
        if self._unseen is None and text:
            self._pieces.append(html.unescape(text))

    def open_or_close(self, tag: str, rest: str, *, closing: bool) -> None:
        if self._unseen is not None:
            if closing and tag == self._unseen:
                self._unseen = None
        elif tag in _UNSEEN:
            self._unseen = None if closing else tag
        elif tag == "br":
            self._pieces.append("\n")
        elif tag == "li":
            if not closing:
                self._begin_line()
                self._pieces.append("- ")
        elif tag in _BLOCKS:
            self._begin_line()
        elif tag == "a":
            self._end_link()
            if not closing and (found := _ADDRESS.search(rest)):
                address = html.unescape(found[1] or found[2] or found[3] or "")
                if address.startswith(("https://", "http://", "mailto:", "tel:")):
                    self._link = (address, len(self._pieces))

    def text(self) -> str:
        self._end_link()
        lines: list[str] = []
        for line in "".join(self._pieces).replace("\xa0", " ").split("\n"):
            # One empty line between paragraphs is enough.
            if line.strip() or (lines and lines[-1]):
                lines.append(line.rstrip())
        return "\n".join(lines).strip()

    def _end_link(self) -> None:
        if self._link is None:
            return
        address, begins = self._link
        self._link = None
        shown = "".join(self._pieces[begins:]).strip()
        if shown not in (address, address.partition(":")[2]):
            self._pieces.append(f" ({address})" if shown else address)

    def _begin_line(self) -> None:
        if self._pieces and not self._pieces[-1].endswith("\n"):
            self._pieces.append("\n")


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, counted as the strictest do: an emoji is two or
    more.

    What is cut ends in an ellipsis, and never within a character that is made of several. Halves of
    one are replaced.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if _length(text) <= most:
        return text
    kept, length = [], 0
    for character in text:
        length += _length(character)
        if length > most - 1:
            break
        kept.append(character)
    rest = text[len(kept) :]
    while kept and (_joins(rest[:1]) or _joins_next(kept[-1])):
        rest = kept.pop() + rest
    return "".join(kept).rstrip() + "…"


def one_line(title: str, most: int) -> str:
    """Return a title as systems take it: never empty, one line, not too long."""
    return shortened(" ".join(title.split()) or "(no title)", most)


def _length(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _joins(character: str) -> bool:
    """It belongs to the character before it: a joiner, a variation, an accent, a skin tone."""
    return bool(character) and (
        character in "\u200d\ufe0f\ufe0e"
        or unicodedata.combining(character) > 0
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _joins_next(character: str) -> bool:
    return character == "\u200d"
