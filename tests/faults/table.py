"""Write the counts of `make faults` into docs/evidence/reliability.md, between its two marks."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "evidence" / "reliability.md"
BEGIN, END = "<!-- counts: written by make faults -->\n", "<!-- end of counts -->\n"


def main() -> None:
    """Replace the table."""
    rows = json.loads((HERE / "faults.json").read_text())
    head = "| fault or input | tried | survived | test |\n|---|---|---|---|\n"
    lines = [f"`make faults`, {date.today().isoformat()}:\n\n{head}"]
    lines += [f"| {r['fault']} | {r['tried']:,} | {r['survived']:,} | `{r['test']}` |\n" for r in rows]
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(BEGIN)] + BEGIN + "".join(lines) + text[text.index(END) :])


if __name__ == "__main__":
    main()
