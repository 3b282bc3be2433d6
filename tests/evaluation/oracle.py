"""A slow evaluator to compare with: loops that read like the rules, and little datasets."""

import numpy as np

from jreid.data.table import Table


def distances(query, gallery, kind):
    """[Q, G] float64 distances, one pair at a time."""
    result = np.zeros((len(query), len(gallery)))
    for i, a in enumerate(np.asarray(query, np.float64)):
        for j, b in enumerate(np.asarray(gallery, np.float64)):
            norms = np.sqrt(np.sum(a * a) * np.sum(b * b))
            cosine = 1 - (np.sum(a * b) / norms if norms > 0 else 0)
            result[i, j] = cosine if kind == "cosine" else np.sum((a - b) ** 2)
    return result


def rank_one(distance, identity, gallery_identities, kept, cmc):
    """One query: rank of the first match, average precision, mINP's ratio, number of matches."""
    images = [
        (distance[j], gallery_identities[j] == identity, gallery_identities[j])
        for j in range(len(distance))
        if kept[j]
    ]
    # False sorts before True: at equal distance, somebody else comes first.
    ranked = sorted(images, key=lambda image: image[:2])
    match_ranks = [rank for rank, image in enumerate(ranked, start=1) if image[1]]
    if not match_ranks:
        return 0, 0.0, 0.0, 0
    precisions = [number / rank for number, rank in enumerate(match_ranks, start=1)]
    if cmc == "image":
        first = match_ranks[0]
    else:
        nearest = {}
        for image_distance, is_match, image_identity in ranked:
            nearest.setdefault(image_identity, (image_distance, is_match))
        first = 1 + sorted(nearest.values()).index(nearest[identity])
    inverse_negative_penalty = len(match_ranks) / match_ranks[-1]
    return first, sum(precisions) / len(precisions), inverse_negative_penalty, len(match_ranks)


def rank_all(distance, query_identities, gallery_identities, kept, cmc="identity"):
    """Every query of a [Q, G] matrix: four arrays [Q], in the order of `rank_one`."""
    rows = [
        rank_one(distance[i], query_identities[i], gallery_identities, kept[i], cmc)
        for i in range(len(distance))
    ]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def sysu_mm01(features, table, index, split, cameras, shots, trials, kind):
    """A list of trials of `rank_all`, after the words of SYSU-MM01's protocol."""
    row_of = {name: row for row, name in enumerate(table.name)}
    queries = [
        row
        for row in range(len(table.name))
        if table.split[row] == split and table.modality[row] == "infrared"
    ]
    of_split = set(table.identity[table.split == split])
    results = []
    for trial in range(trials):
        gallery = []
        for camera in cameras:
            for identity in range(1, 600):
                if (camera, identity) in index and identity in of_split:
                    for number in index[camera, identity][trial][:shots]:
                        gallery.append(row_of[f"cam{camera}/{identity:04d}/{number:04d}"])
        kept = [
            [not (table.camera[q] == 3 and table.camera[g] == 2) for g in gallery] for q in queries
        ]
        distance = distances(features[queries], features[gallery], kind)
        results.append(rank_all(distance, table.identity[queries], table.identity[gallery], kept))
    return results


def make_table(counts, split="test"):
    """A Table in SYSU-MM01's naming from {(camera, identity): number of images}."""
    rows = sorted(
        (f"cam{camera}/{identity:04d}/{number:04d}", identity, camera)
        for (camera, identity), images in counts.items()
        for number in range(1, images + 1)
    )
    names, identities, cameras = (np.array(column) for column in zip(*rows, strict=True))
    return Table(
        name=names,
        identity=identities.astype(np.int64),
        camera=cameras.astype(np.int64),
        modality=np.where(np.isin(cameras, (3, 6)), "infrared", "visible"),
        split=np.full(len(rows), split),
        image=np.array([b""] * len(rows), object),
    )


def make_index(counts, seed=0, trials=10):
    """A permutation of the image numbers for each (camera, identity) and trial."""
    random = np.random.default_rng(seed)
    return {
        cell: np.stack([random.permutation(images) + 1 for _ in range(trials)])
        for cell, images in counts.items()
    }
