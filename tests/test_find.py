"""Names in configs: jreid's own, and those of somebody else's code."""

import pytest

from jreid.errors import InputError
from jreid.find import find_module, find_symbol, own_modules, require_type

LOSSES = {"batch_hard": max, "soft": min}


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    """A package in the current directory, which the script `jreid` has not on its path."""
    package = tmp_path / "mylab_of_this_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "circle.py").write_text("def create(config):\n    return config\nlimit = 3\n")
    (package / "broken.py").write_text("import sys\n\nsys.exit('no\\nGPU')\n")
    (package / "needy.py").write_text("import no_such_module\n")
    (package / "torn.py").write_text("def create(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/usr/bin/of/the/script"])
    return package.name


def method(name):
    return find_module("config.method", name, "jreid.methods", "create")


def test_a_dotted_name_is_imported_from_the_current_directory(mylab):
    assert method(f"{mylab}.circle").create(3) == 3
    for name in (f"{mylab}.circle.create", f"{mylab}.circle:create"):
        assert find_symbol("config.triplet.kind", name, LOSSES)(4) == 4
    assert find_symbol("config.triplet.kind", "soft", LOSSES) is min


def test_every_method_of_jreid_is_found_without_importing_it():
    found = own_modules("jreid.methods", "create")
    assert {"agw", "idkl", "pfanet", "pfinet"} < {*found}
    assert "method" not in found
    assert found["idkl"].startswith("IDKL")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("idk", ["config.method=idk ", "did you mean idkl?"]),
        ("method", ["config.method=method does not exist"]),
        ("no_such_package.circle", ["no Python module no_such_package", "install it"]),
        ("{}.circel", ["no Python module", ".circel"]),
        ("{}.broken", ["cannot be imported: SystemExit: no GPU", "broken.py, line 3"]),
        (
            "{}.needy",
            ["cannot be imported", "No module named 'no_such_module'", "needy.py, line 1"],
        ),
        ("{}.torn", ["cannot be imported", "invalid syntax", "torn.py"]),
        ("{}.circle.create.", ["is not the name of a Python module"]),
        (".circle", ["is not the name of a Python module"]),
        ("../circle.py", ["is not the name of a Python module"]),
        ("{}", ["config.method=", "does not exist"]),
        ("json.decoder", ["has no function called create", "docs/extending.md"]),
    ],
)
def test_a_name_of_no_module_is_refused_in_one_sentence(name, parts, mylab):
    with pytest.raises(InputError) as error:
        method(name.format(mylab))
    assert all(part in str(error.value) for part in parts), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("sofd", ["config.triplet.kind=sofd", "did you mean soft?"]),
        ("{}.circle.creat", ["function called creat", "did you mean create?"]),
        ("{}.circle.limit", ["function called limit"]),
        ("{}.broken.", ["is not the name of a Python function"]),  # and broken is not imported
    ],
)
def test_a_name_of_no_function_is_refused_in_one_sentence(name, parts, mylab):
    with pytest.raises(InputError) as error:
        find_symbol("config.triplet.kind", name.format(mylab), LOSSES)
    assert all(part in str(error.value) for part in parts), error.value


def test_what_outside_code_returns_is_of_the_type_that_was_agreed():
    assert require_type("create of mylab.circle", 3, int) == 3
    with pytest.raises(InputError, match=r"create of mylab.circle returns a dict, not a .*int"):
        require_type("create of mylab.circle", {}, int)
