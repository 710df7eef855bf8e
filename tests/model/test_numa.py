"""The model: ranks of a machine of several nodes keep to one each, as the kernel tells of them in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from model.numa import cpus_in, cpus_of_rank, near_its_memory, nodes_of


def machine(folder: Path, *lists: str) -> Path:
    for number, text in enumerate(lists):
        (folder / f"node{number}").mkdir()
        (folder / f"node{number}/cpulist").write_text(f"{text}\n")
    (folder / "has_cpu").write_text("0\n")
    return folder


def test_lists_are_read_as_the_kernel_writes_them() -> None:
    assert cpus_in("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert cpus_in("\n") == set()  # a node of memory alone


def test_nodes_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    lists = [f"{number}" for number in range(12)]
    assert nodes_of(machine(tmp_path, *lists)) == [{number} for number in range(12)]
    assert nodes_of(tmp_path / "elsewhere") == []


def test_neighbours_share_a_node(tmp_path: Path) -> None:
    folder, every = machine(tmp_path, "0-3,8-11", "4-7,12-15"), set(range(16))
    first, second = {0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}
    assert [cpus_of_rank(folder, every, rank, 4, 1) for rank in range(4)] == [first, first, second, second]
    assert [cpus_of_rank(folder, every, rank, 2, 8) for rank in range(2)] == [first, second]
    assert [cpus_of_rank(folder, every, rank, 3, 4) for rank in range(3)] == [first, first, second]


def test_a_rank_keeps_to_no_node_where_that_would_take_cpus_from_it(tmp_path: Path) -> None:
    folder, every = machine(tmp_path, "0-3", "4-7"), set(range(8))
    assert cpus_of_rank(folder, every, 0, 1, 4) == every  # alone
    assert cpus_of_rank(folder, every, 1, 2, 5) == every  # more threads than the node has CPUs
    assert cpus_of_rank(folder, every, 1, 4, 3) == every  # two ranks on a node
    assert cpus_of_rank(tmp_path / "none", every, 1, 2, 1) == every


def test_what_the_process_may_not_use_does_not_count(tmp_path: Path) -> None:
    folder = machine(tmp_path, "0-3", "4-7", "")
    assert cpus_of_rank(folder, {0, 1}, 1, 2, 1) == {0, 1}  # one node is left
    assert cpus_of_rank(folder, {1, 6, 7}, 1, 2, 1) == {6, 7}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no Linux")
def test_a_rank_is_bound_while_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("there is one CPU")
    one, *others = sorted(before)
    monkeypatch.setattr("model.numa.NODES", machine(tmp_path, str(one), ",".join(map(str, others))))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with near_its_memory(1):
        assert os.sched_getaffinity(0) == set(others)
    assert os.sched_getaffinity(0) == before
