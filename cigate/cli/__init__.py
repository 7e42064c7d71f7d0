"""The `cigate` command: JSON on stdout where a program would read it, prose on stderr, exit codes that mean something.

In come arguments, out goes an exit code: 0 allowed and the run succeeded, 1 allowed and it did not (or a check found
differences), 2 bad input or a policy or configuration that does not load, 3 the gateway could not do its work,
10 denied, 11 approval required, 12 throttled. Verbs are functions in the modules of this room.
"""

from cigate.cli.command import main

__all__ = ["main"]
