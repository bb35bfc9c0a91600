"""What the service counts, as Prometheus text: load, answers, refusals, and whether films drift from the training's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from plainfilm.data.films import FilmError
from plainfilm.models.answer import Answer
from plainfilm.models.gate import QUANTILES
from plainfilm.serving.predictor import MEASURES, Predictor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one service; nothing in them leads back to a film."""

    def __init__(self, predictor: Predictor) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, namespace="plainfilm", registry=self._registry)
        self._requests = counter("requests", "Requests by path and status", ("path", "status"))
        self._seconds = Histogram(
            "plainfilm_request_seconds", "Time to the answer's end", ("path",), registry=self._registry, buckets=SECONDS
        )
        self._refused = counter("refused", "Requests refused, by status", ("status",))
        self._films = counter("films", "Films by whether they could be read", ("outcome",))
        self._labels = counter("labels", "Labels given", ("label",))
        self._referred = counter("referred", "Films referred to a reader")
        self._gate = counter("gate_flagged", "Films unlike the training films, by reason", ("reason",))
        self._registry.register(_Now(predictor))

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        if status in (408, 413, 429, 503):
            self._refused.labels(str(status)).inc()

    def film(self, found: Answer | FilmError) -> None:
        """Count one film's answer."""
        if isinstance(found, FilmError):
            self._films.labels("unreadable").inc()
            return
        self._films.labels("read").inc()
        self._labels.labels(found.label).inc()
        if found.refer:
            self._referred.inc()
        if found.gate and found.gate.reason:
            self._gate.labels(found.gate.reason).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Now(Collector):
    """The queue, and the latest films' measures beside those of the training films, as they are when asked for."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        yield GaugeMetricFamily("plainfilm_queue_films", "Films waiting for an answer", value=self.predictor.waiting)
        yield GaugeMetricFamily(
            "plainfilm_film_seconds", "Seconds per film at present", value=self.predictor.films.seconds
        )
        recent = list(self.predictor.recent)
        yield GaugeMetricFamily("plainfilm_recent_films", "Films behind plainfilm_recent", value=len(recent))
        if recent:
            yield from self._recent(np.stack(recent))
        if watch := self.predictor.watch:
            words = "Evidence that the latest films differ from the training films: 0 none, 1 the alarm"
            yield GaugeMetricFamily("plainfilm_drift_evidence", words, value=max(0.0, watch.evidence))
            yield GaugeMetricFamily("plainfilm_drift_alarm", "1 while the alarm is raised", value=int(watch.alarm))
            yield GaugeMetricFamily("plainfilm_drift_films", "Films the watch has seen", value=watch.films)
        if self.predictor.model.gate:
            reference = GaugeMetricFamily(
                "plainfilm_training", "Measures of the training films", labels=("measure", "quantile")
            )
            for measure, quantiles in self.predictor.model.gate.reference().items():
                for q, value in quantiles.items():
                    reference.add_metric((measure, q), value)
            yield reference

    @staticmethod
    def _recent(measures: np.ndarray) -> Iterator[GaugeMetricFamily]:
        mean = GaugeMetricFamily("plainfilm_recent_mean", "Mean over the latest films", labels=("measure",))
        recent = GaugeMetricFamily("plainfilm_recent", "Quantiles of the latest films", labels=("measure", "quantile"))
        levels = np.quantile(measures, QUANTILES, axis=0).T
        for name, average, row in zip(MEASURES, measures.mean(0), levels, strict=True):
            mean.add_metric((name,), float(average))
            for q, value in zip(QUANTILES, row, strict=True):
                recent.add_metric((name, f"{q:g}"), float(value))
        yield mean
        yield recent
