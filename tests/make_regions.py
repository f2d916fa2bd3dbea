"""Make `otpkit/web/regions.json`: `python tests/make_regions.py`. It needs Node.js 20 and phonenumbers.

Each region has its calling code, its names in English and Chinese, and the place of the Chinese name in a Chinese list.
The names and their order are CLDR's, which Node.js has (`Intl`). The regions and calling codes are those of the extra
`intl`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import phonenumbers

FILE = Path(__file__).parents[1] / "otpkit" / "web" / "regions.json"
# Their short names are the ones that people look for: "Hong Kong", not "Hong Kong SAR China".
SHORT = ["HK", "MO", "PS"]
# A character with several readings, and one with the reading that it has in the name: Peru is Bìlǔ.
READINGS = {"秘鲁": "毕鲁"}
SCRIPT = """
const [codes, short, readings] = JSON.parse(process.argv[1]);
const names = (language, style) => new Intl.DisplayNames(language, { type: "region", style });
const named = (language) => {
  const [usual, brief] = [names(language, "long"), names(language, "short")];
  return Object.fromEntries(codes.map((code) => [code, (short.includes(code) ? brief : usual).of(code)]));
};
const [en, zh] = [named("en"), named("zh")];
const read = (code) => readings[zh[code]] ?? zh[code];
const collator = new Intl.Collator("zh-u-co-pinyin");
const order = [...codes].sort((one, other) => collator.compare(read(one), read(other)));
console.log(JSON.stringify({ en, zh, order }));
"""


def regions_json() -> str:
    """Return the text of the file."""
    codes = sorted(phonenumbers.SUPPORTED_REGIONS)
    command = ["node", "--eval", SCRIPT, json.dumps([codes, SHORT, READINGS])]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    places = {code: place for place, code in enumerate(found["order"])}
    rows = {
        code: [f"+{phonenumbers.country_code_for_region(code)}", found["en"][code], found["zh"][code], places[code]]
        for code in codes
    }
    lines = [f"  {json.dumps(code)}: {json.dumps(row, ensure_ascii=False)}" for code, row in rows.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(regions_json(), encoding="utf-8")
