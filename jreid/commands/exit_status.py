"""The exit status of a command, and the one sentence on what ended it."""

import logging
from collections.abc import Callable

from jreid.errors import InputError, Stopped
from jreid.optional_parts import part_of

log = logging.getLogger(__name__)


def exit_status(run: Callable[[], int | None], hint: Callable[[], str] = str) -> int:
    """Runs a command; what ends it early becomes one sentence in the log, and a status.

    Args:
        run: the command; returns its status, None for 0.
        hint: the end of the sentence that says which field a config lacks.

    Returns:
        The command's own status; 2 after bad input or a file that cannot be used; 128 and the
        signal's number after a signal.
    """
    try:
        return run() or 0
    except InputError as error:
        log.error("%s", error)
        return 2
    except AttributeError as error:
        from jreid.config import missing_field

        field = missing_field(error)
        if field is None:
            raise
        log.error(
            "the config has no field %s, which this version of jreid needs; add it to the config "
            "file, or to the run's config.json, as in the files of configs/%s.",
            field,
            hint(),
        )
        return 2
    except ImportError as error:
        part = part_of(error.name)
        if part is None:
            raise
        log.error(
            "the Python module %s is installed but cannot be loaded (%s); install it again by `pip "
            'install --force-reinstall "jreid[%s]"`.',
            *(error.name, f"{error}".rstrip("."), part),
        )
        return 2
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else f"{error}"
        log.error("%s; correct that and give the same command again.", what)
        return 2
    except Stopped as stopped:
        log.error("%s.", stopped)
        return stopped.status
    except KeyboardInterrupt:
        log.error(
            "interrupted; give the same command again: a training resumes from its last checkpoint."
        )
        return 130
