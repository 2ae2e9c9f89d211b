"""Text as an attacker would write it: into links, names, errors, rows of the history."""

from __future__ import annotations

# What the pages draw as markdown, each a mark that shows as an element where it is not escaped.
MARKUP = [
    "![x](http://127.0.0.1:9/a.png) [**Session expired: sign in here**](http://127.0.0.1:9/)",
    "**bold** __bold__ *em* _em_ ~~gone~~ ~gone~ `code` ``co`de``",
    "http://evil.example/x https://evil.example www.evil.example/y evil@example.org",
    "<http://evil.example> <img src=x onerror=alert(1)> <b>b</b> <!-- c --> &lt;i&gt; &amp; &#42;",
    "[text][ref] [ref] ![image][ref] [^1] [x]",
    ":red[red] :red-background[x] :blue-badge[b] :small[s] :rainbow[r] :color[c]{foreground=red}",
    ":material/home: :material_home: :streamlit: :smile: :+1: :100: :tada::tada:",
    "$a^2$ $$\\frac{1}{2}$$ \\(x\\) \\[y\\]",
    ":help[h]{x=y} :unknown[lost]{a=b} :name{#id .class} hf:google/t5{a}",
    "# heading",
    "## heading ##",
    "- item",
    "* item",
    "+ item",
    "1. item",
    "12) item",
    "- [ ] task",
    "> quote",
    "---",
    "***",
    "===",
    "::leaf[x]{a=b}",
    ":::box",
    "    code",
    "```\ncode\n```",
    "~~~ code",
    "| a | b |\n| - | - |\n| 1 | 2 |",
    "heading\n===\n\nparagraph\n\n* list\n\n[ref]: http://evil.example",
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "\\*not\\* \\\\ \\[x](y)",
    "**", "*a", "_", "[", "](x)", "<", "&", "`", "$", "$1 and $2", ":", "\\", "",
]  # fmt: skip
# What a terminal obeys, and rich's own markup.
TERMINAL = [
    "[bold]x[/red]",
    "[/]",
    "[link=http://evil.example]x[/link] [@click=f]x[/]",
    "\x1b[2J\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b31m \r rewritten \x08\x08",
    "line\nError: forged\r\nline",
    ":smile: :warning:",
]
DIRECTIONS = (
    "\u202e\u202d\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u2028\u2029\ufeff\x00\x1b"
)
OTHERS = [
    f"a{DIRECTIONS}b",
    "half \udcff a character \ud800",
    "=cmd|'/C calc'!A0",
    '"><script>alert(1)</script>',
    "../../etc/passwd",
    "{} {0} {x} {0.__class__} %s %(x)s ${x}",
    "\U0001f469\u200d\U0001f4bb é \u0301",
    "long " * 2_000,
]
HOSTILE = [*MARKUP, *TERMINAL, *OTHERS]
EVERYTHING = " ".join(HOSTILE[:-1])
