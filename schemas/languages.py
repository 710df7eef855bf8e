"""The model: a *language code* names the language of a document: one of ISO 639 that identification can give (the 176 of
fastText's lid.176), `und` for text without a letter, or `code` for source code.
"""

from __future__ import annotations

import difflib

CODE = "code"
"""The language of source code."""
UNDETERMINED = "und"
"""ISO 639's code for an undetermined language."""

_NAMES = """
af Afrikaans|als Alemannic|am Amharic|an Aragonese|ar Arabic|arz Egyptian Arabic|as Assamese|ast Asturian|av Avaric
az Azerbaijani|azb South Azerbaijani|ba Bashkir|bar Bavarian|bcl Central Bikol|be Belarusian|bg Bulgarian|bh Bihari
bn Bengali|bo Tibetan|bpy Bishnupriya|br Breton|bs Bosnian|bxr Buriat|ca Catalan|cbk Chavacano|ce Chechen|ceb Cebuano
ckb Central Kurdish|co Corsican|cs Czech|cv Chuvash|cy Welsh|da Danish|de German|diq Dimli|dsb Lower Sorbian|dty Doteli
dv Divehi|el Greek|eml Emilian-Romagnol|en English|eo Esperanto|es Spanish|et Estonian|eu Basque|fa Persian|fi Finnish
fr French|frr Northern Frisian|fy Western Frisian|ga Irish|gd Scottish Gaelic|gl Galician|gn Guarani|gom Konkani
gu Gujarati|gv Manx|he Hebrew|hi Hindi|hif Fiji Hindi|hr Croatian|hsb Upper Sorbian|ht Haitian|hu Hungarian|hy Armenian
ia Interlingua|id Indonesian|ie Interlingue|ilo Iloko|io Ido|is Icelandic|it Italian|ja Japanese|jbo Lojban|jv Javanese
ka Georgian|kk Kazakh|km Khmer|kn Kannada|ko Korean|krc Karachay-Balkar|ku Kurdish|kv Komi|kw Cornish|ky Kyrgyz|la Latin
lb Luxembourgish|lez Lezghian|li Limburgish|lmo Lombard|lo Lao|lrc Northern Luri|lt Lithuanian|lv Latvian|mai Maithili
mg Malagasy|mhr Eastern Mari|min Minangkabau|mk Macedonian|ml Malayalam|mn Mongolian|mr Marathi|mrj Western Mari|ms Malay
mt Maltese|mwl Mirandese|my Burmese|myv Erzya|mzn Mazanderani|nah Nahuatl|nap Neapolitan|nds Low German|ne Nepali|new Newari
nl Dutch|nn Norwegian Nynorsk|no Norwegian|oc Occitan|or Odia|os Ossetian|pa Punjabi|pam Pampanga|pfl Palatine German
pl Polish|pms Piedmontese|pnb Western Punjabi|ps Pashto|pt Portuguese|qu Quechua|rm Romansh|ro Romanian|ru Russian|rue Rusyn
sa Sanskrit|sah Yakut|sc Sardinian|scn Sicilian|sco Scots|sd Sindhi|sh Serbo-Croatian|si Sinhala|sk Slovak|sl Slovenian
so Somali|sq Albanian|sr Serbian|su Sundanese|sv Swedish|sw Swahili|ta Tamil|te Telugu|tg Tajik|th Thai|tk Turkmen|tl Tagalog
tr Turkish|tt Tatar|tyv Tuvan|ug Uyghur|uk Ukrainian|ur Urdu|uz Uzbek|vec Venetian|vep Veps|vi Vietnamese|vls West Flemish
vo Volapük|wa Walloon|war Waray|wuu Wu Chinese|xal Kalmyk|xmf Mingrelian|yi Yiddish|yo Yoruba|yue Cantonese|zh Chinese
"""

LANGUAGES: dict[str, str] = {
    code: name for code, _, name in (entry.partition(" ") for line in _NAMES.split("\n") for entry in line.split("|")) if code
}
"""English name by code."""


def is_language(value: str) -> str:
    """`value`, if it is a language code; else `ValueError` naming the nearest one."""
    if value in LANGUAGES or value in (CODE, UNDETERMINED):
        return value
    given = value.lower()
    by_name = {name.lower(): code for code, name in LANGUAGES.items()} | {CODE: CODE}
    stem = given.replace("_", "-").partition("-")[0]  # zh-CN, en_US
    near = [stem] if stem in LANGUAGES else [by_name[name] for name in difflib.get_close_matches(given, by_name, n=1)]
    hint = "en and zh are some, and code for source code"
    if near:
        hint = f"did you mean {near[0]!r} ({LANGUAGES.get(near[0], 'source code')})?"
    raise ValueError(f"not a language code of ISO 639 that is known here; {hint}")
