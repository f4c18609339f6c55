"""Engines run a model on fixed-shape batches."""

from .choose import SkippedEngine, choose_engine
from .engine import Engine

__all__ = ["Engine", "SkippedEngine", "choose_engine"]
