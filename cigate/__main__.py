"""`python -m cigate` is the `cigate` command."""

import sys

from cigate.cli import main

sys.exit(main())
