"""Stands for pip in the sandbox, where nothing can be installed."""
