"""Tables in Markdown."""

from jreid import markdown


def test_a_name_with_a_bar_or_a_line_end_stays_one_cell():
    text = markdown.table(["run", "mAP"], [["a|b\nc", "1.00"]], numbers=1)
    assert text.splitlines() == ["| run | mAP |", "| --- | ---: |", r"| a\|b c | 1.00 |"]
