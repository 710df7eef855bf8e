"""The model: the *leaderboard* shows every evaluated model by task, best first, in the terminal or as a page."""

from flows.leaderboard.boards import Board, Row, boards
from flows.leaderboard.lines import lines_of
from flows.leaderboard.page import render, write_page

__all__ = ["Board", "Row", "boards", "lines_of", "render", "write_page"]
