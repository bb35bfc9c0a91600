"""What an audit advises in words that reports know again; here, since reports are read without scikit-learn."""

from __future__ import annotations

COVER_THEM = "A model can score without a look at the lungs; cover the borders and see what it still knows."
