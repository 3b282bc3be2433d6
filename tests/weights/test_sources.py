import hashlib
import logging
import sys
import time
from types import SimpleNamespace

import pytest

from jreid import config as configs
from jreid.commands.train import _start
from jreid.errors import InputError
from jreid.runs.record import first_weights
from jreid.runs.run import Run
from jreid.weights import sources
from jreid.weights.sources import HUB, IBN_A_FILE, KNOWN, Known, describe, locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REMEDIES = ("--config.weights=PATH", "--config.weights=none")


class Hub(SimpleNamespace):
    """Stands for huggingface_hub: what is cached, whether there is a network, what was asked."""

    def __init__(self, cached=False, online=False, file=f"hub/snapshots/{COMMIT}/model"):
        super().__init__(asked=[], cached=cached, online=online, file=file)

    def try_to_load_from_cache(self, repo_id, filename, revision):
        self.where = repo_id, filename, revision
        return self.file if self.cached else None

    def hf_hub_url(self, repo_id, filename, revision):
        return f"{repo_id}/{revision}/{filename}"

    def get_hf_file_metadata(self, url, timeout):
        self.asked.append("metadata")
        if not self.online:
            raise ConnectionError("no network")

    def hf_hub_download(self, repo_id, filename, revision):
        self.asked.append("download")
        return self.file


@pytest.mark.parametrize("source", HUB)
@pytest.mark.parametrize(
    ("cached", "online", "asked"),
    [(True, False, []), (True, True, []), (False, True, ["metadata", "download"])],
)
def test_weights_come_from_the_cache_or_the_hub(monkeypatch, source, cached, online, asked):
    hub = Hub(cached, online)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert locate(source) == hub.file
    assert hub.asked == asked
    assert hub.where == (HUB[source].repository, "model.safetensors", HUB[source].revision)


@pytest.mark.fault("F24")
def test_without_a_network_one_question_is_asked(monkeypatch):
    hub = Hub(cached=False, online=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(InputError, match=r"--config.weights=PATH.*--config.weights=none"):
        locate("imagenet")
    assert hub.asked == ["metadata"]


@pytest.mark.fault("F24")
def test_the_real_hub_is_given_up_within_seconds(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setattr(hub, "hf_hub_url", lambda **_: "https://jreid.invalid/model.safetensors")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda **_: None)
    start = time.monotonic()
    with pytest.raises(InputError, match="cannot be fetched"):
        locate("imagenet")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("source", "part", "module"),
    [*((one, "hub", "huggingface_hub") for one in HUB), ("ibn_a", "torch", "torch")],
)
def test_without_a_package_the_remedies_are_named(monkeypatch, source, part, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as caught:
        locate(source)
    for text in (source, f'pip install "jreid[{part}]"', *REMEDIES):
        assert text in str(caught.value)


class Answer(SimpleNamespace):
    """Stands for urllib.request: what it answers, or that there is no network."""

    def urlopen(self, url, timeout):
        assert url.endswith(IBN_A_FILE) and timeout
        if self.content is None:
            raise OSError("no network")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self):
        return self.content


def test_ibn_a_is_fetched_once_and_only_whole(monkeypatch, tmp_path):
    torch = SimpleNamespace(hub=SimpleNamespace(get_dir=lambda: str(tmp_path)))
    monkeypatch.setitem(sys.modules, "torch", torch)
    for content, message in ((None, "cannot be fetched"), (b"half", "not the published file")):
        monkeypatch.setattr(sources.urllib, "request", Answer(content=content))
        with pytest.raises(InputError, match=rf"ibn_a.* {message}.*--config\.weights=PATH"):
            locate("ibn_a")
        assert not list(tmp_path.rglob("*.pth"))
    monkeypatch.setattr(sources.urllib, "request", Answer(content=b"whole"))
    digest = SimpleNamespace(hexdigest=lambda: "d9d0bb7b00")
    monkeypatch.setattr(sources.hashlib, "sha256", lambda content: digest)
    path = tmp_path / "checkpoints" / IBN_A_FILE
    assert locate("ibn_a") == str(path) and path.read_bytes() == b"whole"
    monkeypatch.setattr(sources.urllib, "request", None)
    assert locate("ibn_a") == str(path)


def test_weights_of_rendered_people_are_made_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"synthetic_weights.*experiments\.pretrain"):
        locate("synthetic")


def test_a_missing_file_names_what_may_be_given(tmp_path):
    with pytest.raises(InputError, match=r"imagenet, imagenet_v2, ibn_a.*--config.weights=PATH"):
        locate(str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize("digits", KNOWN)
def test_published_files_are_known_by_their_digits(digits, caplog):
    caplog.set_level(logging.INFO)
    sha256 = digits.ljust(64, "0")
    assert describe("mine.pth", "mine.pth", sha256) == {"name": KNOWN[digits].name}
    assert f"license {KNOWN[digits].license}" in caplog.text
    second = digits == "11ad3fa6"
    assert ("published results" in caplog.text) is second
    assert ("V1" in caplog.text) is (second or "V1" in KNOWN[digits].name)


def test_the_second_weights_of_the_hub_have_their_name_and_revision(caplog):
    path = f"cache/snapshots/{COMMIT}/model.safetensors"
    found = describe("imagenet_v2", path, "0" * 64)
    assert found == {"name": "torchvision's ResNet-50 IMAGENET1K_V2", "revision": COMMIT}
    assert "published results" not in caplog.text  # they were asked for


@pytest.mark.fault("C4")
def test_a_file_whose_name_says_another_hash(tmp_path, caplog):
    right = hashlib.sha256(b"weights").hexdigest()
    assert describe("a", str(tmp_path / f"resnet50-{right[:8]}.pth"), right) == {}
    with pytest.raises(InputError, match=rf"damaged.* with {right[:8]}, its name says 0676ba61"):
        describe("a", str(tmp_path / "resnet50-0676ba61.pth"), right)
    with pytest.raises(InputError, match="damaged"):  # in PyTorch's cache
        describe("ibn_a", str(tmp_path / IBN_A_FILE), right)
    # The content of another published file: both are named.
    found = describe("a", "resnet50-0676ba61.pth", "11ad3fa6".ljust(64, "0"))
    assert "V2" in found["name"]
    message = caplog.messages[0]
    assert message.index("IMAGENET1K_V1") < message.index("IMAGENET1K_V2")


def test_a_run_and_its_result_name_the_weights(tmp_path, monkeypatch):
    path, sha256 = tmp_path / "weights.pth", hashlib.sha256(b"weights").hexdigest()
    path.write_bytes(b"weights")
    monkeypatch.setitem(KNOWN, sha256[:8], Known("a known file", "MIT"))
    config = configs.load("agw:tiny", [f"--config.weights={path}"])
    start = _start(config, Run(tmp_path / "run"), SimpleNamespace(init_from=None)).record
    named = {"kind": "file", "sha256": sha256, "name": "a known file"}
    assert start == {**named, "path": str(path)}
    assert first_weights({"start": start}) == {"start": named}
    assert first_weights({}) == {}
