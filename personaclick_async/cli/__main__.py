"""Lets ``python -m personaclick_async.cli`` do what ``personaclick`` does."""

from personaclick_async.cli import main

main()
