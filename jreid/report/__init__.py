"""Figures of the features and results of an evaluation."""

from jreid.report.figures import draw_features

__all__ = ["draw_features"]
