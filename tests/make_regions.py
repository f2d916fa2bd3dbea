"""Write `otpkit/web/regions.json`, or print the section `[regions]` for the catalogue of a language.

    python tests/make_regions.py            writes the calling code of each region
    python tests/make_regions.py zh         prints the names of the regions in Chinese, in the order of a Chinese list

It needs Node.js 20 and phonenumbers. The names and their order are those of CLDR, which is part of Node.js (`Intl`).
The regions and their calling codes are those of the extra `intl`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import phonenumbers

FILE = Path(__file__).parents[1] / "otpkit" / "web" / "regions.json"
# These regions have short names that people look for: "Hong Kong", not "Hong Kong SAR China".
SHORT = ["HK", "MO", "PS"]
# A character with several readings, and one with its reading in the name: Peru is Bìlǔ.
READINGS = {"秘鲁": "毕鲁"}
SCRIPT = """
const [language, codes, short, readings] = JSON.parse(process.argv[1]);
const names = (style) => new Intl.DisplayNames(language, { type: "region", style });
const [usual, brief] = [names("long"), names("short")];
const named = Object.fromEntries(codes.map((code) => [code, (short.includes(code) ? brief : usual).of(code)]));
const read = (code) => readings[named[code]] ?? named[code];
const collator = new Intl.Collator(language === "zh" ? "zh-u-co-pinyin" : language);
const order = [...codes].sort((one, other) => collator.compare(read(one), read(other)));
console.log(JSON.stringify(order.map((code) => [code, named[code]])));
"""


def regions_json() -> str:
    """Return the text of the file."""
    codes = {code: f"+{phonenumbers.country_code_for_region(code)}" for code in sorted(phonenumbers.SUPPORTED_REGIONS)}
    lines = [f"  {json.dumps(code)}: {json.dumps(calling_code)}" for code, calling_code in codes.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def names_of(language: str) -> dict[str, str]:
    """Return the name of each region in a language, in the order of a list."""
    asked = json.dumps([language, sorted(phonenumbers.SUPPORTED_REGIONS), SHORT, READINGS])
    command = ["node", "--eval", SCRIPT, asked]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout))


if __name__ == "__main__":
    for language in sys.argv[1:]:
        print(
            "[regions]",
            *[f"{code} = {json.dumps(n, ensure_ascii=False)}" for code, n in names_of(language).items()],
            sep="\n",
        )
    if not sys.argv[1:]:
        FILE.write_text(regions_json(), encoding="utf-8")
