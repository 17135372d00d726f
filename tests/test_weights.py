import hashlib
import sys
import zipfile

import pytest

from facejax import cli, weights
from facejax.errors import InputError

FILES = {"eyes.tflite": b"one model", "mouth.tflite": b"another model"}


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """A model of two small files, an empty cache, and a folder to put sources in."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    toy = weights.Model("a toy", hashes, wheel="toy==1.0", platform=("--platform", "any"))
    monkeypatch.setitem(weights.MODELS, "toy", toy)
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def write_wheel(folder, files):
    path = folder / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"toy/modules/{name}", data)
    return path


def write_files(folder, files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def kept():
    return {name: path.read_bytes() for name, path in weights.find("toy").items()}


def test_the_cache_follows_its_own_variable_then_xdg_then_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path / "own"))
    assert weights.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("FACEJAX_CACHE")
    assert weights.cache_dir() == tmp_path / "xdg" / "facejax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.cache_dir() == tmp_path / "home" / ".cache" / "facejax"


def test_a_wheel_a_folder_and_the_files_give_the_same(toy):
    for sources in ([write_wheel(toy, FILES)], write_files(toy, FILES), [toy]):
        for path in weights.install("toy", sources):
            assert path.parent == weights.cache_dir() / "toy"
        assert kept() == FILES
        for path in weights.find("toy").values():
            path.unlink()


def test_a_missing_model_names_the_command_that_brings_it(toy):
    with pytest.raises(InputError, match="facejax weights toy"):
        weights.find("toy")


def test_a_wrong_hash_names_the_file_what_came_and_what_was_due_and_keeps_nothing(toy):
    paths = write_files(toy, {**FILES, "mouth.tflite": b"tampered"})
    came = hashlib.sha256(b"tampered").hexdigest()
    due = hashlib.sha256(FILES["mouth.tflite"]).hexdigest()
    with pytest.raises(InputError, match=f"mouth.tflite.*{came}.*{due}"):
        weights.install("toy", paths)
    assert not (weights.cache_dir() / "toy").exists()


def test_a_wrong_hash_inside_a_wheel_is_refused(toy):
    with pytest.raises(InputError, match=r"eyes.tflite in .*whl.*SHA-256"):
        weights.install("toy", [write_wheel(toy, {**FILES, "eyes.tflite": b"x"})])


def test_a_file_damaged_in_the_cache_is_found_when_used(toy):
    weights.install("toy", write_files(toy, FILES))
    weights.find("toy")["eyes.tflite"].write_bytes(b"cut")
    with pytest.raises(InputError, match=r"eyes.tflite.*SHA-256"):
        weights.find("toy")
    assert dict(weights.status())["toy"].startswith("broken")


@pytest.mark.parametrize("content", [b"", b"a text file named .whl", b"PK\x03\x04 cut short"])
def test_a_wheel_that_is_none_is_refused(toy, content):
    path = toy / "toy.whl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a whole wheel"):
        weights.install("toy", [path])


def test_a_wheel_without_the_model_says_which_wheel_is_due(toy):
    with pytest.raises(InputError, match=r"no mouth.tflite.*toy==1.0"):
        weights.install("toy", [write_wheel(toy, {"eyes.tflite": FILES["eyes.tflite"]})])


def test_a_folder_without_the_files_names_them(toy):
    with pytest.raises(InputError, match=r"no eyes.tflite and no mouth.tflite"):
        weights.install("toy", [toy])


def test_a_path_that_does_not_exist_is_named(toy):
    with pytest.raises(InputError, match=r"nowhere.whl: no such file"):
        weights.install("toy", [toy / "nowhere.whl"])


def fake_pip(monkeypatch, folder, script):
    """Replaces the interpreter that runs pip by one that runs `script`, given pip's arguments."""
    pip = folder / "python"
    pip.write_text(f"#!{sys.executable}\nimport sys, shutil\n{script}\n")
    pip.chmod(0o755)
    monkeypatch.setattr(weights.sys, "executable", str(pip))


def test_without_a_source_pip_is_asked_for_that_one_wheel_and_no_dependencies(toy, monkeypatch):
    wheel = write_wheel(toy, FILES)
    script = f"""
assert sys.argv[1:4] == ["-m", "pip", "download"], sys.argv
assert {{"toy==1.0", "--no-deps", "--only-binary=:all:", "any"}} <= set(sys.argv), sys.argv
shutil.copy({str(wheel)!r}, sys.argv[sys.argv.index("--dest") + 1])"""
    fake_pip(monkeypatch, toy, script)
    weights.install("toy")
    assert kept() == FILES


@pytest.mark.parametrize("script", ["sys.exit('ERROR: no route to host')", "sys.exit(0)"])
def test_a_pip_that_fails_is_one_line_that_tells_the_other_route(toy, monkeypatch, script):
    fake_pip(monkeypatch, toy, script)
    with pytest.raises(InputError, match=r"pip could not fetch toy==1.0: .*--from") as caught:
        weights.install("toy")
    assert "\n" not in str(caught.value)
    assert "exit" in script and ("route to host" in str(caught.value)) == ("ERROR" in script)


def test_ones_own_vgg19_replaces_the_one_before(toy):
    first, second = toy / "a.npz", toy / "b.pth"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    weights.install("vgg19", [first])
    weights.install("vgg19", [second])
    assert [path.read_bytes() for path in weights.find("vgg19").values()] == [b"2"]


def test_vgg19_needs_a_file_of_a_known_kind(toy):
    with pytest.raises(InputError, match="file of your own"):
        weights.install("vgg19")
    (toy / "vgg.txt").write_text("x")
    with pytest.raises(InputError, match=r"\.safetensors"):
        weights.install("vgg19", [toy / "vgg.txt"])


def test_a_cache_that_cannot_be_made_is_the_users_to_change(toy, monkeypatch):
    (toy / "file").write_text("x")
    monkeypatch.setenv("FACEJAX_CACHE", str(toy / "file" / "cache"))
    with pytest.raises(InputError, match="FACEJAX_CACHE"):
        weights.install("toy", write_files(toy, FILES))


def test_status_tells_present_from_missing(toy):
    assert "missing: facejax weights toy" in dict(weights.status())["toy"]
    weights.install("toy", write_files(toy, FILES))
    assert dict(weights.status())["toy"].startswith("present")


def test_the_command_tells_how_to_use_ones_own_file(toy, capsys):
    path = toy / "vgg19.pth"
    path.write_bytes(b"1")
    assert cli.main(["weights", "vgg19", "--from", str(path)]) == 0
    kept = weights.cache_dir() / "vgg19" / "vgg19.pth"
    assert f"--config.model.vgg={kept}" in capsys.readouterr().out
    assert dict(weights.status())["vgg19"] == f"present: {kept}"


def test_the_command_refuses_in_one_line(toy, capsys):
    assert cli.main(["weights", "toy", "--from", str(toy / "no.whl")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no.whl" in error


def test_the_command_lists_all_models(toy, capsys):
    assert cli.main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(weights.MODELS)
