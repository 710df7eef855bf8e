"""The model: a *command* of `gristmill` is a function; it prints for people, or one JSON value with `--json`.

Heavy libraries are imported by the command that needs them, so that `--help` and `ls` are quick.
"""
