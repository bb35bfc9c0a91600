"""What the service takes, how much of it at once, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass

from plainfilm.data.reading import most_bytes


@dataclass(frozen=True)
class Limits:
    """Bounds of one request and of all requests together; everything beyond is refused, nothing queues without end."""

    films: int = 64  # a request
    film_bytes: int = 64 * 2**20  # what begins as no film: 16 MB
    body_bytes: int = 128 * 2**20  # a request
    memory_bytes: int = 256 * 2**20  # of uploads and films as answers, under way together
    queue: int = 256  # films admitted and not yet answered, of all requests
    body_seconds: float = 30.0  # until the whole body has come
    answer_seconds: float = 60.0  # from then on; and until a large answer is sent

    def of(self, head: bytes) -> int:
        """Return how many bytes a film may have that begins with ``head`` (132 bytes)."""
        return min(self.film_bytes, most_bytes(head))


class Refusal(Exception):
    """A request that is not answered: HTTP status, one sentence, and after how many seconds to try again (503)."""

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


class Memory:
    """Counts bytes of uploads and large answers under way; what would pass the limit is refused before it is kept."""

    def __init__(self, limit: int) -> None:
        self.limit, self.taken = limit, 0

    def take(self, count: int) -> None:
        """Count ``count`` bytes more; Refusal (503) when they are too many."""
        if self.taken + count > self.limit:
            raise Refusal(503, "Too many films are being sent at once; try again in a moment.", retry_after=1)
        self.taken += count

    def give_back(self, count: int) -> None:
        """Count ``count`` bytes as gone."""
        self.taken -= count
