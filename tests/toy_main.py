"""`facejax` with the toy among its systems, as a process that a test can kill.

With TOY_KILL_AT=N it kills itself in its N-th step: at a known step, whatever the machine's speed.
"""

import os
import signal
import sys

from facejax import cli, reporting
from tests import toy

toy.register()
_add = reporting.Terms.add
_steps = iter(range(1, 10**6))


def add(self, terms):
    if os.environ.get("TOY_KILL_AT") == str(next(_steps)):
        os.kill(os.getpid(), signal.SIGKILL)
    _add(self, terms)


reporting.Terms.add = add  # type: ignore[method-assign]
sys.exit(cli.main())
