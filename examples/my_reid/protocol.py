"""Your own protocol: `my_reid.protocol.from_camera:camera=2`."""

from jreid.evaluation import Protocol, validated


def from_camera(split: str = "test", *, camera: int = 2, distance: str = "cosine") -> Protocol:
    """The infrared images of one camera against all visible images."""
    return validated(
        Protocol(
            "my_reid.protocol.from_camera",
            split,
            direction="infrared_to_visible",
            query_cameras=(camera,),
            distance=distance,
        )
    )
