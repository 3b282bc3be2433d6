"""Pedestrians: what the two spectra share, and what stays the same from image to image."""

import numpy as np

from jreid.synthetic.cameras import CAMERAS
from jreid.synthetic.materials import luminance
from jreid.synthetic.pedestrians import sample_person
from jreid.synthetic.photograph import photograph


def test_infrared_reflectance_is_more_than_luminance_and_patterns_mostly_survive():
    people = [sample_person(np.random.default_rng(i)) for i in range(300)]
    cloths = [person.upper_cloth for person in people]
    light = [luminance(cloth.base.visible) for cloth in cloths]
    infrared = [cloth.base.infrared for cloth in cloths]
    assert 0.5 < np.corrcoef(light, infrared)[0, 1] < 0.97
    contrast = np.array([abs(cloth.base.infrared - cloth.accent.infrared) for cloth in cloths])
    assert 0.9 < np.mean(contrast > 0.2) < 0.99


def test_a_person_keeps_its_clothes_and_changes_its_pose():
    person = sample_person(np.random.default_rng(5))
    camera = CAMERAS[0]

    def look(seed: int) -> np.ndarray:
        image = photograph(person, camera, 0, (64, 32), np.random.default_rng(seed))
        return np.asarray(image, float)

    assert np.array_equal(look(1), look(1))
    assert np.abs(look(1) - look(2)).mean() > 5
