"""`jreid search`: the images of a folder that are most like a query, with no labels."""

import argparse
from pathlib import Path
from typing import Any

from jreid.commands.common import add_run_flags, check_index_suffix, verb
from jreid.datasets import MODALITIES
from jreid.errors import InputError, counted
from jreid.paths import from_here


def add(verbs: Any) -> None:
    """Adds the verb."""
    help = "rank a folder of images by their similarity to a query"
    search = verb(verbs, "search", _search, help, config=False)
    add_run_flags(search)
    search.add_argument(
        "--query",
        type=Path,
        required=True,
        nargs="+",
        action="extend",
        metavar="IMAGE",
        help="one or more images, or folders of images",
    )
    search.add_argument(
        "--gallery",
        type=Path,
        help="folder of images to rank, with its subfolders; an --index that exists is also ranked "
        "without it",
    )
    for flag, default, what in (
        ("--modality", "infrared", "queries"),
        ("--gallery-modality", "visible", "gallery"),
    ):
        search.add_argument(
            flag, choices=MODALITIES, default=default, help=f"of the {what} (default: {default})"
        )
    search.add_argument(
        "--top", type=int, default=10, help="how many images to show for each query (default: 10)"
    )
    search.add_argument("--html", type=Path, help="the .html page to write, with thumbnails")
    search.add_argument(
        "--index",
        type=Path,
        help="an .npz file that keeps the gallery's embeddings: the next time only new and changed "
        "images are embedded; or embeddings in any format of `jreid.load_features`, such as those "
        "of `jreid embed`, which are only read",
    )
    search.add_argument(
        "--approximate",
        action="store_true",
        help="compare a query with a few lists of similar images, which are kept beside --index: "
        "faster for hundreds of thousands of images; prints its recall against the exact search; "
        "needs faiss",
    )


def _search(options: argparse.Namespace) -> None:
    if options.top < 1:
        raise InputError(f"--top={options.top} shows nothing; give 1 or more.")
    if options.html is not None and options.html.suffix != ".html":
        raise InputError(f"--html={options.html} does not end in .html; choose such a file.")
    check_index_suffix(options.index)
    indexed = options.index is not None and options.index.exists()
    if options.gallery is None and options.index is not None and not indexed:
        raise InputError(
            f"--index={options.index} does not exist; correct the path, or add --gallery=FOLDER to "
            "embed the images of a folder into this file."
        )
    if options.gallery is None and (not indexed or options.html or options.approximate):
        raise InputError("--gallery is missing; give the folder of images to rank.")
    if options.approximate and options.index is None:
        raise InputError("--approximate needs --index=FILE.npz, beside which its lists are kept.")
    for path in (*options.query, *([options.gallery] if options.gallery else [])):
        if not path.exists():
            raise InputError(
                f"{from_here(path)} does not exist; give an image, or a folder of images."
            )
    if options.gallery and not options.gallery.is_dir():
        raise InputError(f"--gallery={options.gallery} is not a folder; give a folder of images.")

    from jreid.retrieval.model import load

    model = load(options.workdir, checkpoint=options.checkpoint, trust_code=options.trust_code)
    gallery: Any = options.gallery or options.index
    if options.gallery and options.index is not None:
        gallery = model.index(
            options.gallery,
            options.index,
            modality=options.gallery_modality,
            approximate=options.approximate,
        )
    hits = model.search(
        options.query,
        gallery,
        top=options.top,
        modality=options.modality,
        gallery_modality=options.gallery_modality,
    )
    options.document = {
        "checkpoint": model.checkpoint,
        "gallery_images": len(hits.gallery.names),
        "recall": hits.recall,
        "queries": [
            {"name": name, "hits": [hit._asdict() for hit in found]}
            for name, found in zip(hits.query.names, hits, strict=True)
        ],
    }
    print(hits)
    if options.html is not None:
        hits.save_html(options.html)
        print(f"{options.html}: a page of {counted(len(hits), 'queries')}")
