import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jreid.data.layouts.find_images import Found
from jreid.data.layouts.layout import Fault
from jreid.data.layouts.list_files import (
    Entry,
    merge_splits,
    missing_faults,
    read_entries,
    read_identities,
    read_lines,
)

FORM = "vis/(?P<identity>[0-9]{4})/[^/]+"
CLEAN = "vis/0001/a.jpg 0\nvis/0001/b.jpg 0\nvis/0002/c.jpg 1\n"
ENTRIES = [
    Entry("list.txt:1", "vis/0001/a", 1),
    Entry("list.txt:2", "vis/0001/b", 1),
    Entry("list.txt:3", "vis/0002/c", 2),
]


def entries_of(folder, content: str | bytes, **options) -> tuple[list[Entry], list[Fault]]:
    content = content.encode() if isinstance(content, str) else content
    (folder / "list.txt").write_bytes(content)
    faults: list[Fault] = []
    return read_entries(folder, "list.txt", FORM, faults, **options), faults


def identities_of(folder, content: str) -> tuple[dict[int, str], list[Fault]]:
    (folder / "id.txt").write_text(content)
    faults: list[Fault] = []
    return read_identities(folder, "id.txt", faults), faults


def message(faults: list[Fault]) -> list[str]:
    """The faults as they are read, without the remedy."""
    return [str(fault).split(";")[0] for fault in faults]


def test_a_list_of_images_is_read(tmp_path):
    assert entries_of(tmp_path, CLEAN) == (ENTRIES, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\ufeff" + CLEAN, "list.txt:1 begins with a byte order mark, which is ignored"),
        (CLEAN.replace("\n", "\r\n"), "list.txt has line ends of another system"),
        (CLEAN.replace("\n", "\r"), "list.txt has line ends of another system"),
    ],
)
def test_another_systems_text_is_odd_and_gives_the_same_entries(tmp_path, content, said):
    entries, faults = entries_of(tmp_path, content)
    assert entries == ENTRIES
    assert [fault.kind for fault in faults] == ["note"]
    assert said in str(faults[0])


def test_blank_lines_are_odd_once_and_keep_the_numbers_of_the_others(tmp_path):
    entries, faults = entries_of(tmp_path, CLEAN.replace("\n", "\n\n \n", 1))
    assert [entry.name for entry in entries] == [entry.name for entry in ENTRIES]
    assert [entry.place for entry in entries] == ["list.txt:1", "list.txt:4", "list.txt:5"]
    assert faults == [Fault("list.txt:2", "is blank, which is ignored", "note")]


def test_a_list_that_does_not_fit_the_memory_is_a_fault(tmp_path):
    (tmp_path / "list.txt").touch()
    os.truncate(tmp_path / "list.txt", 200 * 10**9)  # sparse: it takes no place on the disk
    faults: list[Fault] = []
    assert read_lines(tmp_path, "list.txt", faults) == []
    assert message(faults) == ["list.txt cannot be read (it is larger than 200,000,000 bytes)"]


def test_blank_lines_at_the_end_are_nothing(tmp_path):
    assert entries_of(tmp_path, CLEAN + "\n\n") == (ENTRIES, [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("vis/0002/d.jpg", "has 1 column, not PATH LABEL"),
        ("vis/0002/d.jpg 1 1", "has 3 columns, not PATH LABEL"),
        ("/vis/0002/d.jpg 1", "names '/vis/0002/d.jpg', which is outside of the dataset"),
        ("../vis/0002/d.jpg 1", "names '../vis/0002/d.jpg', which is outside of the dataset"),
        ("vis/0002/../d.jpg 1", "names 'vis/0002/../d.jpg', which is outside of the dataset"),
        ("nir/0002/d.jpg 1", "names 'nir/0002/d.jpg', which does not belong in this list"),
        ("vis/-002/d.jpg 1", "names 'vis/-002/d.jpg', which does not belong in this list"),
        ("vis/0002/d\x01.jpg 1", r"names 'vis/0002/d\x01.jpg', which does not belong in"),
        ("vis/0002/c.JPG 1", "names vis/0002/c again, after list.txt:3"),
        ("vis/0002/c.jpg 1", "names vis/0002/c again, after list.txt:3"),
        ("vis/0002/d.jpg -1", "has the label '-1', which is not a whole number"),
        ("vis/0002/d.jpg 1.5", "has the label '1.5', which is not a whole number"),
        (
            "vis/0002/d.jpg " + "9" * 5000,
            "has the label '" + "9" * 60 + "...', which is not",
        ),
        ("vis/0002/d.jpg 0", "gives identity 2 the label 0, but earlier 1"),
        ("vis/0003/d.jpg 1", "gives identity 3 the label 1, which identity 2 has"),
        ("vis/0003/d.jpg 3", "has the label 3, but those of 3 identities are 0 to 2"),
    ],
)
def test_a_wrong_line_is_reported_with_its_number(tmp_path, line, said):
    _, faults = entries_of(tmp_path, f"{CLEAN}{line}\n")
    assert len(faults) == 1
    assert str(faults[0]).startswith(f"list.txt:4 {said}")
    assert str(faults[0]).endswith("; take the list from the dataset's archive again")
    assert faults[0].kind == "error"


