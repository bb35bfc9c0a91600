"""Networks and what is trained of them."""

from plainfilm.machine import memory

memory.keep()
