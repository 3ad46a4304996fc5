"""Figures of a training: they exist, are pictures, and show what the tables say."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_listen.features import FeatureSpec
from keras_listen.models.bundle import create_bundle
from keras_listen.models.networks.classifier import build_classifier
from keras_listen.training.figures import draw_confusion, draw_curves, draw_training

CURVES = """\
epoch,epochs,loss,accuracy,val_loss,val_accuracy
1,2,2.0,0.1,1.9,0.2
2,2,1.0,0.5,1.2,0.4
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    made = create_bundle(tmp_path_factory.mktemp("bundle"), ["no", "yes"], FeatureSpec())
    made.add(
        "classifier",
        {"model": build_classifier(2)},
        texts={"curves.csv": CURVES},
        about={"figures": {"confusion": [[3, 1], [0, 4]]}},
    )
    return made


def test_a_trained_bundle_gets_curves_and_confusion_beside_its_components(bundle):
    before = json.loads((bundle.root / "classifier" / "component.json").read_text())
    folder = draw_training(bundle)
    assert sorted(path.name for path in folder.iterdir()) == [
        "classifier-confusion.png",
        "classifier-curves.png",
    ]
    for path in folder.iterdir():
        with Image.open(path) as image:
            # White paper with something drawn on it.
            shades = np.asarray(image.convert("L"))
            assert (shades == 255).mean() > 0.3
            assert shades.std() > 10
    assert json.loads((bundle.root / "classifier" / "component.json").read_text()) == before
    assert bundle.names() == ["classifier"]


def test_confusion_is_coloured_by_the_share_of_the_spoken_word(tmp_path):
    """A perfect matrix has a dark diagonal, whatever the counts of its rows."""

    def darkest(matrix):
        path = tmp_path / "matrix.png"
        draw_confusion(np.array(matrix), ("no", "yes"), path, "classifier")
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    same = darkest([[100, 0], [0, 1]])
    np.testing.assert_array_equal(same, darkest([[5, 0], [0, 5]]))
    assert (same != darkest([[5, 5], [0, 5]])).any()


def test_curves_of_other_programs_without_a_validation_split_are_left_out(tmp_path):
    (tmp_path / "curves.csv").write_text("epoch,left\n1,0.5\n", encoding="utf-8")
    draw_curves(tmp_path / "curves.csv", tmp_path / "curves.png", "other")
    assert not (tmp_path / "curves.png").exists()
