"""``python -m plainfilm`` is the command ``plainfilm``."""

from plainfilm.cli import main
from plainfilm.machine.ranks import end

if __name__ == "__main__":
    end(main())
