"""Who serves in a place: one at a time, found by its address, and not by what a killed one left."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flows.place import FILE, served_at, serving_alone, tell
from schemas.errors import RequestError

URL = "http://127.0.0.1:1/api"


def test_one_serves_in_a_place_and_is_found_there(tmp_path: Path) -> None:
    assert served_at(tmp_path) is None
    with serving_alone(tmp_path):
        tell(tmp_path, URL)
        assert served_at(tmp_path) == URL
        with pytest.raises(RequestError, match="another gristmill serve"), serving_alone(tmp_path):
            pass
    assert served_at(tmp_path) is None and not (tmp_path / FILE).exists()


def test_what_a_killed_one_left_is_nobodys_address_and_who_begins_is_waited_for(tmp_path: Path) -> None:
    tell(tmp_path, "http://127.0.0.1:2/api")  # killed: its lock went with it
    with serving_alone(tmp_path):
        assert served_at(tmp_path) is None
        later = threading.Timer(0.3, tell, (tmp_path, URL))
        later.start()
        assert served_at(tmp_path, patience=30) == URL
        later.join()
