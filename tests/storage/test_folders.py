from __future__ import annotations

import pytest

from plainfilm.errors import InputError
from plainfilm.storage import folders
from plainfilm.storage.folders import kind_of, occupied, require_free


def test_hidden_files_do_not_make_a_folder_occupied(tmp_path):
    assert not occupied(tmp_path / "none")
    (tmp_path / ".config.json.7fffffff-0123abcd.tmp").write_text("{")
    assert not occupied(tmp_path)
    (tmp_path / "films").mkdir()
    assert occupied(tmp_path) and not occupied(tmp_path, ("films",))


def test_the_first_sign_tells_the_kind(tmp_path):
    assert kind_of(tmp_path) is None
    for kind in reversed(folders.KINDS):  # an earlier one wins over all that come after it
        (tmp_path / kind.sign).write_text("")
        assert kind_of(tmp_path) is kind


@pytest.mark.parametrize(
    ("inside", "kind"), [(("fold-0", "fold-1"), folders.REPETITION), (("vgg", "vgg-bn"), folders.PAPER)]
)
def test_unfinished_folds_and_papers_are_told_by_their_runs(tmp_path, inside, kind):
    for name in inside:
        (tmp_path / name).mkdir()
        (tmp_path / name / folders.CONFIG).write_text("{}")
    assert kind_of(tmp_path) is kind


@pytest.mark.parametrize("kind", [kind for kind in folders.KINDS if not kind.shares], ids=lambda kind: kind.name)
def test_a_folder_of_its_own_is_new_or_goes_on_where_that_is_asked_and_possible(tmp_path, kind):
    assert require_free(tmp_path / "new", kind) is require_free(tmp_path, kind) is False
    (tmp_path / kind.sign).write_text("{}")
    with pytest.raises(InputError, match=r"choose another --out"):
        require_free(tmp_path, kind)
    if kind.resumable:
        assert require_free(tmp_path, kind, resume=True)
    else:
        with pytest.raises(InputError, match="is not empty"):
            require_free(tmp_path, kind, resume=True)


@pytest.mark.parametrize("kind", [folders.RUN, folders.SEARCHED])
def test_what_is_none_of_ours_is_never_gone_on_with(tmp_path, kind):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=f"holds no {kind.name} by plainfilm"):
        require_free(tmp_path, kind, resume=True)


def test_a_demo_s_films_are_no_obstacle_to_its_paper(tmp_path):
    (tmp_path / "films").mkdir()
    assert require_free(tmp_path, folders.PAPER) is False
    with pytest.raises(InputError, match="is not empty"):
        require_free(tmp_path, folders.REPETITION)


def test_what_shares_a_folder_replaces_nothing_unasked_and_goes_into_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert require_free(tmp_path, folders.COMPARED) is False
    (tmp_path / folders.COMPARISON).write_text("{}")
    with pytest.raises(InputError, match=r"holds comparison.json already.*--force"):
        require_free(tmp_path, folders.COMPARED)
    assert require_free(tmp_path, folders.COMPARED, force=True) is False
    (tmp_path / folders.MODEL).write_text("")
    with pytest.raises(InputError, match="a run of its own"):
        require_free(tmp_path, folders.COMPARED, force=True)


def test_a_file_is_no_place_for_any_kind(tmp_path):
    (tmp_path / "out").write_text("mine")
    for kind in folders.KINDS:
        with pytest.raises(InputError, match="is a file"):
            require_free(tmp_path / "out", kind, resume=True, force=True)
