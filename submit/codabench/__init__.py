"""Codabench: upload once, watch to the end, remember what it was."""

from __future__ import annotations

from .addresses import DEFAULT_URL, check_url
from .client import MOSEV2, Client
from .clock import Clock, SystemClock
from .competition import Board, Column, Competition, Phase, Question, Quota
from .doctor import examine
from .journal import Journal, unfinished
from .ledger import Ledger, Record
from .package import Package
from .plan import Check, Level, Plan, attempts_text, make_plan
from .results import (
    Correlation,
    ScoreLine,
    correlate,
    fetch_metrics,
    local_total,
    previous_best,
    rank_of,
    score_lines,
)
from .sending import Listener
from .state import state_folder
from .submission import Details, Score, Standing, Submission
from .tokens import Keyring, Token, TokenStore, installed_keyring
from .upload import Upload, mark_watched
from .watch import Outcome, Watch, Watched, tail_of_log

__all__ = [
    "DEFAULT_URL",
    "MOSEV2",
    "Board",
    "Check",
    "Client",
    "Clock",
    "Column",
    "Competition",
    "Correlation",
    "Details",
    "Journal",
    "Keyring",
    "Ledger",
    "Level",
    "Listener",
    "Outcome",
    "Package",
    "Phase",
    "Plan",
    "Question",
    "Quota",
    "Record",
    "Score",
    "ScoreLine",
    "Standing",
    "Submission",
    "SystemClock",
    "Token",
    "TokenStore",
    "Upload",
    "Watch",
    "Watched",
    "attempts_text",
    "check_url",
    "correlate",
    "examine",
    "fetch_metrics",
    "installed_keyring",
    "local_total",
    "make_plan",
    "mark_watched",
    "previous_best",
    "rank_of",
    "score_lines",
    "state_folder",
    "tail_of_log",
    "unfinished",
]
