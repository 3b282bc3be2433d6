"""A table says which code and devices trained its runs, and warns if they are several."""

from experiments.revisions import describe, trained_by, warn_of_several

OLD, NEW = "2630a71311bd85c565c3a4703d49110722f34018", "b65e9ec0aa85c565c3a4703d49110722f34018aa"


def test_a_run_names_its_revision_its_device_and_its_first_weights():
    record = {"revision": f"{OLD}-dirty", "device": "1 x cpu", "drifts": []}
    assert trained_by(record) == "2630a71-dirty on 1 x cpu"
    started = {**record, "start": {"kind": "file", "sha256": "0a1b2c3d4e"}}
    assert trained_by(started) == "2630a71-dirty on 1 x cpu from weights 0a1b2c3"
    assert trained_by({"revision": None, "device": None}) == ""


def test_a_run_that_other_code_resumed_names_both():
    drifts = [{"step": 5, "changed": [f"revision: {NEW}, {OLD}", "device: 1 x gpu, 1 x cpu"]}]
    record = {"revision": NEW, "device": "1 x gpu", "drifts": drifts}
    assert trained_by(record) == "b65e9ec and 2630a71 on 1 x gpu and 1 x cpu"


def test_runs_of_one_revision_have_one_sentence_and_no_warning(caplog):
    results = {"agw": [{"trained_by": "2630a71 on 1 x cpu"}] * 2}
    warn_of_several("Table 9", results)
    assert describe(results) == "trained by 2630a71 on 1 x cpu"
    assert not caplog.text
    assert describe({"agw": [{}]}) == ""


def test_runs_of_several_revisions_are_named_by_row_with_a_warning(caplog):
    results = {
        "agw": [{"trained_by": "2630a71 on 1 x cpu"}, {"trained_by": "b65e9ec on 1 x cpu"}],
        "idkl": [{"trained_by": "b65e9ec on 1 x cpu"}],
    }
    warn_of_several("Table 9", results)
    named = "2630a71 on 1 x cpu (agw), b65e9ec on 1 x cpu (agw, idkl)"
    assert describe(results) == f"trained by {named}"
    assert named in caplog.text and "give another --output" in caplog.text
