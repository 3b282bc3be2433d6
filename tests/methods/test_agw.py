"""AGW: its parts and counts, its losses, and the published checkpoint through the command line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.batches import random_batch
from helpers.paths import ROOT
from helpers.variables import count, filled, shapes

from jreid.__main__ import main
from jreid.config import load as load_config
from jreid.data.embedding_batches import embedding_batches
from jreid.data.plain_folder import read_folder
from jreid.losses import cross_entropy, weighted_triplet
from jreid.methods import load

AGW = f"{ROOT}/configs/agw.py"


def test_parameters_of_the_published_network():
    """Counts of the specification: a trunk of 23,508,032, one more stem, blocks and heads."""
    params = shapes(load(load_config(f"{AGW}:sysu_mm01")))["params"]
    stem, trunk = 9_536, 23_508_032
    # Of C channels: theta, phi and g have C weights and a bias, W and its norm four vectors.
    non_local = sum(3 * (C + 1) + 4 * C for C in (512, 512, 1024, 1024, 1024))
    assert count(params["backbone"]) == trunk + stem + non_local
    assert count(params["neck"]) == 2048
    assert count(params["classifier"]) == 2048 * 395


@pytest.mark.parametrize(
    ("data", "kind", "epochs"),
    [
        ("sysu_mm01", "weighted_regularized_released", 81),
        ("regdb,trial=3", "weighted_regularized_released", 81),
        ("llcm", "weighted_regularized_released", 81),
        ("folder", "weighted_regularized", 81),
        ("synthetic", "weighted_regularized", 7),
        ("synthetic,long", "weighted_regularized", 17),
    ],
)
def test_published_numbers_are_met_by_the_released_loss_and_length(data, kind, epochs):
    config = load_config(f"{AGW}:{data}")
    assert (config.triplet.kind, config.epochs) == (kind, epochs)


def test_the_loss_is_the_sum_of_its_terms(tiny_config):
    method = load(tiny_config)
    variables = jax.jit(method.init)(jax.random.key(0), random_batch())
    (player,) = method.players
    state = {"batch_stats": variables["batch_stats"]}
    loss, (aux, changed) = jax.jit(player.loss)(
        variables["params"], state, random_batch(), jax.random.key(1), jnp.float32(0)
    )
    np.testing.assert_allclose(loss, aux["identity"] + aux["triplet"], rtol=1e-6)
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    # A classifier that knows nothing guesses among the 8 identities.
    np.testing.assert_allclose(aux["identity"], np.log(8), atol=0.05)


def test_rows_of_both_modalities_carry_their_identity(tiny_config, monkeypatch):
    """What reaches the losses is sample-major: visible, infrared, visible, infrared, ..."""
    seen = {}

    def spy(name, loss):
        def spied(values, identity, *rest):
            seen[name] = identity
            return loss(values, identity, *rest)

        return spied

    monkeypatch.setattr("jreid.methods.agw.cross_entropy", spy("identity", cross_entropy))
    monkeypatch.setattr(
        "jreid.methods.agw.triplet", lambda kind, f, i, m: spy("triplet", weighted_triplet)(f, i)
    )
    method = load(tiny_config)

    @jax.jit
    def identities(variables):
        model_state = {"batch_stats": variables["batch_stats"]}
        method.players[0].loss(
            variables["params"], model_state, random_batch(), jax.random.key(0), jnp.float32(0)
        )
        return dict(seen)

    found = identities(filled(shapes(method)))
    expected = [0, 0, 0, 0, 1, 1, 1, 1]
    assert {name: identity.tolist() for name, identity in found.items()} == {
        "identity": expected,
        "triplet": expected,
    }


def test_computing_in_bfloat16_keeps_parameters_and_embeddings_in_float32(tiny_folder):
    config = load_config(f"{AGW}:tiny", ["--config.dtype=bfloat16"])
    method = load(config)
    variables = jax.jit(method.init)(jax.random.key(0), random_batch())
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    images = random_batch()["visible"]
    low, high = (
        jax.jit(of.embed, static_argnums=2)(variables, images, "visible")
        for of in (method, load(load_config(f"{AGW}:tiny")))
    )
    assert low.dtype == jnp.float32
    assert 0 < np.abs(low - high).max() < 0.1 * np.abs(high).max()


@pytest.mark.slow
def test_an_imported_checkpoint_embeds_as_pytorch_does(tmp_path, tiny_folder):
    torch = pytest.importorskip("torch", reason="parity with PyTorch: torch is not installed")
    from helpers import torch_reference

    network = torch_reference.AGW(identities=10, width=16)
    torch_reference.randomize(network)
    for name, value in network.state_dict().items():
        if name.startswith("NL_") and name.endswith("W.1.weight"):
            value *= 0.01  # random blocks are cubic in their input, which grows beyond measure
    network.eval()
    checkpoint = tmp_path / "agw.pth"
    torch.save({"net": network.state_dict(), "epoch": 3}, checkpoint)
    run, output = tmp_path / "run", tmp_path / "features.npz"
    flags = ["--config.weights=none", "--config.backbone.width=16", "--config.data.identities=10"]
    size = (64, 32)
    arguments = ["import", f"--config={AGW}:sysu_mm01", *flags, f"--config.image.size={size}"]
    assert main([*arguments, f"--checkpoint={checkpoint}", f"--workdir={run}"]) == 0
    for camera, modality in ((1, "visible"), (6, "infrared")):
        folder = tiny_folder / f"cam{camera}"
        embed = ["embed", f"--workdir={run}", f"--images={folder}", f"--modality={modality}"]
        assert main([*embed, f"--output={output}"]) == 0
        names, paths, _ = read_folder(folder)
        images = [path.read_bytes() for path in paths]
        (pixels,) = embedding_batches(images, names, size, "lanczos", len(images))
        with torch.no_grad():
            expected = network.embed(torch_reference.to_nchw(pixels), modality).numpy()
        features = np.load(output)["features"]
        assert 0.1 < np.abs(expected).max() < 100
        np.testing.assert_allclose(features, expected, atol=1e-4)


def test_an_import_that_does_not_fit_leaves_nothing(tmp_path, capsys):
    from safetensors.numpy import save_file

    checkpoint = tmp_path / "agw.safetensors"
    save_file(
        {"classifier.weight": np.zeros((10, 512), np.float32), "extra": np.zeros(1)}, checkpoint
    )
    arguments = ["import", f"--config={AGW}:tiny", f"--checkpoint={checkpoint}"]
    assert main([*arguments, f"--workdir={tmp_path / 'run'}"]) == 2
    err = capsys.readouterr().err
    assert "missing" in err
    assert "extra" in err
    assert not (tmp_path / "run").exists()
