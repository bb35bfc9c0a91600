"""Networks and what is trained of them."""

from plainfilm.models import memory

memory.keep()
