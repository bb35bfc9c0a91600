"""The pages of *Look up* that are made from the code: files, Python, HTTP. docs/make.py writes them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import plainfilm
from plainfilm.api import Metrics, OperatingPoint, Run, Scores
from plainfilm.data.films import Films
from plainfilm.evaluation.intervals import Interval
from plainfilm.models.reads import Reads
from plainfilm.serving.app import description
from plainfilm.storage import documents, folders

# -- files --------------------------------------------------------------------------------------------------

FILES_HEAD = """\
# Which files does plainfilm write?

For everybody who opens an output folder, by hand or by a program.

Every command writes into the folder that you name with `--out`, and nowhere else. A file is written beside its place
and moved into it, so you never see half of one. Tables are UTF-8 with commas. `SHA256SUMS` stands in every finished
folder; check it with `sha256sum --check SHA256SUMS`, or ask `plainfilm doctor FOLDER`.

`config.json`, `films.csv` and `predictions.csv` hold the paths and patients that you gave. Look at them before
you pass a folder on. `features.h5` and `checkpoint.h5` may be deleted once a run is finished.
"""
OF_A_RUN = (
    *(folders.QUARANTINE, folders.HISTORY, folders.PROBES, folders.AUDIT, folders.FIGURES),
    *(folders.CARD, folders.METHODS, folders.CLAIM, folders.TRIPOD, folders.STARD, folders.FEATURES),
    *(folders.CHECKPOINT, folders.SUMS),
)
OF_AN_AUDIT = (folders.DUPLICATES, folders.FIGURES)
COMMANDS = {
    "run": "plainfilm train",
    "folds": "plainfilm train --folds` or `--seeds",
    "paper": "plainfilm paper",
    "audit": "plainfilm audit",
    "search": "plainfilm search",
    "adapted model": "plainfilm adapt",
    "heat maps": "plainfilm explain",
    "evaluation": "plainfilm evaluate --out",
    "comparison": "plainfilm compare --out",
}
MORE = {"run": OF_A_RUN, "audit": OF_AN_AUDIT, "adapted model": (folders.SEEN_BEFORE,)}
DOCUMENTS = (
    ("config.json", documents.ConfigDocument),
    ("model.json", documents.ModelDocument),
    ("metrics.json", documents.MetricsDocument),
    ("probes.json", documents.ProbesDocument),
)


def files() -> str:
    """Every output folder with its files, then the keys of the JSON files of a run."""
    kinds = {kind.name: kind for kind in folders.KINDS}
    parts = [FILES_HEAD]
    for name, command in COMMANDS.items():
        kind = kinds[name]
        held = (*kind.holds, *kind.maybe, *([kind.beside] if kind.beside else []), *MORE.get(name, ()))
        rows = [f"| `{file}` | {folders.MEANING[file]} |" for file in dict.fromkeys(held)]
        parts.append("\n".join([f"## `{command}`\n", "| file | holds |", "|---|---|", *rows, ""]))
    parts.append("## Keys of the JSON files\n\nA key marked * is not in every file.\n")
    parts += [f"### {name}\n\n{_keys(document)}" for name, document in DOCUMENTS]
    return "\n".join(parts)


def _keys(document: type) -> str:
    """The keys of a TypedDict with their types, and the comment beside each."""
    rows = ["| key | type | what it is |", "|---|---|---|"]
    for kind in reversed([document, *getattr(document, "__orig_bases__", ())]):
        for name, type_, comment in re.findall(r"^    (\w+): (.+?)(?:  # (.+))?$", _source(kind), re.MULTILINE):
            optional = "NotRequired" in type_ or (getattr(kind, "__total__", True) is False and "Required" not in type_)
            plain = re.sub(r"(?:Not)?Required\[(.+)\]$", r"\1", type_).replace("|", "or")
            rows.append(f"| `{name}`{'*' if optional else ''} | `{plain}` | {comment} |")
    return "\n".join([*rows, ""])


def _source(kind: Any) -> str:
    return inspect.getsource(kind) if inspect.isclass(kind) and kind.__module__ == documents.__name__ else ""


# -- Python -------------------------------------------------------------------------------------------------

PYTHON_HEAD = """\
# Which functions does Python have?

For those who call plainfilm from a script or a notebook.

