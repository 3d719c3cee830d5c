"""The league of chapter 15: every recipe on every task, each with the same budget for its peak."""

from lrlib.lab.league.book import TASKS
from lrlib.lab.league.network import Network
from lrlib.lab.league.playing import load, play, recorded
from lrlib.lab.league.recording import LEAGUES, Cell, cells
from lrlib.lab.league.results import Entry, League, Regret
from lrlib.lab.league.tasks import LeagueTask
from lrlib.lab.league.variance import Shares, seeds_apart, variance

__all__ = [
    "LEAGUES",
    "TASKS",
    "Cell",
    "Entry",
    "League",
    "LeagueTask",
    "Network",
    "Regret",
    "Shares",
    "cells",
    "load",
    "play",
    "recorded",
    "seeds_apart",
    "variance",
]
