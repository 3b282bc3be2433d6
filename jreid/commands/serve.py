"""`jreid serve`: a page on this machine that searches a gallery with an image."""

import argparse
import logging
from pathlib import Path
from typing import Any

from jreid.commands.common import add_run_flags, check_index_suffix, verb
from jreid.datasets import MODALITIES
from jreid.errors import InputError, Stopped
from jreid.optional_parts import require_part
from jreid.paths import from_here

log = logging.getLogger(__name__)
PORTS = range(1 << 16)


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "search a folder of images on a page in your browser"
    serve = verb(verbs, "serve", _serve, help, config=False, prints=False)
    add_run_flags(serve)
    serve.add_argument(
        "--gallery", type=Path, required=True, help="folder of images to rank, with its subfolders"
    )
    serve.add_argument(
        "--gallery-modality",
        choices=MODALITIES,
        default="visible",
        help="of the gallery (default: visible)",
    )
    serve.add_argument(
        "--index",
        type=Path,
        help="an .npz file that keeps the gallery's embeddings, or a file of `jreid embed`, as in "
        "`jreid search`",
    )
    serve.add_argument(
        "--port",
        type=int,
        default=8000,
        help="of 127.0.0.1, the only address; 0 takes any that is free (default: 8000)",
    )


def _serve(options: argparse.Namespace) -> None:
    if options.port not in PORTS:
        raise InputError(f"--port={options.port} is no port; give 0 to {PORTS[-1]}.")
    check_index_suffix(options.index)
    if not options.gallery.is_dir():
        raise InputError(
            f"--gallery={from_here(options.gallery)} is not a folder; give a folder of images."
        )
    require_part("serve", "`jreid serve`")
    from jreid.retrieval.model import load
    from jreid.serve.app import create_app
    from jreid.serve.searcher import Searcher
    from jreid.serve.server import bind, serve

    bound = bind(options.port)  # a port that is taken is reported before the gallery is embedded
    with bound:
        log.info("embedding %s, and compiling the network", from_here(options.gallery))
        model = load(options.workdir, checkpoint=options.checkpoint, trust_code=options.trust_code)
        searcher = Searcher(model, options.gallery, options.gallery_modality, options.index)
        try:
            serve(create_app(searcher), bound)
        except KeyboardInterrupt:
            raise Stopped(130, "the server has stopped") from None
