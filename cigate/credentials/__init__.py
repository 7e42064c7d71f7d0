"""Credentials: a grant goes in, a lease comes out, and is taken back.

What must always hold: a lease is no wider than its grant and dies by the time that was given; at most one
lease is issued for a tag; a lease is never forgotten. Brokers are modules named for their product.
"""

from cigate.credentials.credential import CredentialBroker, DiesAt, Grant, Profile, Profiled, Revoked
from cigate.lease import Lease, LeaseId, Tag

__all__ = ["CredentialBroker", "DiesAt", "Grant", "Lease", "LeaseId", "Profile", "Profiled", "Revoked", "Tag"]
