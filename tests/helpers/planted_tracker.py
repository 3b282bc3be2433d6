"""A module in place of `wandb` or `trackio`, with what jreid uses of their interface."""

from types import ModuleType
from typing import Any


class PlantedTracker(ModuleType):
    """Keeps what is logged in `runs`, by the run's name or id, as the packages find it again.

    Attributes:
        inits: the arguments of each call of `init`.
        fails_at: the step at which `log` raises `failure`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.runs: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.inits: list[dict[str, Any]] = []
        self.finished = 0
        self.fails_at: int | None = None
        self.failure: BaseException = RuntimeError("no space")

    def init(self, **arguments: Any) -> Any:
        assert arguments["resume"] == "allow"
        self.inits.append(arguments)
        logged = self.runs.setdefault(arguments.get("id") or arguments["name"], [])
        print("* a tracker that prints on standard output")
        self._run = PlantedRun(self, logged)
        return self._run

    def log(self, metrics: dict[str, Any], step: int) -> None:
        self._run.log(metrics, step)

    def finish(self) -> None:
        self._run.finish()

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802
        return settings


class PlantedRun:
    """What `init` returns."""

    def __init__(self, module: PlantedTracker, logged: list[tuple[int, dict[str, Any]]]) -> None:
        self._module, self._logged = module, logged

    def log(self, metrics: dict[str, Any], step: int) -> None:
        if step == self._module.fails_at:
            raise self._module.failure
        self._logged.append((step, metrics))

    def finish(self) -> None:
        self._module.finished += 1
