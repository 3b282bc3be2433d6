"""Where the clone is, and which of its files make a wheel."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a wheel is made of; the clone also has what must not get into one.
WHEEL_SOURCES = ("jreid", "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE")
