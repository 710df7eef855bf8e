"""The model: what can be *forgotten* of a store, and how: see `work` for the order of things, `selection` for what is found."""
