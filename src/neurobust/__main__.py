"""`python -m neurobust`: the command `neurobust`."""

import sys

from neurobust.cli.start import start

sys.exit(start())
