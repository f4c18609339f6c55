"""Engines run a model on fixed-shape batches."""

from .choose import SkippedEngine, choose_engine
from .engine import Engine
from .serving import ServingEngine

__all__ = ["Engine", "ServingEngine", "SkippedEngine", "choose_engine"]
