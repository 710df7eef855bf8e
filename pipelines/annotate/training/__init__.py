"""The model: *training* makes the weights of the fast engine from CoNLL-U files.

    gold sentences -> *teachers*, large and slow -> their opinion of gold and of plain text -> the *student*, a window net
    (Hinton et al. 2015, arXiv:1503.02531)

Only `gristmill tagger train` comes here; nothing else in this wing imports torch.
"""
