"""Every notebook of the docs runs from top to bottom, and shows what is stored in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from docs_pages import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))


def shown(output: Any) -> Any:
    """What a reader sees of an output: the drawing where there is one, not the text that stands in for it."""
    if output["output_type"] == "stream":
        return output["name"], output["text"]
    data = dict(output.get("data", {}))
    if len(data) > 1:
        data.pop("text/plain")
    return output["output_type"], data, output.get("ename")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_is_stored_in_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    again = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(
        again, timeout=120, kernel_name="python3", resources=resources, coalesce_streams=True
    )
    client.execute()
    for before, after in zip(stored.cells, again.cells, strict=True):
        if before.cell_type == "code":
            assert before.execution_count == after.execution_count, "store it as it runs from the top"
            assert [shown(one) for one in before.outputs] == [shown(one) for one in after.outputs], (
                before.source
            )


def test_there_is_a_notebook_to_run() -> None:
    assert [path.name for path in NOTEBOOKS] == ["try-a-policy.ipynb"]
