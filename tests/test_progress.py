import itertools
import sys

from facejax.progress import progress


class Terminal:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_items_pass_through_one_at_a_time():
    seen = progress(itertools.count(), label="frames")
    assert list(itertools.islice(seen, 3)) == [0, 1, 2]


def test_nothing_is_drawn_where_there_is_no_terminal(capfd):
    assert list(progress(range(3), label="frames")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_label_count_and_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert len(list(progress(iter(range(3)), total=3, label="frames"))) == 3
    assert "frames" in terminal.text and "3/3" in terminal.text and "<" in terminal.text
