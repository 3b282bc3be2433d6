"""What the server counts, as text for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The server's counters; each server has its own."""

    def __init__(self, gallery_images: int, pending: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.responses = Counter(
            "jreid_responses",
            "Responses by route and HTTP status.",
            ("route", "status"),
            registry=self._registry,
        )
        self.search_seconds = Histogram(
            "jreid_search_seconds",
            "Seconds from a whole upload to its hits, with waiting.",
            registry=self._registry,
        )
        waiting = Gauge(
            "jreid_searches_pending", "Searches that run or wait.", registry=self._registry
        )
        waiting.set_function(pending)
        images = Gauge("jreid_gallery_images", "Images in the gallery.", registry=self._registry)
        images.set(gallery_images)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)
