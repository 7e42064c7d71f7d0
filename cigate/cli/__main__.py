import sys

from cigate.cli.command import main

sys.exit(main())
