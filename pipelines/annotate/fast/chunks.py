"""The model: a *chunk* is a run of characters between white space. Most are plain words with a mark before or behind, and the classes
of their characters say where to cut; a *mixed* chunk (`don't`, `3.5%`, `e.g.`, `http://x.org/a.`, `well-known`) is cut by the rules here,
the first that fits at each place. They follow Universal Dependencies English, and are sane for other languages that write spaces:

- addresses, handles, hash tags, file names and emoticons stay whole, without the punctuation behind;
- numbers keep their separators (`1,000.5`, `10:30`, `9/11/2001`, `555-1234`); a unit is a word of its own (`5|kg`, `8|am`);
- abbreviations keep their dots (`U.S.`, `e.g.`, `Dr.`, `J.`); any other dot at the end is a word;
- hyphens and slashes are words (`well|-|known`, `and|/|or`), except behind a prefix (`non-profit`) and in short forms (`w/o`);
- runs of dots, dashes, stars, exclamation and question marks are one word;
- English only: clitics are words (`do|n't`, `I|'m`, `dog|'s`, `dogs|'`).
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from pipelines.categories import CODE_POINTS, having

ABBREVIATIONS = frozenset(
    "adm al approx apr assn assoc asst aug ave bldg blvd brig bros ca capt cf cmdr co col comdr corp cpl dec dept dist div dr drs ed eds "
    "esp esq est et etc ect ext feb fig figs fri ft gen gov govt hon hr hrs inc jan jr lt ltd maj mfg misc mlle mme mon mr mrs ms msgr mt "
    "nos nov nr oct op ph pl pp prof prop pt pvt rd rep reps rev sec sen sens seq sept sgt sr st ste sts supt tel temp tues univ "
    "viz vol vols vs wed".split()
)
"""Words, in lower case, whose dot at the end belongs to them; single letters are abbreviations too."""

_PREFIXES = (
    "anti|co|counter|cross|de|e|ex|extra|hyper|inter|intra|mega|meta|micro|mid|mini|mis|multi|neo|non|over|pan|para|post|pre|pro|pseudo|"
    "quasi|re|semi|socio|sub|super|trans|tri|ultra|un|uni|vice"
)
_UNITS = (
    "am|pm|AM|PM|a\\.m\\.|p\\.m\\.|mm|cm|km|kg|mg|ml|lbs?|oz|ft|in|yds?|mi|mph|kph|hz|Hz|kHz|MHz|GHz|kb|mb|gb|tb|KB|MB|GB|TB|kB|"
    "hrs?|mins?|secs?|ms|yrs?|days?|weeks?|months?|years?|[kKxX]"
)
_SUFFIXES = (  # but for those that are English words too
    "com|org|net|edu|gov|mil|info|biz|io|ai|co|uk|ca|de|fr|eu|nl|jp|cn|ru|au|nz|ch|es|se|dk|br|tv|"
    "html?|php|aspx?|jsp|js|css|json|xml|ya?ml|csv|tsv|txt|pdf|docx?|xlsx?|pptx?|jpe?g|png|gif|svg|zip|gz|tar|exe|dll|py|java|cpp|sh|"
    "mp[34]|avi|mov"
)


def _marks() -> str:
    """Marks and joiners as the inside of a character class; `re` doesn't count them among the characters of words."""
    codes = having(("M", "Cf"))
    codes = codes[codes != 0x200B]
    first, last = np.diff(codes, prepend=-2) > 1, np.diff(codes, append=CODE_POINTS + 1) > 1
    ranges = zip(codes[first].tolist(), codes[last].tolist(), strict=True)
    return "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" if b > a else re.escape(chr(a)) for a, b in ranges)


