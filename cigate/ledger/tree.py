"""The Merkle tree of RFC 6962 (RFC 9162, section 2.1), written once, over nothing but hashes.

Theory of operation. A tree of n leaves splits, at each node, at the largest power of two below its size. So
every subtree that is *perfect* (2^level leaves, starting at a multiple of that) is a node of every larger
tree as well: it is hashed once, named `(level, index)`, and never changes. What changes with each leaf is
only the ragged right edge, and that is a function of the perfect subtrees along it: the `Frontier`, at most
log2(n) + 1 hashes. An append needs the frontier and nothing else; a proof needs some perfect subtrees, which
it asks for by name. Verifying needs no tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import field, frozen

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()

Node = Callable[[int, int], bytes]
"""The hash of the perfect subtree over leaves `index << level` up to `(index + 1) << level`, which exists."""

Completed = tuple[int, int, bytes]
"""A perfect subtree that a leaf completed: level, index, hash. Level 0 is the leaf itself."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf (RFC 6962, 2.1: its own first byte, so that no leaf passes for a node)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _hashes(given: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(given)


@frozen
class Frontier:
    """The right edge of a tree: its size, and the perfect subtrees that tile it, the largest first.

    Raises:
        ValueError: the number of hashes is not the one that the size asks for, or one is not a SHA-256 hash.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = field(default=(), converter=_hashes)

    def __attrs_post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(
                f"a tree of {self.size} leaves has not {len(self.hashes)} perfect subtrees at its edge"
            )
        if any(len(each) != HASH_SIZE for each in self.hashes):
            raise ValueError("a hash in the frontier is not a SHA-256 hash")

    def append(self, leaf: bytes) -> tuple[Frontier, tuple[Completed, ...]]:
        """The frontier with one more leaf hash, and every perfect subtree completed, the leaf first."""
        completed = [(0, self.size, leaf)]
        kept = list(self.hashes)
        level, index, top = 0, self.size, leaf
        while index & 1:
            top = node_hash(kept.pop(), top)
            level, index = level + 1, index >> 1
            completed.append((level, index, top))
        return Frontier(self.size + 1, (*kept, top)), tuple(completed)

    @property
    def root(self) -> bytes:
        """The root hash of the whole tree; that of the empty tree is the hash of nothing."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT

    @property
    def nodes(self) -> Mapping[tuple[int, int], bytes]:
        """The hashes by the names of their subtrees."""
        named = {}
        start = 0
        for level, each in zip(_levels(self.size), self.hashes, strict=True):
            named[level, start >> level] = each
            start += 1 << level
        return named


def root_of(size: int, node: Node) -> bytes:
    """The root that the tree had when it was `size` leaves large."""
    return EMPTY_ROOT if size == 0 else _subtree(0, size, node)


def inclusion_proof(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """The audit path of a leaf in the tree of `size` leaves (RFC 9162, section 2.1.3.1).

    Raises:
        ValueError: that tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
    return tuple(reversed(path))


def consistency_proof(first: int, second: int, node: Node) -> tuple[bytes, ...]:
    """That the tree of `second` leaves begins with the tree of `first` (RFC 9162, section 2.1.4.1).

    Raises:
        ValueError: not 0 < first <= second.
    """
    if not 0 < first <= second:
        raise ValueError(f"there is no consistency proof from {first} to {second} leaves")
    path = []
    low, high = 0, second
    whole = True  # does the verifier know this subtree's hash already: is it all of the first tree?
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low, whole = middle, False
    if not whole:
        path.append(_subtree(low, high, node))
    return tuple(reversed(path))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Is this leaf hash at `index` in the tree of `size` leaves with this root (RFC 9162, 2.1.3.2)?"""
    if not 0 <= index < size or len(leaf) != HASH_SIZE or any(len(each) != HASH_SIZE for each in proof):
        return False
    at, last = index, size - 1
    found = leaf
    for each in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(each, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Does the tree of `second` leaves begin with that of `first` (RFC 9162, section 2.1.4.2)?

    An empty first tree proves nothing, and is refused; so is a hash too many.
    """
    if not 0 < first <= second or any(len(each) != HASH_SIZE for each in proof):
        return False
    if first == second:
        return not proof and first_root == second_root
    # A first tree that is perfect is itself the first node of the path, and is not sent.
    path = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for each in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(each, old), node_hash(each, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, each)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two below a size of at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _levels(size: int) -> list[int]:
    return [level for level in reversed(range(size.bit_length())) if size >> level & 1]


def _subtree(low: int, high: int, node: Node) -> bytes:
    """The hash over leaves low to high; `low` is a multiple of the power of two at or above that many."""
    hashes = []
    for level in _levels(high - low):
        hashes.append(node(level, low >> level))
        low += 1 << level
    return _fold(hashes)


def _fold(hashes: Sequence[bytes]) -> bytes:
    *rest, top = hashes
    for left in reversed(rest):
        top = node_hash(left, top)
    return top