`import plainfilm as pf` loads neither PyTorch nor a model. The group Models needs the extra `train`; all else works
with the base install. Every example on this page is run by the tests. In the examples `truth` holds 400 labels,
`probabilities` and `others` the answers of two models, and `who` the patient of each film.
"""
GROUPS = (
    ("Films", ("load", "split")),
    ("Models", ("train", "evaluate", "Model")),
    ("Judge any model's answers", ("scores", "compare", "calibrate", "operating_point")),
    ("Plan a study", ("plan",)),
)
RETURNED = (Films, Run, Metrics, Scores, Interval, OperatingPoint)
OF_MODELS = (Reads.predict_proba, Reads.predict, Reads.classes, Reads.threshold)
WIDE = 90  # characters of a line of code
NOT_SHOWN = ("save", "at", "with_", "twin", "speed_up", "probabilities", "logits", "from_logits")


def python() -> str:
    """The public names with their signatures, docstrings and examples, and what they return."""
    parts = [PYTHON_HEAD]
    for title, names in GROUPS:
        parts.append(f"## {title}\n")
        for name in names:
            found = getattr(plainfilm, name)
            parts += _class(found, OF_MODELS) if inspect.isclass(found) else [_function(found, f"pf.{name}")]
    parts.append("## What they return\n")
    for kind in RETURNED:
        parts += _class(kind)
    return "\n".join(parts)


def _class(kind: type, more: tuple[Any, ...] = ()) -> list[str]:
    own = [value for name, value in vars(kind).items() if not name.startswith("_") and not name.startswith(NOT_SHOWN)]
    shown = [value for value in (*own, *more) if isinstance(value, property | classmethod) or inspect.isfunction(value)]
    head = f"### {kind.__name__}\n\n{_prose(inspect.getdoc(kind) or '')}\n"
    return [head, *(_member(value) for value in shown if _bare(value).__doc__)]


def _bare(value: Any) -> Callable[..., Any]:
    found = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return found  # type: ignore[no-any-return]


def _member(value: Any) -> str:
    bare = _bare(value)
    if isinstance(value, property):
        return f"**`{bare.__name__}`**: {_prose(inspect.getdoc(bare) or '')}\n"
    return f"**`{bare.__name__}{_signature(bare, skip=1)}`**\n\n{_prose(inspect.getdoc(bare) or '')}\n"


def _function(function: Callable[..., Any], name: str) -> str:
    call = f"```python\n{name}{_signature(function, wide=True)}\n```\n"
    return f"### {name}\n\n{call}\n{_prose(inspect.getdoc(function) or '')}\n"


def _signature(function: Callable[..., Any], skip: int = 0, wide: bool = False) -> str:
    """Parameters with defaults and without types: the text says those in words."""
    known = list(inspect.signature(function).parameters.values())[skip:]
    bare = inspect.Signature([found.replace(annotation=inspect.Parameter.empty) for found in known])
    line = str(bare).replace("'", '"')
    if not wide or len(line) < WIDE:
        return line
    inside = textwrap.fill(line[1:-1], WIDE, initial_indent="    ", subsequent_indent="    ")
    return f"(\n{inside}\n)"


def _prose(text: str) -> str:
    """A docstring as Markdown: code in single backticks, examples in a block of their own."""
    text = re.sub(r"\bdocs/([\w-]+)\.md", r"[\1](\1.md)", text.replace("``", "`"))
    return re.sub(r"^(>>>.*(?:\n(?!\n).*)*)", r"```pycon\n\1\n```", text, flags=re.MULTILINE)


# -- HTTP ---------------------------------------------------------------------------------------------------

HTTP_HEAD = """\
# Which addresses does the service have?

For programs that ask `plainfilm serve` for labels. [A service with a page](serving.md) says how to start one.

The running service has the same description at `/openapi.json` for programs and at `/docs` for readers.
Every answer that is no success is JSON: `{"error": "one sentence"}`.

- With `--token`, send `Authorization: Bearer TEXT`; else the answer is 401. `/`, `/docs` and `/health` are open.
- A POST may name the model that it is meant for by its SHA-256: `If-Match: "HASH"`. Another model answers 412.
- 429 and 503 carry `Retry-After`, in seconds. Wait so long and send again.

```sh
curl -F films=@a.jpeg -F films=@b.dcm http://127.0.0.1:8000/predict
```

```json
{
  "model": "a20eb0e0f3149c9017f808fbcce7b798975ac209f8f56991940ef87ee66edeed",
  "warning": null,
  "films": [
    {
      "name": "a.jpeg",
      "label": "NORMAL",
      "probabilities": {"NORMAL": 0.9991201540585732, "PNEUMONIA": 0.0008798459414266703},
      "threshold": 0.5,
      "refer": false,
      "reason": null,
      "gate": {"score": 0.41, "reason": null}
    },
    {"name": "notes.txt", "error": "not a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or DICOM picture (decided by content)"}
  ]
}
```

Films stand in the order sent. The status is 200 when at least one could be read, else 422 with the same body and an
`error` of its own. Probabilities equal those of `plainfilm label` to the last bit.
"""
STATUSES = """\
## Status codes

| status | means |
|---|---|
| 200 | done |
| 400 | the request is no valid HTTP or form, or ended early |
| 401 | the token is missing or wrong |
| 403, 421 | the request comes from another web page, or names another host |
| 408 | the body took more than 30 seconds to arrive |
| 412 | another model answers here now |
| 413 | too many films, or too large |
| 415 | the body is no `multipart/form-data` |
| 422 | none of the films can be read, or the form has no film |
| 501 | this model can't draw heat maps |
| 503 | busy; see `Retry-After` |
"""


def http() -> str:
    """The addresses of the service from its own OpenAPI description."""
    said = description()
    parts = [HTTP_HEAD]
    for path, methods in said["paths"].items():
        for method, found in methods.items():
            parts.append(f"## {method.upper()} {path}\n\n{found['description']}\n")
            options = [one for one in found.get("parameters", []) if one["in"] == "query"]
            parts += [f"Option in the address: `{one['name']}`, {_type(one['schema'])}.\n" for one in options]
            answer = found["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
            if "$ref" in answer:
                parts += _fields(said, answer["$ref"].rpartition("/")[2], [])
    return "\n".join([*parts, STATUSES])


def _fields(said: dict[str, Any], name: str, seen: list[str]) -> list[str]:
    """The fields of one answer as a table, and those of the answers inside it."""
    schema = said["components"]["schemas"][name]
    rows = [f"| `{key}` | {_type(one)} |" for key, one in schema["properties"].items()]
    inside = re.findall(r"#/components/schemas/(\w+)", str(schema["properties"]))
    seen.append(name)
    table = "\n".join(
        [f"**{name}.** {_prose(schema.get('description', ''))}\n", "| field | type |", "|---|---|", *rows, ""]
    )
    return [table, *(part for one in inside if one not in seen for part in _fields(said, one, seen))]


def _type(schema: dict[str, Any]) -> str:
    """A schema's type in words."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("type", "anything"))
