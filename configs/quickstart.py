"""The quickstart: AGW on the synthetic dataset, small enough for two CPU cores in two minutes.

jreid train --config=configs/quickstart.py:synthetic --workdir=runs/quickstart
"""

from configs import agw, common


def get_config(argument: str = "synthetic") -> common.Config:
    """AGW at the quickstart's scale on a synthetic dataset."""
    config = agw.get_config(argument)
    config.update(epochs=7, log_every_steps=20)
    config.image.size = (96, 48)
    config.backbone.width = 16
    config.optimizer.update(warmup_epochs=1, milestones=(5, 6))
    config.evaluation.every_epochs = 3
    return config
