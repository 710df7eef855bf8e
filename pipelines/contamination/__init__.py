"""The model: a document is *contaminated* if it holds an *item* of an *evaluation set*: whoever trains on it measures memory.

evaluation_sets   files -> items
grams             texts -> runs of words and characters, by which texts are compared
index             items -> a folder of memory-mapped columns, made once a job
search            texts -> places where grams of items stand
hits, stage       places -> items that count; documents dropped, cut or flagged
"""
