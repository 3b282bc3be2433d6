"""The routes of `jreid serve`: what they answer, and what they refuse, without a model."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient
from helpers.stub_searcher import StubSearcher, encoded

from jreid.serve import upload
from jreid.serve.app import create_app

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 20, 3), np.uint8)
PNG = encoded(PIXELS)
INFRARED = "/search?modality=infrared"


@pytest.fixture
def searcher():
    return StubSearcher()


@pytest.fixture
def client(searcher):
    return TestClient(create_app(searcher), "http://127.0.0.1:8000", raise_server_exceptions=False)


def search(client, content=PNG, url=INFRARED, kind="image/png"):
    return client.post(url, content=content, headers={"Content-Type": kind})


def test_a_query_gets_the_ranked_gallery(client, searcher):
    answer = search(client, url=f"{INFRARED}&top=2")
    assert answer.status_code == 200
    assert answer.json() == {
        "modality": "infrared",
        "gallery_modality": "visible",
        "gallery_images": 3,
        "hits": [
            {"rank": 1, "name": "cam1/0001.png", "similarity": 0.9, "thumbnail": "/thumbnails/0"},
            {
                "rank": 2,
                "name": "cam2/a <b> & 'c'.png",
                "similarity": 0.8,
                "thumbnail": "/thumbnails/1",
            },
        ],
    }
    ((pixels, modality),) = searcher.seen
    np.testing.assert_array_equal(pixels, PIXELS)
    assert modality == "infrared"


def test_a_name_that_is_not_utf8_is_shown(client):
    assert [hit["name"] for hit in search(client).json()["hits"]][2] == "c?.png"


def png(width, height, data):
    """A PNG that claims a size, with whatever data."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def animation():
    file = io.BytesIO()
    PIL.Image.new("L", (8, 8)).save(file, "GIF")
    return file.getvalue()


def turned():
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    return file.getvalue()


