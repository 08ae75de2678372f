"""Codabench: upload exactly once, wait for the scores, keep a record."""

from __future__ import annotations

from .addresses import DEFAULT_URL, check_url
from .aside import Aside
from .client import MOSEV2, Client
from .clock import Clock, SystemClock
from .competition import Board, Column, Competition, Phase, Question, Quota
from .context import Context, find_competition, read_context
from .doctor import examine
from .journal import Journal, JournalEntry, unfinished
from .ledger import Ledger, Record
from .package import Package
from .pending import command_of, pending
from .plan import Check, Level, UploadPlan, attempts_text, make_plan
from .results import (
    Correlation,
    NotYetError,
    ScoreLine,
    TaskScores,
    board_columns,
    correlate,
    fetch_metrics,
    local_total,
    previous_best,
    rank_of,
    score_tables,
    why_unranked,
)
from .sending import Listener
from .state import state_folder
from .submission import Details, LeaderboardRow, Score, Submission, Task
from .tokens import Keyring, Token, TokenStore, installed_keyring
from .upload import Upload, mark_watched
from .watch import Watch, Watched, WatchOutcome, tail_of_log

__all__ = [
    "DEFAULT_URL",
    "MOSEV2",
    "Aside",
    "Board",
    "Check",
    "Client",
    "Clock",
    "Column",
    "Competition",
    "Context",
    "Correlation",
    "Details",
    "Journal",
    "JournalEntry",
    "Keyring",
    "LeaderboardRow",
    "Ledger",
    "Level",
    "Listener",
    "NotYetError",
    "Package",
    "Phase",
    "Question",
    "Quota",
    "Record",
    "Score",
    "ScoreLine",
    "Submission",
    "SystemClock",
    "Task",
    "TaskScores",
    "Token",
    "TokenStore",
    "Upload",
    "UploadPlan",
    "Watch",
    "WatchOutcome",
    "Watched",
    "attempts_text",
    "board_columns",
    "check_url",
    "command_of",
    "correlate",
    "examine",
    "fetch_metrics",
    "find_competition",
    "installed_keyring",
    "local_total",
    "make_plan",
    "mark_watched",
    "pending",
    "previous_best",
    "rank_of",
    "read_context",
    "score_tables",
    "state_folder",
    "tail_of_log",
    "unfinished",
    "why_unranked",
]
