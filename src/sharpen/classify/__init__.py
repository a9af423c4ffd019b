"""A classifier from texts and few labels or none: what the labels mean, labels held back, self-training, and whom to ask next."""

from __future__ import annotations

from sharpen.classify.basis import Basis
from sharpen.classify.classifier import Classified, Labelled, Measured, classify, label_all
from sharpen.classify.corpus import Corpus, descriptions, read_corpus, read_texts
from sharpen.classify.estimate import ClassEstimate, Estimate, estimate

__all__ = [
    "Basis",
    "ClassEstimate",
    "Classified",
    "Corpus",
    "Estimate",
    "Labelled",
    "Measured",
    "classify",
    "descriptions",
    "estimate",
    "label_all",
    "read_corpus",
    "read_texts",
]
