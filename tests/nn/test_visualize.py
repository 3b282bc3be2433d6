import jax.numpy as jnp
import numpy as np

from jreid.nn.visualize import as_grid, grad_cam, heat_colors


def test_grad_cam_by_hand():
    # Channel 0 speaks for the score, twice as loud at the left; channel 1 against it.
    first = [[[2.0, 0], [1, 0]], [[0, 5], [0, 0]]]
    second = [[[0.0, 1], [0, 3]], [[0, 1], [0, 1]]]
    maps = jnp.array([first, second])

    def score(x):
        return 3 * x[..., 0].mean((1, 2)) - x[..., 1].mean((1, 2))

    got = grad_cam(maps, score)
    # Weights 3/4 and -1/4: heats 1.5, 0.75, and negative; the second image has nothing for it.
    np.testing.assert_allclose(got[0], [[1, 0.5], [0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(got[1], 0)


def test_heat_goes_from_blue_to_red():
    colors = heat_colors(jnp.array([[[0.0, 0.5, 1.0]]]))[0, 0]
    np.testing.assert_allclose(colors, [[0, 0, 0.5], [0.5, 1, 0.5], [0.5, 0, 0]])


def test_grids_hold_every_number_in_reading_order():
    for count, shape in ((2048, (64, 32)), (12, (4, 3)), (7, (7, 1))):
        values = jnp.arange(2.0 * count).reshape(2, count)
        grid = as_grid(values)
        assert grid.shape == (2, *shape, 1)
        np.testing.assert_array_equal(grid.reshape(2, count), values)
