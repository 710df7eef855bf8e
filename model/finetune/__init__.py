"""The model: *fine-tuning* teaches a pretrained model a task, from labelled examples.

    python -m model.finetune DRAFT

`kinds` says what each kind of task is to a model, `heads` what is put above its backbone, `lora` how little of it may be trained, `fit`
how, and `saved` how it is written down so that `transformers` loads it.
"""

from model.finetune.classifying import classify
from model.finetune.saved import load_headed

__all__ = ["classify", "load_headed"]
