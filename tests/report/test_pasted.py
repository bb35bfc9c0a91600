"""Commands that messages and reports print can be pasted into a shell, whatever folders are called."""

from __future__ import annotations

import re
import shlex
from html import unescape
from pathlib import Path

import pytest
from tests.test_architecture import FILES, SOURCE
from tests.test_docs import module

from plainfilm.cli import COMMANDS
from plainfilm.errors import InputError, command_line
from plainfilm.report.html import run_report
from plainfilm.runs.checkup import checkup
from plainfilm.runs.folder import RunFolder
from plainfilm.storage.files import require_intact

shown_by = module("texts").shown_by
NAMES = "|".join(COMMANDS)
# A command with something put into it; by what stands before, "plainfilm evaluate RUN. … " is another sentence.
FILLED_IN = re.compile(rf"plainfilm (?:{NAMES})\b[^.;)\n]*?(?:…|\{{\w*\}})")
TEMPLATED = re.compile(rf"plainfilm (?:{NAMES})\b[^<\n]*?\{{\{{")
PRINTED = re.compile(rf"plainfilm (?:{NAMES}) [^\n<]*?(?= (?:FILMS|OTHER|DATA)\b| --|[`)]|$)", re.MULTILINE)
AWKWARD = "my films, the 2nd/it's one"


def filled_in(text: str) -> list[str]:
    return FILLED_IN.findall(text)


def test_a_command_that_is_put_together_by_hand_is_found():
    (text,) = shown_by('f"Later: plainfilm evaluate {folder} --probes"')
    assert filled_in(text) and filled_in("plainfilm evaluate {} --probes") and filled_in("plainfilm audit {data}")
    assert not filled_in("give one: plainfilm audit DATA --out DIR. … holds none")
    assert TEMPLATED.search("<code>plainfilm evaluate {{ p.run }}</code>")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_path_is_put_into_a_command_but_by_command_line(path):
    assert [found for text in shown_by(path.read_text()) for found in filled_in(text)] == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.html")), ids=lambda p: p.name)
def test_no_template_puts_a_path_into_a_command(path):
    assert TEMPLATED.findall(path.read_text()) == []


@pytest.mark.parametrize("name", ["runs/bn", "my runs/bn", "it's", "a;b", "$HOME", "-x", "`id`", "ä b"])
def test_a_shell_reads_back_what_was_put_in(name):
    words = shlex.split(command_line("evaluate", Path(name), "--probes"))
    assert words[0] == "plainfilm" and Path(words[2]) == Path(name) and words[3] == "--probes"
    assert not words[2].startswith("-")


def commands_in(text: str, folder: Path) -> list[list[str]]:
    """The words of each command of a text that names the folder."""
    found = [match.group() for match in PRINTED.finditer(unescape(text))]
    return [shlex.split(command) for command in found if folder.parent.name in command]


@pytest.mark.usefixtures("words_only")
def test_reports_and_messages_of_a_folder_with_a_space_and_a_quote(make_run, tmp_path):
    run = make_run(tmp_path / AWKWARD, films=120, split="grouped", parts=("train", "val", "test"), openings=1)
    texts = [run_report(RunFolder(run)).read_text()]
    texts += [path.read_text() for path in sorted(run.glob("*.md"))]
    (run / "SHA256SUMS").write_text(f"{'0' * 64}  films.csv\n")
    with pytest.raises(InputError) as refused:
        require_intact(run, "films.csv")
    texts.append(str(refused.value))
    texts += [finding["advice"] for finding in checkup(run)["findings"] if finding["advice"]]
    found = [words for text in texts for words in commands_in(text, run)]
    assert {words[1] for words in found} == {"evaluate", "explain", "doctor"} and len(found) > 8
    assert {words[2] for words in found} == {str(run)}
