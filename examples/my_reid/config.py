"""All of this package in one config.

jreid train --config=my_reid/config.py --workdir=runs/mine --config.data.folder=DIR
"""

from jreid.config import Config, defaults, scale_down


def get_config(argument: str = "folder,small") -> Config:
    """The shared defaults, with this package's method, loss, dataset and protocol."""
    config = defaults(argument)
    scale_down(config, argument)
    config.method = "my_reid.method"
    config.my_reid = {
        "width": 16,  # channels of the stems
        "weight": 0.1,  # of the circle loss
    }
    config.triplet.update(kind="my_reid.loss.circle", margin=0.25)
    config.data.update(name="my_dataset", layout="my_reid.dataset", identities=0)
    config.protocols = ("my_reid.protocol.from_camera:camera=2",)
    config.optimizer.lr_multipliers = ()  # of a backbone, which this method does not have
    del config.backbone, config.pooling
    return config
