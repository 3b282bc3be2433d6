"""The split of a folder without a list: who is in it, and what is said of it."""

from pathlib import Path

import pytest

from jreid.data.dataset import Source, examine
from jreid.data.drawn_split import draw_split
from jreid.data.layouts.layout import Listing, Row
from jreid.errors import InputError
from jreid.runs.check_config import check_config


def listing(people, one_sided=()):
    """One image of each person and modality, of one modality only for some."""
    names = dict(enumerate(people))
    rows = [
        Row(f"{modality}/{name}/1", number, 1, modality, "", Path(f"{modality}/{name}/1.jpg"))
        for number, name in names.items()
        for modality in ("visible", "infrared")
        if modality == "visible" or name not in one_sided
    ]
    return Listing(rows, [], {}, names)


def split_of(drawn):
    return {drawn.names[row.identity]: row.split for row in drawn.rows}


PEOPLE = [f"person {number}" for number in range(10)]


@pytest.mark.parametrize(
    ("fraction", "test"), [(0.5, 5), (0.3, 3), (0.01, 1), (0.99, 9), (0.25, 2)]
)
def test_a_fraction_of_the_identities_is_tested(fraction, test):
    drawn, sentence = draw_split(listing(PEOPLE), fraction, seed=0)
    split = split_of(drawn)
    assert sorted(split) == PEOPLE
    assert [*split.values()].count("test") == test
    assert {*split.values()} == {"train", "test"}
    assert all(len({row.split for row in drawn.rows if row.identity == n}) == 1 for n in range(10))
    assert f"{test} of 10 identities" in sentence and f"test_fraction={fraction}" in sentence
    assert [str(fault) for fault in drawn.faults if fault.kind == "note"] == [sentence]


def test_the_split_depends_on_the_names_and_the_seed_alone():
    first = split_of(draw_split(listing(PEOPLE), 0.5, seed=0).listing)
    assert first == split_of(draw_split(listing(PEOPLE[::-1]), 0.5, seed=0).listing)
    others = [split_of(draw_split(listing(PEOPLE), 0.5, seed).listing) for seed in range(1, 5)]
    assert all(first != other for other in others)
    # Somebody new moves at most one of the others.
    more = split_of(draw_split(listing([*PEOPLE, "new"]), 0.5, seed=0).listing)
    assert sum(first[name] != more[name] for name in PEOPLE) <= 1


def test_people_of_one_modality_are_left_out_and_named():
    drawn, _ = draw_split(listing(PEOPLE, one_sided=("person 3",)), 0.5, seed=0)
    assert "person 3" not in split_of(drawn)
    (note,) = [fault for fault in drawn.faults if "one modality" in fault.what]
    assert "person 3" in note.what and note.kind == "warning"


@pytest.mark.parametrize("people", [["anna"], ["anna", "bob"]])
def test_too_few_people_to_split_are_a_fault(people):
    drawn, sentence = draw_split(listing(people, one_sided=("bob",)), 0.5, seed=0)
    assert not drawn.rows and not sentence
    assert "1 identity with images of both" in drawn.faults[-1].what
    assert drawn.faults[-1].kind == "error"


def test_a_split_of_the_folders_own_stays():
    rows = [row._replace(split="train") for row in listing(PEOPLE).rows]
    given = listing(PEOPLE)._replace(rows=rows)
    assert draw_split(given, 0.5, seed=0) == (given, "")


def test_a_folder_on_disk_is_split_as_its_source_asks(tmp_path):
    for row in listing(PEOPLE).rows:
        (tmp_path / row.path).parent.mkdir(parents=True)
        (tmp_path / row.path).touch()
    source = Source("folder", "folder", tmp_path, test_fraction=0.2, split_seed=7)
    found, _, sentence = examine(source)
    expected = draw_split(listing(PEOPLE), 0.2, seed=7)
    assert split_of(found) == split_of(expected.listing)
    assert sentence == expected.sentence
    (tmp_path / "splits.txt").write_text("".join(f"{name} train\n" for name in PEOPLE))
    found, _, sentence = examine(source)
    assert {*split_of(found).values()} == {"train"} and sentence == ""


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_a_fraction_that_leaves_no_identity_is_refused(tiny_config, fraction):
    tiny_config.data.test_fraction = fraction
    with pytest.raises(InputError, match=r"config\.data\.test_fraction"):
        check_config(tiny_config)
