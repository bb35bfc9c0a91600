"""The layout's promises, read from the source: which way imports point, and calls that may not occur."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "plainfilm"
FILES = sorted(SOURCE.rglob("*.py"))

# A room imports only rooms above it. __init__ is the public front and may name any.
ROOMS = (
    "errors",
    "progress",
    "storage",
    "machine",
    "catalogue",
    "config",
    "data",
    "image",
    "evaluation",
    "models",
    "audit",
    "training",
    "runs",
    "export",
    "explain",
    "search",
    "report",
    "serving",
    "hospital",
    "labels",
    "commands",
    "api",
    "cli",
)

# Calls that would run code from a file, or write a file past plainfilm.storage.files.
FORBIDDEN_IMPORTS = {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "torch.load",
    "torch.save",
    "yaml.load",
    "np.save",
    "np.savez",
    "os.system",
}
GLOBAL_SEEDS = {"np.random.seed", "random.seed", "torch.manual_seed"}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards(path):
    own = room(path)
    if own in ("__init__", "__main__"):
        return
    for name in imports(ast.parse(path.read_text())):
        if name.startswith("plainfilm."):
            other = name.split(".")[1]
            assert ROOMS.index(other) <= ROOMS.index(own), f"{path.name} imports {name}"


def module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


@cache
def graph() -> dict[str, set[str]]:
    """Which module imports which of ours: at its start, inside a function, or for annotations only."""
    modules = {module(path): path for path in FILES}
    arrows: dict[str, set[str]] = {}
    for name, path in modules.items():
        named = [x for x in imports(ast.parse(path.read_text())) if x.startswith("plainfilm.")]
        arrows[name] = {x if x in modules else x.rpartition(".")[0] for x in named} - {name, "plainfilm"}
    return arrows


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """The modules left when those are taken away, again and again, that import none of the others, or that none of
    the others imports."""
    left = dict(arrows)
    while True:
        wanted = {other for name, others in left.items() for other in others if other in left}
        ends = {name for name, others in left.items() if name not in wanted or not others & left.keys()}
        if not ends:
            return sorted(left)
        left = {name: others for name, others in left.items() if name not in ends}


def test_no_module_imports_itself_by_way_of_others():
    assert circles(graph()) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_runs_code_from_a_file(path):
    tree = ast.parse(path.read_text())
    assert not {name.split(".")[0] for name in imports(tree)} & FORBIDDEN_IMPORTS
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert dotted(node.func) not in FORBIDDEN_CALLS, f"{path.name}:{node.lineno}"
            for keyword in node.keywords:
                risky = keyword.arg in ("allow_pickle", "shell") and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                )
                assert not risky, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_generator_is_seeded_for_everybody(path):
    calls = [dotted(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    allowed = 1 if path.name == "loop.py" else 0  # inside fork_rng, which gives the state back
    assert sum(call in GLOBAL_SEEDS for call in calls) <= allowed


def names_of_files() -> set[str]:
    from plainfilm.storage import folders

    named = {value for key, value in vars(folders).items() if key.isupper() and isinstance(value, str)}
    return {value for value in named if "." in value} - {"index.html"}  # the service has a page of that name too


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_what_output_folders_hold_is_named_in_one_place(path):
    texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    assert path.name == "folders.py" or not texts & names_of_files()


def test_scores_and_reports_need_no_torch():
    import subprocess
    import sys

    code = "import plainfilm.commands.evaluate, plainfilm.report.html, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_function_says_what_it_does():
    silent = []
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, (ast.FunctionDef, ast.ClassDef))
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                silent.append(f"{path.name}: {node.name}")
    assert silent == []


def test_films_and_weights_are_not_in_the_repository():
    root = SOURCE.parents[1]
    endings = {".jpeg", ".jpg", ".h5", ".npz", ".onnx", ".npy"}
    found = [
        p
        for p in root.rglob("*")
        if p.suffix.lower() in endings and not {".venv", ".venv-bench", "demo", "out", "runs"} & set(p.parts)
    ]
    assert found == []


# Inside a room too: of a line, nothing that a module needs, directly or by way of others, needs a later one.
ORDER = (
    "storage: files tables columns",
    "storage: files folders",
    "machine: memory startup",
    "data: words films groups split layout sources",
    "image: limits decode preprocess store",
    "evaluation: intervals decision predictions reliability scores compare adapting",
    "evaluation: decision predictions findings scores_findings changed_findings",
    "models: vgg zoo features model ensemble",
    "models: gate reads model",
    "audit: measure telling baselines document",
    "training: loop preparation fitting finishing",
    "runs: folder scoring pooling",
    "export: onnx_file engine onnx opened",
    "report: figures plots charts html",
    "search: space algorithms trials workers",
    "serving: answers predictor metrics app",
    "hospital: dicom_out forms spool service web",
    "commands: evaluate train paper demo",
)


def needed(arrows: dict[str, set[str]], name: str) -> set[str]:
    """All that a module imports, and what that imports."""
    found, left = set(), {name}
    while left:
        left = {other for each in left for other in arrows.get(each, ())} - found
        found |= left
    return found


@pytest.mark.parametrize("line", ORDER)
def test_imports_point_downwards_inside_a_room_too(line):
    arrows, (own, _, names) = graph(), line.partition(": ")
    modules = [f"plainfilm.{own}.{name}" for name in names.split()]
    assert set(modules) <= arrows.keys()
    for place, name in enumerate(modules):
        assert not needed(arrows, name) & set(modules[place:]), name


def test_what_is_needed_by_way_of_others_is_found():
    assert needed({"a": {"b"}, "b": {"c"}, "d": {"a"}}, "a") == {"b", "c"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_private_names_stay_in_their_module(path):
    tree = ast.parse(path.read_text())
    ours = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "plainfilm" in (node.module or "")]
    modules = {alias.asname or alias.name for node in ours for alias in node.names}
    private = [alias.name for node in ours for alias in node.names if re.match("_[^_]", alias.name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            private += [f"{node.value.id}.{node.attr}"] * bool(re.match("_[^_]", node.attr))
    assert private == []


@pytest.mark.parametrize("path", [path for path in FILES if room(path) == "cli"], ids=lambda p: p.name)
def test_a_command_is_called_by_names_and_no_tuple_hides_the_order(path):
    tree = ast.parse(path.read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {a.name for node in imported if "plainfilm.commands" in (node.module or "") for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in ours:
            assert not any(isinstance(each, ast.Starred) for each in node.args), ast.unparse(node)
            assert len(node.args) <= 4, ast.unparse(node)
