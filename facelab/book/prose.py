"""What a Markdown cell mentions: links, pictures, citations, labels, headings, code, formulas.

It is parsed as the rendered book parses it, with MyST's roles, directives and maths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from facelab.errors import BookError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from nbformat import NotebookNode

DIRECTIVE = re.compile(r"\{([\w:+-]+)\}\s*(.*)")
CODE_DIRECTIVES = {
    "code",
    "code-block",
    "code-cell",
    "sourcecode",
    "literalinclude",
    "parsed-literal",
}
PICTURE_DIRECTIVES = {"figure", "image"}
OPTION = re.compile(r"^\s*:?(name|label|alt):\s*(.+?)\s*$", re.MULTILINE)
DETAILS = re.compile(r"</?details[^>]*>|<summary[^>]*>.*?</summary>", re.DOTALL)
HTML_LINK = re.compile(r"<a\b[^>]*?\bhref\s*=\s*[\"']([^\"']*)[\"']")
HTML_PICTURE = re.compile(r"<img\b[^>]*>")
HTML_CODE = re.compile(r"<pre\b")
ATTRIBUTE = re.compile(r"\b(src|alt)\s*=\s*[\"']([^\"']*)[\"']")
# The characters that MyST leaves out of a heading's anchor.
NOT_IN_ANCHOR = re.compile(r"[^\w一-鿿\- ]")
ANCHORED_LEVELS = 3


@dataclass(frozen=True)
class Mention:
    """One thing a cell mentions: `line` counts from 0 within the cell.

    `kind` is link, picture, code, heading, label, math (a displayed formula's LaTeX), or a role's
    name (cite:p, ref, doc ...); `alt` is a picture's alternative text.
    """

    kind: str
    value: str
    line: int = 0
    alt: str = ""


def parser() -> MarkdownIt:
    """Return a Markdown parser with the extensions of the rendered book."""
    try:
        from markdown_it import MarkdownIt
        from mdit_py_plugins.amsmath import amsmath_plugin
        from mdit_py_plugins.colon_fence import colon_fence_plugin
        from mdit_py_plugins.deflist import deflist_plugin
        from mdit_py_plugins.dollarmath import dollarmath_plugin
        from mdit_py_plugins.myst_blocks import myst_block_plugin
        from mdit_py_plugins.myst_role import myst_role_plugin
    except ImportError as error:
        raise BookError(
            f"checking a chapter's Markdown needs {error.name}; install facelab's extra `build`: "
            "pip install 'facelab[build]'"
        ) from None
    markdown = MarkdownIt("commonmark").enable("table")
    plugins = (myst_block_plugin, myst_role_plugin, dollarmath_plugin)
    for plugin in (*plugins, colon_fence_plugin, amsmath_plugin, deflist_plugin):
        markdown.use(plugin)
    return markdown


def mentions(markdown: MarkdownIt, source: str, references: dict[str, Any]) -> list[Mention]:
    """Return what a cell's source mentions.

    `references` collects link definitions (`[name]: address`), which hold for a whole chapter.
    """
    # The contents of a hint are Markdown too: its tags go, the lines stay.
    text = DETAILS.sub(lambda tag: "\n" * tag[0].count("\n"), source)
    return list(_block_mentions(markdown, markdown.parse(text, references), references))


def of_cells(markdown: MarkdownIt, cells: Iterable[NotebookNode]) -> list[tuple[int, Mention]]:
    """Return what the Markdown cells of a chapter mention, each with its cell, counted from 1."""
    references: dict[str, Any] = {}
    return [
        (number, mention)
        for number, cell in enumerate(cells, 1)
        if cell.cell_type == "markdown"
        for mention in mentions(markdown, cell.source, references)
    ]


def _block_mentions(
    markdown: MarkdownIt, tokens: list[Token], references: dict[str, Any]
) -> Iterator[Mention]:
    for position, token in enumerate(tokens):
        line = token.map[0] if token.map else 0
        match token.type:
            case "fence" | "colon_fence":
                for mention in _fence_mentions(markdown, token, references):
                    yield replace(mention, line=line + mention.line)
            case "code_block":
                yield Mention("code", token.content.strip(), line)
            case "myst_target":
                yield Mention("label", token.content, line)
            case "math_block_label":
                yield Mention("label", token.info, line)
                yield Mention("math", token.content.strip(), line)
            case "math_block" | "amsmath":
                yield Mention("math", token.content.strip(), line)
            case "html_block":
                yield from _html_mentions(token.content, line)
            case "heading_open" if int(token.tag[1]) <= ANCHORED_LEVELS:
                yield Mention("heading", _anchor(tokens[position + 1]), line)
            case "inline":
                yield from _inline_mentions(token.children or [], line)


def _fence_mentions(
    markdown: MarkdownIt, token: Token, references: dict[str, Any]
) -> Iterator[Mention]:
    """Yield what a fenced block mentions, lines counted from its first: code, or a directive."""
    directive = DIRECTIVE.match(token.info.strip())
    name, argument = directive.groups() if directive else ("", "")
    if name in CODE_DIRECTIVES or (not directive and token.type == "fence"):
        yield Mention("code", token.content.strip())
        return
    options = dict(OPTION.findall(token.content))
    for key in ("name", "label"):
        if key in options:
            yield Mention("label", options[key])
    if name in PICTURE_DIRECTIVES:
        yield Mention("picture", argument, alt=options.get("alt", ""))
    if name != "math":
        inner = _block_mentions(markdown, markdown.parse(token.content, references), references)
        yield from (replace(mention, line=mention.line + 1) for mention in inner)


def _inline_mentions(tokens: Iterable[Token], line: int) -> Iterator[Mention]:
    for token in tokens:
        match token.type:
            case "softbreak" | "hardbreak":
                line += 1
            case "link_open":
                yield Mention("link", str(token.attrs["href"]), line)
            case "image":
                yield Mention("picture", str(token.attrs["src"]), line, token.content)
            case "myst_role":
                yield Mention(token.meta["name"], token.content, line)
            case "html_inline":
                yield from _html_mentions(token.content, line)


def _html_mentions(html: str, line: int) -> Iterator[Mention]:
    for number, text in enumerate(html.splitlines(), line):
        for target in HTML_LINK.findall(text):
            yield Mention("link", target, number)
        for picture in HTML_PICTURE.findall(text):
            attributes = dict(ATTRIBUTE.findall(picture))
            yield Mention("picture", attributes.get("src", ""), number, attributes.get("alt", ""))
        if HTML_CODE.search(text):
            yield Mention("code", text.strip(), number)


def _anchor(heading: Token) -> str:
    """Return the anchor that the rendered book gives a heading: that of GitHub."""
    title = "".join(
        child.content for child in heading.children or [] if child.type in ("text", "code_inline")
    )
    return NOT_IN_ANCHOR.sub("", title.lower().replace(" ", "-"))
