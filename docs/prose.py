"""Measure how easily the handbook is read: words per sentence and Flesch reading ease, by the library ``readability``.

    python docs/prose.py            a table of all pages
    python docs/prose.py --check    exit code 1 where a page is over its limit (part of `make check`)

Only prose counts: no code, tables, headings, pictures and addresses. A name in `code` counts as one short word.
Flesch (1948): 206.835 - 1.015 words per sentence - 84.6 syllables per word; from 50 on "fairly difficult" or easier.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import readability

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"
WORDS = 20  # per sentence, on average, at most
EASE = 50  # of README, at least
WIDE = 120  # characters of a line of README, at most
NOT_PROSE = (
    (r"<!--[\s\S]*?-->", ""),
    (r"^```[\s\S]*?^```", "\n"),  # code
    (r"^ {4}(?!- |\d).*$", "\n"),
    (r"^\|.*$", "\n"),  # tables
    (r"^#.*$", "\n"),  # headings
    (r"!\[[^\]]*\]\([^)]*\)", "\n"),  # pictures
    (r"\[([^\]]*)\]\([^)]*\)", r"\1"),  # links keep their text
    (r"`[^`]+`", "code"),
    (r"<[^>\n]+>|\*\*|^>", ""),
    (r"^ *(?:[-*]|\d+\.) ", "\n"),  # each item of a list is a paragraph
)
END = re.compile(r"(?<!\bal)(?<!\bvs)(?<!\bca)(?<!\be\.g)(?<!\bi\.e)[.!?]+[)\"'”]*\s+(?=[\"'“(A-Z0-9]|code\b)")


def sentences(text: str) -> list[str]:
    """Return the sentences of a page's prose."""
    for pattern, instead in NOT_PROSE:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    found = [part for paragraph in re.split(r"\n\s*\n", text) for part in END.split(" ".join(paragraph.split()))]
    return [part for part in found if len(part.split()) > 1]


def measured(path: Path) -> tuple[int, float, float]:
    """Return a page's number of sentences, words per sentence and reading ease."""
    lines = [" ".join(re.findall(r"[^\s.,;:()?!\"“”]+", sentence)) for sentence in sentences(path.read_text("utf-8"))]
    lines = [line for line in lines if line]
    if not lines:
        return 0, 0.0, 100.0
    found = readability.getmeasures("\n".join(lines), lang="en")
    ease = found["readability grades"]["FleschReadingEase"]
    return len(lines), found["sentence info"]["words_per_sentence"], ease


def handbook() -> list[Path]:
    """README and the pages of docs/ that are no evidence."""
    return [README, *sorted(DOCS.glob("*.md"))]


def main() -> int:
    """Print the table, or what is over its limit; return the exit code."""
    rows = [(path.name, *measured(path)) for path in handbook()]
    if "--check" not in sys.argv:
        print("| page | sentences | words per sentence | Flesch |\n|---|---|---|---|")
        print("\n".join(f"| {name} | {count} | {words:.1f} | {ease:.0f} |" for name, count, words, ease in rows))
        return 0
    wrong = [f"{name}: {words:.1f} words per sentence, {WORDS} at most" for name, _, words, _ in rows if words > WORDS]
    wrong += [f"{name}: Flesch {ease:.0f}, {EASE} at least" for name, _, _, ease in rows[:1] if ease < EASE]
    lines = README.read_text("utf-8").splitlines()
    wrong += [
        f"{README.name}: line {k} is over {WIDE} characters" for k, line in enumerate(lines, 1) if len(line) > WIDE
    ]
    print("\n".join(wrong), end="\n" * bool(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
