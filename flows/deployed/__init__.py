"""The model: what is *deployed* is a flow that a server starts: by a schedule, by an event, by hand in the browser or through the API. Each
does what a command does, through the same steps; `table` lists them, `gristmill serve` serves them for recipes.
"""
