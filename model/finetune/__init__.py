"""The model: *fine-tuning* turns pretrained decoder weights and labelled documents into a classifier.

python -m model.finetune DRAFT
"""

from model.finetune.classifier import Classifier, classify, load_classifier

__all__ = ["Classifier", "classify", "load_classifier"]
