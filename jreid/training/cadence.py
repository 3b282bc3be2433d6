"""How often a run logs, saves, scores and draws."""

from jreid.engine.model import Model


class Cadence:
    """Decides what is due, from the config. `epochs` is the number of finished epochs."""

    def __init__(self, model: Model, validates: bool) -> None:
        """`validates`: whether there are validation identities to score the model on."""
        self._config, self._method, self._validates = model.config, model.method, validates

    def logs(self, number: int, ends_epoch: bool) -> bool:
        """Whether metrics are due; always at the end of an epoch, so no mean covers two epochs."""
        return ends_epoch or number % self._config.log_every_steps == 0

    def saves(self, epochs: int) -> bool:
        """Whether a checkpoint is due."""
        # Compiling the next phase's first step takes so long that a run may be stopped meanwhile.
        new_phase = self._method.phase_at(epochs).name != self._method.phase_at(epochs - 1).name
        every = epochs % self._config.checkpoint_every_epochs == 0
        return self._is_last(epochs) or self.scores(epochs) or new_phase or every

    def scores(self, epochs: int) -> bool:
        """Whether a score on the validation identities is due."""
        every = epochs % max(self._config.evaluation.every_epochs, 1) == 0
        return self._validates and epochs > 0 and (self._is_last(epochs) or every)

    def draws(self, epochs: int) -> bool:
        """Whether pictures are due."""
        every = self._config.pictures_every_epochs
        return every > 0 and (self._is_last(epochs) or epochs % every == 0)

    def _is_last(self, epochs: int) -> bool:
        return epochs == self._config.epochs
