"""The model: *duplicates* are found by digests alone. Preparing a split writes them as sorted *runs*; each hash
*partition* is then merged by itself from the runs of all splits, in memory that the recipe bounds.
"""
