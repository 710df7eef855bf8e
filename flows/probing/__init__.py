"""The model: to *probe* a model is to ask it what people worry about: `asked` says what, `step` keeps what was `found` as an evaluation of
that model, `kept` reads it again, for whoever asks a second time, for cards and for reports."""
