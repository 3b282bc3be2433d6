"""The arrays of a file of features."""


def arrays_of(table, features):
    """What `read_features` reads, of a Table and its features."""
    return {
        "features": features,
        "identities": table.identity,
        "cameras": table.camera,
        "modalities": table.modality,
        "names": table.name,
    }