HOSTILE = {
    "nothing": (b"", "is not a JPEG, PNG or BMP image"),
    "text": (b"<script>alert(1)</script>", "is not a JPEG, PNG or BMP image"),
    "a truncated file": (PNG[: len(PNG) // 2], "cannot be read"),
    "a file without its end": (PNG[:-12], "cannot be read"),
    "damaged bytes": (PNG[:60] + b"\0" * 60 + PNG[120:], "cannot be read"),
    "another format": (animation(), "is not a JPEG, PNG or BMP image"),
    "a small file of many pixels": (png(30_000, 30_000, b"\0" * 100), "more than 24,000,000"),
    "the largest size": (png(2**31 - 1, 2**31 - 1, b""), "more than 24,000,000"),
    "a line of many pixels": (png(24_000_001, 1, b""), "more than 24,000,000"),
    "a long line": (png(4_000_000, 6, b""), "a side of more than 20,000"),
    "no pixels": (png(0, 5, b""), "cannot be read|not a JPEG"),
    "many scans": (encoded(PIXELS, "JPEG")[:-2] + b"\xff\xda\0\0" * 101, "more than 100 scans"),
    "an orientation": (turned(), "has an EXIF orientation"),
    "16 bits": (encoded(np.ones((9, 9), np.uint16)), "16 bits per channel"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_gets_one_sentence_and_the_next_one_its_answer(client, name):
    content, cause = HOSTILE[name]
    answer = search(client, content)
    assert answer.status_code == 422
    sentence = answer.json()["detail"]
    assert sentence.startswith("The image ") and any(part in sentence for part in cause.split("|"))
    assert search(client).status_code == 200


@pytest.mark.parametrize(
    ("url", "kind", "status", "part"),
    [
        (INFRARED, "text/html", 415, "image/png"),
        (INFRARED, "application/x-www-form-urlencoded", 415, "image/png"),
        (INFRARED, "multipart/form-data; boundary=x", 415, "image/png"),
        (INFRARED, "", 415, "image/png"),
        ("/search", "image/png", 422, "modality"),
        ("/search?modality=thermal", "image/png", 422, "modality"),
        (f"{INFRARED}&top=0", "image/png", 422, "top"),
        (f"{INFRARED}&top=101", "image/png", 422, "top"),
        (f"{INFRARED}&top=many", "image/png", 422, "top"),
        ("/search/../etc/passwd?modality=visible", "image/png", 404, "Not Found"),
    ],
)
def test_a_bad_request_gets_one_sentence(client, searcher, url, kind, status, part):
    answer = search(client, url=url, kind=kind)
    assert answer.status_code == status
    assert part in answer.json()["detail"]
    assert not searcher.seen


def test_an_upload_that_is_too_large_is_not_kept(client, searcher, monkeypatch):
    monkeypatch.setattr(upload, "MAX_BYTES", 1000)
    for body in (b"\0" * 1001, (b"\0" * 500 for _ in range(7)), (b"\0" * 500 for _ in range(70))):
        assert search(client, body).status_code == 413
    assert not searcher.seen


def test_uploads_share_a_limit_of_memory(client, monkeypatch):
    monkeypatch.setattr(upload, "MAX_HELD", len(PNG) - 1)
    answer = search(client)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    monkeypatch.setattr(upload, "MAX_HELD", len(PNG))
    assert [search(client).status_code for _ in range(3)] == [200] * 3


def test_a_fault_of_ours_does_not_end_the_server(client, searcher, monkeypatch):
    def fail(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(searcher, "search", fail)
    answer = search(client)
    assert answer.status_code == 500 and "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert 'status="500"} 1.0' in client.get("/metrics").text
    monkeypatch.undo()
    assert search(client).status_code == 200


def test_thumbnails_are_named_by_number_alone(client):
    good = client.get("/thumbnails/0")
    assert good.headers["content-type"] == "image/jpeg" and good.content[:2] == b"\xff\xd8"
    for row in ("2", "3", "-1", "99999999999999999999"):  # 2 can no longer be read
        assert client.get(f"/thumbnails/{row}").status_code == 404
    for row in ("..%2f..%2fetc%2fpasswd", "cam1%2f0001.png", "a"):
        assert client.get(f"/thumbnails/{row}").status_code in (404, 422)


OTHERS = ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1:8000", "localhost:1@evil.example"]


@pytest.mark.parametrize("host", OTHERS)
def test_another_host_is_refused(client, searcher, host):
    answer = client.post(INFRARED, content=PNG, headers={"Host": host, "Content-Type": "image/png"})
    assert answer.status_code == 400 and "another host" in answer.json()["detail"]
    assert client.get("/", headers={"Host": host}).status_code == 400
    assert not searcher.seen


@pytest.mark.parametrize("url", ["/", "/page.js", "/healthz", "/nosuch", "/thumbnails/0"])
def test_every_answer_has_headers_for_safety(client, url):
    for headers in ({}, {"Host": "evil.example"}):
        found = client.get(url, headers=headers).headers
        assert "default-src 'none'" in found["Content-Security-Policy"]
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Cross-Origin-Resource-Policy"] == "same-origin"
        assert found["Cache-Control"] == "no-store"
        assert not {"access-control-allow-origin", "server", "set-cookie"} & {*found}


def test_another_site_may_not_send(client):
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options(INFRARED, headers=headers)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_loads_only_from_the_server(client):
    page = client.get("/")
    assert page.status_code == 200 and "3 visible images" in page.text
    for text in (page.text, client.get("/page.js").text, client.get("/page.css").text):
        assert "http:" not in text and "https:" not in text and "//cdn" not in text
    assert "<script>" not in page.text and " style=" not in page.text
    assert client.get("/docs").status_code == 404


def test_health_and_metrics_say_what_happened(client, searcher):
    assert client.get("/healthz").json() == {"status": "ok", **searcher.about}
    search(client)
    search(client, b"no image")
    client.get("/any/path")
    lines = client.get("/metrics").text.splitlines()
    assert 'jreid_responses_total{route="/search",status="200"} 1.0' in lines
    assert 'jreid_responses_total{route="/search",status="422"} 1.0' in lines
    assert 'jreid_responses_total{route="other",status="404"} 1.0' in lines
    assert "jreid_search_seconds_count 1.0" in lines
    assert "jreid_searches_pending 0.0" in lines
    assert "jreid_gallery_images 3.0" in lines


def test_the_json_endpoint_is_described(client):
    described = client.get("/openapi.json").json()["paths"]
    assert {*described} == {"/search", "/thumbnails/{row}", "/healthz", "/metrics"}
    assert [*described["/search"]["post"]["requestBody"]["content"]] == ["image/*"]


def test_refusals_are_described(client):
    described = client.get("/openapi.json").json()
    found = {
        (path, status): answer["content"]["application/json"]["schema"]
        for path, routes in described["paths"].items()
        for route in routes.values()
        for status, answer in route["responses"].items()
        if status != "200"
    }
    refusal = described["components"]["schemas"]["Refusal"]
    assert [*refusal["properties"]] == refusal["required"] == ["detail"]
    assert refusal["properties"]["detail"]["type"] == "string"
    assert {schema["$ref"] for schema in found.values()} == {"#/components/schemas/Refusal"}
    of_search = {status for path, status in found if path == "/search"}
    assert of_search == {"400", "408", "413", "415", "422", "500", "503", "504"}
    assert ("/thumbnails/{row}", "404") in found
