"""The guided tour: where it makes its folder, and that a reader can take in what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_desk import Desk


@pytest.fixture
def guest(desk: Desk, tmp_path: Path) -> Desk:
    """Somebody at a prompt in an empty folder."""
    desk.folder = tmp_path / "guest"
    desk.folder.mkdir()
    return desk


@pytest.mark.parametrize("there", [True, False])
def test_the_tour_goes_where_it_was_told_and_says_why_each_answer_is_what_it_is(
    there: bool, guest: Desk
) -> None:
    if there:
        (guest.folder / "mine").mkdir()
    said = guest.ok("demo", "--dir", "mine")
    assert {path.name for path in guest.folder.iterdir()} == {"mine"}
    assert (guest.folder / "mine" / "state.db").exists()
    assert "Seven requests go through" in said.out
    assert (
        said.out.count("caller got") == 7
    )  # the second test run is only named, the approval is an answer too
    assert "still missing: agent.trusted" in said.out
    assert "the signature is not by an enrolled key over these bytes" in said.out
    assert "it was taken once already" in said.out
    assert "rot13" in said.out
    assert max(map(len, said.out.splitlines())) <= 100


@pytest.mark.parametrize("there", ["folder", "file"])
def test_a_folder_that_was_asked_for_and_holds_something_is_left_alone(there: str, guest: Desk) -> None:
    mine = guest.folder / "mine"
    if there == "folder":
        mine.mkdir()
        (mine / "notes.txt").write_text("mine")
    else:
        mine.write_text("mine")
    said = guest.cigate("demo", "--dir", "mine")
    assert (said.code, said.out) == (2, "")
    assert "demo.exists" in said.err
    assert {path.name for path in guest.folder.rglob("*")} <= {"mine", "notes.txt"}


def test_without_a_name_the_next_free_one_is_taken(guest: Desk) -> None:
    (guest.folder / "cigate-demo").mkdir()
    guest.ok("demo")
    assert {path.name for path in guest.folder.iterdir()} == {"cigate-demo", "cigate-demo-2"}
    assert not list((guest.folder / "cigate-demo").iterdir())
