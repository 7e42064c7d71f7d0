"""A credential that lives for minutes, on its way from a broker to one run."""

from __future__ import annotations

from datetime import datetime
from typing import NewType

from attrs import frozen

from cigate.secret import Secret

LeaseId = NewType("LeaseId", str)
Tag = NewType("Tag", str)
"""What a broker marks a lease with so that it can be found after a crash: the decision's id."""


@frozen
class Lease:
    """What a broker issued for one grant.

    Args:
        id: the broker's name for it; enough to revoke it.
        tag: the grant's tag.
        secret: the credential; only the runner sees it.
        scope: what it opens, as the broker says.
        expires: when it dies by itself.
    """

    id: LeaseId
    tag: Tag
    secret: Secret
    scope: tuple[str, ...]
    expires: datetime
