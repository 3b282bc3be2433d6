"""ORBench's protocol for near-infrared queries."""

from jreid.evaluation.protocols.protocol import Protocol, validated


def orbench(split: str = "test", *, cmc: str = "image", distance: str = "cosine") -> Protocol:
    """ORBench (Zuo et al., NeurIPS 2025): near-infrared queries against the visible gallery.

    All images of both lists, once, and no image is skipped. The published numbers of near infrared
    alone (rank-1 57.55, mAP 48.79, mINP 19.97: a CLIP ViT with LoRA for all modalities, as
    retrained in January 2026) are by this rule; earlier ones are of a model with a wrong head.
    """
    return validated(Protocol("orbench", split, cmc=cmc, distance=distance))
