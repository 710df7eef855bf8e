"""The model: *serving* answers requests over HTTP as OpenAI's API does. A *version* is a loaded model artifact; the *house* has one
at a time, and takes a newer one in without a restart. A decoder has an *engine*, whose *rows* are written a token each at a time in
*slots* of one batch, which rows join and leave at any step; an encoder has an *embedder*; an encoder-decoder has both.

    slots       the batch: caches of keys and values (or states) of rows of any length
    engine      the thread that owns a model: rows wait, join, go on, and leave
    chat        messages to token ids
    embedding   texts to vectors
    house       the version that is served, and the newer one that takes its place
    wanted      what a request may hold, and how it is refused
    told        what an answer looks like
    app         the routes; `listen` binds an address and ends on SIGTERM
"""
