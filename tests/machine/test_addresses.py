"""Which addresses are reached from this machine only."""

from __future__ import annotations

import pytest

from plainfilm.errors import InputError
from plainfilm.machine.addresses import is_local


def test_loopback_is_known_by_its_address():
    assert is_local("127.0.0.1") and is_local("::1") and is_local("localhost") and is_local("127.1.2.3")
    assert not is_local("0.0.0.0") and not is_local("10.1.2.3")
    with pytest.raises(InputError, match="no address of this machine"):
        is_local("no such host!")
