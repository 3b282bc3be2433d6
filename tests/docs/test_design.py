from helpers.paths import ROOT


def test_the_tree_has_every_folder():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    tree = text.partition("## The tree")[2].partition("\n## ")[0]
    listed = [line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")]
    packages = [file.parent for file in (ROOT / "jreid").glob("*/**/__init__.py")]
    assert sorted(listed) == sorted(folder.name for folder in packages)
