"""The Merkle tree, against RFC 6962's own recursive definition."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cigate.ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The definitions of RFC 6962, section 2.1, letter by letter: slow, and plainly right.


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


class Grown:
    """A tree grown leaf by leaf; keeps each perfect subtree as it completes, as the store does."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.frontier = Frontier()
        self.nodes: dict[tuple[int, int], bytes] = {}
        for leaf in leaves:
            self.frontier, completed = self.frontier.append(leaf_hash(leaf))
            for level, index, found in completed:
                assert (level, index) not in self.nodes
                self.nodes[level, index] = found

    def node(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


def leaves_of(size: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(size)]


trees = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@settings(deadline=None)
@given(trees)
def test_growing_leaf_by_leaf_gives_the_root_of_the_recursive_definition(leaves: list[bytes]) -> None:
    grown = Grown(leaves)
    assert grown.frontier.root == mth(leaves)
    assert all(grown.nodes[name] == each for name, each in grown.frontier.nodes.items())


@settings(deadline=None)
@given(trees, st.data())
def test_the_root_of_every_earlier_size_can_be_had_from_the_kept_nodes(
    leaves: list[bytes], data: Any
) -> None:
    size = data.draw(st.integers(0, len(leaves)))
    assert root_of(size, Grown(leaves).node) == mth(leaves[:size])


@settings(deadline=None)
@given(trees, st.data())
def test_inclusion_proofs_are_those_of_the_recursive_definition_and_verify(
    leaves: list[bytes], data: Any
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(index, len(leaves), Grown(leaves).node)
    assert list(proof) == path(index, leaves)
    assert verify_inclusion(index, len(leaves), leaf_hash(leaves[index]), proof, mth(leaves))


@settings(deadline=None)
@given(trees, st.data())
def test_consistency_proofs_are_those_of_the_recursive_definition_and_verify(
    leaves: list[bytes], data: Any
) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(first, len(leaves), Grown(leaves).node)
    assert list(proof) == subproof(first, leaves, True)
    assert verify_consistency(first, len(leaves), mth(leaves[:first]), mth(leaves), proof)


def test_each_leaf_of_each_small_tree_is_proved_at_its_own_place_and_at_no_other() -> None:
    for size in range(1, 18):
        leaves = leaves_of(size)
        grown = Grown(leaves)
        for index in range(size):
            proof = inclusion_proof(index, size, grown.node)
            leaf = leaf_hash(leaves[index])
            places = [
                at for at in range(-1, 20) if verify_inclusion(at, size, leaf, proof, grown.frontier.root)
            ]
            assert places == [index]


def test_each_pair_of_small_trees_is_consistent_and_no_changed_history_is() -> None:
    for second in range(1, 18):
        leaves = leaves_of(second)
        grown = Grown(leaves)
        for first in range(1, second + 1):
            proof = consistency_proof(first, second, grown.node)
            assert verify_consistency(first, second, mth(leaves[:first]), mth(leaves), proof)
            other = [*leaves[: first - 1], b"rewritten", *leaves[first:]]
            forked = consistency_proof(first, second, Grown(other).node)
            for sent in (proof, forked):
                assert not verify_consistency(first, second, mth(leaves[:first]), mth(other), sent)


@settings(deadline=None)
@given(trees, st.data())
def test_no_proof_survives_a_flipped_bit_a_missing_or_a_further_hash(leaves: list[bytes], data: Any) -> None:
    grown, size = Grown(leaves), len(leaves)
    index, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    for proof, accepts in (
        (
            inclusion_proof(index, size, grown.node),
            lambda sent: verify_inclusion(index, size, leaf_hash(leaves[index]), sent, mth(leaves)),
        ),
        (
            consistency_proof(first, size, grown.node),
            lambda sent: verify_consistency(first, size, mth(leaves[:first]), mth(leaves), sent),
        ),
    ):
        assert accepts(proof)
        for at in range(len(proof) + 1):
            assert not accepts((*proof[:at], bytes(32), *proof[at:]))
            assert not accepts((*proof[:at], b"", *proof[at:]))
        for at, each in enumerate(proof):
            assert not accepts((*proof[:at], *proof[at + 1 :]))
            bit = data.draw(st.integers(0, 255))
            flipped = bytes(
                byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(each)
            )
            assert not accepts((*proof[:at], flipped, *proof[at + 1 :]))


LEAVES = [bytes([at]) * at for at in range(8)]
WRONG = hashlib.sha256(b"wrong").digest()


@pytest.mark.parametrize(
    "changed",
    [
        {"index": 4},
        {"index": -1},
        {"index": 8},
        {"index": 2**64},
        {"size": 0},
        {"size": 9},
        {"size": 16},
        {"leaf": WRONG},
        {"leaf": b""},
        {"root": WRONG},
        {"root": b""},
        {"root": EMPTY_ROOT},
        {"proof": ()},
    ],
    ids=str,
)
def test_an_inclusion_proof_holds_for_its_own_place_tree_and_leaf_only(changed: dict[str, Any]) -> None:
    said = {
        "index": 5,
        "size": 8,
        "leaf": leaf_hash(LEAVES[5]),
        "proof": path(5, LEAVES),
        "root": mth(LEAVES),
    }
    assert verify_inclusion(*said.values())
    assert not verify_inclusion(*(said | changed).values())


@pytest.mark.parametrize(
    "changed",
    [
        {"first": 0},
        {"first": -1},
        {"first": 5},
        {"first": 8},
        {"first": 9},
        {"second": 0},
        {"second": 6},
        {"second": 9},
        {"root": WRONG},
        {"root": EMPTY_ROOT},
        {"later": WRONG},
        {"proof": ()},
    ],
    ids=str,
)
def test_a_consistency_proof_holds_for_its_own_two_trees_only(changed: dict[str, Any]) -> None:
    nodes = Grown(LEAVES).nodes
    proof = consistency_proof(6, 8, lambda level, at: nodes[level, at])
    said = {"first": 6, "second": 8, "root": mth(LEAVES[:6]), "later": mth(LEAVES), "proof": proof}
    assert verify_consistency(*said.values())
    assert not verify_consistency(*(said | changed).values())


def test_the_empty_tree_has_the_root_of_nothing() -> None:
    assert EMPTY_ROOT == hashlib.sha256(b"").digest() == mth([])
    assert not verify_inclusion(0, 0, WRONG, (), EMPTY_ROOT)
    assert not verify_consistency(0, 8, EMPTY_ROOT, mth(LEAVES), ())


def test_a_leaf_made_of_two_hashes_is_not_their_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, ()), (2, (bytes(32), bytes(32))), (-1, ()), (1, (b"short",))]
)
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError):
        Frontier(size, hashes)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_there_is_no_inclusion_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError):
        inclusion_proof(index, size, Grown(leaves_of(8)).node)


@pytest.mark.parametrize(("first", "second"), [(0, 5), (6, 5), (-1, 5), (0, 0)])
def test_there_is_no_consistency_proof_from_nothing_or_backwards(first: int, second: int) -> None:
    with pytest.raises(ValueError):
        consistency_proof(first, second, Grown(leaves_of(8)).node)
