"""``python -m plainfilm`` is the command ``plainfilm``."""

from plainfilm.cli import main
from plainfilm.machine.ranks import end

end(main())
