"""The table of regions is what its script makes, and serves every region that a policy can name."""

from __future__ import annotations

import shutil

import phonenumbers
from make_regions import FILE, regions_json
from support.servers import unavailable

from otpkit.web.regions import regions_of


def test_table_is_what_its_script_makes() -> None:
    """After an update of CLDR or phonenumbers: run `python tests/make_regions.py` and look at what has changed."""
    if shutil.which("node") is None:
        unavailable("node is not installed")
    assert FILE.read_text(encoding="utf-8") == regions_json()


def test_chinese_names_stand_in_chinese_order() -> None:
    """By pinyin: Albania, Peru, China."""
    names = [region.zh for region in regions_of(["CN", "PE", "AL", "IS"], "zh")]
    assert names == ["阿尔巴尼亚", "秘鲁", "冰岛", "中国"]


def test_every_region_has_a_name_and_a_calling_code() -> None:
    for region in regions_of(phonenumbers.SUPPORTED_REGIONS):
        assert region.calling_code == f"+{phonenumbers.country_code_for_region(region.code)}"
        assert region.en != region.code
        assert region.zh != region.code
