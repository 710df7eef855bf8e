"""The model: a *probe* asks a model, or what it wrote, a question that people worry about: what it learned by heart, whom it treats how,
what it looks at. None of them trains anything; what needs the corpus side besides is joined in `flows.probing.findings`."""
