"""What the processor can, and trials that are made once."""

from __future__ import annotations

import time

import pytest

from plainfilm.errors import InputError
from plainfilm.machine import processor


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def says(monkeypatch, tmp_path, text: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("flags", "has"),
    [("fpu avx512f avx512_bf16 amx_bf16 amx_tile", "AMX"), ("fpu avx512f avx512_bf16", "AVX512-BF16"), ("avx512f", "")],
)
def test_the_flags_say_what_multiplies_bfloat16(monkeypatch, tmp_path, flags, has):
    says(
        monkeypatch,
        tmp_path,
        f"processor\t: 0\nmodel name\t: Some Processor @ 2 GHz\nflags\t\t: {flags}\nbugs\t\t: none\n",
    )
    assert processor.multiplies_bfloat16() == has and processor.name() == "Some Processor @ 2 GHz"


def test_a_system_without_cpuinfo_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert processor.multiplies_bfloat16() == "" and processor.name()


def spin(seconds: float):
    def unit() -> None:
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass

    return unit


def test_a_trial_is_made_once_and_the_quicker_way_shows(own_cache):
    made = []

    def prepare():
        made.append(1)
        return {"slow": spin(0.02), "quick": spin(0.002)}

    first = processor.seconds("spinning", prepare)
    assert first["slow"] > 2 * first["quick"] > 0
    assert processor.seconds("spinning", prepare) == first and made == [1]
    processor.seconds("other work", prepare)
    assert len(made) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"spinning": 3}'])
def test_a_damaged_record_of_trials_is_made_anew(own_cache, text):
    own_cache.mkdir()
    (own_cache / processor.KEPT).write_text(text)
    found = processor.seconds("spinning", lambda: {"only": spin(0.001)})
    assert processor.seconds("spinning", lambda: {}) == found


def test_a_cache_that_cannot_be_written_to_costs_a_trial_each(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "file"))
    assert processor.seconds("spinning", lambda: {"only": spin(0.001)})["only"] > 0


def test_what_auto_is_may_be_said_by_the_environment(monkeypatch):
    for text, wanted in (("", ""), ("auto", ""), ("16", "16"), ("32", "32")):
        monkeypatch.setenv("PLAINFILM_PRECISION", text)
        assert processor.wanted() == wanted
    monkeypatch.setenv("PLAINFILM_PRECISION", "8")
    with pytest.raises(InputError, match="PLAINFILM_PRECISION='8' is not known"):
        processor.wanted()
