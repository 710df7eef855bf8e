"""The model: token shards in, trained and evaluated language models out. Knows nothing of how its input was made.

Importing this package imports no torch; its modules do.
"""
