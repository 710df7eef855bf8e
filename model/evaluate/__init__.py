"""The model: *evaluation* measures models beside their baselines on held-out text.

python -m model.evaluate DRAFT
"""
