"""Executors: ways to spread videos over workers."""
