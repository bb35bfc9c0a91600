"""What the addresses answer, as types and as OpenAPI describes them; what it means is in docs/serving.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Why a request was not answered, in one sentence."""

    error: str


class GateSays(BaseModel):
    """``score``: share of held-out training films at least as unusual; ``reason``: null unless the film is flagged."""

    score: float
    reason: str | None


class Labelled(BaseModel):
    """A film's label. ``refer``: a reader should look at it; ``reason`` says why."""

    name: str
    label: str
    probabilities: dict[str, float]
    threshold: float | None
    refer: bool
    reason: str | None
    gate: GateSays | None


class Unreadable(BaseModel):
    """A film without a label, and why."""

    name: str
    error: str


class Prediction(BaseModel):
    """Films in the order sent; ``model`` is the SHA-256 of the model's file; ``warning``: the latest films, of all
    requests, differ as a set from the training films."""

    model: str
    warning: str | None
    films: list[Labelled | Unreadable]


class NoneRead(Prediction):
    """None of the films could be read."""

    error: str


class WatchSays(BaseModel):
    """Whether the latest films differ as a set from the training films; ``evidence``: 0 none, 1 where ``alarm`` is
    raised; ``false_alarms``: how often it is raised for films like the training films."""

    films: int
    evidence: float
    alarm: bool
    warning: str | None
    false_alarms: str


class About(BaseModel):
    """The model that answers; ``verdict`` is what its report says in short."""

    name: str
    hash: str
    classes: list[str]
    positive: str
    threshold: float | None
    thresholds: dict[str, float] | None  # of a model of findings: each one's
    temperature: float
    refer: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    preprocess: dict[str, Any]
    verdict: dict[str, Any]
    gate: str | None
    watch: WatchSays | None
    disclaimer: str


class Element(BaseModel):
    """One element of a DICOM header: ``tag`` as 8 hex digits, DICOM's keyword and name, its value as text."""

    tag: str
    keyword: str
    name: str
    value: str


class Header(BaseModel):
    """What a film's DICOM header says of the picture; of the person only where ``identity`` was asked for."""

    elements: list[Element]


class Health(BaseModel):
    """The service is there; ``queue``: films that wait for an answer."""

    status: Literal["ok"]
    queue: int


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of refusals: those of every address, and of ``statuses``."""
    return {status: {"model": Problem} for status in (400, 401, 403, 421, *statuses)}


def form(many: bool) -> dict[str, Any]:
    """Return the description of a request with one film, or with ``many``."""
    film = {"type": "string", "format": "binary"}
    films = {"type": "array", "items": film, "minItems": 1} if many else film
    schema = {"type": "object", "properties": {"films": films}, "required": ["films"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


UPLOADS = refusals(408, 412, 413, 415, 422, 503)
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}, **UPLOADS}
VALUES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}, **UPLOADS}
