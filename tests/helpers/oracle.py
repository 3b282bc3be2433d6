"""A slow evaluator to compare with: loops that read like the rules, and little datasets."""

import random

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


def rank_queries(features, table, queries, gallery, skips, cmc, kind):
    """{query row: what `rank_one` says}, where `skips(q, g)` says which pairs are ignored."""
    result = {}
    for q in queries:
        kept = [not skips(q, g) for g in gallery]
        distance = distances(features[[q]], features[gallery], kind)[0]
        identities = table.identity[gallery]
        result[q] = rank_one(distance, table.identity[q], identities, kept, cmc)
    return result


def rows_of(table, modality, split="test"):
    return [
        row
        for row in range(len(table.name))
        if table.split[row] == split and table.modality[row] == modality
    ]


def sysu_mm01(features, table, index, cameras, shots, trials, kind):
    """A list of trials of `rank_queries`, after the words of SYSU-MM01's protocol."""
    row_of = {name: row for row, name in enumerate(table.name)}
    identities = set(table.identity[table.split == "test"])
    results = []
    for trial in range(trials):
        gallery = []
        for camera in cameras:
            for identity in range(1, 600):
                if (camera, identity) in index and identity in identities:
                    for number in index[camera, identity][trial][:shots]:
                        gallery.append(row_of[f"cam{camera}/{identity:04d}/{number:04d}"])

        def skips(q, g):
            return table.camera[q] == 3 and table.camera[g] == 2

        queries = rows_of(table, "infrared")
        results.append(rank_queries(features, table, queries, gallery, skips, "identity", kind))
    return results


def one_of_each(table, modality, trial):
    """The seeded choice of one image of each identity and camera, as the released codes make it."""
    random.seed(trial)
    drawn = []
    for identity in sorted(f"{identity:04d}" for identity in {*table.identity.tolist()}):
        for camera in range(1, 10):
            images = {
                table.name[row].split("/")[-1]: row
                for row in rows_of(table, modality)
                if (table.identity[row], table.camera[row]) == (int(identity), camera)
            }
            if images:
                drawn.append(images[random.choice(sorted(images))])
    return drawn


def same_identity_and_camera(table):
    return lambda q, g: (
        table.identity[q] == table.identity[g] and table.camera[q] == table.camera[g]
    )


def llcm(features, table, query, gallery, trials, kind):
    """A list of trials, after the words of the LLCM paper."""
    skips = same_identity_and_camera(table)
    results = []
    for trial in range(trials):
        drawn = one_of_each(table, gallery, trial)
        queries = rows_of(table, query)
        results.append(rank_queries(features, table, queries, drawn, skips, "identity", kind))
    return results


def llcm_released_vis_to_ir(features, table, trials, kind):
    """A list of trials, as LLCM's released code has it: the drawn infrared images are queries."""
    skips = same_identity_and_camera(table)
    results = []
    for trial in range(trials):
        queries, gallery = one_of_each(table, "infrared", trial), rows_of(table, "visible")
        results.append(rank_queries(features, table, queries, gallery, skips, "identity", kind))
    return results


def all_against_all(features, table, query, gallery, cmc, kind, skips=lambda q, g: False):
    """One trial: RegDB's rule, IDKL's for LLCM, and with `skips` that of one's own folder."""
    queries, gallery = rows_of(table, query), rows_of(table, gallery)
    return [rank_queries(features, table, queries, gallery, skips, cmc, kind)]


def make_table(counts, split="test"):
    """A Table in SYSU-MM01's naming from {(camera, identity): number of images}."""
    return _table(
        (
            f"cam{camera}/{identity:04d}/{number:04d}",
            identity,
            camera,
            "infrared" if camera in (3, 6) else "visible",
            split,
            b"",
        )
        for (camera, identity), images in counts.items()
        for number in range(1, images + 1)
    )


def make_llcm_table(counts):
    """A Table in LLCM's naming from {(modality, camera, identity): number of images}."""
    folders = {"visible": "vis", "infrared": "nir"}
    return _table(
        (
            f"test_{folders[modality]}/cam{camera}/{identity:04d}/{identity:04d}_c0{camera}"
            f"_s{(number * 7919 + identity) % 90000:06d}_f{number:04d}_{folders[modality]}",
            identity,
            camera,
            modality,
            "test",
            b"",
        )
        for (modality, camera, identity), images in counts.items()
        for number in range(1, images + 1)
    )


def _table(rows):
    name, identity, camera, modality, split, image = zip(*sorted(rows), strict=True)
    return Table(
        np.array(name),
        np.array(identity, np.int64),
        np.array(camera, np.int64),
        np.array(modality),
        np.array(split),
        np.array(image, object),
    )


def make_index(counts, seed=0, trials=10):
    """A permutation of the image numbers for each (camera, identity) and trial."""
    generator = np.random.default_rng(seed)
    return {
        cell: np.stack([generator.permutation(images) + 1 for _ in range(trials)])
        for cell, images in counts.items()
    }