_W = rf"[\w{_marks()}]"
_CLITICS = "['’](?i:s|m|d|re|ve|ll)(?!\\w)"
_WORDS = {
    "english": rf"""
      n['’]t(?!\w) | N['’]T(?!\w) | {_CLITICS}
    | ['’](?i:em|til|tis|twas|cause|bout|n)(?!\w) | ['’]\d\ds?(?!\w)
    | [^\W\d_]+?(?=[nN]['’][tT](?!\w))
    | {_W}++(?:['’](?!(?i:s|m|d|re|ve|ll)(?!\w)){_W}++)*""",
    "eliding": rf"(?i:aujourd['’]hui) | {_W}++['’](?=\w) | {_W}++",
    "other": rf"{_W}++(?:['’]{_W}++)*",
}
_RULES = rf"""
  (?:https?|ftp|file)://[^\s<>"“”]*[^\s<>"“”'’.,;:!?)\]}}]                  # addresses
| www\.[^\s<>"“”]*[^\s<>"“”'’.,;:!?)\]}}]
| \w[\w.+%-]*@\w+(?:[.-]\w+)*                                                # e-mail addresses
| @\w+(?:\.\w+)* | \#[^\W\d]\w*                                              # handles, hash tags
| [:;=][-'^o]?[)(\]\[DPpOo/\\|]+(?!\w) | 8-\) | <3+(?!\d) | \^[_.-]?\^       # emoticons
| (?:[^\W\d_]\.)+[^\W\d_](?:\.|(?!\w)) | (?:Ph\.D|[BM]\.Sc)\.?                # U.S. a.m. P.S U.S
| (?:\w[\w-]*\.)+(?i:{_SUFFIXES})(?:/[\w./%-]*\w/?)?(?!\w|-\w)               # names of hosts and files
| (?:[a-z]\w*\.){{2,}}\w+(?:-\w+)*                                           # alt.animals.cat
| \.(?:{_SUFFIXES})(?!\w)                                                    # .doc
| (?:\+?\d{{1,4}}[-.])?\d{{1,4}}[-.]\d{{3,4}}[-.]\d{{3,4}}(?!\w)             # telephone numbers
| \d{{1,3}}-\d{{4}}(?![\w-])
| \d+(?:[.,:/]\d+)*(?=(?:{_UNITS})(?!\w))                                    # 5|kg
| \d+(?:[.,:/]\d+)*(?:(?:['’]?s|st|nd|rd|th)(?!\w)|(?!\w)) | \.\d+(?!\w)     # 1,000.5 10:30 9/11/2001 80's 5th
| \.{{2,}} | [!?！？]+ | ([…—–―─。〜～])\1* | [-=]{{2,}}>? | -> | \*+ | [~\#+<>|^\\`$/]+ | ''   # runs
| (?i:w/o|[bn]/[ca]|w/|c/o|s/he|f/\d+)(?!\w)                                 # short forms
| (?:US|CA|AU|HK|NZ)\$ | &(?:[a-z]+|\#\d+);
| [A-Z]+(?:&[A-Z]+)+(?!\w)                                                   # AT&T
| (?i:{_PREFIXES})-(?=\w){_W}++
"""
_PATTERNS = {kind: re.compile(rf"{_RULES} | {words} | .", re.VERBOSE | re.DOTALL) for kind, words in _WORDS.items()}
_ELIDING = frozenset({"ca", "fr", "it", "oc"})
"""Languages whose clitics end in an apostrophe (`l'homme`)."""

_ORDINAL_DOTS = frozenset("cs da de et fi hr hu is lb lv nb nn no pl sk sl sr tr".split())
"""Languages that write ordinal numbers with a dot (`am 3. Oktober`)."""


@lru_cache(maxsize=1 << 16)
def cuts(chunk: str, lang: str) -> tuple[int, ...]:
    """Where words begin inside of a chunk without white space, behind its first character; all of it belongs to words.

    Remembered, because chunks repeat as words do (Zipf's law).
    """
    kind = "english" if lang == "en" else "eliding" if lang in _ELIDING else "other"
    found: list[int] = []
    word = ""
    for match in _PATTERNS[kind].finditer(chunk):
        start, last, word = match.start(), word, match[0]
        if not (word == "." and _takes_dot(last, lang)):
            found.append(start)
    return tuple(found[1:])


def _takes_dot(word: str, lang: str) -> bool:
    """Whether a dot behind a word belongs to it."""
    if word.isdecimal():
        return lang in _ORDINAL_DOTS and len(word) <= 2
    return word.lower() in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "I")