def test_labels_need_not_count_from_zero_where_they_are_the_identities(tmp_path):
    content = "vis/0003/a.jpg 3\nvis/0007/b.jpg 7\n"
    assert len(entries_of(tmp_path, content)[1]) == 2
    assert entries_of(tmp_path, content, from_zero=False)[1] == []


def test_names_are_resolved_before_they_are_compared(tmp_path):
    entries, faults = entries_of(tmp_path, CLEAN, resolve=lambda name: "test/x")
    assert [entry.name for entry in entries] == ["test/x"]
    assert message(faults)[0] == "list.txt:2 names vis/0001/b again, after list.txt:1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "list.txt is empty"),
        (b"\n \n", "list.txt is empty"),
        (b"vis/0001/a.jpg 0\nvis/\xe9.jpg 0\n", "list.txt:2 is not UTF-8 text"),
        (CLEAN.encode("utf-16"), "list.txt:1 is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_list_is_wrong(tmp_path, content, said):
    entries, faults = entries_of(tmp_path, content)
    assert entries == []
    assert message(faults) == [said]
    assert faults[0].kind == "error"


def test_a_missing_file_and_a_missing_folder_of_lists_are_reported_once(tmp_path):
    (tmp_path / "idx").mkdir()
    faults: list[Fault] = []
    for file in ("idx/a.txt", "exp/a.txt", "exp/b.txt"):
        assert read_lines(tmp_path, file, faults) == []
    assert message(faults) == ["idx/a.txt is missing", "exp is missing"]
    assert {fault.kind for fault in faults} == {"missing"}


def test_a_list_that_may_not_be_read_is_wrong(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "list.txt").touch()
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    faults: list[Fault] = []
    assert read_lines(tmp_path, "list.txt", faults) == []
    assert message(faults) == ["list.txt cannot be read (Permission denied)"]


def test_identities_are_one_line(tmp_path):
    assert identities_of(tmp_path, "3, 1,533\n") == (
        {3: "id.txt:1", 1: "id.txt:1"} | {533: "id.txt:1"},
        [],
    )
    assert identities_of(tmp_path, "7,\n") == ({7: "id.txt:1"}, [])


def test_all_faults_of_a_list_of_identities_come_at_once(tmp_path):
    identities, faults = identities_of(tmp_path, "1,-5,1,x,,2.0,0\n2")
    assert identities == {1: "id.txt:1", 2: "id.txt:2"}
    assert message(faults) == [
        "id.txt:2 is an extra line in a list of one line",
        "id.txt:1 names '-5', which is not an identity",
        "id.txt:1 names identity 1 twice",
        "id.txt:1 names 'x', which is not an identity",
        "id.txt:1 names '', which is not an identity",
        "id.txt:1 names '2.0', which is not an identity",
        "id.txt:1 names '0', which is not an identity",
    ]
    assert {fault.kind for fault in faults} == {"error"}


def test_an_identity_of_two_splits_stays_in_the_first(tmp_path):
    faults: list[Fault] = []
    merged = merge_splits({"train": {1: "a:1", 2: "a:2"}, "test": {2: "b:1", 3: "b:2"}}, faults)
    assert merged == {1: ("train", "a:1"), 2: ("train", "a:2"), 3: ("test", "b:2")}
    assert message(faults) == ["b:1 names identity 2, which is in the train split too"]


def test_a_missing_folder_is_one_fault():
    entries = [*ENTRIES, Entry("list.txt:4", "vis/0001/d", 1), Entry("list.txt:5", "nir/0001/e", 1)]
    found = Found({"vis/0001/a": "vis/0001/a.jpg"}, {"", "vis", "vis/0001"}, [])
    faults = missing_faults([*entries, entries[-1]], found)
    assert message(faults) == [
        "list.txt:2 names vis/0001/b, a missing image",
        "list.txt:3 names vis/0002, a missing folder, with 1 of its images",
        "list.txt:4 names vis/0001/d, a missing image",
        "list.txt:5 names nir, a missing folder, with 1 of its images",
    ]
    assert {fault.kind for fault in faults} == {"missing"}


ANYTHING = st.binary(max_size=60) | st.text("vis/01.jpg -\r\n,\ufeff\0", max_size=60).map(
    str.encode
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=ANYTHING)
def test_any_bytes_give_faults_of_one_line_and_no_traceback(tmp_path, content):
    entries, faults = entries_of(tmp_path, content)
    identities = read_identities(tmp_path, "list.txt", faults)
    assert all(fault.what.isprintable() and fault.place.isprintable() for fault in faults)
    assert all(identity > 0 for identity in identities)
    assert len({entry.name for entry in entries}) == len(entries)
