"""An answer of many bytes is counted while it is sent, and a slow reader does not hold it."""

from __future__ import annotations

import asyncio

import pytest

from plainfilm.serving.counted import PIECE, Counted
from plainfilm.serving.limits import Limits, Memory, Refusal

BODY = bytes(range(256)) * (3 * PIECE // 256) + b"rest"


def sent(answer, send):
    async def nothing():
        return {"type": "http.disconnect"}

    asyncio.run(answer({"type": "http"}, nothing, send))


def counted(memory, seconds=60.0):
    return Counted(BODY, memory, Limits(answer_seconds=seconds), {"X-Film": "{}"})


def test_it_comes_whole_in_pieces_and_counts_until_the_last():
    memory, messages, taken = Memory(len(BODY)), [], []

    async def send(message):
        messages.append(message)
        taken.append(memory.taken)

    sent(counted(memory), send)
    bodies = [message["body"] for message in messages[1:]]
    assert b"".join(bodies) == BODY and max(map(len, bodies)) == PIECE
    assert [message.get("more_body", False) for message in messages[1:]] == [True] * 4 + [False]
    assert dict(messages[0]["headers"])[b"content-length"] == str(len(BODY)).encode()
    assert set(taken) == {len(BODY)} and memory.taken == 0


def test_a_client_that_does_not_read_is_left_and_the_memory_free_again():
    memory, messages = Memory(len(BODY)), []

    async def send(message):
        messages.append(message)
        if len(messages) == 3:
            await asyncio.sleep(60)

    sent(counted(memory, seconds=0.05), send)
    assert len(messages) == 3 and messages[-1]["more_body"] and memory.taken == 0


def test_a_connection_that_breaks_gives_back_too():
    memory = Memory(len(BODY))

    async def send(message):
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        sent(counted(memory), send)
    assert memory.taken == 0


def test_where_too_much_is_under_way_nothing_is_sent():
    memory = Memory(len(BODY))
    memory.take(1)

    async def send(message):
        raise AssertionError("sent")

    with pytest.raises(Refusal) as refusal:
        sent(counted(memory), send)
    assert refusal.value.status == 503 and memory.taken == 1
