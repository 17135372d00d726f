import json

import numpy as np
import pytest

from facejax import ablate, ablation_table, cli, settings
from facejax.errors import InputError
from tests.data import fake


def config(path):
    found = settings.default_config("rhythmic")
    found.data.update(path=str(path), size=16, references=2, tau=4, batch=2)
    found.model.update(
        shots=2, width=2, most_width=4, downs=2, adaptive_levels=1, compose_levels=2,
        flow_width=2, flow_downs=1, flow_residuals=1, spectral=False, norm="instance",
        lambda_adversarial=0.0, lambda_vgg=0.0, lambda_l1=1.0, raw_loss=False,
    )  # fmt: skip
    found.train.update(steps=1, eval_every=0, sample_every=0)
    return found.lock()


def test_each_ablation_is_the_full_model_with_its_own_change(tmp_path):
    found = {one.name: one for one in ablate.variants(config(tmp_path), (1, 2, 32))}
    assert list(found) == [*list(ablation_table.PAPER)[:6], "K = 1", "K = 32"]
    full = found["full"].config
    assert settings.differences(full, found["without warping"].config) == [
        "model.use_warp: True -> False"
    ]
    assert settings.differences(full, found["baseline"].config) == [
        "model.attention: hybrid -> mean",
        "model.use_matched: True -> False",
        "model.use_projection: True -> False",
    ]
    assert settings.differences(full, found["K = 32"].config) == [
        "data.references: 2 -> 32", "model.shots: 2 -> 32",
    ]  # fmt: skip
    assert len({one.folder for one in found.values()}) == len(found)


def test_variants_are_picked_by_their_folders(tmp_path):
    found = ablate.variants(config(tmp_path), (1, 2))
    assert [one.name for one in ablate.pick(found, "baseline,shots-1")] == ["baseline", "K = 1"]
    assert len(ablate.pick(found, "")) == len(found)
    with pytest.raises(InputError, match="--only names 'half'; there are: full, "):
        ablate.pick(found, "half")


def test_orderings_are_those_of_the_paper_and_a_copy_of_it_holds_them_all():
    found = ablation_table.orderings(ablation_table.PAPER)
    assert all(one["holds"] for one in found)
    named = [(one["better"], one["worse"], one["figure"]) for one in found]
    assert ("full", "without 3D-aware", "csim") in named
    assert ("without hybrid attention", "full", "ssim") in named  # 0.73 over 0.71
    assert ("K = 8", "K = 1", "ssim") not in named  # equal in the paper
    turned = {name: {k: -v for k, v in row.items()} for name, row in ablation_table.PAPER.items()}
    assert not any(one["holds"] for one in ablation_table.orderings(turned))


def test_the_text_has_a_line_for_each_row_and_every_ordering_once():
    rows = {name: row | {"lmd": 1.0, "l1": 2.0} for name, row in ablation_table.PAPER.items()}
    rows["copy of the key frame"] = {"ssim": 0.5, "csim": 0.9, "lmd": 3.0, "l1": 4.0}
    held = ablation_table.orderings(rows)
    text = ablation_table.markdown(rows, held)
    assert text.count("\n| ") == len(rows)
    assert "| copy of the key frame | 0.500 | 0.900 | 3.00 | 4.00 |  |  |" in text
    assert text.count(" over ") == len(held)
    assert "Does not hold: none." in text


def test_a_config_of_another_system_is_refused(tmp_path, capsys):
    arguments = ["--config", "configs/headgan_small.py", "--out", str(tmp_path / "out")]
    assert cli.main(["ablate", *arguments]) == 2
    assert "ablations are those of rhythmic" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_table_of_a_tiny_data_set(tmp_path):
    folder = fake.folder(tmp_path / "clips", lengths=(8, 9, 10), test=2)
    text = ablate.ablate(config(folder), tmp_path / "out", "test", (1, 2), 2)
    report = json.loads((tmp_path / "out" / "table.json").read_text())
    assert set(report["rows"]) >= {"full", "baseline", "K = 1", "copy of the key frame"}
    assert all(np.isfinite(row["ssim"]) for row in report["rows"].values())
    assert "| without warping |" in text
    assert (tmp_path / "out" / "sheet.png").stat().st_size > 1000
