"""Farshore: replicated, encrypted, provable backups. The engine; it knows no orchestrator."""

__version__ = "0.1.0"
