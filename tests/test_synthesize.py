import hashlib

import pytest

from facejax import cli, synthesize
from facejax.data import records

OPTIONS = ["--size=32", "--identities=1", "--held-out=1", "--frames=2", "--seed=3"]


def build(out, *extra):
    return cli.main(["data", "synthetic", f"--out={out}", *OPTIONS, *extra])


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "heads"
    assert build(out) == 0
    return out


def test_the_folder_opens_and_has_all_splits(folder):
    for split in ("train", "validation", "test"):
        clips = records.open_clips(folder, split)
        assert clips.ids == [f"{split}-0000-00"] and clips.lengths == [2]
    assert clips.model.landmarks.shape == (70,)
    assert (folder / synthesize.CONTACT).stat().st_size > 10_000


def test_the_same_command_gives_the_same_bytes(folder, tmp_path):
    assert build(tmp_path / "again") == 0
    assert digests(tmp_path / "again") == digests(folder)


def test_a_second_run_does_nothing(folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert build(folder) == 0
    assert "up to date" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_other_options_or_other_files_in_the_way_are_refused(folder, tmp_path, capsys):
    assert build(folder, "--seed=4") == 2
    assert "other options" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("mine")
    assert build(tmp_path) == 2
    assert "holds other files" in capsys.readouterr().err
    assert build(tmp_path / "notes.txt") == 2
    assert build(tmp_path / "no" / "such" / "place") == 2
    assert build(tmp_path / "new", "--frames=0") == 2
    assert "frames is 0" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
