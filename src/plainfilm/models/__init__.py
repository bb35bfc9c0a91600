"""Networks and what is trained of them."""

from plainfilm import memory

memory.keep()
