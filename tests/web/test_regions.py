"""The table of regions equals the output of its script, and contains every region that a policy can name."""

from __future__ import annotations

import shutil

import phonenumbers
import pytest
from make_regions import FILE, names_of, regions_json
from support.servers import unavailable

from otpkit.languages import texts
from otpkit.web.regions import regions_of


def test_table_is_what_its_script_makes() -> None:
    """After an update of phonenumbers, run `python tests/make_regions.py` and review the changes."""
    assert FILE.read_text(encoding="utf-8") == regions_json()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_names_are_what_the_script_makes(language: str) -> None:
    """The order is the same too. After an update of CLDR, run `python tests/make_regions.py zh`."""
    if shutil.which("node") is None:
        unavailable("node is not installed")
    assert list(texts(language)["regions"].items()) == list(names_of(language).items())


def test_chinese_names_stand_in_chinese_order() -> None:
    """The order is by pinyin: Albania, Peru, Iceland, China."""
    names = [region.name for region in regions_of(["CN", "PE", "AL", "IS"], "zh")]
    assert names == ["阿尔巴尼亚", "秘鲁", "冰岛", "中国"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_region_has_a_name_and_a_calling_code(language: str) -> None:
    """This covers every region of the numbering plans."""
    for region in regions_of(phonenumbers.SUPPORTED_REGIONS, language):
        assert region.calling_code == f"+{phonenumbers.country_code_for_region(region.code)}"
        assert region.name != region.code
