"""`python -m facejax COMMAND` does what `facejax COMMAND` does."""

import sys

from facejax.cli import main

sys.exit(main())
