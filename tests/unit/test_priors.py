from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from enfpire.curation.declared import read_declared
from enfpire.curation.priors import read_priors, scale_priors
from enfpire.errors import UsageError


def written(tmp_path: Path, text: str, name: str = "priors.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_priors_are_read_by_name_and_add_up_to_1(tmp_path: Path) -> None:
    found = read_priors(written(tmp_path, "class,prior,note\nmilk,6,often\nplum,2,\nnobody,100,\n"))
    assert found == {"milk": 6.0, "plum": 2.0, "nobody": 100.0}
    assert scale_priors(found, ("plum", "milk")).tolist() == [0.25, 0.75]


def test_a_class_without_a_prior_is_as_rare_as_the_rarest(tmp_path: Path) -> None:
    found = read_priors(
        written(tmp_path, '{"class": "milk", "prior": 3}\n{"class": "plum", "prior": 0.5}\n', "p.jsonl")
    )
    assert np.allclose(scale_priors(found, ("apple", "milk", "plum")), [0.125, 0.75, 0.125])


def test_huge_counts_do_not_overflow() -> None:
    assert scale_priors({"a": 1e308, "b": 1e308}, ("a", "b")).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("value", ["", "0", "-1", "nan", "inf", "often"])
def test_what_is_no_prior_is_said_with_its_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match=r"line 3 of .*'prior' above 0"):
        read_priors(written(tmp_path, f"class,prior\nmilk,1\nplum,{value}\n"))


@pytest.mark.parametrize("value", ["null", "true", "[1]", '"x"', "1e999", "{}"])
def test_json_that_is_no_prior_is_said_with_its_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="line 1"):
        read_priors(written(tmp_path, f'{{"class": "milk", "prior": {value}}}\n', "p.jsonl"))


def test_priors_of_other_classes_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no enrolled class"):
        scale_priors(read_priors(written(tmp_path, "class,prior\nmilk,1\n")), ("plum",))


def test_files_declare_what_they_say(tmp_path: Path) -> None:
    classes = ("a", "b", "c", "d")
    declared = read_declared(
        classes,
        kinds=written(tmp_path, "class,kind\na,x\nb,y\nc,x\nd,y\n", "kinds.csv"),
        prior=written(tmp_path, "class,prior\na,2\nb,1\nc,1\nd,1\n"),
        transitions=written(tmp_path, "from,to\na,b\nb,c\nc,d\nd,a\n", "transitions.csv"),
    )
    assert declared.kinds is not None
    assert declared.kinds.tolist() == [0, 1, 0, 1]
    assert declared.priors is not None
    assert np.allclose(declared.priors, [0.4, 0.2, 0.2, 0.2])
    assert declared.transitions is not None
    assert declared.transitions.matrix[0, 1] == 1
    assert read_declared(classes).priors is None
