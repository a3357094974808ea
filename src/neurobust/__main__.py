"""`python -m neurobust`: the command `neurobust`."""

import sys

from neurobust.cli.main import main

sys.exit(main())
