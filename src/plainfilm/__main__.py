"""``python -m plainfilm`` is the command ``plainfilm``."""

import sys

from plainfilm.cli import main

sys.exit(main())
